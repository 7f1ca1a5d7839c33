//! What a key has once it has been seen fifty times: its day, its places, how widely it is spread, what it costs.

use super::{
    codec::{CodecError, Reader, Writer},
    fold::Open,
    key::{CALLABLE, Hot},
    panes::Panes,
    season::clipped,
    sketch::{Distinct, Item, Top},
};
use crate::event::{Country, Event, NetworkType};

/// Requests after which a key gets its warm part.
pub const WARM_AFTER: u32 = 50;
/// A place counts as known from so many hours after it was first seen.
pub const KNOWN_AFTER_HOURS: u32 = 24;

/// A spike that ended without any other evidence: what this key does now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    pub hour: u32,
    /// Whole part of its surprise, at most 255.
    pub surprise: u8,
}

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

    /// How it scatters from one half hour to the next, as a dispersion.
    pub fn dispersion(&self) -> f32 {
        let mean = self.mean.max(1.0);
        (self.excess / (mean * mean)).clamp(SCATTER_LEAST, 10.0)
    }
}

/// The rest of a key's profile. At most 640 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warm {
    pub day: Panes<u32, 24, 3600>,
    pub day_sum: u32,
    /// Sums of the windows at which to look closer, until a pane advances; those of the day last.
    pub thresholds: [u32; 4],
    /// What is not closed.
    pub(super) open: Open<u32, u16>,
    /// Minutes of which nothing is known, since an incident was open: from the first, and until before the second.
    pub(super) unknown: (u32, u32),
    pub networks: Top<6>,
    pub countries: Top<4>,
    /// Kinds of network that the key is known from, a bit each.
    pub known_types: u8,
    /// Half hour of event time that the first of each pair of sketches is for.
    pub half_hour: u32,
    pub addresses: [Distinct<32>; 2],
    pub prefixes: [Distinct<16>; 2],
    pub addresses_usual: UsualCount,
    pub prefixes_usual: UsualCount,
    /// Requests slower, and larger, than the route's 99th percentile, over 5 min.
    pub slow: Panes<u16, 10, 30>,
    pub large: Panes<u16, 10, 30>,
    pub slow_usual: f32,
    pub large_usual: f32,
    /// Records that are cut or cannot be read, over 5 min, and their usual share.
    pub unreadable: Panes<u16, 5, 60>,
    pub unreadable_usual: f32,
    pub peaks: [Peak; 6],
    /// Second of the newest event seen by this part.
    pub last_second: u32,
}

const _: () = assert!(size_of::<Warm>() <= 640, "the warm part of a key is over its budget");

impl Warm {
    /// The warm part of a key that had none.
    pub fn new(hot: &Hot) -> Self {
        Self { open: hot.open.widened(), ..Self::empty(hot.last_seen) }
    }

    fn empty(second: u32) -> Self {
        Self {
            day: Panes::default(),
            day_sum: 0,
            thresholds: [CALLABLE; 4],
            open: Open::default(),
            unknown: (0, 0),
            networks: Top::default(),
            countries: Top::default(),
            known_types: 0,
            half_hour: second / 1800,
            addresses: [Distinct::default(); 2],
            prefixes: [Distinct::default(); 2],
            addresses_usual: UsualCount::default(),
            prefixes_usual: UsualCount::default(),
            slow: Panes::default(),
            large: Panes::default(),
            slow_usual: 0.01,
            large_usual: 0.01,
            unreadable: Panes::default(),
            unreadable_usual: 0.0,
            peaks: [Peak::default(); 6],
            last_second: second,
        }
    }

    /// Moves time on to `second` if it is newer.
    pub fn advance(&mut self, second: u32, frozen: bool) {
        let from = self.last_second;
        if second <= from {
            return;
        }
        self.last_second = second;
        if second / 5 == from / 5 {
            return;
        }
        self.thresholds[0] = CALLABLE;
        if second / 30 == from / 30 {
            return;
        }
        self.thresholds[1] = CALLABLE;
        if second / 300 != from / 300 {
            self.thresholds[2] = CALLABLE;
        }
        {
            self.slow.advance(from, second);
            self.large.advance(from, second);
            self.unreadable.advance(from, second);
        }
        if second / 3600 != from / 3600 {
            self.day_sum -= self.day.advance(from, second).min(self.day_sum);
            self.thresholds[3] = CALLABLE;
        }
        let half_hour = second / 1800;
        if half_hour != self.half_hour {
            self.turn_sketches(half_hour, frozen);
        }
    }

    fn turn_sketches(&mut self, half_hour: u32, frozen: bool) {
        if !frozen {
            self.addresses_usual.learn(self.address_count());
            self.prefixes_usual.learn(self.prefix_count());
        }
        let next = half_hour == self.half_hour + 1;
        self.addresses[1] = if next { self.addresses[0] } else { Distinct::default() };
        self.prefixes[1] = if next { self.prefixes[0] } else { Distinct::default() };
        self.addresses[0] = Distinct::default();
        self.prefixes[0] = Distinct::default();
        self.half_hour = half_hour;
    }

    /// Counts a request of `second`, which may be late, served by the upstream.
    pub fn count(&mut self, second: u32) {
        self.day_sum += self.day.add(self.last_second, second, 1);
    }

    /// Notes whether a record of `second` could be read whole. The usual share is that of the key's first records, and
    /// follows the last few hundred. `total`: the key's requests so far.
    pub fn note_readable(&mut self, second: u32, is_unreadable: bool, total: u32, frozen: bool) {
        if is_unreadable {
            self.unreadable.add(self.last_second, second, 1);
        }
        if !frozen {
            let rate = match total.saturating_sub(WARM_AFTER) {
                500.. => 0.002,
                #[allow(clippy::cast_precision_loss)] // under 500
                known => 1.0 / (known + 1) as f32,
            };
            self.unreadable_usual += rate * (f32::from(u8::from(is_unreadable)) - self.unreadable_usual);
        }
    }

    /// Notes where a request came from. `frozen`: what is new stays new.
    /// `first_hour` is that of the key's first request.
    pub fn note_place(&mut self, event: &Event<'_>, hour: u32, first_hour: u32, frozen: bool) {
        self.addresses[0].add(event.address.hash);
        self.prefixes[0].add_number(event.address.prefix);
        note(&mut self.networks, event.place.asn, hour, first_hour, frozen);
        note(&mut self.countries, country_code(event.place.country), hour, first_hour, frozen);
        if self.network_known(event.place.asn, hour, first_hour) {
            self.known_types |= type_bit(event.place.network_type);
        }
    }

    /// Whether the network has been in the profile for a day, or since the key's first day.
    pub fn network_known(&self, asn: u32, hour: u32, first_hour: u32) -> bool {
        self.networks.get(asn).is_some_and(|item| is_known(item, hour, first_hour))
    }

    /// Whether the country has been in the profile for a day, or since the key's first day.
    pub fn country_known(&self, country: Country, hour: u32, first_hour: u32) -> bool {
        self.countries.get(country_code(country)).is_some_and(|item| is_known(item, hour, first_hour))
    }

    /// Whether the key was ever at home in this kind of network.
    pub fn type_known(&self, kind: NetworkType) -> bool {
        self.known_types & type_bit(kind) != 0
    }

    /// About how many different addresses in the last 30 to 60 min.
    pub fn address_count(&self) -> f64 {
        self.addresses[0].estimate_with(&self.addresses[1])
    }

    /// About how many different /24 or /48 in the last 30 to 60 min.
    pub fn prefix_count(&self) -> f64 {
        self.prefixes[0].estimate_with(&self.prefixes[1])
    }

    /// Remembers a spike that ended without any other evidence, in place of the oldest.
    pub fn remember_peak(&mut self, hour: u32, surprise: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
        let surprise = surprise.clamp(0.0, 255.0) as u8;
        if let Some(oldest) = self.peaks.iter_mut().min_by_key(|peak| (peak.hour, peak.surprise)) {
            *oldest = Peak { hour, surprise };
        }
    }

    /// How surprising a spike of this surprise is for a key that has had such spikes before, of which
    /// nothing came: from the third on, their frequency over the last two weeks counts, not the model's tail.
    pub fn calibrated(&self, surprise: f64, hour: u32, age_days: f64, scale_seconds: u32) -> f64 {
        let like = |peak: &&Peak| {
            peak.surprise > 0
                && hour.saturating_sub(peak.hour) < 336
                && f64::from(peak.surprise) >= 0.6 * surprise
        };
        let count = self.peaks.iter().filter(like).count();
        if count < 3 {
            return surprise;
        }
        let windows = age_days.clamp(0.1, 14.0) * 86_400.0 / f64::from(scale_seconds);
        #[allow(clippy::cast_precision_loss)] // at most six
        let share = count as f64 / windows.max(count as f64);
        surprise.min(-libm::log10(share))
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        let windows = self.day.raw().chain(self.slow.raw()).chain(self.large.raw());
        out.counts(windows.chain(self.unreadable.raw()));
        out.counts(self.thresholds.into_iter());
        self.open.write(out);
        out.counts([self.unknown.0, self.unknown.1, self.half_hour, self.last_second].into_iter());
        out.raw(&[self.known_types]);
        self.networks.write(out);
        self.countries.write(out);
        self.addresses.iter().for_each(|sketch| sketch.write(out));
        self.prefixes.iter().for_each(|sketch| sketch.write(out));
        for usual in [self.addresses_usual, self.prefixes_usual] {
            out.float(usual.mean);
            out.float(usual.excess);
            out.uint(u64::from(usual.windows));
        }
        out.float(self.slow_usual);
        out.float(self.large_usual);
        out.float(self.unreadable_usual);
        for peak in &self.peaks {
            out.uint(u64::from(peak.hour));
            out.raw(&[peak.surprise]);
        }
    }

    /// Reads what [`Warm::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut warm = Self::empty(0);
        warm.day = Panes::from_raw(input.counts(24)?.into_iter());
        warm.slow = Panes::from_raw(input.counts(10)?.into_iter());
        warm.large = Panes::from_raw(input.counts(10)?.into_iter());
        warm.unreadable = Panes::from_raw(input.counts(5)?.into_iter());
        warm.day_sum = warm.day.sum();
        for threshold in &mut warm.thresholds {
            *threshold = input.u32()?;
        }
        warm.open = Open::read(input)?;
        warm.unknown = (input.u32()?, input.u32()?);
        warm.half_hour = input.u32()?;
        warm.last_second = input.u32()?;
        warm.known_types = input.byte()?;
        warm.networks = Top::read(input)?;
        warm.countries = Top::read(input)?;
        warm.addresses = [Distinct::read(input)?, Distinct::read(input)?];
        warm.prefixes = [Distinct::read(input)?, Distinct::read(input)?];
        for usual in [&mut warm.addresses_usual, &mut warm.prefixes_usual] {
            usual.mean = input.float()?;
            usual.excess = input.float()?;
            usual.windows = input.u16()?;
        }
        warm.slow_usual = input.float()?;
        warm.large_usual = input.float()?;
        warm.unreadable_usual = input.float()?;
        for peak in &mut warm.peaks {
            *peak = Peak { hour: input.u32()?, surprise: input.byte()? };
        }
        Ok(warm)
    }
}

/// A country as an item of [`Top`]; 0 = unknown.
pub fn country_code(country: Country) -> u32 {
    u32::from(u16::from_be_bytes(country.0))
}

fn is_known(item: &Item, hour: u32, first_hour: u32) -> bool {
    item.since_hour + KNOWN_AFTER_HOURS <= hour || item.since_hour <= first_hour + KNOWN_AFTER_HOURS
}

const fn type_bit(kind: NetworkType) -> u8 {
    1 << kind as u8
}

fn note<const N: usize>(top: &mut Top<N>, what: u32, hour: u32, first_hour: u32, frozen: bool) {
    if what == 0 {
        return;
    }
    top.add(what, hour);
    if frozen
        && let Some(item) = top.items.iter_mut().find(|item| item.what == what)
        && item.since_hour + KNOWN_AFTER_HOURS > hour
        && item.since_hour > first_hour + KNOWN_AFTER_HOURS
    {
        item.since_hour = hour;
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
