//! What every key has: its windows, its season, its refusals. At most 352 bytes, held by an assert.

use super::{
    codec::{CodecError, Reader, Writer},
    fold::{Open, SPAN, UNMARKED},
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
/// A key counts in its groups up to this many times its own usual.
const GROUP_QUOTA: f32 = 3.0;
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
    /// A counting rule may have a counter for it.
    pub counted: bool,
    /// Index of the tenant's group in the engine, 0 = none known, or [`UNRESOLVED`].
    pub group: u16,
    /// Requests that count in the key's groups in each pane of `hour`: a few times the usual of this hour of the day, at
    /// least 1. 0 = the profile is not mature, and none counts.
    pub group_quota: u16,
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
            counted: false,
            group: UNRESOLVED,
            group_quota: 0,
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

    /// Moves time on to `second` if it is newer, and learns from the minutes that close when event time has come to
    /// `watermark`, in seconds. Says whether the minute of `second` is open: if not, the request is late.
    pub fn advance(&mut self, second: u32, watermark: u32, warm: Option<&mut Warm>) -> bool {
        let from = self.last_seen;
        if second / 60 != from / 60 && !self.turn_minute(second, watermark, warm) {
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
                if second / 3600 != from / 3600 {
                    self.renew_group_quota();
                }
            }
        }
        true
    }

    /// Of the hours of the day alone: the level would follow an attack.
    #[cold]
    fn renew_group_quota(&mut self) {
        if self.season.is_known() && self.maturity() >= MATURE {
            let usual = self.season.usual_hour(self.last_seen, self.first_seen) / 12.0;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
            {
                self.group_quota = (GROUP_QUOTA * usual).ceil().clamp(1.0, 65_535.0) as u16;
            }
        }
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
        let total = f64::from(self.total);
        (1.0 - libm::exp(-self.age_days() / 2.9)) * total / (total + 30.0)
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        out.raw(&[self.key.kind as u8, u8::from(self.frozen)]);
        out.raw(&self.key.hash);
        out.counts([self.first_seen, self.last_seen, self.total, self.group_quota.into()].into_iter());
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
        hot.counted = true;
        hot.first_seen = input.u32()?;
        hot.last_seen = input.u32()?;
        if hot.last_seen < hot.first_seen {
            return Err(CodecError::Impossible(0));
        }
        hot.total = input.u32()?;
        hot.group_quota = input.u16()?;
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
