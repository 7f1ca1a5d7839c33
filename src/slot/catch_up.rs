//! How long a source that is behind will take to catch up, and what is told of that.
//!
//! A source is behind while something of it waits and its newest event is old, or none was read yet. Rates are those of
//! the last minute, and there is none before ten seconds of it are over. Records that come meanwhile are in it: what
//! counts is by how much less waits.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::CAUGHT_UP_BELOW;
use crate::{
    source::{InputLag, Notice},
    telemetry::{CatchUp, SourceReading, Waiting, about},
};

/// Over what time a rate is taken, at most and at least.
const WINDOW: Duration = Duration::from_mins(1);
const WINDOW_LEAST: Duration = Duration::from_secs(10);
/// How often it is told while a source is behind.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// Less than this is caught up with before anybody has read of it.
const TOLD_FROM_RECORDS: u64 = 100_000;
const TOLD_FROM_BYTES: u64 = 64 << 20;
/// How long it may take until it is known of every input how much waits.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// What one look found.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    waiting: u64,
    /// Records that were read since the process began.
    records: u64,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Of the last minute, the oldest first.
    samples: VecDeque<Sample>,
    /// When it began; `None` = the source is not behind.
    began: Option<Sample>,
    /// It was told that this backlog began.
    is_told: bool,
    /// When it was last told how far it is, and whether that had a rate.
    last_told: Option<(Duration, bool)>,
    /// Inputs of which it is not known how much waits.
    unknown: usize,
}

/// What is known of all sources. Times are those of the slot's clock.
#[derive(Debug, Default)]
pub struct CatchUps {
    sources: BTreeMap<u16, Backlog>,
    began: Option<Duration>,
}

impl CatchUps {
    /// To be called before each look, with what waits at each input.
    pub fn take(&mut self, lags: &[(u16, InputLag)]) {
        self.sources.values_mut().for_each(|backlog| backlog.unknown = 0);
        for (source, lag) in lags {
            let is_unknown = lag.records_behind.is_none() && lag.bytes_behind.is_none();
            self.sources.entry(*source).or_default().unknown += usize::from(is_unknown);
        }
    }

    /// To be called once a second, with what was read of each source and waits there.
    pub fn look(
        &mut self,
        sources: &mut [SourceReading],
        (now, wall_ms): (Duration, u64),
        notices: &mut Vec<Notice>,
    ) {
        let is_first = now.saturating_sub(*self.began.get_or_insert(now)) < KNOWN_WITHIN;
        for (index, source) in (0..).zip(sources) {
            let backlog = self.sources.entry(index).or_default();
            source.catch_up = match waiting(source) {
                Some(_) if is_first && backlog.unknown > 0 => None,
                Some(waiting) => {
                    let sample = Sample { at: now, waiting: waiting.count(), records: source.records };
                    Some(backlog.goes_on(waiting, sample))
                }
                None => {
                    let text = backlog.ends(source.records, now);
                    notices.extend(text.map(|text| Notice::CaughtUp { source: index, text }));
                    None
                }
            };
            if let Some(catch_up) = source.catch_up.filter(|catch_up| backlog.is_to_be_told(catch_up, now)) {
                notices.push(Notice::Behind { source: index, text: catch_up.text(wall_ms) });
            }
        }
    }
}

/// What waits at a source that is behind.
fn waiting(source: &SourceReading) -> Option<Waiting> {
    let records = source.lag_records.map(Waiting::Records);
    let waiting = records.or(source.lag_bytes.map(Waiting::Bytes)).filter(|waiting| waiting.count() > 0)?;
    source.lag_seconds.is_none_or(|lag| lag >= CAUGHT_UP_BELOW.as_secs_f64()).then_some(waiting)
}

impl Backlog {
    #[allow(clippy::cast_precision_loss)] // counts below 2^53
    fn goes_on(&mut self, waiting: Waiting, sample: Sample) -> CatchUp {
        self.began.get_or_insert(sample);
        self.samples.push_back(sample);
        while self.samples.get(1).is_some_and(|next| sample.at.saturating_sub(next.at) >= WINDOW) {
            self.samples.pop_front();
        }
        let from = self.samples.front().copied().unwrap_or(sample);
        let seconds = sample.at.saturating_sub(from.at).as_secs_f64();
        if seconds < WINDOW_LEAST.as_secs_f64() {
            return CatchUp { waiting, per_second: None, within: None };
        }
        let less = from.waiting.saturating_sub(sample.waiting) as f64 / seconds;
        let per_second = match waiting {
            Waiting::Records(_) => sample.records.saturating_sub(from.records) as f64 / seconds,
            Waiting::Bytes(_) => less,
        };
        let within = Duration::try_from_secs_f64(sample.waiting as f64 / less).ok();
        CatchUp { waiting, per_second: Some(per_second), within }
    }

    /// The source is not behind: what there is to tell of it.
    fn ends(&mut self, records: u64, now: Duration) -> Option<String> {
        self.samples.clear();
        let began = self.began.take()?;
        let (after, read) = (now.saturating_sub(began.at), records.saturating_sub(began.records));
        std::mem::take(&mut self.is_told)
            .then(|| format!("caught up after {}; {} were read", about(after), Waiting::Records(read)))
    }

    fn is_to_be_told(&mut self, catch_up: &CatchUp, now: Duration) -> bool {
        let from = match catch_up.waiting {
            Waiting::Records(_) => TOLD_FROM_RECORDS,
            Waiting::Bytes(_) => TOLD_FROM_BYTES,
        };
        let has_rate = catch_up.per_second.is_some();
        let is_due = self
            .last_told
            .is_none_or(|(at, had_rate)| (has_rate && !had_rate) || now.saturating_sub(at) >= TELL_EVERY);
        if !is_due || !(self.is_told || catch_up.waiting.count() >= from) {
            return false;
        }
        (self.is_told, self.last_told) = (true, Some((now, has_rate)));
        true
    }
}

#[cfg(test)]
#[path = "catch_up_tests.rs"]
mod tests;
