//! What every key has: its windows, its season, its refusals. At most 352 bytes, held by an assert.

use super::{
    codec::{CodecError, Reader, Writer},
    fold::{Open, SPAN, UNMARKED},
    gaps::Known,
    panes::Panes,
    season::{Expected, Season},
    warm::Warm,
};
use crate::event::{KeyId, KeyKind};

/// No index.
pub const NONE: u32 = u32::MAX;
/// A key's tenant has not been looked up since the reference data changed.
pub const UNRESOLVED: u16 = u16::MAX;
/// How far a profile must be trusted for its key to count as evidence about others, and for steps.
pub const MATURE: f64 = 0.5;
/// With fewer requests a profile is trusted less, however old it is: see [`Hot::maturity`].
pub(super) const MATURE_AFTER: u32 = 30;
/// A key counts in its groups up to this many times its own usual.
const GROUP_QUOTA: f32 = 3.0;
/// A key that counts in its groups joins them hour by hour in its first day.
pub(super) const JOIN_HOURS: u8 = 24;
/// Beside those hours: a counting rule may have a counter for the key.
const COUNTED: u8 = 1 << 7;
/// Beside a quota: the key has not joined its groups in that hour.
const JOINS: u8 = 1 << 7;
/// Parts of a request that a sum of what is usual is made of: in whatever order they are added, it is the same.
pub const SIXTEENTHS: f32 = 16.0;
/// A window with fewer requests than this is never called a spike.
pub const CALLABLE: u32 = 20;

/// The profile that every key has. Times are seconds of event time since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hot {
    pub key: KeyId,
    /// Whether it changed, which checkpoint is to have that, and whether any has the key: the table's to know.
    pub change: u8,
    /// An incident is open on the key: nothing is learnt.
    pub frozen: bool,
    /// In how many hours the key still joins its groups; [`COUNTED`] beside it.
    pub(super) joins: u8,
    /// Index of the tenant's group in the engine, 0 = none known, or [`UNRESOLVED`].
    pub group: u16,
    /// Requests that count in the key's groups in each pane of `hour`, in hours of an even number and of an odd one: a few times
    /// the usual of the hour of the day, at least 1, as [`packed_quota`]; with [`JOINS`] until the key has joined its groups in
    /// that hour. 0 = the profile is not mature, and none counts.
    pub group_quotas: [u8; 2],
    /// The earliest second of all requests that were not late.
    pub first_seen: u32,
    /// The newest second counted; late events do not move it back.
    pub last_seen: u32,
    /// The first minute that is open: those before are learnt.
    pub(super) open_from: u32,
    /// How many minutes before it the season was moved last.
    pub(super) since_mark: u8,
    /// Full hours that the season was moved to since the last minute with requests.
    pub(super) silent_hours: u8,
    /// What is not closed of a key without a warm part, which has fewer requests than this can count.
    pub(super) open: Open<u8, u8>,
    /// Requests ever counted, saturating.
    pub total: u32,
    /// The epoch of the last decision.
    pub epoch: u64,
    pub season: Season,
    pub minute: Panes<u16, 12, 5>,
    pub five: Panes<u32, 10, 30>,
    pub hour: Panes<u32, 12, 300>,
    /// Sums over `minute`, `five` and `hour`.
    pub sums: [u32; 3],
    /// 401 and 403 that were not ours, over 5 min.
    pub refused: Panes<u16, 10, 30>,
    /// The usual share of refused requests.
    pub refused_usual: f32,
    /// Index of the warm part, or [`NONE`].
    pub warm: u32,
}

const _: () = assert!(size_of::<Hot>() <= 352, "the hot part of a key is over its budget");

impl Hot {
    /// A key that is seen for the first time at `second`.
    pub fn new(key: KeyId, second: u32) -> Self {
        Self {
            key,
            change: 0,
            frozen: false,
            joins: 0,
            group: UNRESOLVED,
            group_quotas: [0; 2],
            first_seen: second,
            last_seen: second,
            open_from: (second / 60 + 1).saturating_sub(SPAN),
            since_mark: UNMARKED,
            silent_hours: 0,
            open: Open::default(),
            total: 0,
            epoch: 0,
            season: Season::default(),
            minute: Panes::default(),
            five: Panes::default(),
            hour: Panes::default(),
            sums: [0; 3],
            refused: Panes::default(),
            refused_usual: 0.01,
            warm: NONE,
        }
    }

    /// Moves time on to `second` if it is newer, and learns from the minutes that close where the logs are known so far. Says
    /// whether the minute of `second` is open: if not, the request is late.
    pub fn advance(&mut self, second: u32, known: Known<'_>, warm: Option<&mut Warm>) -> bool {
        let from = self.last_seen;
        if second / 60 != from / 60 && !self.turn_minute(second, known, warm) {
            return false;
        }
        if second <= from {
            self.first_seen = self.first_seen.min(second);
            return true;
        }
        self.last_seen = second;
        if second / 5 == from / 5 {
            return true;
        }
        self.sums[0] -= self.minute.advance(from, second).min(self.sums[0]);
        if second / 30 != from / 30 {
            self.sums[1] -= self.five.advance(from, second).min(self.sums[1]);
            self.refused.advance(from, second);
            if second / 300 != from / 300 {
                self.sums[2] -= self.hour.advance(from, second).min(self.sums[2]);
            }
        }
        true
    }

    /// Requests that count in the key's groups in five minutes of the clock, at this second.
    pub fn group_quota(&self, second: u32) -> u32 {
        let packed = u32::from(self.group_quotas[(second / 3600 % 2) as usize] & !JOINS);
        let doublings = (packed / 8).saturating_sub(1);
        (packed - doublings * 8) << doublings
    }

    /// Whether the key has counted in its groups.
    pub const fn is_in_groups(&self) -> bool {
        self.group_quotas[0] > 0 || self.group_quotas[1] > 0
    }

    /// The quota of an hour, once all is learnt until an hour before it, where so many requests had come. So it does not depend
    /// on the order of records. Of the hours of the day alone: the level would follow an attack.
    pub(super) fn renew_group_quota(&mut self, hour: u32, total: u32) {
        let age_days = f64::from(((hour - 1) * 3600).saturating_sub(self.first_seen)) / 86_400.0;
        let is_mature = self.season.is_known() && maturity(age_days, total) >= MATURE;
        if is_mature && !self.is_in_groups() {
            self.joins |= JOIN_HOURS;
        }
        let usual = self.season.usual_hour(hour.saturating_mul(3600), self.first_seen) / 12.0;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
        let quota = (GROUP_QUOTA * usual).ceil().clamp(1.0, 65_535.0) as u32;
        let quota = if is_mature { packed_quota(quota) } else { 0 };
        let joins = if self.joins & !COUNTED > 0 { JOINS } else { 0 };
        self.group_quotas[(hour % 2) as usize] = quota | joins;
        self.pass_join_hours(1);
    }

    /// So many hours pass in which the key might have joined its groups.
    pub(super) fn pass_join_hours(&mut self, hours: u32) {
        let left = u32::from(self.joins & !COUNTED).saturating_sub(hours);
        #[allow(clippy::cast_possible_truncation)] // at most [`JOIN_HOURS`]
        {
            self.joins = self.joins & COUNTED | left as u8;
        }
    }

    /// What is usual in the hour of the first request that counts in the key's groups there, in its first day in them: the
    /// groups expect it from then on. In sixteenths of a request.
    pub fn join_groups(&mut self, second: u32) -> Option<u32> {
        let quota = &mut self.group_quotas[(second / 3600 % 2) as usize];
        if *quota & JOINS == 0 {
            return None;
        }
        *quota &= !JOINS;
        let begins = second / 3600 * 3600;
        let is_seen = self.season.knows(second / 3600);
        let usual = if is_seen { self.season.usual_hour(begins, self.first_seen) } else { 0.0 };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // not negative, and cut by the cast
        Some((usual * SIXTEENTHS).round() as u32)
    }

    /// Whether a counting rule may have a counter for it.
    pub const fn may_be_counted(&self) -> bool {
        self.joins & COUNTED != 0
    }

    /// A counting rule may have a counter for it, or has none.
    pub const fn set_counted(&mut self, counted: bool) {
        self.joins = self.joins & !COUNTED | if counted { COUNTED } else { 0 };
    }

    /// The most in two neighbouring panes of the five minutes.
    pub fn most_in_a_minute(&self) -> u32 {
        let pane = |n: u32| self.five.at(self.last_seen.saturating_sub(30 * n));
        (0..9).map(|n| pane(n).saturating_add(pane(n + 1))).max().unwrap_or(0)
    }

    /// Counts a request of `second` (which may be late) in each window that still holds it, and in its minute if that
    /// `is_open`.
    pub fn count(&mut self, second: u32, is_open: bool, warm: Option<&mut Warm>) {
        let now = self.last_seen;
        self.sums[0] += self.minute.add(now, second, 1);
        self.sums[1] += self.five.add(now, second, 1);
        self.sums[2] += self.hour.add(now, second, 1);
        if is_open {
            match warm {
                Some(warm) => warm.open.served.add(now, second, 1),
                None => self.open.served.add(now, second, 1),
            };
        }
        self.total = self.total.saturating_add(1);
    }

    /// Counts a refusal of `second` that was not ours.
    pub fn count_refusal(&mut self, second: u32, is_open: bool, warm: Option<&mut Warm>) {
        let now = self.last_seen;
        self.refused.add(now, second, 1);
        if is_open {
            match warm {
                Some(warm) => warm.open.refused.add(now, second, 1),
                None => self.open.refused.add(now, second, 1),
            };
        }
    }

    /// What is expected of a window of `length` seconds that ends now.
    pub fn expect(&self, length: u32) -> Expected {
        // Nothing is made of it in a longer window.
        let level = if length < 3600 { self.level() } else { 1.0 };
        self.expect_at(length, level, 1.0)
    }

    /// [`Hot::expect`] at another level than that of the minutes that have closed, and with the rise of the key's group:
    /// `others` as in [`Season::expect`].
    pub fn expect_at(&self, length: u32, level: f32, others: f64) -> Expected {
        let expected = self.season.expect(self.last_seen, length, self.first_seen, level, others);
        if self.season.knows_any() {
            return expected;
        }
        // As long as no hour has closed, all that there is to go by is how often it was used so far.
        let hours = f64::from(self.last_seen - self.first_seen) / 3600.0;
        let hourly = f64::from(self.total.saturating_add(1)) / (hours.max(0.25) + 0.25);
        Expected { mean: hourly * f64::from(length) / 3600.0, ..expected }
    }

    /// An incident has ended: what exceeded the usual leaves the windows of an hour and a day with it. Else the day would
    /// open another for the same requests, and again each hour.
    pub fn forget_excess(&mut self, warm: Option<&mut Warm>) {
        let (season, since) = (self.season, self.first_seen);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // not negative, and cut by the cast
        let usual = |second: u32, panes: f32| (season.usual_hour(second, since) / panes).ceil() as u32;
        self.sums[2] = self.hour.cut(self.last_seen, |second| usual(second, 12.0));
        if let Some(warm) = warm {
            warm.day_sum = warm.day.cut(warm.last_second, |second| usual(second, 1.0));
            warm.thresholds = [CALLABLE; 4];
        }
    }

    /// What the key has done since its incident began is its use from now on, as far as the highest counts go: the season
    /// learns it at its own pace.
    pub fn accept_use(&mut self, warm: &mut Warm) {
        let minute = self.season.highest.of_incident().max(self.sums[0]);
        let hour = warm.day.raw().fold(self.sums[2], u32::max);
        let five = minute.saturating_mul(5).min(hour).max(self.sums[1]);
        self.season.highest.accept([minute, five, hour, warm.day_sum]);
        warm.accept_spread();
    }

    /// How long the key has been known, in days.
    pub fn age_days(&self) -> f64 {
        f64::from(self.last_seen - self.first_seen) / 86_400.0
    }

    /// How far the profile may be trusted, from 0 to 1: days known (half at two days) and requests seen.
    pub fn maturity(&self) -> f64 {
        maturity(self.age_days(), self.total)
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        out.raw(&[self.key.kind as u8, u8::from(self.frozen)]);
        out.raw(&self.key.hash);
        out.counts([self.first_seen, self.last_seen, self.total].into_iter());
        out.raw(&self.group_quotas);
        out.raw(&[self.joins & !COUNTED]);
        out.uint(self.epoch);
        out.uint(self.open_from.into());
        out.raw(&[self.since_mark, self.silent_hours]);
        self.open.write(out);
        self.season.write(out);
        out.counts(self.minute.raw().chain(self.five.raw()).chain(self.hour.raw()).chain(self.refused.raw()));
        out.float(self.refused_usual);
    }

    /// Reads what [`Hot::write`] wrote. The sums follow from the panes.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let kind = match input.byte()? {
            1 => KeyKind::Raw,
            2 => KeyKind::Credential,
            _ => return Err(CodecError::Impossible(1)),
        };
        let frozen = input.byte()? == 1;
        let mut hot = Self::new(KeyId { kind, hash: input.array()? }, 0);
        hot.frozen = frozen;
        // Whether there is one is found out at the next request.
        hot.set_counted(true);
        hot.first_seen = input.u32()?;
        hot.last_seen = input.u32()?;
        if hot.last_seen < hot.first_seen {
            return Err(CodecError::Impossible(0));
        }
        hot.total = input.u32()?;
        hot.group_quotas = input.array()?;
        hot.joins |= input.byte()?.min(JOIN_HOURS);
        if hot.group_quotas.iter().any(|quota| quota & !JOINS > packed_quota(u32::MAX)) {
            return Err(CodecError::Impossible(0));
        }
        hot.epoch = input.uint()?;
        hot.open_from = input.u32()?;
        hot.since_mark = input.byte()?;
        hot.silent_hours = input.byte()?;
        if hot.since_mark != UNMARKED && u32::from(hot.since_mark) > hot.open_from {
            return Err(CodecError::Impossible(0));
        }
        hot.open = Open::read(input)?;
        hot.season = Season::read(input)?;
        hot.minute = Panes::from_raw(input.counts(12)?.into_iter());
        hot.five = Panes::from_raw(input.counts(10)?.into_iter());
        hot.hour = Panes::from_raw(input.counts(12)?.into_iter());
        hot.refused = Panes::from_raw(input.counts(10)?.into_iter());
        hot.sums = [hot.minute.sum(), hot.five.sum(), hot.hour.sum()];
        hot.refused_usual = input.float()?;
        Ok(hot)
    }
}

/// A quota in a byte: exact up to 15, and an eighth more at most. Above, three bits after the first, and how often they are
/// doubled.
#[allow(clippy::cast_possible_truncation)] // 112 at most
const fn packed_quota(quota: u32) -> u8 {
    let quota = if quota < 65_535 { quota } else { 65_535 };
    if quota < 16 {
        return quota as u8;
    }
    let doublings = quota.ilog2() - 3;
    (doublings * 8 + quota.div_ceil(1 << doublings)) as u8
}

/// See [`Hot::maturity`].
fn maturity(age_days: f64, total: u32) -> f64 {
    let total = f64::from(total);
    (1.0 - libm::exp(-age_days / 2.9)) * total / (total + f64::from(MATURE_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_in_a_byte_is_no_smaller_and_hardly_larger() {
        let mut hot = Hot::new(KeyId { kind: KeyKind::Raw, hash: [1; 16] }, 0);
        for quota in (0..2_000).chain([4_095, 4_096, 4_097, 65_535, 1_000_000]) {
            hot.group_quotas = [packed_quota(quota), 0];
            let read = hot.group_quota(0);
            let quota = quota.min(65_535);
            assert!(read >= quota && read <= quota + quota / 8, "{quota}: {read}");
            assert_eq!(hot.group_quota(3600), 0);
        }
    }
}
