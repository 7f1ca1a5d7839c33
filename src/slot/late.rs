//! Events that came behind the watermark: how many, how far, and of which input.
//!
//! A few seconds are usual: requests of one gateway are not logged in the order of their times. An input that is more than
//! 15 min behind is not waited for, so its events come behind what was already closed: that is told.

use std::{collections::BTreeMap, time::Duration};

/// From where on an event is far behind: no input is waited for that is.
const FAR: Duration = Duration::from_mins(15);
/// The minutes that are told of.
const MINUTES: u64 = 5;
/// The part of a source's events that has to be far behind to be told, as a divisor: a request that took an hour is, where
/// the log has the time of its beginning.
const SHARE: u64 = 100;

/// Events of one input that came behind the watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateEvents {
    pub count: u64,
    /// Those that were 15 min behind or more.
    pub far: u64,
    /// How far the furthest was behind, in milliseconds.
    pub most_ms: u64,
}

impl LateEvents {
    /// One that was so many milliseconds behind.
    pub fn one(behind_ms: u64) -> Self {
        let far = u64::from(Duration::from_millis(behind_ms) >= FAR);
        Self { count: 1, far, most_ms: behind_ms }
    }

    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.far += other.far;
        self.most_ms = self.most_ms.max(other.most_ms);
    }
}

#[derive(Debug, Default)]
struct Input {
    name: String,
    source: Option<u16>,
    /// By the number of the minute.
    minutes: BTreeMap<u64, LateEvents>,
    /// Not counted for its source yet.
    new: u64,
}

#[derive(Debug, Default)]
struct Source {
    /// All of its events, by the number of the minute.
    minutes: BTreeMap<u64, u64>,
    /// Events that came late, and were not taken yet.
    late: u64,
}

/// What came late, by input. Times are those of the slot's clock.
#[derive(Debug, Default)]
pub struct LateInputs {
    inputs: BTreeMap<u32, Input>,
    sources: BTreeMap<u16, Source>,
}

impl LateInputs {
    /// A batch had so many events of a source.
    pub fn read(&mut self, source: u16, events: u64, now: Duration) {
        *self.sources.entry(source).or_default().minutes.entry(minute(now)).or_default() += events;
    }

    /// A batch had these events of an input.
    pub fn came(&mut self, input: u32, name: impl FnOnce() -> String, events: LateEvents, now: Duration) {
        let input = self.inputs.entry(input).or_insert_with(|| Input { name: name(), ..Input::default() });
        input.minutes.entry(minute(now)).or_default().add(events);
        input.new += events.count;
    }

    /// To which source an input belongs.
    pub fn belongs(&mut self, input: u32, source: u16) {
        if let Some(input) = self.inputs.get_mut(&input) {
            input.source = Some(source);
            self.sources.entry(source).or_default().late += std::mem::take(&mut input.new);
        }
    }

    /// Forgets what is older than is told of.
    pub fn look(&mut self, now: Duration) {
        let is_kept = |number: u64| number + MINUTES > minute(now);
        self.inputs.retain(|_, input| {
            input.minutes.retain(|&number, _| is_kept(number));
            !input.minutes.is_empty()
        });
        self.sources.values_mut().for_each(|source| source.minutes.retain(|&number, _| is_kept(number)));
    }

    /// How many events of a source have come behind the watermark since the last call.
    pub fn take(&mut self, source: u16) -> u64 {
        self.sources.get_mut(&source).map_or(0, |source| std::mem::take(&mut source.late))
    }

    /// What there is to tell of a source: the input of which most events were far behind.
    pub fn warning(&self, source: u16) -> Option<String> {
        let inputs = self.inputs.values().filter(|input| input.source == Some(source));
        let sums = inputs.map(|input| {
            let mut sum = LateEvents::default();
            input.minutes.values().for_each(|events| sum.add(*events));
            (input, sum)
        });
        let far: Vec<(&Input, LateEvents)> = sums.filter(|(_, sum)| sum.far > 0).collect();
        let all: u64 = self.sources.get(&source)?.minutes.values().sum();
        if far.iter().map(|(_, sum)| sum.far).sum::<u64>().saturating_mul(SHARE) < all {
            return None;
        }
        let (input, LateEvents { far: count, most_ms, .. }) = far.iter().max_by_key(|(_, sum)| sum.far)?;
        let more = match far.len() - 1 {
            0 => String::new(),
            more => format!(", and some of {more} further inputs"),
        };
        Some(format!(
            "{count} events of {}{more} in the last {MINUTES} minutes were over {} s older than the watermark, up to {} s: no \
             input that is so far behind is waited for, and the windows that these events belong to may be closed",
            input.name,
            FAR.as_secs(),
            most_ms / 1000
        ))
    }
}

const fn minute(now: Duration) -> u64 {
    now.as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// So many events that are so many seconds behind.
    fn came(late: &mut LateInputs, input: u32, count: u64, seconds: u64, now: u64) {
        let mut events = LateEvents::default();
        (0..count).for_each(|_| events.add(LateEvents::one(seconds * 1000)));
        late.came(input, || format!("a/{input}"), events, at(now));
        late.belongs(input, 0);
        late.look(at(now));
    }

    #[test]
    fn events_that_are_far_behind_are_told_of_the_input_that_has_most_of_them() {
        let mut late = LateInputs::default();
        late.read(0, 4_700, at(10));
        came(&mut late, 1, 50, 899, 10);
        assert_eq!((late.warning(0), late.take(0)), (None, 50), "some minutes are usual");
        came(&mut late, 2, 7, 900, 20);
        came(&mut late, 3, 39, 7_200, 70);
        assert_eq!(late.warning(0), None, "less than a hundredth");
        came(&mut late, 3, 1, 1_000, 130);
        let text = late.warning(0).unwrap();
        assert!(
            text.starts_with("40 events of a/3, and some of 1 further inputs in the last 5 min"),
            "{text}"
        );
        assert!(text.contains("up to 7200 s"), "{text}");
        assert_eq!((late.take(0), late.take(0), late.take(1), late.warning(1)), (47, 0, 0, None));
    }

    #[test]
    fn what_was_late_is_told_for_five_minutes_and_stays_counted() {
        let mut late = LateInputs::default();
        late.read(0, 40, at(70));
        came(&mut late, 3, 40, 7_200, 70);
        late.look(at(359));
        assert!(late.warning(0).is_some());
        late.look(at(360));
        assert_eq!((late.warning(0), late.take(0), late.inputs.len()), (None, 40, 0));
    }
}
