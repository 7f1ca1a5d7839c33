//! Crowds: how far the rest of a key's group is above its usual use, and what that lets one expect of the key.

use super::Scale;
use crate::profile::{Expected, Hot};

/// The wide quota, in quotas.
pub const WIDE: u32 = 10;
/// Quotas are for so many seconds of the clock.
pub const QUOTA_SECONDS: u32 = 300;
/// What is within a quota comes first in its five minutes: a part of them that is shorter counts as so many seconds.
const BEGUN_MIN: u32 = 100;
/// Requests that the group's usual use is worth as a prior.
const PRIOR: f64 = 4.0;
/// A group is up if its use within the quotas is so many times its usual.
const UP: f64 = 1.5;
/// The group explains at most this many times the usual.
const TIMES_MAX: f64 = 30.0;
/// A crowd does not use all keys alike: if the group is up `t` times, its keys are up `t` to the power of a factor whose
/// standard deviation is this.
const UNEVEN: f64 = 0.35;
/// A rise beyond this adds no more scatter: else two stolen keys of a small tenant would excuse each other, whatever they do.
const UNEVEN_TIMES_MAX: f64 = 8.0;

/// How the mature keys of a group are used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupUse {
    /// When, in seconds.
    pub second: u32,
    /// Requests, each key within its quota, in the five minutes of the clock that have begun and those before.
    pub strict: f64,
    /// Requests, each key within its quota, or within the wide one while the group was up, for each scale up to the hour.
    pub observed: [f64; 3],
    /// Requests that are usual, for each scale up to the hour.
    pub expected: [f64; 3],
}

/// How far a group is up.
#[derive(Clone, Copy, Debug)]
pub struct Rise {
    /// How many times its usual it is used; at least 1.
    pub times: f64,
    /// Whether that is so much that its keys are part of a crowd.
    pub is_up: bool,
    /// Requests that this is known by.
    known_by: f64,
}

impl Rise {
    pub const NONE: Self = Self { times: 1.0, is_up: false, known_by: 0.0 };

    /// The greatest of some: the group that is most above its usual explains most.
    pub fn greatest(rises: impl Iterator<Item = Self>) -> Self {
        rises.fold(Self::NONE, |most, rise| if rise.times > most.times { rise } else { most })
    }

    /// What is expected of a key in a window at this level if it has part in the rise.
    pub fn expected(&self, hot: &Hot, scale: Scale, level: f32) -> Expected {
        let Expected { mean, dispersion } = hot.expect_at(scale.seconds(), level, self.times);
        Expected { mean, dispersion: dispersion + self.dispersion() }
    }

    /// What is added to the dispersion of a key's count because of the group's rise: shares in a crowd scatter, and the
    /// rise itself is known by some requests only.
    fn dispersion(&self) -> f64 {
        let ln = libm::log(self.times.min(UNEVEN_TIMES_MAX)) * UNEVEN;
        libm::expm1(ln * ln) + (1.0 - 1.0 / self.times) / (PRIOR + self.known_by)
    }
}

/// Whether requests of five minutes, each key within its quota, are so many that most of a group is above its usual.
pub fn is_up(strict: f64, expected: f64) -> bool {
    times(strict, expected, 1.0) >= UP
}

fn times(observed: f64, expected: f64, prior_times: f64) -> f64 {
    (observed + PRIOR * prior_times) / (expected + PRIOR)
}

impl GroupUse {
    /// How many times its usual the group is used within the quotas.
    pub fn strict_times(&self) -> f64 {
        let begun = (self.second % QUOTA_SECONDS).max(BEGUN_MIN);
        let panes = 1.0 + f64::from(begun) / f64::from(QUOTA_SECONDS);
        times(self.strict, self.expected[Scale::FiveMinutes as usize] * panes, 1.0)
    }

    /// Whether so much of the group is above its usual that it is a crowd.
    pub fn is_up(&self) -> bool {
        self.strict_times() >= UP
    }

    /// How far the group is up without this key: what a thief does excuses nothing.
    pub fn rise_without(&self, hot: &Hot, scale: Scale) -> Rise {
        let i = scale as usize;
        if i >= 3 {
            return Rise::NONE;
        }
        let rest = self.without(hot);
        let is_up = rest.is_up();
        let of = |i: usize, prior_times| times(rest.observed[i], rest.expected[i], prior_times);
        let times = match scale {
            Scale::Minute | Scale::FiveMinutes if !is_up => rest.strict_times(),
            // A minute has few requests: before they are looked at, what the five say is likely.
            Scale::Minute => of(0, of(1, 1.0)),
            _ => of(i, 1.0),
        };
        Rise { times: times.clamp(1.0, TIMES_MAX), is_up, known_by: rest.observed[i] }
    }

    /// How far the group was up when it was up most, without this key. What came late was counted when it came: whatever the key
    /// had beyond its usual in the hour may be part of it.
    pub fn rise_then(&self, hot: &Hot) -> Rise {
        let quota = hot.group_quota(self.second);
        let expected = hot.season.expect(self.second, QUOTA_SECONDS, hot.first_seen, 1.0, 1.0).mean;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // a mean, not negative, and cut by the cast
        let usual = expected.ceil() as u32;
        let (newest, of_group) = (hot.last_seen / QUOTA_SECONDS, self.second / QUOTA_SECONDS);
        let part = |quota: u32| -> u32 {
            let of_pane = |ago: u32| {
                let n = hot.hour.at(hot.last_seen.saturating_sub(ago * QUOTA_SECONDS)).min(quota);
                let pane = newest.saturating_sub(ago);
                if pane == of_group || pane + 1 == of_group { n } else { n.saturating_sub(usual) }
            };
            (0..12).map(of_pane).sum()
        };
        let (strict, wide) = (f64::from(part(quota)), f64::from(part(quota.saturating_mul(WIDE))));
        let (key, five) = (if quota > 0 { expected } else { 0.0 }, Scale::FiveMinutes as usize);
        let mut rest = Self { strict: (self.strict - strict).max(0.0), ..*self };
        rest.observed[five] = (rest.observed[five] - wide).max(0.0);
        rest.expected[five] = (rest.expected[five] - key).max(0.0);
        let (is_up, of_strict) = (rest.is_up(), rest.strict_times());
        let of_wide = times(rest.observed[five], rest.expected[five], 1.0);
        let times = if is_up { of_strict.max(of_wide) } else { of_strict };
        Rise { times: times.clamp(1.0, TIMES_MAX), is_up, known_by: rest.observed[five] }
    }

    /// The group without what it has counted of a key, and expects of it, at most.
    fn without(&self, hot: &Hot) -> Self {
        let quota = hot.group_quota(hot.last_seen);
        if quota == 0 {
            return *self;
        }
        let newest = hot.last_seen / QUOTA_SECONDS;
        let counted =
            |ago: u32, quota: u32| hot.hour.at(hot.last_seen.saturating_sub(ago * QUOTA_SECONDS)).min(quota);
        // The group was summed a few seconds before or after, perhaps in other five minutes.
        let of_group = self.second / QUOTA_SECONDS;
        let strict: u32 = [of_group.saturating_sub(1), of_group]
            .into_iter()
            .filter_map(|pane| newest.checked_sub(pane))
            .filter(|ago| *ago < 12)
            .map(|ago| counted(ago, quota))
            .sum();
        let wide = |panes: u32| (0..panes).map(|ago| counted(ago, quota * WIDE)).sum::<u32>();
        let within_wide = |panes, scale: usize| wide(panes).min(hot.sums[scale]);
        let rest = |all: f64, part: u32| (all - f64::from(part)).max(0.0);
        // As the group expects it: without the key's level.
        let expected = |scale: Scale| hot.expect_at(scale.seconds(), 1.0, 1.0).mean;
        let [minute, five, hour] = self.expected;
        Self {
            second: self.second,
            strict: rest(self.strict, strict),
            observed: [
                rest(self.observed[0], within_wide(2, 0)),
                rest(self.observed[1], within_wide(2, 1)),
                rest(self.observed[2], within_wide(12, 2)),
            ],
            expected: [
                (minute - expected(Scale::Minute)).max(0.0),
                (five - expected(Scale::FiveMinutes)).max(0.0),
                (hour - expected(Scale::Hour)).max(0.0),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tail;

    #[test]
    fn two_keys_that_rise_together_do_not_excuse_whatever_they_do() {
        let rise = Rise { times: TIMES_MAX, is_up: true, known_by: 1e4 };
        let usual = 3.0;
        let excused = |times: u32| tail::surprise(3 * times, usual * rise.times, rise.dispersion()) < 8.0;
        assert!(excused(60) && !excused(600), "{}", rise.dispersion());
    }
}
