//! What the slot shows to others: numbers that it flushes once a batch, and that anybody may read.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    judge::Tally,
    start::{Comparison, Return},
};
use crate::source::{InputLag, Notice};

/// At most so many notices wait to be told; later ones are only counted.
const NOTICES_MAX: usize = 256;

/// Counters only grow; gauges say how it is now. All of one slot.
#[derive(Debug, Default)]
pub struct Status {
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub events: AtomicU64,
    pub anonymous: AtomicU64,
    pub clamped: AtomicU64,
    pub batches: AtomicU64,
    pub commands: AtomicU64,
    pub commits: AtomicU64,
    /// Time spent in commits, in microseconds.
    pub commit_us: AtomicU64,
    pub checkpoints: AtomicU64,
    /// Replays whose digest was another than the committed one.
    pub digest_mismatches: AtomicU64,
    /// Records that were read again at the start.
    pub replayed: AtomicU64,
    /// Gauge: event time of the watermark, in milliseconds since the Unix epoch.
    pub watermark_ms: AtomicU64,
    /// Gauge: how far the event time of the input furthest behind lies behind the wall clock; 0 = all are idle.
    pub lag_ms: AtomicU64,
    /// Gauge: records that have not been read yet, where the sources know.
    pub lag_records: AtomicU64,
    /// Gauge: bytes that have not been read yet, where the sources know.
    pub lag_bytes: AtomicU64,
    /// Gauge: the wall clock at the last checkpoint, in milliseconds; 0 = none yet.
    pub checkpoint_at_ms: AtomicU64,
    /// Gauge: entries that the last checkpoint wrote.
    pub checkpoint_entries: AtomicU64,
    /// Gauge: bytes of the store.
    pub store_bytes: AtomicU64,
    /// Gauge: the slot has returned from its replay and reads.
    pub running: AtomicBool,
    /// Gauge: the lag has been under [`CAUGHT_UP_BELOW`] at the last look.
    pub caught_up: AtomicBool,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
    notice_counts: Mutex<BTreeMap<&'static str, u64>>,
    notices: Mutex<Vec<Notice>>,
    lags: Mutex<Vec<InputLag>>,
    back: Mutex<Return>,
}

/// The lag in event time under which one has caught up.
pub const CAUGHT_UP_BELOW: Duration = Duration::from_secs(30);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every holder writes one value: a panic leaves none half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    /// Rejected records by reason.
    pub fn rejected(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.rejected).clone()
    }

    /// Notices by kind.
    pub fn noticed(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.notice_counts).clone()
    }

    /// Takes the notices that wait to be logged.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut locked(&self.notices))
    }

    /// How far behind each input was at the last look.
    pub fn lags(&self) -> Vec<InputLag> {
        locked(&self.lags).clone()
    }

    /// What coming back took.
    pub fn returned(&self) -> Return {
        *locked(&self.back)
    }

    pub(super) fn count(&self, tally: &Tally) {
        self.batches.fetch_add(1, Relaxed);
        self.records.fetch_add(tally.records, Relaxed);
        self.bytes.fetch_add(tally.bytes, Relaxed);
        self.events.fetch_add(tally.events, Relaxed);
        self.anonymous.fetch_add(tally.anonymous, Relaxed);
        self.clamped.fetch_add(tally.clamped, Relaxed);
        if !tally.rejected.is_empty() {
            let mut rejected = locked(&self.rejected);
            for (reason, count) in &tally.rejected {
                *rejected.entry(reason).or_default() += count;
            }
        }
    }

    pub(super) fn notice(&self, notices: &mut Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let (mut counts, mut waiting) = (locked(&self.notice_counts), locked(&self.notices));
        for notice in notices.drain(..) {
            *counts.entry(notice.label()).or_default() += 1;
            if waiting.len() < NOTICES_MAX {
                waiting.push(notice);
            }
        }
    }

    pub(super) fn came_back(&self, back: Return) {
        *locked(&self.back) = back;
        self.replayed.store(back.records, Relaxed);
        self.digest_mismatches.fetch_add(u64::from(back.comparison == Comparison::Differs), Relaxed);
        self.running.store(true, Relaxed);
    }

    /// `lag_ms` is that of the input furthest behind, if every input's is known.
    pub(super) fn look(&self, lags: Vec<InputLag>, lag_ms: Option<u64>) {
        let sum = |of: fn(&InputLag) -> Option<u64>| lags.iter().filter_map(of).sum();
        self.lag_records.store(sum(|lag| lag.records_behind), Relaxed);
        self.lag_bytes.store(sum(|lag| lag.bytes_behind), Relaxed);
        if let Some(lag_ms) = lag_ms {
            self.lag_ms.store(lag_ms, Relaxed);
        }
        let caught_up = lag_ms.is_some_and(|lag| u128::from(lag) < CAUGHT_UP_BELOW.as_millis());
        self.caught_up.store(caught_up, Relaxed);
        *locked(&self.lags) = lags;
    }
}
