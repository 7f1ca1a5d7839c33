//! Event time over all inputs.
//!
//! An input's watermark is its greatest event time less 10 s. The slot's is the least over the inputs that are not
//! idle (see `idle.rs`); if all are, it is the greatest, since nobody holds anything earlier. It never goes back.
//!
//! An input that is more than 15 min behind the clock does not hold up those that are not: a source that is added with a
//! week of history, a partition that is read slowly, a clock that is an hour behind. While all are so far behind, as at
//! the first start, they are waited for.

use std::{collections::BTreeMap, time::Duration};

use crate::{event::EventTime, store::InputState};

/// How far the events of one input may be out of order without being late.
pub const OUT_OF_ORDER: Duration = Duration::from_secs(10);

/// Up to how far behind the clock an input is waited for by those that are not.
const BEHIND: Duration = Duration::from_mins(15);

#[derive(Clone, Copy, Debug, Default)]
struct Input {
    newest_ms: u64,
    idle: bool,
}

/// What is known of each input, and the watermark that follows.
#[derive(Clone, Debug, Default)]
pub struct Watermarks {
    inputs: BTreeMap<u32, Input>,
    current: EventTime,
}

impl Watermarks {
    /// Goes on from a checkpoint.
    pub fn restore(inputs: &[InputState], current: EventTime) -> Self {
        let inputs = inputs
            .iter()
            .map(|state| (state.input, Input { newest_ms: state.newest_ms, idle: state.idle }))
            .collect();
        Self { inputs, current }
    }

    /// For a checkpoint.
    pub fn states(&self) -> Vec<InputState> {
        self.inputs
            .iter()
            .map(|(&input, state)| InputState { input, newest_ms: state.newest_ms, idle: state.idle })
            .collect()
    }

    /// The input may hold records that are earlier than the others' newest.
    pub fn open(&mut self, input: u32) {
        self.inputs.entry(input).or_default().idle = false;
    }

    /// The input holds nothing for now.
    pub fn idle(&mut self, input: u32) {
        self.inputs.entry(input).or_default().idle = true;
    }

    /// A request of the input had this time.
    pub fn seen(&mut self, input: u32, newest_ms: u64) {
        let state = self.inputs.entry(input).or_default();
        state.newest_ms = state.newest_ms.max(newest_ms);
    }

    /// The input is gone for ever.
    pub fn forget(&mut self, input: u32) {
        self.inputs.remove(&input);
    }

    /// Inputs that are not idle.
    pub fn active(&self) -> impl Iterator<Item = u32> {
        self.inputs.iter().filter(|(_, state)| !state.idle).map(|(&input, _)| input)
    }

    /// Greatest event time of an input; 0 = none yet.
    pub fn newest_ms(&self, input: u32) -> u64 {
        self.inputs.get(&input).map_or(0, |state| state.newest_ms)
    }

    /// How far the newest event of an input is behind `wall_ms`: 0 = it is idle, unless it is `stalled`; `None` = nothing
    /// was read yet.
    pub fn lag_ms(&self, input: u32, wall_ms: u64, stalled: bool) -> Option<u64> {
        match self.inputs.get(&input) {
            Some(Input { idle: true, .. }) if !stalled => Some(0),
            None | Some(Input { newest_ms: 0, .. }) => None,
            Some(Input { newest_ms, .. }) => Some(wall_ms.saturating_sub(*newest_ms)),
        }
    }

    /// Greatest event time of the input that is waited for: the furthest behind of those that are not idle, and not so far
    /// behind `wall_ms` that the others do not wait.
    fn awaited_ms(&self, wall_ms: u64) -> Option<u64> {
        let active = || self.inputs.values().filter(|state| !state.idle).map(|state| state.newest_ms);
        let near_ms = EventTime(wall_ms).before(BEHIND).0;
        // One of which nothing was read yet may hold anything.
        active().filter(|newest_ms| *newest_ms >= near_ms || *newest_ms == 0).min().or_else(|| active().min())
    }

    /// Where the watermark stands.
    pub fn current(&self) -> EventTime {
        self.current
    }

    /// The watermark, if what is known of the inputs at `wall_ms` moves it.
    pub fn next(&self, wall_ms: u64) -> Option<EventTime> {
        let all = || self.inputs.values().map(|state| state.newest_ms).max();
        let time = EventTime(self.awaited_ms(wall_ms).or_else(all)?).before(OUT_OF_ORDER);
        (time > self.current).then_some(time)
    }

    /// Moves it.
    pub fn advance(&mut self, to: EventTime) {
        self.current = self.current.max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long after all that is read.
    const LATER_MS: u64 = 1_000_000_000;

    fn next_s(marks: &Watermarks) -> Option<u64> {
        marks.next(LATER_MS).map(|time| time.0 / 1000)
    }

    #[test]
    fn the_slowest_input_holds_it_back_until_it_is_idle() {
        let mut marks = Watermarks::default();
        marks.open(0);
        marks.open(1);
        marks.seen(0, 100_000);
        assert_eq!(next_s(&marks), None, "input 1 has not been read yet");
        marks.seen(1, 50_000);
        assert_eq!(next_s(&marks), Some(40));
        marks.advance(EventTime(40_000));
        marks.idle(1);
        assert_eq!(next_s(&marks), Some(90));
        marks.advance(EventTime(90_000));
        marks.open(1);
        assert_eq!(next_s(&marks), None, "it never goes back");
    }

    #[test]
    fn one_that_is_far_behind_the_clock_does_not_hold_up_one_that_is_not() {
        let mut marks = Watermarks::default();
        marks.seen(0, LATER_MS - 1_000);
        marks.seen(1, LATER_MS - 7 * 86_400_000);
        assert_eq!(next_s(&marks), Some(LATER_MS / 1000 - 11));
        marks.open(2);
        assert_eq!(next_s(&marks), None, "nothing is known of it yet");
        marks.idle(2);
        marks.seen(1, LATER_MS - 900_000);
        assert_eq!(next_s(&marks), Some(LATER_MS / 1000 - 910), "it has come near");
    }

    #[test]
    fn when_all_are_idle_the_newest_counts() {
        let mut marks = Watermarks::default();
        for (input, newest) in [(0, 100_000), (1, 50_000)] {
            marks.seen(input, newest);
            marks.idle(input);
        }
        assert_eq!(next_s(&marks), Some(90));
    }
}
