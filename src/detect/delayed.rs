//! `volume.spike` of minutes, and five minutes of the clock, that were over before all their requests had come.
//!
//! The windows of a minute and five end with the key's newest request: what comes some minutes later is in neither. It is in
//! its minute, as long as that is open. By then the groups may be as ever again, so that what counts is how much they were up
//! at their most in the last half hour.

use super::{
    CALLABLE, Scale,
    crowd::{GroupUse, Rise},
    signal::Signal,
    volume,
    watch::Watch,
};
use crate::profile::{Hot, Warm, season::FIVE};

/// Requests of a minute, or of five minutes of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayedCount {
    /// 0 = none that is worth a look.
    pub count: u32,
    /// The second of the request by which it came to that.
    pub second: u32,
}

/// Counts that delayed requests have made far higher than those that the key had: of the minute and of the five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayedCounts(pub [DelayedCount; 2]);

impl DelayedCounts {
    /// The second of the newest request by which it came to them.
    pub fn second(&self) -> u32 {
        self.0.iter().filter(|delayed| delayed.count > 0).map(|delayed| delayed.second).max().unwrap_or(0)
    }

    /// Of the minute and the five minutes of a request that has come when they were no longer in the windows.
    pub fn of(hot: &Hot, warm: Option<&Warm>, second: u32) -> Self {
        let minute = second / 60;
        let five = minute / FIVE * FIVE;
        let of = |scale: Scale, (from, to): (u32, u32)| {
            if !has_left(scale, second, hot) {
                return DelayedCount::default();
            }
            let minutes = from.max(hot.open_from())..to;
            let count = minutes.fold(0, |sum: u32, minute| sum.saturating_add(hot.served_in(minute, warm)));
            let is_far = count >= hot.season.highest.far_beyond(scale as usize).max(CALLABLE);
            DelayedCount { count: if is_far { count } else { 0 }, second }
        };
        Self([of(Scale::Minute, (minute, minute + 1)), of(Scale::FiveMinutes, (five, five + FIVE))])
    }

    pub fn is_any(&self) -> bool {
        self.0.iter().any(|delayed| delayed.count > 0)
    }

    /// The higher ones of both.
    pub fn raise(&mut self, other: Self) {
        for (delayed, other) in self.0.iter_mut().zip(other.0) {
            if other.count >= delayed.count {
                *delayed = other;
            }
        }
    }
}

/// Whether a request of `second` is no longer in the window of a minute.
pub const fn is_delayed(second: u32, hot: &Hot) -> bool {
    has_left(Scale::Minute, second, hot)
}

const fn has_left(scale: Scale, second: u32, hot: &Hot) -> bool {
    let (panes, width) = scale.panes();
    second / width + panes <= hot.last_seen / width
}

/// Judges them. `most` is how the groups that the key belongs to were used when they were up most.
pub fn judge(
    watch: &Watch,
    (hot, warm): (&Hot, Option<&Warm>),
    most: &[GroupUse],
    delayed: DelayedCounts,
    signals: &mut Vec<Signal>,
) {
    if !hot.season.is_known() {
        return;
    }
    let rise = Rise::greatest(most.iter().map(|group| group.rise_then(hot)));
    for ((scale, uses), delayed) in watch.scales().zip(delayed.0) {
        if delayed.count == 0 {
            continue;
        }
        let expected = rise.expected(hot, scale, hot.level());
        let score = volume::score((hot, warm), scale, delayed.count, expected);
        for (rule, bar) in &uses.bars {
            if score >= *bar {
                let until = Some(delayed.second);
                signals.push(volume::signal(*rule, score, (delayed.count, expected.mean), scale, until));
            }
        }
    }
}
