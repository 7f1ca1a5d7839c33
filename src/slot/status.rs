//! What the slot shows to others: counts that it adds up once a batch, and that anybody may read.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    arrivals::{Arrivals, Brought},
    catch_up::CatchUps,
    judge::Tally,
    quarantine::{Culprit, Quarantine},
    start::{Comparison, Return},
};
use crate::{
    source::{Contact, InputLag, Notice},
    store::{Excluded, Exclusion, Outbox, Run},
    telemetry::{self, EngineCounts, Reading, SlotTimers, SourceReading},
};

/// At most so many notices wait to be told; later ones are only counted.
const NOTICES_MAX: usize = 256;

/// The lag in event time under which one has caught up.
pub const CAUGHT_UP_BELOW: Duration = Duration::from_secs(30);

/// Where one slot stands. Shared with whoever serves metrics, health and decisions.
#[derive(Debug, Default)]
pub struct Status {
    reading: Mutex<Reading>,
    outbox: Mutex<Option<Outbox>>,
    /// What the engines before this one counted.
    earlier: Mutex<EngineCounts>,
    timers: SlotTimers,
    caught_up: AtomicBool,
    checkpoint_entries: AtomicU64,
    store_bytes: AtomicU64,
    notice_counts: Mutex<BTreeMap<&'static str, u64>>,
    notices: Mutex<Vec<(String, Notice)>>,
    back: Mutex<Return>,
    quarantine: Mutex<Quarantine>,
    exclusions: Mutex<Vec<Exclusion>>,
    pauses: Mutex<Pauses>,
}

/// The longest iterations of the main loop.
#[derive(Debug, Default)]
struct Pauses {
    /// Since the start.
    minute: u64,
    /// In this minute, and in the one before.
    longest: [Duration; 2],
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Numbers only, each right by itself: a panic in between leaves nothing half written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    /// Of a slot with these sources, named as the settings name them.
    pub fn new(sources: &[String]) -> Self {
        let sources =
            sources.iter().map(|name| SourceReading { source: name.clone(), ..SourceReading::default() });
        let reading = Mutex::new(Reading { sources: sources.collect(), ..Reading::default() });
        Self { reading, ..Self::default() }
    }

    /// From now on it is this outbox that is told of.
    pub fn tells_of(&self, outbox: Outbox) {
        *locked(&self.outbox) = Some(outbox);
    }

    /// The slot has ended with an error, and its state with it. What it counted stays.
    pub fn went_away(&self) {
        let mut reading = locked(&self.reading);
        reading.restored = false;
        for source in &mut reading.sources {
            (source.connected, source.catch_up) = (Some(false), None);
            source.fault = Some("the engine starts again and reads nothing meanwhile".to_owned());
        }
        let mut counts = std::mem::take(&mut reading.engine);
        counts.outbox_dropped = locked(&self.outbox).take().as_ref().map_or(0, Outbox::dropped);
        locked(&self.earlier).add(&counts);
    }

    /// Whether state was loaded and replayed.
    pub fn is_restored(&self) -> bool {
        locked(&self.reading).restored
    }

    /// Whether every input was less than [`CAUGHT_UP_BELOW`] behind at the last look.
    pub fn caught_up(&self) -> bool {
        self.caught_up.load(Relaxed)
    }

    /// Entries that the last checkpoint wrote.
    pub fn checkpoint_entries(&self) -> u64 {
        self.checkpoint_entries.load(Relaxed)
    }

    /// Bytes of the store at the last commit.
    pub fn store_bytes(&self) -> u64 {
        self.store_bytes.load(Relaxed)
    }

    /// Notices by kind.
    pub fn notice_counts(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.notice_counts).clone()
    }

    /// Takes the notices that wait to be logged, each with the name of its source.
    pub fn take_notices(&self) -> Vec<(String, Notice)> {
        std::mem::take(&mut locked(&self.notices))
    }

    /// What coming back took.
    pub fn returned(&self) -> Return {
        locked(&self.back).clone()
    }

    /// The slot's thread has panicked, at this time by the wall clock: at what, as far as that can be known.
    pub fn panicked(&self, now_ms: u64) -> Culprit {
        locked(&self.quarantine).panicked(now_ms)
    }

    /// What is left out for now, since the slot panicked there more than once.
    pub fn exclusions(&self) -> Vec<Exclusion> {
        locked(&self.exclusions).clone()
    }

    pub(super) fn show_exclusions(&self, exclusions: &[Exclusion]) {
        exclusions.clone_into(&mut locked(&self.exclusions));
    }

    pub(super) fn blame(&self, what: Vec<Excluded>) {
        locked(&self.quarantine).blame(what);
    }

    pub(super) fn replays(&self, is_replay: bool) {
        locked(&self.quarantine).replays(is_replay);
    }

    pub(super) fn exclusions_of_replay(&self) -> Vec<Exclusion> {
        locked(&self.quarantine).exclusions_of_replay()
    }

    pub(super) fn exclusions_asked(&self, now_ms: u64) -> Vec<Exclusion> {
        locked(&self.quarantine).exclusions(now_ms)
    }

    pub(super) fn is_quarantine_on(&self) -> bool {
        locked(&self.quarantine).is_on()
    }

    pub(super) fn may_panic(&self, runs: &[Run]) -> bool {
        locked(&self.quarantine).may_hold(runs)
    }

    pub(super) fn is_condemned(&self, record: &Run) -> bool {
        locked(&self.quarantine).is_condemned(record)
    }

    pub(super) fn take_in_hand(&self, runs: &[Run], name: Option<String>) {
        locked(&self.quarantine).take_in_hand(runs, name);
    }

    pub(super) fn let_go(&self) {
        locked(&self.quarantine).let_go();
    }

    pub(super) fn pass_over(&self, record: Run) {
        locked(&self.quarantine).clear_up_to(record);
    }

    pub(super) fn forget_passed_over(&self, record: Run) {
        locked(&self.quarantine).committed(record);
    }

    /// Adds the counts of a batch, by source.
    pub(super) fn count(&self, tallies: &[Tally]) {
        let mut reading = locked(&self.reading);
        if reading.sources.len() < tallies.len() {
            reading.sources.resize_with(tallies.len(), SourceReading::default);
        }
        for (source, tally) in reading.sources.iter_mut().zip(tallies) {
            source.records += tally.records;
            source.bytes += tally.bytes;
            source.events += tally.events;
            source.anonymous += tally.anonymous;
            source.clamped += tally.clamped;
            source.late += tally.late;
            source.clear_keys += tally.clear_keys;
            source.several_keys += tally.several_keys;
            source.keys_left_out += tally.keys_left_out;
            for &(reason, count) in &tally.rejected {
                match source.rejected.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, so_far)) => *so_far += count,
                    None => source.rejected.push((reason, count)),
                }
            }
        }
    }

    pub(super) fn notice(&self, notices: &mut Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let (mut counts, mut waiting) = (locked(&self.notice_counts), locked(&self.notices));
        let mut reading = locked(&self.reading);
        for notice in notices.drain(..) {
            count_losses(&mut reading, &notice);
            *counts.entry(notice.label()).or_default() += 1;
            if waiting.len() < NOTICES_MAX {
                let source = reading.sources.get(usize::from(notice.source()));
                waiting.push((source.map(|source| source.source.clone()).unwrap_or_default(), notice));
            }
        }
    }

    pub(super) fn came_back(&self, back: Return, wall_ms: u64) {
        let mut reading = locked(&self.reading);
        reading.digest_mismatches += u64::from(back.comparison == Comparison::Differs);
        reading.replay_gaps += back.gaps.len() as u64;
        // An empty state is as old as the process.
        reading.checkpoint_at_ms = back.checkpoint_at_ms.unwrap_or(wall_ms);
        reading.restored = true;
        *locked(&self.back) = back;
    }

    /// Takes down what is odd about what each source brings; what was not so before is a notice too.
    pub(super) fn arrived(
        &self,
        arrivals: &mut Arrivals,
        contacts: &[Contact],
        now: Duration,
        notices: &mut Vec<Notice>,
    ) {
        let mut reading = locked(&self.reading);
        for ((index, source), contact) in (0..).zip(&mut reading.sources).zip(contacts) {
            let brought =
                Brought { records: source.records, events: source.events, keyless: source.anonymous };
            let found = arrivals.warnings(index, brought, contact, now);
            let found: Vec<(&'static str, String)> =
                found.into_iter().map(|(kind, text)| (kind.as_str(), text)).collect();
            let is_new = |kind: &str| !source.warnings.iter().any(|(known, _)| *known == kind);
            notices.extend(found.iter().filter(|(kind, _)| is_new(kind)).map(|(kind, text)| Notice::Odd {
                source: index,
                kind,
                text: text.clone(),
            }));
            source.warnings = found;
            source.clock_offset_seconds = arrivals.offset_seconds(index);
            source.behind_watermark += arrivals.late.take(index);
            // A clock that is ahead would look like no lag.
            let ahead = source.clock_offset_seconds.filter(|offset| *offset < 0.0);
            source.lag_seconds = source.lag_seconds.map(|lag| ahead.filter(|_| lag <= 0.0).unwrap_or(lag));
        }
    }

    /// Takes down how each source stands with what it reads.
    pub(super) fn contacts(&self, contacts: Vec<Contact>, wall_ms: u64) {
        let mut reading = locked(&self.reading);
        for (source, contact) in reading.sources.iter_mut().zip(contacts) {
            source.connected = Some(contact.is_connected());
            let age_ms = u64::try_from(contact.age.as_millis()).unwrap_or(u64::MAX);
            source.contact_at_ms = wall_ms.saturating_sub(age_ms);
            source.blocked_seconds = contact.blocked_for.as_secs_f64();
            source.fault = contact.fault;
        }
    }

    /// Takes down how long each source that is behind will take. The time is that of the slot's clock and the wall clock's.
    pub(super) fn catch_up(&self, all: &mut CatchUps, at: (Duration, u64), notices: &mut Vec<Notice>) {
        all.look(&mut locked(&self.reading).sources, at, notices);
    }

    /// An iteration of the main loop took so long, without the wait for records. `now` is the time by the slot's clock.
    pub(super) fn iterated(&self, now: Duration, took: Duration) {
        let (mut pauses, minute) = (locked(&self.pauses), now.as_secs() / 60);
        if minute != pauses.minute {
            let before = if minute == pauses.minute + 1 { pauses.longest[0] } else { Duration::ZERO };
            (pauses.minute, pauses.longest) = (minute, [Duration::ZERO, before]);
        }
        pauses.longest[0] = pauses.longest[0].max(took);
    }

    /// The loop has turned.
    pub(super) fn beat(&self, wall_ms: u64) {
        locked(&self.reading).heartbeat_ms = wall_ms;
    }

    pub(super) fn commit(&self, took: Duration, wrote_state: bool, store_bytes: u64) {
        let mut reading = locked(&self.reading);
        reading.commits += 1;
        self.timers.commit.observe(took.as_secs_f64());
        if wrote_state {
            self.timers.checkpoint.observe(took.as_secs_f64());
        }
        self.store_bytes.store(store_bytes, Relaxed);
    }

    pub(super) fn checkpoint(&self, at_ms: u64, entries: u64) {
        let mut reading = locked(&self.reading);
        reading.checkpoints += 1;
        reading.checkpoint_at_ms = at_ms;
        self.checkpoint_entries.store(entries, Relaxed);
    }

    /// Takes down how far behind the inputs are, and how full the judge is. `lag_ms` is an input's lag in event time,
    /// if anything is known of it.
    pub(super) fn look(
        &self,
        lags: Vec<(u16, InputLag)>,
        lag_ms: impl Fn(u32) -> Option<u64>,
        measure: impl FnOnce(&mut Reading),
    ) {
        let mut reading = locked(&self.reading);
        measure(&mut reading);
        for source in &mut reading.sources {
            (source.lag_records, source.lag_bytes, source.lag_seconds) = (None, None, None);
        }
        let mut caught_up = true;
        for (source, lag) in lags {
            let behind = lag_ms(lag.input);
            caught_up &= behind.is_some_and(|ms| Duration::from_millis(ms) < CAUGHT_UP_BELOW);
            let Some(source) = reading.sources.get_mut(usize::from(source)) else { continue };
            source.lag_records = larger(source.lag_records, lag.records_behind, |a, b| a + b);
            source.lag_bytes = larger(source.lag_bytes, lag.bytes_behind, |a, b| a + b);
            let seconds = behind.map(|ms| Duration::from_millis(ms).as_secs_f64());
            source.lag_seconds = larger(source.lag_seconds, seconds, f64::max);
        }
        self.caught_up.store(caught_up, Relaxed);
    }
}

/// Counts what a notice says was lost, or may be.
fn count_losses(reading: &mut Reading, notice: &Notice) {
    match *notice {
        Notice::Lost { source, lost, .. } => {
            if let Some(source) = reading.sources.get_mut(usize::from(source)) {
                source.gaps += 1;
                source.lost_records += lost.unwrap_or(0);
            }
        }
        Notice::ShortRetention { source, .. } => {
            if let Some(source) = reading.sources.get_mut(usize::from(source)) {
                source.short_retention += 1;
            }
        }
        _ => {}
    }
}

/// What two inputs of one source come to, where something is known of either.
fn larger<T>(one: Option<T>, other: Option<T>, both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(both(one, other)),
        (one, other) => one.or(other),
    }
}

impl telemetry::Status for Status {
    fn read(&self) -> Reading {
        let (mut reading, outbox) = {
            let reading = locked(&self.reading);
            let (mut reading, outbox) = (reading.clone(), locked(&self.outbox).clone());
            reading.engine.outbox_dropped = outbox.as_ref().map_or(0, Outbox::dropped);
            reading.engine.add(&locked(&self.earlier));
            (reading, outbox)
        };
        let [now, before] = locked(&self.pauses).longest;
        reading.loop_pause_seconds = now.max(before).as_secs_f64();
        reading.outbox = outbox.as_ref().map(Outbox::waiting).unwrap_or_default();
        reading
    }

    fn timers(&self) -> &SlotTimers {
        &self.timers
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
