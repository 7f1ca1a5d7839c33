//! What a key has once it has been seen fifty times: its day, its places, how widely it is spread, what it costs.
//!
//! Half hours and hours are learnt when all of their minutes have closed ([`super::fold`]), and not at all if one of them is
//! unknown. The first that is learnt is two hours after the fiftieth request: which were the first fifty to come must not
//! matter.

use super::{
    codec::{CodecError, Reader, Writer},
    fold::Open,
    gaps::Known,
    half_hours::{HalfHours, Usual},
    key::{CALLABLE, Hot},
    own_tail::OwnTail,
    panes::Panes,
    places::{Item, Places},
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

/// The rest of a key's profile. At most 836 bytes.
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
    /// The first hour that is learnt; `u32::MAX` while fifty requests have not closed.
    pub(super) learns_from: u32,
    pub networks: Places<6, 3>,
    pub countries: Places<4, 2>,
    /// Kinds of network that the key is known from, a bit each, and those that it was seen in, in networks that are known, in
    /// the hours that are open.
    known_types: u8,
    open_types: [u8; 2],
    /// What is counted by half hour.
    pub half_hours: HalfHours,
    pub usual: Usual,
    /// Requests slower, and larger, than the route's 99th percentile, over 5 min.
    pub slow: Panes<u16, 10, 30>,
    pub large: Panes<u16, 10, 30>,
    /// Records that are cut or cannot be read, over 5 min.
    pub unreadable: Panes<u16, 5, 60>,
    pub peaks: [Peak; 6],
    pub own_tail: OwnTail,
    /// Second of the newest event seen by this part.
    pub last_second: u32,
}

const _: () = assert!(size_of::<Warm>() <= 836, "the warm part of a key is over its budget");

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
            learns_from: u32::MAX,
            networks: Places::default(),
            countries: Places::default(),
            known_types: 0,
            open_types: [0; 2],
            half_hours: HalfHours::default(),
            usual: Usual::default(),
            slow: Panes::default(),
            large: Panes::default(),
            unreadable: Panes::default(),
            peaks: [Peak::default(); 6],
            own_tail: OwnTail::default(),
            last_second: second,
        }
    }

    /// Moves time on to `second` if it is newer.
    pub fn advance(&mut self, second: u32) {
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
        self.slow.advance(from, second);
        self.large.advance(from, second);
        self.unreadable.advance(from, second);
        if second / 3600 != from / 3600 {
            self.day_sum -= self.day.advance(from, second).min(self.day_sum);
            self.thresholds[3] = CALLABLE;
        }
    }

    /// Counts a request of `second`, which may be late, served by the upstream.
    pub fn count(&mut self, second: u32) {
        self.day_sum += self.day.add(self.last_second, second, 1);
    }

    /// Learns from the hours and half hours whose minutes have all closed, from one minute to before another. `first_hour` is
    /// that of the key's first request.
    pub(super) fn close(&mut self, (from, to): (u32, u32), known: Known<'_>, first_hour: u32) {
        // What is open lies within two half hours and two hours.
        let first = from / 30;
        for half_hour in (first..to / 30).take(2) {
            let is_learnt = self.is_learnt(half_hour * 30, 30, known);
            self.half_hours.close(half_hour, is_learnt.then_some(&mut self.usual));
        }
        if to / 30 > first + 2 {
            self.half_hours.forget(first + 1);
        }
        for hour in (from / 60..to / 60).take(2) {
            let types = std::mem::take(&mut self.open_types[hour as usize % 2]);
            if self.is_learnt(hour * 60, 60, known) {
                self.known_types |= types;
                let is_first_day = hour <= first_hour + KNOWN_AFTER_HOURS;
                self.networks.close_hour(hour, is_first_day);
                self.countries.close_hour(hour, is_first_day);
            } else {
                self.networks.forget_hour(hour, |item| is_known(Some(item), hour, first_hour));
                self.countries.forget_hour(hour, |item| is_known(Some(item), hour, first_hour));
            }
        }
    }

    /// Whether minutes are learnt: so many from this one on.
    fn is_learnt(&self, minute: u32, minutes: u32, known: Known<'_>) -> bool {
        let (from, until) = self.unknown;
        let is_known = (minute + minutes <= from || until <= minute) && !known.has_gap(minute, minutes);
        minute / 60 >= self.learns_from && is_known
    }

    /// Notes whether a record of `second` could be read whole.
    pub fn note_readable(&mut self, second: u32, is_unreadable: bool, is_open: bool) {
        if is_unreadable {
            self.unreadable.add(self.last_second, second, 1);
        }
        if is_open {
            self.half_hours.note_readable(second, is_unreadable);
        }
    }

    /// Notes where a request of `second` came from, whose minute is open. `first_hour` is that of the key's first request.
    pub fn note_place(&mut self, event: &Event<'_>, second: u32, first_hour: u32) {
        self.half_hours.note_address(second, event.address.hash, event.address.prefix);
        let hour = second / 3600;
        self.networks.count(event.place.asn, hour);
        self.countries.count(country_code(event.place.country), hour);
        // Whether the hour before, which may have brought the network, has closed must not matter.
        let is_at_home = |item: &Item| item.since_hour + 2 <= hour && is_known(Some(item), hour, first_hour);
        let is_first_day = event.place.asn != 0 && hour <= first_hour + KNOWN_AFTER_HOURS;
        if is_first_day || self.networks.get(event.place.asn).is_some_and(is_at_home) {
            self.open_types[hour as usize % 2] |= type_bit(event.place.network_type);
        }
    }

    /// Whether the network has been in the profile for a day, or since the key's first day.
    pub fn network_known(&self, asn: u32, hour: u32, first_hour: u32) -> bool {
        is_known(self.networks.get(asn), hour, first_hour)
    }

    /// Whether the country has been in the profile for a day, or since the key's first day.
    pub fn country_known(&self, country: Country, hour: u32, first_hour: u32) -> bool {
        is_known(self.countries.get(country_code(country)), hour, first_hour)
    }

    /// Whether the key was ever at home in this kind of network.
    pub fn type_known(&self, kind: NetworkType) -> bool {
        self.known_types & type_bit(kind) != 0
    }

    /// About how many different addresses in the last 30 to 60 min.
    pub fn address_count(&self) -> f64 {
        self.half_hours.address_count(self.last_second / 1800)
    }

    /// About how many different /24 or /48 in the last 30 to 60 min.
    pub fn prefix_count(&self) -> f64 {
        self.half_hours.prefix_count(self.last_second / 1800)
    }

    /// So many addresses, and /24 or /48, as there are now are usual from now on.
    pub(super) fn accept_spread(&mut self) {
        self.usual.addresses.accept(self.address_count());
        self.usual.prefixes.accept(self.prefix_count());
    }

    /// Remembers a spike that ended without evidence of a stranger, in place of the oldest.
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
        out.counts([self.unknown.0, self.unknown.1, self.learns_from, self.last_second].into_iter());
        out.raw(&[self.known_types, self.open_types[0], self.open_types[1]]);
        self.networks.write(out);
        self.countries.write(out);
        self.half_hours.write(out);
        self.usual.write(out);
        for peak in &self.peaks {
            out.uint(u64::from(peak.hour));
            out.raw(&[peak.surprise]);
        }
        self.own_tail.write(out);
    }

    /// What is learnt and what is not closed: what does not depend on the order of records.
    #[cfg(test)]
    pub fn write_learnt(&self, open_from: u32, out: &mut Writer) {
        let mut learnt = *self;
        for hour in (open_from / 60..=open_from / 60 + 1).filter(|hour| *hour < self.learns_from) {
            learnt.networks.forget_hour(hour, |_| true);
            learnt.countries.forget_hour(hour, |_| true);
            learnt.open_types[hour as usize % 2] = 0;
        }
        let first = open_from / 30;
        for half_hour in (first..=first + 1).filter(|half_hour| half_hour / 2 < self.learns_from) {
            learnt.half_hours.close(half_hour, None);
            learnt.half_hours.forget(half_hour);
        }
        // A kind that is known already may have been seen before or after the network gave way.
        learnt.open_types = learnt.open_types.map(|types| types & !learnt.known_types);
        learnt.networks.sort_newcomers();
        learnt.countries.sort_newcomers();
        // Windows hold what came since the key has this part.
        learnt.day = Panes::default();
        (learnt.slow, learnt.large, learnt.unreadable) = Default::default();
        learnt.thresholds = [0; 4];
        learnt.write(out);
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
        warm.learns_from = input.u32()?;
        warm.last_second = input.u32()?;
        warm.known_types = input.byte()?;
        warm.open_types = input.array()?;
        warm.networks = Places::read(input)?;
        warm.countries = Places::read(input)?;
        warm.half_hours = HalfHours::read(input)?;
        warm.usual = Usual::read(input)?;
        for peak in &mut warm.peaks {
            *peak = Peak { hour: input.u32()?, surprise: input.byte()? };
        }
        warm.own_tail = OwnTail::read(input)?;
        Ok(warm)
    }
}

/// A country as a place of [`Places`]; 0 = unknown.
pub fn country_code(country: Country) -> u32 {
    u32::from(u16::from_be_bytes(country.0))
}

/// A place that is not kept yet is as good as seen first in this hour.
fn is_known(item: Option<&Item>, hour: u32, first_hour: u32) -> bool {
    let since_hour = item.map_or(hour, |item| item.since_hour);
    since_hour + KNOWN_AFTER_HOURS <= hour || since_hour <= first_hour + KNOWN_AFTER_HOURS
}

const fn type_bit(kind: NetworkType) -> u8 {
    1 << kind as u8
}
