//! `volume.spike` of what came late: minutes, and five minutes of the clock, that were over before all their requests had come.
//!
//! The windows of a minute and five end with the key's newest request: what comes some minutes later is in neither. It is in
//! its minute, as long as that is open. By then the groups may be as ever again, so that what counts is how much they were up
//! at their most in the last twenty minutes.

use super::{CALLABLE, Scale, crowd::GroupUse, signal::Signal, volume, watch::Watch};
use crate::profile::{Hot, Warm, season::FIVE};

/// Requests of a minute, or of five minutes of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateCount {
    /// 0 = none that is worth a look.
    pub count: u32,
    /// The second of the request by which it came to that.
    pub second: u32,
}

/// Counts that late requests have made far higher than those that the key had: of the minute and of the five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateCounts(pub [LateCount; 2]);

impl LateCounts {
    /// Of the minute and the five minutes of a request that has come when they were no longer in the windows.
    pub fn of(hot: &Hot, warm: Option<&Warm>, second: u32) -> Self {
        let minute = second / 60;
        let five = minute / FIVE * FIVE;
        let of = |scale: Scale, pane: u32, panes: u32, (from, to): (u32, u32)| {
            if second / pane + panes > hot.last_seen / pane {
                return LateCount::default();
            }
            let minutes = from.max(hot.open_from())..to;
            let count = minutes.fold(0, |sum: u32, minute| sum.saturating_add(hot.served_in(minute, warm)));
            let is_far = count >= hot.season.highest.far_beyond(scale as usize).max(CALLABLE);
            LateCount { count: if is_far { count } else { 0 }, second }
        };
        Self([
            of(Scale::Minute, 5, 12, (minute, minute + 1)),
            of(Scale::FiveMinutes, 30, 10, (five, five + FIVE)),
        ])
    }

    pub fn is_any(&self) -> bool {
        self.0.iter().any(|late| late.count > 0)
    }

    /// The higher ones of both.
    pub fn raise(&mut self, other: Self) {
        for (late, other) in self.0.iter_mut().zip(other.0) {
            if other.count >= late.count {
                *late = other;
            }
        }
    }
}

/// Judges them. `most` is how the groups that the key belongs to were used when they were up most.
pub fn judge(
    watch: &Watch,
    (hot, warm): (&Hot, Option<&Warm>),
    most: &[GroupUse],
    late: LateCounts,
    signals: &mut Vec<Signal>,
) {
    if !hot.season.is_known() {
        return;
    }
    let rises = || most.iter().map(|group| group.rise_without(hot, Scale::FiveMinutes));
    // A crowd that is over: how far each key took part in it is not known any more.
    if rises().any(|rise| rise.is_up) {
        return;
    }
    let times = rises().map(|rise| rise.times).fold(1.0, f64::max);
    for ((scale, uses), late) in watch.scales().zip(late.0) {
        if late.count == 0 {
            continue;
        }
        let expected = hot.expect_at(scale.seconds(), hot.level(), times);
        let score = volume::score((hot, warm), scale, late.count, expected);
        for (rule, bar) in &uses.bars {
            if score >= *bar {
                let until = Some(late.second);
                signals.push(volume::signal(*rule, score, (late.count, expected.mean), scale, until));
            }
        }
    }
}

#[cfg(test)]
#[path = "late_tests.rs"]
mod tests;
