//! When a record of the past came.
//!
//! The daemon has a clock: it knows how late a record is, and that one from next year is wrong. History has none, so a
//! record is taken to have come when its log had got so far: at the greatest time up to then. A log that goes on after
//! hours of silence is told from a single wrong clock by what follows.

use crate::event::{AHEAD_MAX, EventTime};

/// So many of the records that follow are asked whether a leap in time is real.
pub(super) const LOOK_AHEAD: usize = 8;

/// How far one log has got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArrivalClock(Option<EventTime>);

impl ArrivalClock {
    /// When a record came that has this time, if it has any; `following` are the times of the records after it.
    pub fn arrival(
        &mut self,
        time: Option<EventTime>,
        following: impl Iterator<Item = Option<EventTime>>,
    ) -> EventTime {
        let is_plain = |now: EventTime| time.is_none_or(|time| time.since(now) <= AHEAD_MAX);
        let now = match self.0 {
            Some(now) if is_plain(now) => now,
            now => leap(now, std::iter::once(time).chain(following.take(LOOK_AHEAD)).flatten()),
        };
        let is_believed = |time: &EventTime| time.since(now) <= AHEAD_MAX;
        let now = time.filter(is_believed).map_or(now, |time| time.max(now));
        if now > EventTime::default() {
            self.0 = Some(now);
        }
        now
    }
}

/// How far a log has got where a record is ahead of it: to the first of those that are ahead, if most are.
fn leap(now: Option<EventTime>, times: impl Iterator<Item = EventTime>) -> EventTime {
    let (mut all, mut ahead, mut first) = (0, 0, None);
    for time in times {
        all += 1;
        if now.is_none_or(|now| time.since(now) > AHEAD_MAX) {
            ahead += 1;
            first = Some(first.map_or(time, |first: EventTime| first.min(time)));
        }
    }
    first.filter(|_| 2 * ahead > all).or(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of these records came; all in seconds, 0 = a record without a time.
    #[track_caller]
    fn check(times: &[u64], expected: &[u64]) {
        let times: Vec<Option<EventTime>> =
            times.iter().map(|&time| (time > 0).then_some(EventTime(time * 1_000))).collect();
        let mut clock = ArrivalClock::default();
        let arrival = |at: usize| clock.arrival(times[at], times[at + 1..].iter().copied()).0 / 1_000;
        let found: Vec<u64> = (0..times.len()).map(arrival).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_late_record_comes_when_its_log_has_got_further() {
        check(&[100, 105, 40, 106, 0, 107], &[100, 105, 105, 106, 106, 107]);
    }

    #[test]
    fn a_log_that_was_silent_for_hours_goes_on_then() {
        check(&[100, 101, 9_000, 9_001, 9_030, 9_002], &[100, 101, 9_000, 9_001, 9_030, 9_030]);
        check(&[100, 1_000, 2_000, 3_000, 4_000], &[100, 1_000, 2_000, 3_000, 4_000]);
        check(&[100, 101, 9_000], &[100, 101, 9_000]);
    }

    #[test]
    fn a_clock_of_its_own_moves_nobody() {
        check(&[100, 9_000, 101, 102, 103, 104], &[100, 100, 101, 102, 103, 104]);
        // Neither where the log leaps itself, nor at its beginning.
        check(&[100, 90_000, 2_000, 2_001, 2_002, 2_003], &[100, 2_000, 2_000, 2_001, 2_002, 2_003]);
        check(&[90_000, 100, 101, 102], &[100, 100, 101, 102]);
    }
}
