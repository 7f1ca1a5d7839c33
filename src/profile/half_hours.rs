//! What a key counts by half hour: how widely it is spread, and which share of its requests is unusual.
//!
//! A half hour is learnt when all of its minutes have closed. Two may be open at a time; the sketches of the one before are
//! kept, since what is judged is the last 30 to 60 minutes.

use super::{
    codec::{CodecError, Reader, Writer},
    season::clipped,
    sketch::Distinct,
};

/// Sketches that are kept.
const SKETCHES: usize = 3;
/// Half hours that may be open at a time: minutes are open for less than half an hour.
const OPEN: usize = 2;
/// Rate at which a usual share forgets, a request.
pub(super) const SHARE_RATE: f32 = 0.002;

/// The least scatter that is believed: nearly every key's is as wide.
const SCATTER_LEAST: f32 = 0.1;

/// The usual number of different things in an hour, how it scatters, and how far it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UsualCount {
    pub mean: f32,
    /// Mean of the squared excess over what a Poisson count of that mean has.
    pub excess: f32,
    pub windows: u16,
}

impl UsualCount {
    fn learn(&mut self, value: f64) {
        self.windows = self.windows.saturating_add(1);
        let rate = 1.0 / f32::from(self.windows.min(50));
        #[allow(clippy::cast_possible_truncation)] // a small count
        let value = value as f32;
        let mean = self.mean.max(1.0);
        if self.windows > 1 {
            let off = clipped(value, mean, self.dispersion(), 0.0);
            self.excess += rate * (off * off - mean - self.excess);
        }
        self.mean += rate * (value - self.mean);
    }

    /// At least so many are usual from now on.
    pub(super) fn accept(&mut self, value: f64) {
        #[allow(clippy::cast_possible_truncation)] // a small count
        let value = value as f32;
        self.mean = self.mean.max(value);
    }

    /// How it scatters from one half hour to the next, as a dispersion.
    pub fn dispersion(&self) -> f32 {
        let mean = self.mean.max(1.0);
        (self.excess / (mean * mean)).clamp(SCATTER_LEAST, 10.0)
    }
}

/// What was learnt from half hours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    pub addresses: UsualCount,
    pub prefixes: UsualCount,
    /// Shares of requests that were slower, and larger, than the route's 99th percentile.
    pub slow: f32,
    pub large: f32,
    /// Share of records that are cut or cannot be read.
    unreadable: f32,
    /// Records that were learnt, saturating.
    records: u16,
}

impl Default for Usual {
    fn default() -> Self {
        let count = UsualCount::default();
        Self { addresses: count, prefixes: count, slow: 0.01, large: 0.01, unreadable: 0.0, records: 0 }
    }
}

/// How widely a key was spread in a half hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spread {
    addresses: Distinct<32>,
    prefixes: Distinct<16>,
}

/// Counts of an open half hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    records: u32,
    unreadable: u32,
    served: u32,
    slow: u16,
    large: u16,
}

/// What is counted by half hour, until it closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfHours {
    spread: [Spread; SKETCHES],
    counts: [Counts; OPEN],
}

impl HalfHours {
    fn spread(&self, half_hour: u32) -> &Spread {
        &self.spread[half_hour as usize % SKETCHES]
    }

    fn counts(&mut self, second: u32) -> &mut Counts {
        &mut self.counts[(second / 1800) as usize % OPEN]
    }

    /// Notes an address, and its /24 or /48, of a request of `second`.
    pub fn note_address(&mut self, second: u32, address: u64, prefix: u64) {
        let spread = &mut self.spread[(second / 1800) as usize % SKETCHES];
        spread.addresses.add(address);
        spread.prefixes.add_number(prefix);
    }

    /// Notes whether a record of `second` could be read whole.
    pub fn note_readable(&mut self, second: u32, is_unreadable: bool) {
        let counts = self.counts(second);
        counts.records = counts.records.saturating_add(1);
        counts.unreadable = counts.unreadable.saturating_add(u32::from(is_unreadable));
    }

    /// Notes whether a request of `second`, which was served, was beyond its route.
    pub fn note_cost(&mut self, second: u32, is_slow: bool, is_large: bool) {
        let counts = self.counts(second);
        counts.served = counts.served.saturating_add(1);
        counts.slow = counts.slow.saturating_add(u16::from(is_slow));
        counts.large = counts.large.saturating_add(u16::from(is_large));
    }

    /// About how many different addresses in the half hour and in the one before.
    pub fn address_count(&self, half_hour: u32) -> f64 {
        self.spread(half_hour).addresses.estimate_with(&self.spread(half_hour.wrapping_sub(1)).addresses)
    }

    /// About how many different /24 or /48 in the half hour and in the one before.
    pub fn prefix_count(&self, half_hour: u32) -> f64 {
        self.spread(half_hour).prefixes.estimate_with(&self.spread(half_hour.wrapping_sub(1)).prefixes)
    }

    /// Closes a half hour, and learns from it if there is a `usual` to teach. The one before it is forgotten.
    pub fn close(&mut self, half_hour: u32, usual: Option<&mut Usual>) {
        let counts = std::mem::take(&mut self.counts[half_hour as usize % OPEN]);
        if let Some(usual) = usual.filter(|_| counts.records > 0) {
            if *self.spread(half_hour) != Spread::default() {
                usual.addresses.learn(self.address_count(half_hour));
                usual.prefixes.learn(self.prefix_count(half_hour));
            }
            usual.learn(&counts);
        }
        self.forget(half_hour.wrapping_sub(1));
    }

    /// Forgets how widely the key was spread in a half hour that is over.
    pub fn forget(&mut self, half_hour: u32) {
        self.spread[half_hour as usize % SKETCHES] = Spread::default();
    }

    /// Appends the counts.
    pub fn write(&self, out: &mut Writer) {
        for spread in &self.spread {
            spread.addresses.write(out);
            spread.prefixes.write(out);
        }
        for Counts { records, unreadable, served, slow, large } in self.counts {
            out.counts([records, unreadable, served, slow.into(), large.into()].into_iter());
        }
    }

    /// Reads what [`HalfHours::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut all = Self::default();
        for spread in &mut all.spread {
            *spread = Spread { addresses: Distinct::read(input)?, prefixes: Distinct::read(input)? };
        }
        for counts in &mut all.counts {
            *counts = Counts {
                records: input.u32()?,
                unreadable: input.u32()?,
                served: input.u32()?,
                slow: input.u16()?,
                large: input.u16()?,
            };
        }
        Ok(all)
    }
}

impl Usual {
    /// Share of records that are cut or cannot be read, once any were learnt.
    pub fn unreadable(&self) -> Option<f32> {
        (self.records > 0).then_some(self.unreadable)
    }

    /// The shares are those of the first records, and follow the last few hundred.
    #[allow(clippy::cast_precision_loss)] // counts of half an hour
    fn learn(&mut self, counts: &Counts) {
        let rate = |n: u32| 1.0 - libm::powf(1.0 - SHARE_RATE, n as f32);
        let share = |n: u32, all: u32| n as f32 / all as f32;
        self.records = self.records.saturating_add(u16::try_from(counts.records).unwrap_or(u16::MAX));
        let of_all = (counts.records as f32 / f32::from(self.records)).min(1.0);
        self.unreadable +=
            rate(counts.records).max(of_all) * (share(counts.unreadable, counts.records) - self.unreadable);
        if counts.served > 0 {
            let rate = rate(counts.served);
            self.slow += rate * (share(counts.slow.into(), counts.served) - self.slow);
            self.large += rate * (share(counts.large.into(), counts.served) - self.large);
        }
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        for count in [self.addresses, self.prefixes] {
            out.float(count.mean);
            out.float(count.excess);
            out.uint(u64::from(count.windows));
        }
        out.float(self.slow);
        out.float(self.large);
        out.float(self.unreadable);
        out.uint(u64::from(self.records));
    }

    /// Reads what [`Usual::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut usual = Self::default();
        for count in [&mut usual.addresses, &mut usual.prefixes] {
            *count = UsualCount { mean: input.float()?, excess: input.float()?, windows: input.u16()? };
        }
        usual.slow = input.float()?;
        usual.large = input.float()?;
        usual.unreadable = input.float()?;
        usual.records = input.u16()?;
        Ok(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_with_a_peak_each_day_scatters_as_wide_as_it_does() {
        let learn = |of: fn(u32) -> f64| {
            let mut usual = UsualCount::default();
            (0..48 * 7).for_each(|half_hour| usual.learn(of(half_hour)));
            usual
        };
        let even = learn(|_| 30.0);
        assert!((even.mean - 30.0).abs() < 1.0 && even.dispersion() <= 0.1, "{even:?}");
        // Four of 24 hours have 110, the others ten.
        let peaks = learn(|half_hour| if half_hour % 48 < 8 { 110.0 } else { 10.0 });
        assert!(peaks.dispersion() > 0.5, "{peaks:?} {}", peaks.dispersion());
        let surprise = |n| {
            crate::profile::tail::surprise(n, f64::from(peaks.mean).max(1.0), f64::from(peaks.dispersion()))
        };
        assert!(surprise(120) < 5.0 && surprise(1500) > 6.0, "{} {}", surprise(120), surprise(1500));
    }
}
