//! A key's own tail: how often its closed windows went beyond what its season expects, and how far.
//!
//! No distribution with two parameters foretells the bursts of a few people or of a nightly job. So a surprise above
//! [`BEYOND`] is what the model says only for a key of which little is known; then what the key does decides. Windows
//! beyond come at a rate, and by how much they are beyond is exponential (peaks over a threshold: Coles, *An Introduction
//! to Statistical Modeling of Extreme Values*, 2001, chapter 4), both with a prior that is the model. The rate of the
//! exponential has a Gamma prior, so that the next excess is Lomax distributed: a heavy tail for a key of which little is
//! known, and the key's own in the end.
//!
//! Learnt from closed windows in the order of time ([`super::fold`]), never from an incident.

use std::f64::consts::LN_10;

use super::{
    codec::{CodecError, Reader, Writer},
    season::FIVE,
};

/// Seconds of the windows that have a tail of their own.
pub const LENGTHS: [u32; 3] = [60, 300, 3600];
/// A window is beyond if its surprise is this or more: one in a hundred, by the model.
const BEYOND: f64 = 2.0;
/// Windows of each length with fewer requests are not looked at: they are far from being a spike, and most of a sparse key's.
/// An hour of five to nine often goes beyond by far where an hour of the day was seen once or twice, with nothing in it, which
/// says nothing of a spike.
pub const LOOKED_AT: [u32; LENGTHS.len()] = [5, 5, 10];
/// Windows beyond that the prior of the rate is worth.
const RATE_PRIOR: f64 = 1.0;
/// Windows beyond that the prior of the excess is worth.
const EXCESS_PRIOR: f64 = 15.0;
/// What one window teaches at most, in units of surprise.
const EXCESS_MAX: f64 = 30.0;
/// Parts of a unit of surprise in which excess is summed.
const PARTS: f64 = 8.0;
/// After so many hours, four weeks, half of all is forgotten.
const HOURS_MAX: u16 = 672;

/// How a key's windows went beyond what was expected. 20 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnTail {
    /// Hours that were learnt.
    hours: u16,
    /// Windows beyond, of each length.
    beyond: [u16; LENGTHS.len()],
    /// How far they were beyond, together, in [`PARTS`].
    excess: [u16; LENGTHS.len()],
    /// The key's level at the beginning of these five minutes, and the three before, as [`packed`].
    levels: [i8; 4],
    /// Their number, of which the lower half is enough.
    five: u16,
}

impl OwnTail {
    /// How surprising a window is of which the model says this; never more than that.
    pub fn surprise(&self, length: usize, by_model: f64) -> f64 {
        let (Some(beyond), Some(excess)) = (self.beyond.get(length), self.excess.get(length)) else {
            return by_model;
        };
        if by_model < BEYOND {
            return by_model;
        }
        let windows = f64::from(self.hours) * 3600.0 / f64::from(LENGTHS[length]);
        let (beyond, excess) = (f64::from(*beyond), f64::from(*excess) / PARTS);
        let rate = (beyond + RATE_PRIOR) / (windows + RATE_PRIOR * libm::exp10(BEYOND));
        // By the model, excess is 1/ln 10 on average.
        let scale = excess + (EXCESS_PRIOR - 1.0) / LN_10;
        let further = (beyond + EXCESS_PRIOR) * libm::log10(1.0 + (by_model - BEYOND) / scale);
        (further - libm::log10(rate.min(1.0))).min(by_model)
    }

    /// A window has closed with a surprise of this, by the model.
    pub(super) fn note(&mut self, length: usize, by_model: f64) {
        if by_model < BEYOND {
            return;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to 240
        let parts = ((by_model - BEYOND).min(EXCESS_MAX) * PARTS).round() as u16;
        if self.beyond[length] == u16::MAX || self.excess[length] > u16::MAX - parts {
            self.forget_half();
        }
        self.beyond[length] += 1;
        self.excess[length] += parts;
    }

    /// An hour has closed that was learnt.
    pub(super) fn note_hour(&mut self) {
        if self.hours >= HOURS_MAX {
            self.forget_half();
        }
        self.hours += 1;
    }

    fn forget_half(&mut self) {
        self.hours /= 2;
        self.beyond.iter_mut().chain(&mut self.excess).for_each(|sum| *sum /= 2);
    }

    /// The key's level at a minute with requests, which may be the first in its five.
    #[allow(clippy::cast_possible_truncation)] // the lower half is meant
    pub(super) fn note_level(&mut self, minute: u32, level: f32) {
        let five = (minute / FIVE) as u16;
        for _ in 0..five.wrapping_sub(self.five).min(4) {
            self.levels.rotate_right(1);
            self.levels[0] = packed(level);
        }
        self.five = five;
    }

    /// The level of a quarter of an hour before the end of a minute: by this one a window is judged when it is new.
    pub(super) fn level_before(&self, minute: u32) -> f32 {
        unpacked(self.levels[if minute % FIVE < 2 { 3 } else { 2 }])
    }

    /// Appends the fields.
    pub(super) fn write(&self, out: &mut Writer) {
        out.counts([self.hours, self.five].into_iter().chain(self.beyond).chain(self.excess).map(u32::from));
        out.raw(&self.levels.map(i8::cast_unsigned));
    }

    /// Reads what [`OwnTail::write`] wrote.
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut own = Self { hours: input.u16()?, five: input.u16()?, ..Self::default() };
        for sum in own.beyond.iter_mut().chain(&mut own.excess) {
            *sum = input.u16()?;
        }
        own.levels = input.array::<4>()?.map(u8::cast_signed);
        Ok(own)
    }
}

/// A level from 0.2 to 5 as a logarithm in 50ths of an octave; 0 is 1.
#[allow(clippy::cast_possible_truncation)] // within a byte
fn packed(level: f32) -> i8 {
    (libm::log2f(level) * 50.0).round().clamp(-127.0, 127.0) as i8
}

fn unpacked(level: i8) -> f32 {
    libm::exp2f(f32::from(level) / 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many hours, with a surprise of this in every so manyth.
    fn after(hours: u32, each: u32, by_model: f64) -> OwnTail {
        let mut own = OwnTail::default();
        for hour in 1..=hours {
            own.note_hour();
            if hour % each == 0 {
                own.note(2, by_model);
            }
        }
        own
    }

    fn check(own: &OwnTail, by_model: f64, expected: f64) {
        let surprise = own.surprise(2, by_model);
        assert!((surprise - expected).abs() < 0.05, "{surprise} for {by_model} of {own:?}");
    }

    #[test]
    fn a_key_of_which_nothing_is_known_has_the_models_tail_and_little_trust_in_it() {
        check(&OwnTail::default(), 1.9, 1.9);
        check(&OwnTail::default(), 4.0, 3.85);
        check(&OwnTail::default(), 8.0, 6.47);
        let of_a_day = OwnTail::default().surprise(3, 8.0);
        assert!((of_a_day - 8.0).abs() < 1e-9, "a day has none: {of_a_day}");
    }

    #[test]
    fn what_a_key_does_now_and_then_is_no_surprise() {
        check(&after(240, 48, 8.0), 8.0, 3.09);
        check(&after(240, 24, 8.0), 8.0, 2.43);
        check(&after(240, 48, 8.0), 30.0, 6.74);
    }

    #[test]
    fn four_weeks_are_remembered() {
        let mut own = after(672, 12, 8.0);
        for _ in 0..5_000 {
            own.note_hour();
        }
        check(&own, 8.0, 7.3);
        assert!(own.beyond[2] < 2 && own.hours <= HOURS_MAX, "{own:?}");
    }

    #[test]
    fn a_longer_way_beyond_is_never_less_surprising_nor_more_than_the_model_says() {
        for own in [OwnTail::default(), after(240, 1, 3.0), after(672, 7, 40.0), after(30, 10, 2.5)] {
            let mut before = 0.0;
            for tenth in 0..3_000 {
                let by_model = f64::from(tenth) / 10.0;
                let surprise = own.surprise(2, by_model);
                // At the threshold the rate takes the model's place.
                let least = if (by_model - BEYOND).abs() < 1e-9 { 0.0 } else { before };
                assert!(surprise >= least && surprise <= by_model, "{surprise} for {by_model} of {own:?}");
                before = surprise;
            }
        }
    }

    #[test]
    fn no_number_of_windows_is_too_many() {
        let mut own = OwnTail::default();
        for _ in 0..1_000_000 {
            own.note(0, 300.0);
            own.note_hour();
        }
        assert!(own.beyond[0] > 100 && own.surprise(0, 300.0) < 20.0, "{own:?}");
    }

    #[test]
    fn a_window_is_looked_at_with_the_level_of_a_quarter_of_an_hour_before() {
        let mut own = OwnTail::default();
        for (five, level) in (0..).zip([1.0, 2.0, 3.0, 4.0]) {
            own.note_level(1_000 + five * FIVE, level);
        }
        let near = |own: &OwnTail, minute, level: f32| {
            assert!((own.level_before(minute) - level).abs() < 0.03, "{own:?}");
        };
        near(&own, 1_015, 1.0);
        near(&own, 1_019, 2.0);
        own.note_level(1_016, 5.0);
        near(&own, 1_015, 1.0);
        own.note_level(1_200, 0.2);
        assert!(own.levels.iter().all(|level| (unpacked(*level) - 0.2).abs() < 0.01));
    }
}
