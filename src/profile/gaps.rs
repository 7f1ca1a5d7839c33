//! Gaps in the logs: minutes of which nothing is known, since next to nothing came of any key where a lot was usual.
//!
//! A gateway that stops logging, a pipeline that stands still and a topic that was emptied look like silence of every key.
//! What is not known must not be learnt. So the requests of all keys together are counted by minute, close by the same rule as
//! those of a key ([`super::fold`]), and teach a season of their own. Minutes that are silent against it are a gap, if that
//! goes on for [`LEAST`] minutes and is less likely than one in 10^[`SURPRISE`].
//!
//! A gap is known before any key closes its last minute: all keys' newest request is never older than one key's, and neither
//! is what has closed. It is told from silence late, though, when some of its minutes are closed already. So it begins with
//! its first minute, or with the half hour that is not over yet: what ended before was learnt as silence.
//!
//! An hour that was silent a week before is no gap: fleets that rest on Sundays have nothing to be learnt otherwise.

use super::{
    codec::{CodecError, Reader, Writer},
    fold::{SPAN, first_open},
    panes::Panes,
    season::Season,
};

/// Minutes of silence that may be a gap.
const LEAST: u32 = 10;
/// −log10 of the probability of a silence that is one.
const SURPRISE: f64 = 8.0;
/// A minute with less than this part of what is usual is silent. Not only one with nothing: a probe may go on.
const PART: f64 = 1.0 / 50.0;
/// A minute teaches up to this many times what is usual, and some requests more: else whoever floods a gateway with requests
/// for a day would make all that comes after it silence.
const TIMES_MAX: f64 = 4.0;
const MORE_MAX: f64 = 2.0;
/// Gaps that are kept, the newest. A key that comes back after more learns the others as silence.
const GAPS_MAX: usize = 1_000;
/// After so many silent minutes nothing more is learnt of silence.
const SILENT_MAX: u32 = 8 * 1440;
const WEEK: usize = 168;

/// Minutes of which nothing is known, from one until before another. Those before `told` were known as silence first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    pub from: u32,
    pub told: u32,
    pub until: u32,
    /// Requests that were usual in these minutes.
    pub usual: f32,
    /// Requests of these minutes that came late.
    pub late: u32,
}

/// How far the logs are known: the second to which event time has come, and the gaps before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    pub watermark: u32,
    pub gaps: &'a [Gap],
}

impl Known<'_> {
    /// Without gaps.
    pub const fn at(watermark: u32) -> Self {
        Self { watermark, gaps: &[] }
    }

    /// The first gap of which a minute is this one or later.
    pub(super) fn gap_at(&self, minute: u32) -> Option<&Gap> {
        self.gaps.get(self.gaps.partition_point(|gap| gap.until <= minute))
    }

    /// Whether a gap has any of so many minutes, from this one on.
    pub(super) fn has_gap(&self, minute: u32, minutes: u32) -> bool {
        self.gap_at(minute).is_some_and(|gap| gap.from < minute + minutes)
    }
}

/// Silent minutes at the end of those that have closed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Silence {
    from: u32,
    minutes: u32,
    requests: u32,
    usual: f32,
}

/// Requests of all keys by minute, and the gaps that they have.
#[derive(Clone, Debug)]
pub struct LogMinutes {
    first_seen: u32,
    /// Where the newest minute of all requests begins; 0 before the first.
    newest: u32,
    /// The first minute that is open.
    open_from: u32,
    open: Panes<u32, { SPAN as usize }, 60>,
    season: Season,
    silence: Silence,
    /// Silent minutes in a row, whether or not they are usual.
    in_a_row: u32,
    /// By hour of the week: whether it had [`LEAST`] silent minutes in a row when it was last.
    was_silent: [bool; WEEK],
    is_silent: bool,
    gaps: Vec<Gap>,
    /// How many were found since this was made, those too that were none.
    found: u64,
}

impl Default for LogMinutes {
    fn default() -> Self {
        Self {
            first_seen: 0,
            newest: 0,
            open_from: 0,
            open: Panes::default(),
            season: Season::default(),
            silence: Silence::default(),
            in_a_row: 0,
            was_silent: [false; WEEK],
            is_silent: false,
            gaps: Vec::new(),
            found: 0,
        }
    }
}

impl LogMinutes {
    /// Counts a request of any key, before its key does. Says whether the gaps have changed.
    #[inline]
    pub fn count(&mut self, second: u32, watermark: impl FnOnce() -> u32) -> bool {
        let is_changed = second / 60 != self.newest / 60 && self.turn_minute(second, watermark());
        if second / 60 >= self.open_from {
            self.open.add(self.newest, second, 1);
            self.first_seen = self.first_seen.min(second);
        }
        is_changed
    }

    #[cold]
    fn turn_minute(&mut self, second: u32, watermark: u32) -> bool {
        if self.newest == 0 {
            (self.first_seen, self.newest) = (second, second / 60 * 60);
            self.open_from = (second / 60 + 1).saturating_sub(SPAN);
            return false;
        }
        if second <= self.newest {
            return second / 60 < self.open_from && self.note_late(second / 60);
        }
        // Before the ring moves on, since it holds what closes now.
        let is_changed = self.close(first_open(watermark, second));
        self.open.advance(self.newest, second);
        self.newest = second / 60 * 60;
        is_changed
    }

    /// Closes the minutes that can be closed, where event time has come to `watermark`. Says whether the gaps have changed.
    pub fn pass(&mut self, watermark: u32) -> bool {
        self.newest > 0 && self.close(first_open(watermark, self.newest))
    }

    /// A request came for a minute that is closed. Where many come for those of a gap, it is none: a clock was ahead, or an
    /// input is read later than the others.
    fn note_late(&mut self, minute: u32) -> bool {
        let at = self.gaps.partition_point(|gap| gap.until <= minute);
        let Some(gap) = self.gaps.get_mut(at).filter(|gap| gap.from <= minute) else { return false };
        gap.late += 1;
        if f64::from(gap.late) <= PART * f64::from(gap.usual) {
            return false;
        }
        self.gaps.remove(at);
        self.silence = Silence::default();
        true
    }

    /// Closes the minutes before `to`.
    fn close(&mut self, to: u32) -> bool {
        let (before, last) = (self.gaps.len(), self.gaps.last().map(|gap| gap.until));
        while self.open_from < to {
            let minute = self.open_from;
            if minute > self.newest / 60 && self.in_a_row >= SILENT_MAX {
                // A clock may be years ahead or behind. What comes next is learnt as if it were the first.
                (self.open_from, self.first_seen) = (to, u32::MAX);
                break;
            }
            let n = if minute > self.newest / 60 { 0 } else { self.open.at(minute * 60) };
            self.close_minute(minute, n);
            self.open_from += 1;
        }
        self.gaps.drain(..self.gaps.len().saturating_sub(GAPS_MAX));
        (before, last) != (self.gaps.len(), self.gaps.last().map(|gap| gap.until))
    }

    fn close_minute(&mut self, minute: u32, n: u32) {
        if minute < self.first_seen / 60 {
            return;
        }
        let (hour, end) = (minute / 60, (minute + 1) * 60);
        // What is between two hours of the day is not known for a fleet that stops at eight sharp: the lower one counts.
        let of_hour = f64::from(self.season.usual_hour(minute * 60, self.first_seen)) / 60.0;
        let usual = self.season.expect_if_known(end, 60, self.first_seen, 1.0, 1.0).mean.min(of_hour);
        if f64::from(n) > PART * usual {
            (self.in_a_row, self.silence) = (0, Silence::default());
        } else {
            self.in_a_row += 1;
            self.is_silent |= self.in_a_row.min(minute % 60 + 1) >= LEAST;
            self.note_silent(minute, n, usual);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // not negative, and cut by the cast
        let most = (TIMES_MAX * usual + MORE_MAX) as u32;
        self.season.count_many(if self.season.knows(hour) { n.min(most) } else { n });
        self.season.advance(minute * 60, end, self.first_seen, false);
        if minute % 60 == 59 {
            self.was_silent[hour as usize % WEEK] = std::mem::take(&mut self.is_silent);
        }
    }

    /// A silent minute has closed.
    fn note_silent(&mut self, minute: u32, n: u32, usual: f64) {
        let hour = minute / 60;
        if self.was_silent[hour as usize % WEEK] || !self.season.knows(hour) {
            self.silence = Silence::default();
            return;
        }
        let silence = &mut self.silence;
        if silence.minutes == 0 {
            silence.from = minute;
        }
        silence.minutes += 1;
        silence.requests = silence.requests.saturating_add(n);
        #[allow(clippy::cast_possible_truncation)] // what a fleet does in days
        {
            silence.usual += usual as f32;
        }
        if silence.minutes < LEAST {
            return;
        }
        let silence = *silence;
        if let Some(gap) = self.gaps.last_mut().filter(|gap| gap.until == minute) {
            (gap.until, gap.usual) = (minute + 1, silence.usual);
            return;
        }
        let seconds = (silence.minutes * 60).min(3600);
        let dispersion = self.season.expect((minute + 1) * 60, seconds, self.first_seen, 1.0, 1.0).dispersion;
        if rarity(silence.requests, silence.usual.into(), dispersion) >= SURPRISE {
            // No key has closed this minute yet.
            let (told, until) = (minute, minute + 1);
            let from = silence.from.max(told / 30 * 30);
            self.gaps.push(Gap { from, told, until, usual: silence.usual, late: 0 });
            self.found += 1;
        }
    }

    /// The first minute that is open.
    pub const fn open_from(&self) -> u32 {
        self.open_from
    }

    /// The newest gaps, the oldest first.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// How many gaps were found, those too that were none.
    pub const fn found(&self) -> u64 {
        self.found
    }

    /// Appends the state.
    pub fn write(&self, out: &mut Writer) {
        out.counts([self.first_seen, self.newest, self.open_from].into_iter());
        out.counts(self.open.raw());
        self.season.write(out);
        let Silence { from, minutes, requests, usual } = self.silence;
        out.counts([from, minutes, requests, self.in_a_row].into_iter());
        out.float(usual);
        out.raw(&self.was_silent.map(u8::from));
        out.raw(&[u8::from(self.is_silent)]);
        out.uint(self.gaps.len() as u64);
        for Gap { from, told, until, usual, late } in &self.gaps {
            out.counts([*from, *told, *until, *late].into_iter());
            out.float(*usual);
        }
    }

    /// Reads what [`LogMinutes::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut read = Self {
            first_seen: input.u32()?,
            newest: input.u32()?,
            open_from: input.u32()?,
            open: Panes::from_raw(input.counts(SPAN as usize)?.into_iter()),
            season: Season::read(input)?,
            ..Self::default()
        };
        read.silence.from = input.u32()?;
        read.silence.minutes = input.u32()?;
        read.silence.requests = input.u32()?;
        read.in_a_row = input.u32()?;
        read.silence.usual = input.float()?;
        read.was_silent = input.array::<WEEK>()?.map(|silent| silent == 1);
        read.is_silent = input.byte()? == 1;
        for _ in 0..input.uint()? {
            let [from, told, until, late] = [input.u32()?, input.u32()?, input.u32()?, input.u32()?];
            read.gaps.push(Gap { from, told, until, usual: input.float()?, late });
        }
        Ok(read)
    }
}

/// −log10 of a bound on the probability of so few requests, where the count is negative binomial: Chernoff's, of which the
/// exponent is n·ln(n/μ) − (n + 1/k)·ln((1 + k·n)/(1 + k·μ)) for n < μ, with mean μ and dispersion k.
fn rarity(n: u32, mean: f64, dispersion: f64) -> f64 {
    let n = f64::from(n);
    if n >= mean {
        return 0.0;
    }
    let counted = if n > 0.0 { n * libm::log(n / mean) } else { 0.0 };
    let ratio = (1.0 + dispersion * n) / (1.0 + dispersion * mean);
    (counted - (n + 1.0 / dispersion) * libm::log(ratio)) / std::f64::consts::LN_10
}

#[cfg(test)]
#[path = "gaps_tests.rs"]
mod tests;
