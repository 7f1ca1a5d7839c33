//! What a season expects of a window.

use super::{Season, UNSEEN};

/// The widest scatter of a minute or five of a key whose highest count is what its distribution foretells. Those of people who
/// come seldom, ten requests at a time, are 2 to 300.
const EVEN_MAX: f32 = 1.0;

/// The mean of a count and how it scatters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub mean: f64,
    pub dispersion: f64,
}

impl Expected {
    /// Whether a count is so far above the mean that it may be one in a hundred.
    pub(in crate::profile) fn may_be_beyond(&self, n: u32) -> bool {
        let off = f64::from(n) - self.mean;
        off > 0.0 && off * off >= 2.0 * (self.mean + self.dispersion * self.mean * self.mean)
    }
}

impl Season {
    /// What is expected of a window of `length` seconds that ends at `now`.
    ///
    /// The level counts for the short windows only: over an hour and more it would follow an attack. `others` is
    /// how many times its usual the rest of the key's group is used now (1 = as usual): where it is above the
    /// key's own level, it takes its place.
    pub fn expect(&self, now: u32, length: u32, since: u32, level: f32, others: f64) -> Expected {
        let Expected { mean, dispersion } = self.expect_if_known(now, length, since, level, others);
        let age_days = f64::from(now.saturating_sub(since)) / 86_400.0;
        // The predictive of a Gamma-distributed mean: what has been seen little of is known badly.
        let known = 5.0 + f64::from(self.bins_total()).min(1000.0) / 2.0;
        Expected { mean, dispersion: dispersion + 1.0 / known + 0.6 * libm::exp(-age_days) }
    }

    /// [`Season::expect`] as if what is learnt were all there is to know: the least that a count scatters.
    pub fn expect_if_known(&self, now: u32, length: u32, since: u32, level: f32, others: f64) -> Expected {
        let hours = f64::from(length) / 3600.0;
        let mean = if length >= 86_400 {
            f64::from(self.daily(now, since)) * f64::from(length) / 86_400.0
        } else {
            f64::from(self.hourly(now.saturating_sub(length / 2), since)) * hours
        };
        let level = if length < 3600 { f64::from(level) } else { 1.0 };
        let mean = mean * level.max(others);
        let scatter = match length {
            ..=60 => self.dispersion_minute(),
            61..=300 => self.dispersion_five(),
            #[allow(clippy::cast_possible_truncation)] // a mean needs no more than six digits
            _ => self.dispersion_hour((mean / hours) as f32),
        };
        Expected { mean: at_least(mean, hours), dispersion: f64::from(scatter) }
    }

    /// Requests that are usual in a window of at most an hour that ends at `now`, together with those of newcomers, by hour of
    /// the day, which are not learnt yet. Of an hour of the day that was not seen, the newcomers alone say what is usual.
    pub fn usual_with(&self, newcomers: &[f32; 24], now: u32, length: u32, since: u32) -> f64 {
        let second = now.saturating_sub(length / 2);
        let hourly = self.interpolated(second, |bin| {
            let is_foretold = self.bins[bin] == UNSEEN && newcomers[bin] > 0.0;
            newcomers[bin] + if is_foretold { 0.0 } else { self.bin_mean(bin, since, second) }
        });
        let hours = f64::from(length) / 3600.0;
        at_least(f64::from(hourly) * hours, hours)
    }

    /// The least count of a scale that is beyond what the key did. One that comes in bursts does a little more than it ever did
    /// now and then.
    pub fn beyond(&self, scale: usize) -> u32 {
        let dispersion = if scale == 0 { self.dispersion_minute() } else { self.dispersion_five() };
        if dispersion > EVEN_MAX { self.highest.far_beyond(scale) } else { self.highest.beyond(scale) }
    }
}

/// What comes so seldom is not known better than this.
fn at_least(mean: f64, hours: f64) -> f64 {
    mean.max(0.02 * hours.max(1.0 / 60.0))
}
