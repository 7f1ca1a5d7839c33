//! How often a key is usually used: hour of day, day of week, a fast level on top, and how it scatters.
//!
//! Means are per hour in 24 bins on √count, interpolated between bin centres, times seven weekday factors. The
//! level follows the last twenty minutes or so. Dispersions are kept for the minute, for five and for the hour: a key
//! that does all its work in the first two minutes of an hour scatters as much over five minutes as over one.
//!
//! A season is fed with closed minutes, in the order of time ([`super::fold`]).

mod bins;
mod expect;
mod form;
mod highest;

pub use self::expect::Expected;
use self::{
    bins::{mean_of, packed, unpacked},
    highest::Highest,
};
use super::key::CALLABLE;

/// Rate at which the level forgets, a minute.
const LEVEL_RATE: f32 = 0.05;
/// Expected requests that the level's prior, 1, is worth.
const LEVEL_PRIOR: f32 = 10.0;
/// Rate at which the minute's dispersion forgets, a minute.
const SCATTER_RATE: f32 = 3e-4;
/// What five minutes leave of the five minutes' dispersion.
const KEPT_OF_FIVE: f32 = {
    let minute = 1.0 - SCATTER_RATE;
    minute * minute * minute * minute * minute
};
/// Rate at which the hour's dispersion forgets, an hour.
const SCATTER_RATE_HOUR: f32 = 0.01;
/// Deviations are clipped at so many standard deviations before they teach. A key that bursts for two minutes an
/// hour is only learnt if the clip's square is above 30, else its dispersion shrinks between the bursts.
const CLIP: f32 = 8.0;
/// But no deviation up to this is clipped: so many requests are never called a spike, and a key that comes a few times a
/// day, ten requests at a time, would keep the dispersion of its silence.
#[allow(clippy::cast_precision_loss)] // 20
const CLIP_LEAST: f32 = CALLABLE as f32;
/// The widest scatter that is believed, of a minute or five and of an hour. A key that is used by a few people, seldom and
/// for ten requests at a time, has a mean of 0.1 a minute and a dispersion of 100.
const SCATTER_MAX: f32 = 300.0;
const SCATTER_MAX_HOUR: f32 = 100.0;
/// The least variance of an hour that is believed, as a share of the squared mean: else a key whose use shifts for good to ×1.7
/// would be an anomaly in its first hour.
const SCATTER_MIN_HOUR: f32 = 0.03;
const UNSEEN: u16 = u16::MAX;
/// Hours of the day that must have been seen before anything is called usual.
const HOURS_KNOWN: usize = 3;

/// Minutes of the middle scale.
pub const FIVE: u32 = 5;
/// In the place of a count of which not all is known: nothing is learnt from it. A count that is full is as good as it.
const UNKNOWN: u32 = u32::MAX;
/// Beyond a week of silence more zeros teach nothing.
pub const SILENT_HOURS_MAX: u32 = 168;

/// What is usual for one key's request counts. 116 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Season {
    /// √(requests in the hour) by hour of day in UTC, as [`packed`]; `UNSEEN` before the first.
    bins: [u16; 24],
    /// Weekday factors × 64, Monday first.
    weekdays: [u8; 7],
    /// Decayed sums of observed and expected requests, of which the level is the ratio.
    observed: f32,
    expected: f32,
    /// Decayed sums of squared excess and of squared mean, of which the dispersion is the ratio.
    scatter: f32,
    scatter_weight: f32,
    /// The same of five minutes; its weight is five times the minute's, whose mean it has five times a fifth as often.
    scatter_five: f32,
    scatter_hour: f32,
    scatter_hour_weight: f32,
    /// Requests in the current minute, five minutes and hour, until they close.
    minute_count: u32,
    five_count: u32,
    hour_count: u32,
    /// Requests in the hours of the current day that have closed and were learnt, and what the bins expected of those.
    day_count: u32,
    day_expected: f32,
    pub highest: Highest,
}

impl Default for Season {
    fn default() -> Self {
        Self {
            bins: [UNSEEN; 24],
            weekdays: [64; 7],
            observed: 0.0,
            expected: 0.0,
            scatter: 0.0,
            scatter_weight: 0.0,
            scatter_five: 0.0,
            scatter_hour: 0.0,
            scatter_hour_weight: 0.0,
            minute_count: 0,
            five_count: 0,
            hour_count: 0,
            day_count: 0,
            day_expected: 0.0,
            highest: Highest::default(),
        }
    }
}

/// Monday is 0. The epoch was a Thursday.
const fn weekday(day: u32) -> usize {
    ((day + 3) % 7) as usize
}

impl Season {
    /// Counts `n` requests in the minute, five minutes and hour that are open.
    pub fn count_many(&mut self, n: u32) {
        self.minute_count = self.minute_count.saturating_add(n);
        self.five_count = self.five_count.saturating_add(n);
        self.hour_count = self.hour_count.saturating_add(n);
    }

    /// Requests of the five minutes that are open; `None` if not all are known.
    pub fn five_count(&self) -> Option<u32> {
        (self.five_count != UNKNOWN).then_some(self.five_count)
    }

    /// Requests of the hour that is open; `None` if not all are known.
    pub fn hour_count(&self) -> Option<u32> {
        (self.hour_count != UNKNOWN).then_some(self.hour_count)
    }

    /// Moves time on, closing the minutes, hours and days in between. `unknown` means that it is not known what happened in
    /// between: no minute of it is learnt, nor an hour or five minutes that it meets.
    ///
    /// `since` is the second at which the key was first seen. Seconds are of event time, since the epoch.
    pub fn advance(&mut self, from: u32, to: u32, since: u32, unknown: bool) {
        let (minute, minute_to) = (from / 60, to / 60);
        if minute == minute_to {
            return;
        }
        let fives = minute_to / FIVE - minute / FIVE;
        if unknown {
            self.minute_count = 0;
            if fives > 0 {
                self.five_count = 0;
            }
        } else {
            if fives > 0 {
                self.close_fives(from, fives, since);
            }
            self.close_minutes(from, minute_to - minute, since);
        }
        let (hour, hour_to) = (from / 3600, to / 3600);
        for closing in hour..hour_to.min(hour + SILENT_HOURS_MAX) {
            self.close_hour(closing, since, unknown);
            if (closing + 1) % 24 == 0 {
                self.close_day(closing / 24, unknown);
            }
        }
        if unknown {
            if !minute_to.is_multiple_of(FIVE) {
                self.five_count = UNKNOWN;
            }
            if !to.is_multiple_of(3600) {
                self.hour_count = UNKNOWN;
            }
        }
    }

    /// Passes over hours in which too little happened for too long: what is open of the day says nothing.
    pub fn forget_day(&mut self) {
        self.day_count = 0;
        self.day_expected = 0.0;
    }

    fn close_minutes(&mut self, from: u32, minutes: u32, since: u32) {
        let mean = self.hourly(from, since) / 60.0;
        #[allow(clippy::cast_precision_loss)] // a count of a minute
        let count = self.minute_count as f32;
        let judged = mean * self.level();
        (self.observed, self.expected) = self.level_after(mean, minutes);
        self.learn_scatter(count, judged);
        self.highest.note(0, self.minute_count);
        self.minute_count = 0;
        if minutes > 1 {
            // The rest of the gap are minutes with nothing in them, in closed form.
            let keep = libm::powf(1.0 - SCATTER_RATE, gap(minutes));
            let weight = (1.0 - keep) / SCATTER_RATE;
            self.scatter = self.scatter * keep + (judged * judged - judged) * weight;
            self.scatter_weight = self.scatter_weight * keep + judged * judged * weight;
        }
    }

    /// The sums of which the level is the ratio, `minutes` after the minute that is open began, if nothing comes in those that
    /// follow it.
    fn level_after(&self, mean: f32, minutes: u32) -> (f32, f32) {
        #[allow(clippy::cast_precision_loss)] // a count of a minute
        let count = (self.minute_count as f32).min(mean * self.level() * 4.0 + 20.0);
        let observed = self.observed * (1.0 - LEVEL_RATE) + count;
        let expected = self.expected * (1.0 - LEVEL_RATE) + mean;
        if minutes < 2 {
            return (observed, expected);
        }
        let keep = libm::powf(1.0 - LEVEL_RATE, gap(minutes));
        (observed * keep, expected * keep + mean * (1.0 - keep) / LEVEL_RATE)
    }

    fn close_fives(&mut self, from: u32, fives: u32, since: u32) {
        let count = std::mem::take(&mut self.five_count);
        let mean = self.hourly(from, since) / 12.0 * self.level();
        if count != UNKNOWN {
            self.highest.note(1, count);
            #[allow(clippy::cast_precision_loss)] // a count of five minutes
            let off = clipped(count as f32, mean, self.dispersion_five(), CLIP_LEAST);
            self.scatter_five = self.scatter_five * KEPT_OF_FIVE + off * off - mean;
        }
        if fives > 1 {
            let keep = KEPT_OF_FIVE;
            let all = libm::powf(keep, gap(fives).min(2_000.0));
            self.scatter_five = self.scatter_five * all + (mean * mean - mean) * (1.0 - all) / (1.0 - keep);
        }
    }

    fn learn_scatter(&mut self, count: f32, mean: f32) {
        let off = clipped(count, mean, self.dispersion_minute(), CLIP_LEAST);
        self.scatter = self.scatter * (1.0 - SCATTER_RATE) + off * off - mean;
        self.scatter_weight = self.scatter_weight * (1.0 - SCATTER_RATE) + mean * mean;
    }

    fn close_hour(&mut self, hour: u32, since: u32, unknown: bool) {
        let count = std::mem::take(&mut self.hour_count);
        // The first hour is cut short by the key's arrival: it would teach too little.
        if unknown || count == UNKNOWN || hour * 3600 < since {
            return;
        }
        let mean = self.hourly(hour * 3600 + 1800, since);
        self.highest.note(2, count);
        self.day_count = self.day_count.saturating_add(count);
        #[allow(clippy::cast_precision_loss)]
        let count = count as f32;
        self.day_expected += self.bin_mean((hour % 24) as usize, since, hour * 3600).max(0.0);
        let off = clipped(count, mean, self.dispersion_hour(mean), CLIP_LEAST);
        self.scatter_hour = self.scatter_hour * (1.0 - SCATTER_RATE_HOUR) + off * off - mean;
        self.scatter_hour_weight = self.scatter_hour_weight * (1.0 - SCATTER_RATE_HOUR) + mean * mean;
        let days = (hour * 3600).saturating_sub(since) / 86_400;
        #[allow(clippy::cast_precision_loss)]
        let rate = 1.0 / (days.min(9) as f32 + 1.0);
        let factor = self.weekday_factor(hour / 24);
        let bin = &mut self.bins[(hour % 24) as usize];
        let new = (count / factor).sqrt();
        *bin = packed(if *bin == UNSEEN { new } else { unpacked(*bin) * (1.0 - rate) + new * rate });
    }

    fn close_day(&mut self, day: u32, unknown: bool) {
        self.highest.close_day();
        let count = std::mem::take(&mut self.day_count);
        let expected = std::mem::take(&mut self.day_expected);
        // A day that could not be counted says nothing.
        if unknown || expected < 20.0 || count == UNKNOWN {
            return;
        }
        #[allow(clippy::cast_precision_loss)]
        let ratio = (count as f32 / expected).clamp(0.1, 3.0);
        let factor = &mut self.weekdays[weekday(day)];
        let value = f32::from(*factor) * 0.6 + ratio * 64.0 * 0.4;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
        {
            *factor = value.round().clamp(4.0, 255.0) as u8;
        }
    }

    /// Requests that are usual in the hour of the day and the weekday of `second`, whatever the level is.
    pub fn usual_hour(&self, second: u32, since: u32) -> f32 {
        let bin = (second / 3600 % 24) as usize;
        self.bin_mean(bin, since, second) * self.weekday_factor(second / 86_400)
    }

    /// The means of the 24 hours of the day.
    pub fn usual_day(&self, second: u32, since: u32) -> [f32; 24] {
        std::array::from_fn(|bin| self.bin_mean(bin, since, second))
    }

    /// Adds what newcomers usually do in an hour: from now on their requests are among those that are counted.
    pub fn join(&mut self, hour: u32, usual: f32) {
        let factor = self.weekday_factor(hour / 24);
        let bin = &mut self.bins[(hour % 24) as usize];
        let before = if *bin == UNSEEN { 0.0 } else { mean_of(*bin) };
        *bin = packed((before + usual / factor).sqrt());
    }

    /// Whether enough full hours were seen for there to be anything usual.
    pub fn is_known(&self) -> bool {
        self.bins.iter().filter(|bin| **bin != UNSEEN).count() >= HOURS_KNOWN
    }

    /// Whether the hour of the day of this hour, counted since the epoch, was seen.
    pub fn knows(&self, hour: u32) -> bool {
        self.bins[(hour % 24) as usize] != UNSEEN
    }

    /// Whether any hour of the day is known.
    pub fn knows_any(&self) -> bool {
        self.bins.iter().any(|bin| *bin != UNSEEN)
    }

    /// The level over the profile of the twenty minutes or so before what is open, from 0.2 to 5.
    pub(super) fn level(&self) -> f32 {
        level_of(self.observed, self.expected)
    }

    /// The level at `to`, if nothing came since the minute of `from`, which is open: an hour ago excuses no spike of now.
    pub fn level_at(&self, from: u32, to: u32, since: u32) -> f32 {
        let minutes = (to / 60).saturating_sub(from / 60);
        if minutes == 0 {
            return self.level();
        }
        let (observed, expected) = self.level_after(self.hourly(from, since) / 60.0, minutes);
        level_of(observed, expected)
    }

    fn dispersion_minute(&self) -> f32 {
        ((self.scatter + 0.2) / (self.scatter_weight + 2.0)).clamp(0.01, SCATTER_MAX)
    }

    fn dispersion_five(&self) -> f32 {
        ((self.scatter_five + 0.2) / (5.0 * self.scatter_weight + 2.0)).clamp(0.02, SCATTER_MAX)
    }

    /// Where so many requests an hour are usual. A key of which few are scatters by that alone.
    fn dispersion_hour(&self, mean: f32) -> f32 {
        let least = (SCATTER_MIN_HOUR - 1.0 / mean.max(1.0)).max(0.01);
        ((self.scatter_hour + 0.5) / (self.scatter_hour_weight + 10.0)).clamp(least, SCATTER_MAX_HOUR)
    }

    fn weekday_factor(&self, day: u32) -> f32 {
        f32::from(self.weekdays[weekday(day)]) / 64.0
    }

    /// Mean requests an hour at `second`.
    fn hourly(&self, second: u32, since: u32) -> f32 {
        self.interpolated(second, |bin| self.bin_mean(bin, since, second))
    }

    /// By interpolation between the centres of the hours of the day, of which `mean` says the means.
    fn interpolated(&self, second: u32, mean: impl Fn(usize) -> f32) -> f32 {
        let hour = (second / 3600) % 24;
        #[allow(clippy::cast_precision_loss)]
        let within = (second % 3600) as f32 / 3600.0 - 0.5;
        let near = mean(hour as usize);
        let other = if within < 0.0 { (hour + 23) % 24 } else { (hour + 1) % 24 };
        let far = mean(other as usize);
        let share = within.abs();
        (near * (1.0 - share) + far * share) * self.weekday_factor(second / 86_400)
    }

    fn daily(&self, now: u32, since: u32) -> f32 {
        let sum: f32 = (0..24).map(|hour| self.bin_mean(hour, since, now)).sum();
        sum * self.weekday_factor(now.saturating_sub(43_200) / 86_400)
    }

    /// The mean of a bin; of an unseen one, the mean of those seen, else of what has come so far.
    fn bin_mean(&self, bin: usize, since: u32, now: u32) -> f32 {
        if self.bins[bin] != UNSEEN {
            return mean_of(self.bins[bin]);
        }
        let seen = self.bins.iter().filter(|bin| **bin != UNSEEN);
        let (count, sum) = seen.fold((0u16, 0.0), |(count, sum), bin| (count + 1, sum + mean_of(*bin)));
        if count > 0 {
            return sum / f32::from(count);
        }
        #[allow(clippy::cast_precision_loss)]
        let age = (now.saturating_sub(since) as f32 / 3600.0).max(0.25);
        #[allow(clippy::cast_precision_loss)]
        let count = self.hour_count as f32;
        (count + 1.0) / (age + 0.25)
    }

    fn bins_total(&self) -> f32 {
        self.bins.iter().filter(|bin| **bin != UNSEEN).map(|bin| mean_of(*bin)).sum()
    }
}

fn level_of(observed: f32, expected: f32) -> f32 {
    ((observed + LEVEL_PRIOR) / (expected + LEVEL_PRIOR)).clamp(0.2, 5.0)
}

/// How many of so many minutes, or five minutes, are empty ones after the first.
#[allow(clippy::cast_precision_loss)] // at most a week
fn gap(all: u32) -> f32 {
    (all - 1).min(10_000) as f32
}

/// How far a count is off its mean, cut at [`CLIP`] standard deviations, but not at less than `least`.
pub(super) fn clipped(count: f32, mean: f32, dispersion: f32, least: f32) -> f32 {
    let most = (CLIP * (mean + dispersion * mean * mean).sqrt()).max(least);
    (count - mean).clamp(-most, most)
}

#[cfg(test)]
#[path = "season_tests.rs"]
mod tests;
