//! Learning from closed minutes: what is learnt does not depend on the order in which records come.
//!
//! A key's minutes stay open for [`LATENESS`], so that records which come late find theirs. Then they close, in the order
//! of time, and are folded into the season. Whatever comes for a closed minute is late, and is not learnt.
//!
//! Minutes close when somebody looks: with the key's next request, mostly. When that is must not matter, and a silence that
//! is taken in two parts gives other floating-point numbers than one taken whole. So the season moves to fixed marks only:
//! minutes with requests, full hours, and where something unknown begins or ends.
//!
//! While an incident is open, minutes are unknown, together with those that were open when it began: they are neither learnt
//! nor taken for silence. So are those of a gap in the logs ([`super::gaps`]).

use super::{
    codec::{CodecError, Reader, Writer},
    gaps::Known,
    key::{Hot, JOIN_HOURS, MATURE_AFTER},
    own_tail::{LENGTHS, LOOKED_AT, OwnTail},
    panes::{Count, Panes},
    season::{Expected, FIVE, SILENT_HOURS_MAX},
    tail::surprise,
    warm::{WARM_AFTER, Warm},
};

/// How long a minute stays open after its end, in seconds of the watermark.
pub const LATENESS: u32 = 15 * 60;
/// Minutes that are kept open at most, the newest included. A watermark that stands still stops no learning: what is older
/// than this closes.
pub const SPAN: u32 = 24;
/// The season has no mark yet.
pub(super) const UNMARKED: u8 = u8::MAX;

/// Requests by minute, and refusals by five minutes, of what is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<C, R> {
    pub served: Panes<C, { SPAN as usize }, 60>,
    pub refused: Panes<R, 6, 300>,
}

impl<C: Count, R: Count> Default for Open<C, R> {
    fn default() -> Self {
        Self { served: Panes::default(), refused: Panes::default() }
    }
}

impl<C: Count, R: Count> Open<C, R> {
    /// Moves time on, both in seconds.
    fn advance(&mut self, from: u32, to: u32) {
        self.served.advance(from, to);
        self.refused.advance(from, to);
    }

    /// The same counts, with more room for each.
    pub(super) fn widened<D: Count, S: Count>(&self) -> Open<D, S> {
        Open { served: Panes::from_raw(self.served.raw()), refused: Panes::from_raw(self.refused.raw()) }
    }

    /// Appends the counts.
    pub(super) fn write(&self, out: &mut Writer) {
        out.counts(self.served.raw().chain(self.refused.raw()));
    }

    /// Reads what [`Open::write`] wrote.
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let served = Panes::from_raw(input.counts(SPAN as usize)?.into_iter());
        Ok(Self { served, refused: Panes::from_raw(input.counts(6)?.into_iter()) })
    }
}

/// The first minute that is open, where event time has come to `watermark` and the key's newest request is of `newest`, both
/// in seconds. A key whose history lies behind the watermark learns by its own clock.
pub(super) fn first_open(watermark: u32, newest: u32) -> u32 {
    let waited_for = watermark.min(newest).saturating_sub(LATENESS) / 60;
    waited_for.max((newest / 60 + 1).saturating_sub(SPAN))
}

/// The tail of its own that a key learns, from an hour on.
struct TailLearner<'a> {
    from_hour: u32,
    own: &'a mut OwnTail,
}

impl Hot {
    /// The first minute that is open.
    pub const fn open_from(&self) -> u32 {
        self.open_from
    }

    /// The minute to which the season was moved last.
    fn mark(&self) -> Option<u32> {
        (self.since_mark != UNMARKED).then(|| self.open_from - u32::from(self.since_mark))
    }

    /// The level that the season has come to where minutes begin to be open.
    pub fn level(&self) -> f32 {
        let from = self.mark().unwrap_or(self.open_from);
        self.season.level_at(from * 60, self.open_from * 60, self.first_seen)
    }

    /// The level that it would have come to if all minutes before the watermark were closed: as far as is known now.
    pub fn level_now(&self, warm: Option<&Warm>, known: Known<'_>) -> f32 {
        let mut ahead = *self;
        let mut none = TailLearner { from_hour: u32::MAX, own: &mut OwnTail::default() };
        ahead.fold_counts(known.watermark.min(self.last_seen) / 60, known, warm, &mut none);
        ahead.level()
    }

    /// Requests of a minute that is open.
    pub fn served_in(&self, minute: u32, warm: Option<&Warm>) -> u32 {
        warm.map_or_else(|| self.open.served.at(minute * 60), |warm| warm.open.served.at(minute * 60))
    }

    /// Moves time on from one minute to another. Says whether the minute of `second` is open.
    pub(super) fn turn_minute(&mut self, second: u32, known: Known<'_>, mut warm: Option<&mut Warm>) -> bool {
        let from = self.last_seen;
        self.fold(first_open(known.watermark, second.max(from)), known, warm.as_deref_mut());
        if second < from {
            return second / 60 >= self.open_from;
        }
        if let Some(warm) = &mut warm {
            warm.open.advance(from, second);
        } else {
            self.open.advance(from, second);
        }
        true
    }

    /// Closes the minutes that can be closed.
    pub fn close_minutes(&mut self, known: Known<'_>, warm: Option<&mut Warm>) {
        self.fold(first_open(known.watermark, self.last_seen), known, warm);
    }

    /// An incident opens on the key, or the one that was open ends at `second`: what is open at its beginning, and all until
    /// its end, stays unknown. Where minutes of the last one are open yet, what lies between the two is unknown too.
    pub fn set_frozen(&mut self, frozen: bool, known: Known<'_>, second: u32, warm: &mut Warm) {
        if self.frozen == frozen {
            return;
        }
        self.frozen = frozen;
        self.close_minutes(known, Some(&mut *warm));
        if frozen {
            self.season.highest.begin_incident();
        }
        let (from, until) = warm.unknown;
        warm.unknown = if frozen {
            (if until >= self.open_from { from.min(self.open_from) } else { self.open_from }, u32::MAX)
        } else {
            (from, (second / 60 + 1).max(self.open_from))
        };
    }

    /// Closes the minutes before `to`.
    fn fold(&mut self, to: u32, known: Known<'_>, mut warm: Option<&mut Warm>) {
        let from = self.open_from;
        if to <= from {
            return;
        }
        if let Some(warm) = warm.as_deref_mut().filter(|warm| warm.learns_from == u32::MAX) {
            warm.learns_from = self.learns_from(from, to, warm);
        }
        let (from_hour, mut own) =
            warm.as_deref().map_or((u32::MAX, OwnTail::default()), |warm| (warm.learns_from, warm.own_tail));
        let mut tail = TailLearner { from_hour, own: &mut own };
        // Each hour's quota is made an hour before. Those of two hours are kept; the first of all must not be missed.
        let (next, last) = (from / 60 + 1, to / 60);
        let first = if self.is_in_groups() {
            next.max(last.saturating_sub(1))
        } else if self.total < MATURE_AFTER {
            last + 1
        } else {
            // Who becomes mature in a silence of more than a day has joined, or would have.
            next.max(last.saturating_sub(u32::from(JOIN_HOURS) + 2))
        };
        if self.is_in_groups() {
            self.pass_join_hours(first - next);
        }
        for hour in first..=last {
            self.fold_counts(hour * 60, known, warm.as_deref(), &mut tail);
            let newest = self.last_seen / 60;
            let open: u32 = (hour * 60..=newest).map(|minute| self.served_in(minute, warm.as_deref())).sum();
            self.renew_group_quota(hour + 1, self.total.saturating_sub(open));
        }
        self.fold_counts(to, known, warm.as_deref(), &mut tail);
        if let Some(warm) = warm {
            warm.own_tail = own;
            warm.close((from, to), known, self.first_seen / 3600);
        }
    }

    /// Learns what was counted in the minutes before `to`, and passes over those of which nothing is known.
    fn fold_counts(&mut self, to: u32, known: Known<'_>, warm: Option<&Warm>, tail: &mut TailLearner<'_>) {
        let incident = warm.map_or((0, 0), |warm| warm.unknown);
        let mut mark = self.mark();
        let mut at = self.open_from;
        while at < to {
            let gap = known.gap_at(at);
            let next;
            if incident.0 <= at && at < incident.1 {
                next = incident.1.min(to);
                for minute in at..next.min(self.last_seen / 60 + 1) {
                    self.season.highest.note_incident(self.served_in(minute, warm));
                }
                self.silent_hours = 0;
                self.pass_unknown(at, next, &mut mark);
            } else if let Some(gap) = gap.filter(|gap| gap.told <= at) {
                next = gap.until.min(to);
                if let Some(since) = mark {
                    self.pass_unknown(gap.from.max(since).min(next), next, &mut mark);
                }
            } else {
                let begins = |minute: u32| if minute > at { minute } else { to };
                next = begins(incident.0).min(gap.map_or(to, |gap| gap.told)).min(to);
                self.learn((at, next), &mut mark, warm, tail);
            }
            at = next;
        }
        self.open_from = self.open_from.max(to);
        // A full hour is a mark, so that the last one is less than an hour ago.
        self.since_mark =
            mark.map_or(UNMARKED, |mark| u8::try_from(self.open_from - mark).unwrap_or(UNMARKED));
    }

    /// Learns the minutes from one to before another.
    fn learn(
        &mut self,
        (from, to): (u32, u32),
        mark: &mut Option<u32>,
        warm: Option<&Warm>,
        tail: &mut TailLearner<'_>,
    ) {
        let newest = self.last_seen / 60;
        // Until the five minutes end that hold the newest request: afterwards there is nothing in any.
        for minute in from..to.min((newest / FIVE + 1) * FIVE) {
            let n = if minute > newest { 0 } else { self.served_in(minute, warm) };
            if n > 0 {
                self.pass_hours(minute, mark, tail);
                if let Some(mark) = mark {
                    self.season.advance(*mark * 60, minute * 60, self.first_seen, false);
                }
                if minute / 60 + 1 >= tail.from_hour {
                    tail.own.note_level(minute, self.season.level());
                }
                *mark = Some(minute);
                self.season.count_many(n);
                self.silent_hours = 0;
                self.note_window(0, n, minute, tail);
            }
            if (minute + 1).is_multiple_of(FIVE) && mark.is_some_and(|mark| mark / FIVE == minute / FIVE) {
                self.learn_refusals(minute, warm);
                if let Some(n) = self.season.five_count() {
                    self.note_window(1, n, minute, tail);
                }
            }
        }
        self.pass_hours(to, mark, tail);
    }

    /// A window has closed with so many requests, whose last minute is `minute`.
    fn note_window(&self, length: usize, n: u32, minute: u32, tail: &mut TailLearner<'_>) {
        if n < LOOKED_AT[length] || minute / 60 < tail.from_hour {
            return;
        }
        let level = tail.own.level_before(minute);
        let (end, seconds) = ((minute + 1) * 60, LENGTHS[length]);
        if self.season.expect_if_known(end, seconds, self.first_seen, level, 1.0).may_be_beyond(n) {
            let Expected { mean, dispersion } = self.season.expect(end, seconds, self.first_seen, level, 1.0);
            tail.own.note(length, surprise(n, mean, dispersion));
        }
    }

    /// The first hour of which the warm part learns, if the minute that has the fiftieth request closes: two hours later, since
    /// by then all were counted in the warm part, whatever the order in which they came.
    #[cold]
    fn learns_from(&self, from: u32, to: u32, warm: &Warm) -> u32 {
        let newest = self.last_seen / 60;
        let served = |minute: u32| warm.open.served.at(minute * 60);
        let open: u32 = (from..=newest).map(served).sum();
        let mut closed = self.total.saturating_sub(open);
        for minute in from..to.min(newest + 1) {
            closed += served(minute);
            if closed >= WARM_AFTER {
                return minute / 60 + 2;
            }
        }
        u32::MAX
    }

    /// Moves the season to each full hour up to the hour of `minute`.
    fn pass_hours(&mut self, minute: u32, mark: &mut Option<u32>, tail: &mut TailLearner<'_>) {
        let Some(mark) = mark else { return };
        while *mark / 60 < minute / 60 {
            if u32::from(self.silent_hours) >= SILENT_HOURS_MAX {
                self.season.forget_day();
                *mark = minute / 60 * 60;
                return;
            }
            let next = (*mark / 60 + 1) * 60;
            if *mark / 60 >= tail.from_hour
                && let Some(n) = self.season.hour_count()
            {
                tail.own.note_hour();
                self.note_window(2, n, next - 1, tail);
            }
            self.season.advance(*mark * 60, next * 60, self.first_seen, false);
            *mark = next;
            self.silent_hours += 1;
        }
    }

    /// Passes over minutes of which nothing is known. It does not matter in how many parts.
    #[cold]
    fn pass_unknown(&mut self, from: u32, to: u32, mark: &mut Option<u32>) {
        if let Some(mark) = mark {
            self.season.advance(*mark * 60, from * 60, self.first_seen, false);
            self.season.advance(from * 60, to * 60, self.first_seen, true);
        }
        *mark = Some(to);
    }

    /// The usual share follows that of the five minutes that end with `minute`, if there was enough in them.
    fn learn_refusals(&mut self, minute: u32, warm: Option<&Warm>) {
        let Some(served) = self.season.five_count().filter(|served| *served >= 5) else { return };
        let refused =
            warm.map_or_else(|| self.open.refused.at(minute * 60), |warm| warm.open.refused.at(minute * 60));
        #[allow(clippy::cast_precision_loss)] // counts of five minutes
        let share = (refused as f32 / served as f32).min(4.0 * self.refused_usual + 0.02);
        self.refused_usual += 0.01 * (share - self.refused_usual);
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
