//! How often a key is usually used: hour of day, day of week, a fast level on top, and how it scatters.
//!
//! Means are per hour in 24 bins on √count, interpolated between bin centres, times seven weekday factors. The
//! level follows the last twenty minutes or so. Dispersions are kept for the minute, for five and for the hour: a key
//! that does all its work in the first two minutes of an hour scatters as much over five minutes as over one.

use super::codec::{CodecError, Reader, Writer};

/// Rate at which the level forgets, a minute.
const LEVEL_RATE: f32 = 0.05;
/// Expected requests that the level's prior, 1, is worth.
const LEVEL_PRIOR: f32 = 10.0;
/// Rate at which the minute's dispersion forgets, a minute.
const SCATTER_RATE: f32 = 3e-4;
/// Rate at which the hour's dispersion forgets, an hour.
const SCATTER_RATE_HOUR: f32 = 0.01;
/// Deviations are clipped at so many standard deviations before they teach. A key that bursts for two minutes an
/// hour is only learnt if the clip's square is above 30, else its dispersion shrinks between the bursts.
const CLIP: f32 = 8.0;
const UNSEEN: u16 = u16::MAX;
/// Hours of the day that must have been seen before anything is called usual.
const HOURS_KNOWN: usize = 3;

/// Minutes of the middle scale.
const FIVE: u32 = 5;

/// What is usual for one key's request counts. 104 bytes.
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
    /// Requests in the current minute, five minutes, hour and day, until they close.
    minute_count: u32,
    five_count: u32,
    hour_count: u32,
    day_count: u32,
    /// What the bins expected of the day so far.
    day_expected: f32,
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
        }
    }
}

/// The mean of a count and how it scatters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub mean: f64,
    pub dispersion: f64,
}

/// Monday is 0. The epoch was a Thursday.
const fn weekday(day: u32) -> usize {
    ((day + 3) % 7) as usize
}

impl Season {
    /// Counts one request in the minute, hour and day that are open.
    pub fn count(&mut self) {
        self.count_many(1);
    }

    /// Counts `n` requests in the minute, hour and day that are open.
    pub fn count_many(&mut self, n: u32) {
        self.minute_count = self.minute_count.saturating_add(n);
        self.five_count = self.five_count.saturating_add(n);
        self.hour_count = self.hour_count.saturating_add(n);
        self.day_count = self.day_count.saturating_add(n);
    }

    /// Moves time on, closing the minutes, hours and days in between; `frozen` means that nothing is learnt.
    ///
    /// `since` is the second at which the key was first seen. Seconds are of event time, since the epoch.
    pub fn advance(&mut self, from: u32, to: u32, since: u32, frozen: bool) {
        let (minute, minute_to) = (from / 60, to / 60);
        if minute == minute_to {
            return;
        }
        let fives = minute_to / FIVE - minute / FIVE;
        if frozen {
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
        // Beyond a week of silence more zeros teach nothing.
        for closing in hour..hour_to.min(hour + 168) {
            self.close_hour(closing, since, frozen);
            if (closing + 1) % 24 == 0 {
                self.close_day(closing / 24, frozen);
            }
        }
    }

    fn close_minutes(&mut self, from: u32, minutes: u32, since: u32) {
        let mean = self.hourly(from, since) / 60.0;
        #[allow(clippy::cast_precision_loss)] // a count of a minute
        let count = self.minute_count as f32;
        let judged = mean * self.level();
        self.observed = self.observed * (1.0 - LEVEL_RATE) + count.min(judged * 4.0 + 20.0);
        self.expected = self.expected * (1.0 - LEVEL_RATE) + mean;
        self.learn_scatter(count, judged);
        self.minute_count = 0;
        if minutes > 1 {
            // The rest of the gap are minutes with nothing in them, in closed form.
            #[allow(clippy::cast_precision_loss)]
            let gap = (minutes - 1).min(10_000) as f32;
            let keep = (1.0 - LEVEL_RATE).powf(gap);
            self.observed *= keep;
            self.expected = self.expected * keep + mean * (1.0 - keep) / LEVEL_RATE;
            let keep = (1.0 - SCATTER_RATE).powf(gap);
            let weight = (1.0 - keep) / SCATTER_RATE;
            self.scatter = self.scatter * keep + (judged * judged - judged) * weight;
            self.scatter_weight = self.scatter_weight * keep + judged * judged * weight;
        }
    }

    fn close_fives(&mut self, from: u32, fives: u32, since: u32) {
        #[allow(clippy::cast_precision_loss)] // a count of five minutes
        let count = std::mem::take(&mut self.five_count) as f32;
        let mean = self.hourly(from, since) / 12.0 * self.level();
        let off = clipped(count, mean, self.dispersion_five());
        let keep = (1.0 - SCATTER_RATE).powi(5);
        self.scatter_five = self.scatter_five * keep + off * off - mean;
        if fives > 1 {
            #[allow(clippy::cast_precision_loss)]
            let gap = (fives - 1).min(2_000) as f32;
            let all = keep.powf(gap);
            self.scatter_five = self.scatter_five * all + (mean * mean - mean) * (1.0 - all) / (1.0 - keep);
        }
    }

    fn learn_scatter(&mut self, count: f32, mean: f32) {
        let off = clipped(count, mean, self.dispersion_minute());
        self.scatter = self.scatter * (1.0 - SCATTER_RATE) + off * off - mean;
        self.scatter_weight = self.scatter_weight * (1.0 - SCATTER_RATE) + mean * mean;
    }

    fn close_hour(&mut self, hour: u32, since: u32, frozen: bool) {
        let count = std::mem::take(&mut self.hour_count);
        let mean = self.hourly(hour * 3600 + 1800, since);
        // The first hour is cut short by the key's arrival: it would teach too little.
        if frozen || hour * 3600 < since {
            return;
        }
        #[allow(clippy::cast_precision_loss)]
        let count = count as f32;
        self.day_expected += self.bin_mean((hour % 24) as usize, since, hour * 3600).max(0.0);
        let off = clipped(count, mean, self.dispersion_hour());
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

    fn close_day(&mut self, day: u32, frozen: bool) {
        let count = std::mem::take(&mut self.day_count);
        let expected = std::mem::take(&mut self.day_expected);
        // A day that could not be counted says nothing.
        if frozen || expected < 20.0 || count == u32::MAX {
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

    /// What is expected of a window of `length` seconds that ends at `now`.
    ///
    /// The level counts for the short windows only: over an hour and more it would follow an attack. `others` is
    /// how many times its usual the rest of the key's group is used now (1 = as usual): where it is above the
    /// key's own level, it takes its place.
    pub fn expect(&self, now: u32, length: u32, since: u32, others: f64) -> Expected {
        let hours = f64::from(length) / 3600.0;
        let mean = if length >= 86_400 {
            f64::from(self.daily(now, since)) * f64::from(length) / 86_400.0
        } else {
            f64::from(self.hourly(now.saturating_sub(length / 2), since)) * hours
        };
        let level = if length < 3600 { f64::from(self.level()) } else { 1.0 };
        let mean = mean * level.max(others);
        let age_days = f64::from(now.saturating_sub(since)) / 86_400.0;
        let scatter = match length {
            ..=60 => self.dispersion_minute(),
            61..=300 => self.dispersion_five(),
            _ => self.dispersion_hour(),
        };
        // The predictive of a Gamma-distributed mean: what has been seen little of is known badly.
        let known = 5.0 + f64::from(self.bins_total()).min(1000.0) / 2.0;
        let dispersion =
            f64::from(scatter) + 1.0 / known + 0.6 * (-age_days).exp() + if others > 1.2 { 0.1 } else { 0.0 };
        Expected { mean: mean.max(0.02 * hours.max(1.0 / 60.0)), dispersion }
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

    /// Adds what a newcomer usually does, by hour of the day: from now on its requests are among those that are counted.
    pub fn join(&mut self, usual: &[f32; 24]) {
        for (bin, usual) in self.bins.iter_mut().zip(usual) {
            let before = if *bin == UNSEEN { 0.0 } else { mean_of(*bin) };
            *bin = packed((before + usual).sqrt());
        }
    }

    /// Whether enough full hours were seen for there to be anything usual.
    pub fn is_known(&self) -> bool {
        self.bins.iter().filter(|bin| **bin != UNSEEN).count() >= HOURS_KNOWN
    }

    /// The level over the profile of the last twenty minutes or so, from 0.2 to 5.
    pub fn level(&self) -> f32 {
        ((self.observed + LEVEL_PRIOR) / (self.expected + LEVEL_PRIOR)).clamp(0.2, 5.0)
    }

    fn dispersion_minute(&self) -> f32 {
        ((self.scatter + 0.2) / (self.scatter_weight + 2.0)).clamp(0.01, 10.0)
    }

    fn dispersion_five(&self) -> f32 {
        ((self.scatter_five + 0.2) / (5.0 * self.scatter_weight + 2.0)).clamp(0.01, 10.0)
    }

    fn dispersion_hour(&self) -> f32 {
        ((self.scatter_hour + 0.5) / (self.scatter_hour_weight + 10.0)).clamp(0.01, 5.0)
    }

    fn weekday_factor(&self, day: u32) -> f32 {
        f32::from(self.weekdays[weekday(day)]) / 64.0
    }

    /// Mean requests an hour at `second`, by interpolation between bin centres.
    fn hourly(&self, second: u32, since: u32) -> f32 {
        let hour = (second / 3600) % 24;
        #[allow(clippy::cast_precision_loss)]
        let within = (second % 3600) as f32 / 3600.0 - 0.5;
        let near = self.bin_mean(hour as usize, since, second);
        let other = if within < 0.0 { (hour + 23) % 24 } else { (hour + 1) % 24 };
        let far = self.bin_mean(other as usize, since, second);
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

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        out.counts(self.bins.iter().map(|bin| u32::from(bin.wrapping_add(1))));
        out.raw(&self.weekdays);
        for value in [
            self.observed,
            self.expected,
            self.scatter,
            self.scatter_weight,
            self.scatter_five,
            self.scatter_hour,
            self.scatter_hour_weight,
            self.day_expected,
        ] {
            out.float(value);
        }
        out.counts([self.minute_count, self.five_count, self.hour_count, self.day_count].into_iter());
    }

    /// Reads what [`Season::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut season = Self::default();
        for bin in &mut season.bins {
            *bin = input.u16()?.wrapping_sub(1);
        }
        season.weekdays = input.array()?;
        season.observed = input.float()?;
        season.expected = input.float()?;
        season.scatter = input.float()?;
        season.scatter_weight = input.float()?;
        season.scatter_five = input.float()?;
        season.scatter_hour = input.float()?;
        season.scatter_hour_weight = input.float()?;
        season.day_expected = input.float()?;
        season.minute_count = input.u32()?;
        season.five_count = input.u32()?;
        season.hour_count = input.u32()?;
        season.day_count = input.u32()?;
        Ok(season)
    }
}

/// How far a count is off its mean, cut at [`CLIP`] standard deviations.
fn clipped(count: f32, mean: f32, dispersion: f32) -> f32 {
    let sd = (mean + dispersion * mean * mean).sqrt();
    (count - mean).clamp(-CLIP * sd, CLIP * sd)
}

/// The bins hold means of √count: for a Poisson count the mean is a quarter above their square (Anscombe 1948).
fn mean_of(bin: u16) -> f32 {
    let root = unpacked(bin);
    root * root + 0.25 * root.min(1.0)
}

/// A root as hundredths in 12 bits, shifted by what the upper four bits say: exact to a hundredth up to 41, to one in
/// 2,048 beyond, and further than any count of an hour goes. The whole fleet has a profile too, so that an hour of a key
/// and an hour of ten thousand requests a second have to fit.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within u32 by the clamp, and 12 bits by the shift
fn packed(root: f32) -> u16 {
    let hundredths = (root * 100.0).round().clamp(0.0, 100_000_000.0) as u32;
    let shift = (20 - hundredths.leading_zeros().min(20)).min(14);
    let rounded = (hundredths + (1 << shift >> 1)) >> shift;
    ((shift << 12) | rounded.min(0xFFF)) as u16
}

#[allow(clippy::cast_precision_loss)] // 12 bits, shifted
fn unpacked(bin: u16) -> f32 {
    ((u32::from(bin) & 0xFFF) << (bin >> 12)) as f32 / 100.0
}

#[cfg(test)]
#[path = "season_tests.rs"]
mod tests;
