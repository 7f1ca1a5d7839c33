//! Which of the inputs that are behind is read next, and how far. Files and partitions go by the same rule.

use std::time::Duration;

/// How far, in event time, an input that is behind may be read ahead of another that is behind: two inputs of one key that
/// are read further apart would be out of order by more than is waited for.
pub const SKEW_MAX: Duration = Duration::from_mins(1);

/// The time up to which others are read while an input stands at `ms`, in milliseconds.
pub fn bound_ms(ms: u64) -> u64 {
    ms.saturating_add(SKEW_MAX.as_secs() * 1000)
}

/// Of inputs, each with where it stands in milliseconds, the one that stands earliest, and the time up to which it is read;
/// `None` = it is the only one. Of several that stand at the same time it is the first.
pub fn earliest(inputs: impl Iterator<Item = (usize, u64)>) -> Option<(usize, Option<u64>)> {
    let (mut first, mut second_ms) = (None, None);
    for (at, ms) in inputs {
        if first.is_none_or(|(first_ms, _)| ms < first_ms) {
            second_ms = first.map(|(first_ms, _)| first_ms);
            first = Some((ms, at));
        } else if second_ms.is_none_or(|second_ms| ms < second_ms) {
            second_ms = Some(ms);
        }
    }
    first.map(|(_, at)| (at, second_ms.map(bound_ms)))
}

/// How long an input is looked at before it is called slow.
const PACE_OVER: Duration = Duration::from_mins(1);
/// After how long without a wait the look begins anew: it was passed over, or nothing was read at all.
const PACE_LOST: Duration = Duration::from_secs(10);

/// How fast an input comes on while others wait for it. One that is slower than the clock never catches up.
#[derive(Debug, Default)]
pub struct Pace {
    /// When it was first waited for, and where it stood then in milliseconds.
    began: Option<(Duration, u64)>,
    /// When it was last waited for.
    last: Duration,
}

impl Pace {
    /// Others wait at `now` for the input, which stands at `ms`; whether it is slow.
    pub fn is_slow(&mut self, now: Duration, ms: u64) -> bool {
        if now.saturating_sub(self.last) >= PACE_LOST {
            self.forget();
        }
        self.last = now;
        let (began, from_ms) = *self.began.get_or_insert((now, ms));
        let took = now.saturating_sub(began);
        if took < PACE_OVER {
            return false;
        }
        self.began = None;
        Duration::from_millis(ms.saturating_sub(from_ms)) < took
    }

    /// It was not for this input that reading took so long.
    pub fn forget(&mut self) {
        self.began = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, earliest};

    /// Whether an input that comes on by so many milliseconds a second is slow within ten minutes of waiting.
    fn is_slow(a_second: u64, busy_every: u64) -> bool {
        let mut pace = Pace::default();
        (0..600).any(|second| {
            if second % busy_every == 0 {
                pace.forget();
            }
            pace.is_slow(Duration::from_secs(second), 7_000 + second * a_second)
        })
    }

    #[test]
    fn what_is_slower_than_the_clock_is_slow_unless_others_take_the_time() {
        assert!(is_slow(0, 1_000) && is_slow(999, 1_000));
        assert!(!is_slow(1_000, 1_000) && !is_slow(60_000, 1_000));
        assert!(!is_slow(999, 50), "batches are full every 50 s");
    }

    #[test]
    fn a_pause_is_nothing_that_it_is_slow_by() {
        let mut pace = Pace::default();
        assert!(!pace.is_slow(Duration::from_secs(5), 7_000));
        assert!(!pace.is_slow(Duration::from_mins(5), 7_000));
        assert!((301..=360).any(|second| pace.is_slow(Duration::from_secs(second), 7_000)));
    }

    #[test]
    fn the_earliest_is_read_up_to_a_minute_beyond_the_next_one() {
        let of = |stands: &[u64]| earliest(stands.iter().copied().enumerate());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7_000]), Some((0, None)));
        assert_eq!(of(&[9_000, 5_000, 7_000]), Some((1, Some(67_000))));
        assert_eq!(of(&[5_000, 9_000, 7_000]), Some((0, Some(67_000))));
        assert_eq!(of(&[5_000, 5_000]), Some((0, Some(65_000))));
        assert_eq!(of(&[u64::MAX, u64::MAX]), Some((0, Some(u64::MAX))));
    }
}
