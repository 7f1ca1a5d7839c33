//! What is odd about what arrives from a source: its clock, and that nothing comes of it.
//!
//! **The clock.** How old an input's newest event is when it is read, taken where nothing waited after it: then it is no
//! backlog. The least of the last minutes is how far the input's clock, or its shipper, is behind; where every event is
//! ahead, the greatest is how far it is ahead.
//!
//! **Lateness.** See `late.rs`.
//!
//! **Silence.** A source without a request in its first minute, or without a key in its first 1,000 requests, is most
//! often a wrong path, topic, format or name of a key.

use std::{collections::BTreeMap, time::Duration};

use super::late::LateInputs;
use crate::{event::AHEAD_MAX, source::Contact};

/// How long a source may bring nothing at its beginning.
const SILENT_MAX: Duration = Duration::from_mins(1);
/// How many requests may come without a single key.
const KEYLESS_MAX: u64 = 1_000;
/// For how long an offset has to stand before it is told.
const STANDS: Duration = Duration::from_mins(1);
/// The minutes of which the least offset counts.
const MINUTES: u64 = 5;
/// A time zone is a multiple of half an hour off, give or take what a shipper needs.
const ZONE: f64 = 1_800.0;
const ZONE_TOLERANCE: f64 = 60.0;

/// What there is to warn of, by its kind: the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WarningKind {
    NothingThere,
    NoRequest,
    NoKey,
    Clock,
    Late,
}

impl WarningKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NothingThere => "nothing_there",
            Self::NoRequest => "no_request",
            Self::NoKey => "no_key",
            Self::Clock => "clock",
            Self::Late => "late",
        }
    }
}

/// What a source has brought so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brought {
    pub records: u64,
    /// Requests with a key.
    pub events: u64,
    /// Requests without one.
    pub keyless: u64,
}

/// The least and the greatest offset of a minute, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Minute {
    number: u64,
    least: i64,
    greatest: i64,
}

#[derive(Debug, Default)]
struct Input {
    /// `None` = not known yet.
    source: Option<u16>,
    /// The least age since the last look.
    candidate: Option<i64>,
    since: Option<Duration>,
    minutes: Vec<Minute>,
}

/// What is known of all sources. Times are those of the slot's clock.
#[derive(Debug)]
pub struct Arrivals {
    fresh_within: Duration,
    began: Option<Duration>,
    inputs: BTreeMap<u32, Input>,
    /// What came behind the watermark.
    pub late: LateInputs,
}

impl Arrivals {
    pub fn new(fresh_within: Duration) -> Self {
        Self { fresh_within, began: None, inputs: BTreeMap::new(), late: LateInputs::default() }
    }

    /// The newest event of an input in a batch had this time, and was read at that.
    pub fn read(&mut self, input: u32, newest_ms: u64, at_ms: u64) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let age_ms = signed(at_ms).saturating_sub(signed(newest_ms));
        let input = self.inputs.entry(input).or_default();
        input.candidate = Some(input.candidate.map_or(age_ms, |least| least.min(age_ms)));
    }

    /// To which source an input belongs.
    pub fn belongs(&mut self, input: u32, source: u16) {
        self.late.belongs(input, source);
        if let Some(input) = self.inputs.get_mut(&input) {
            input.source = Some(source);
        }
    }

    /// To be called once a second. `is_idle` says whether nothing of an input waits.
    pub fn look(&mut self, now: Duration, is_idle: impl Fn(u32) -> bool) {
        self.began.get_or_insert(now);
        self.late.look(now);
        let number = now.as_secs() / 60;
        self.inputs.retain(|&index, input| {
            if let Some(age) = input.candidate.take().filter(|_| is_idle(index)) {
                input.note(number, age, now);
            }
            input.minutes.retain(|minute| minute.number + MINUTES > number);
            !input.minutes.is_empty() || !is_idle(index)
        });
    }

    /// How far the clock of a source's worst input is behind, in seconds; negative = ahead. `None` = not known.
    pub fn offset_seconds(&self, source: u16) -> Option<f64> {
        let inputs = self.inputs.values().filter(|input| input.source == Some(source));
        inputs.filter_map(Input::offset).max_by(|a, b| a.abs().total_cmp(&b.abs()))
    }

    /// What there is to warn of.
    pub fn warnings(
        &self,
        source: u16,
        brought: Brought,
        contact: &Contact,
        now: Duration,
    ) -> Vec<(WarningKind, String)> {
        let mut warnings = Vec::new();
        if let Some(text) = &contact.nothing_there {
            warnings.push((WarningKind::NothingThere, text.clone()));
        }
        let age = self.began.map_or(Duration::ZERO, |began| now.saturating_sub(began));
        let requests = brought.events + brought.keyless;
        if requests == 0 && age >= SILENT_MAX {
            let records = brought.records;
            let what =
                if records == 0 { "no record".to_owned() } else { format!("{records} records, no request") };
            warnings
                .push((WarningKind::NoRequest, format!("{what} since the start, {} s ago", age.as_secs())));
        }
        if brought.events == 0 && brought.keyless >= KEYLESS_MAX {
            let text =
                format!("{requests} requests, and none has a key where the source's settings look for it");
            warnings.push((WarningKind::NoKey, text));
        }
        warnings.extend(self.clock_warning(source, now).map(|text| (WarningKind::Clock, text)));
        warnings.extend(self.late.warning(source).map(|text| (WarningKind::Late, text)));
        warnings
    }

    fn clock_warning(&self, source: u16, now: Duration) -> Option<String> {
        let stands = |input: &&Input| {
            input.source == Some(source)
                && input.since.is_some_and(|since| now.saturating_sub(since) >= STANDS)
        };
        let offsets = self.inputs.values().filter(stands).filter_map(Input::offset);
        let offset = offsets.max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
        let zone = zone(offset)
            .map_or_else(String::new, |hours| format!(", as a time zone that is {hours} h off is"));
        if offset > self.fresh_within.as_secs_f64() {
            return Some(format!(
                "its newest records are {offset:.0} s old when they are read, although nothing waits: its clock is behind{zone}, \
                 or its shipper is late; evidence older than response.fresh_within ({} s) pages nobody and blocks nothing",
                self.fresh_within.as_secs()
            ));
        }
        (offset < -AHEAD_MAX.as_secs_f64()).then(|| {
            format!(
                "the times of its records are {:.0} s ahead of the clock here: its clock is ahead{zone}; each is set back to \
                 the time when it was written or read",
                -offset
            )
        })
    }
}

impl Input {
    fn note(&mut self, number: u64, age: i64, now: Duration) {
        if self.minutes.is_empty() {
            self.since = Some(now);
        }
        match self.minutes.last_mut().filter(|minute| minute.number == number) {
            Some(minute) => {
                minute.least = minute.least.min(age);
                minute.greatest = minute.greatest.max(age);
            }
            None => self.minutes.push(Minute { number, least: age, greatest: age }),
        }
    }

    /// The least of all; where every one is ahead by more than is believed, the one that is ahead least.
    #[allow(clippy::cast_precision_loss)] // milliseconds of centuries are exact in a double
    fn offset(&self) -> Option<f64> {
        let least = self.minutes.iter().map(|minute| minute.least).min()?;
        let greatest = self.minutes.iter().map(|minute| minute.greatest).max()?;
        let is_ahead = greatest < 0;
        Some(if is_ahead { greatest } else { least.max(0) } as f64 / 1000.0)
    }
}

/// The whole and half hours that an offset comes to, if it looks like a time zone.
fn zone(offset: f64) -> Option<f64> {
    let halves = (offset.abs() / ZONE).round();
    ((1.0..=28.0).contains(&halves) && (offset.abs() - halves * ZONE).abs() <= ZONE_TOLERANCE)
        .then_some(halves / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_000_000_000;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Reads one event each second whose age is what `age` says, and looks.
    fn run(arrivals: &mut Arrivals, seconds: std::ops::Range<u64>, idle: bool, age: impl Fn(u64) -> i64) {
        for second in seconds {
            arrivals.read(7, u64::try_from(NOW_MS - age(second)).unwrap(), u64::try_from(NOW_MS).unwrap());
            arrivals.belongs(7, 0);
            arrivals.look(at(second), |_| idle);
        }
    }

    fn clock(arrivals: &Arrivals, now: u64) -> Option<String> {
        let brought = Brought { records: 1, events: 1, keyless: 0 };
        let warnings = arrivals.warnings(0, brought, &Contact::default(), at(now));
        warnings.into_iter().find(|(kind, _)| *kind == WarningKind::Clock).map(|(_, text)| text)
    }

    #[test]
    fn a_clock_an_hour_behind_is_told_as_a_zone_and_ends_when_it_is_set_right() {
        let mut arrivals = Arrivals::new(at(120));
        run(&mut arrivals, 0..50, true, |_| 3_600_400);
        assert_eq!(clock(&arrivals, 50), None, "it has to stand for a minute");
        run(&mut arrivals, 50..70, true, |_| 3_600_400);
        let text = clock(&arrivals, 70).unwrap();
        assert!(text.contains("are 3600 s old") && text.contains("zone that is 1 h off"), "{text}");
        run(&mut arrivals, 70..75, true, |_| 300);
        assert_eq!(clock(&arrivals, 75), None);
        assert_eq!(arrivals.offset_seconds(0), Some(0.3));
    }

    #[test]
    fn a_late_shipper_is_told_and_no_zone() {
        let mut arrivals = Arrivals::new(at(120));
        run(&mut arrivals, 0..70, true, |second| 240_000 + i64::try_from(second % 30).unwrap() * 1_000);
        let text = clock(&arrivals, 70).unwrap();
        assert!(text.contains("are 240 s old") && !text.contains("zone"), "{text}");
    }

    #[test]
    fn a_backlog_is_no_clock_that_is_behind_and_neither_is_a_quiet_source() {
        let mut arrivals = Arrivals::new(at(120));
        run(&mut arrivals, 0..200, false, |_| 86_400_000);
        assert_eq!((clock(&arrivals, 200), arrivals.offset_seconds(0)), (None, None));
        run(&mut arrivals, 200..201, true, |_| 500);
        for second in 201..2_000 {
            arrivals.look(at(second), |_| true);
        }
        assert_eq!((clock(&arrivals, 2_000), arrivals.offset_seconds(0)), (None, None));
    }

    #[test]
    fn a_clock_that_is_ahead_is_told_and_single_events_ahead_are_not() {
        let mut arrivals = Arrivals::new(at(120));
        run(&mut arrivals, 0..70, true, |_| -7_200_000);
        let text = clock(&arrivals, 70).unwrap();
        assert!(text.contains("7200 s ahead") && text.contains("2 h off"), "{text}");
        run(&mut arrivals, 70..140, true, |second| if second % 2 == 0 { -7_200_000 } else { 100 });
        assert_eq!(clock(&arrivals, 140), None);
    }

    #[test]
    fn a_source_that_brings_nothing_or_no_key_is_told() {
        let mut arrivals = Arrivals::new(at(120));
        arrivals.look(at(0), |_| true);
        let kinds = |brought: Brought, now: u64| -> Vec<&str> {
            let warnings = arrivals.warnings(0, brought, &Contact::default(), at(now));
            warnings.iter().map(|(kind, _)| kind.as_str()).collect()
        };
        assert_eq!(kinds(Brought::default(), 59), [""; 0]);
        assert_eq!(kinds(Brought::default(), 60), ["no_request"]);
        assert_eq!(kinds(Brought { records: 9, ..Brought::default() }, 60), ["no_request"]);
        assert_eq!(kinds(Brought { records: 9, events: 1, keyless: 0 }, 60), [""; 0]);
        assert_eq!(kinds(Brought { records: 999, events: 0, keyless: 999 }, 60), [""; 0]);
        assert_eq!(kinds(Brought { records: 1_000, events: 0, keyless: 1_000 }, 60), ["no_key"]);
    }
}
