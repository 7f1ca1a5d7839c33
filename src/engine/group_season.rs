//! What is usual for a group: learnt from five minutes of the clock that have closed, in the order of time.
//!
//! Each key counts up to its quota for five minutes ([`Hot::group_quota`](crate::profile::Hot::group_quota)), so that what a
//! group counts in five minutes does not depend on which of a key's requests came first. Five minutes close when all of their
//! minutes have ([`LogMinutes`](crate::profile::LogMinutes)). As with a key, the season moves to fixed marks only: five minutes
//! with requests, full hours, and where a gap in the logs begins or ends.
//!
//! When a key's profile becomes mature, its requests begin to count in its groups. In each hour of its first day there, what it
//! usually does in that hour is added to what is learnt: else a second key of a tenant would be a rise to twice its use. Until
//! then it is expected beside that.

use std::collections::BTreeMap;

use super::group_counts::GroupCount;
use crate::{
    detect::crowd,
    profile::{
        CodecError, Reader, Season, Writer,
        gaps::Gap,
        key::SIXTEENTHS,
        season::{FIVE, SILENT_HOURS_MAX},
    },
};

/// Five minutes of an hour.
const FIVES: u32 = 12;

/// What is usual for a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupSeason {
    season: Season,
    /// The second in which the first five minutes with requests began; 0 = none have closed.
    since: u32,
    /// The five minutes to which the season was moved last.
    mark: u32,
    /// Hours that it was moved to since the last request.
    silent_hours: u32,
    /// What is not closed, by five minutes.
    open: BTreeMap<u32, GroupCount>,
    /// What keys that have joined usually do, in sixteenths of a request, by the hour, which is not closed.
    joined: BTreeMap<u32, u32>,
    /// What is expected of newcomers by hour of the day and not added yet.
    newcomers: [f32; 24],
}

impl GroupSeason {
    /// Counts requests of five minutes that are open.
    pub fn count(&mut self, five: u32, count: GroupCount) {
        self.open.entry(five).or_default().add(GroupCount { joined: 0, ..count });
        if count.joined > 0 {
            // Which of a key's requests was the first in the hour depends on the order: the hour does not.
            let joined = self.joined.entry(five / FIVES).or_default();
            *joined = joined.saturating_add(count.joined);
        }
    }

    /// Keys whose profile has become mature usually do so much, by hour of the day.
    pub fn announce(&mut self, usual: &[f32; 24]) {
        self.newcomers.iter_mut().zip(usual).for_each(|(sum, usual)| *sum += usual);
    }

    /// Requests that are usual in so many seconds, at most an hour, that end at `now`. The level would follow a crowd: the
    /// hours of the day alone are what is usual.
    pub fn expected(&self, now: u32, seconds: u32) -> f64 {
        self.season.usual_with(&self.newcomers, now, seconds, self.since)
    }

    /// Learns the five minutes before `to`, where `gaps` are those of the logs.
    pub fn close(&mut self, to: u32, gaps: &[Gap]) {
        while let Some((five, count)) = self.open.first_key_value().map(|(five, count)| (*five, *count))
            && five < to
        {
            self.open.pop_first();
            if self.since == 0 {
                (self.since, self.mark) = (five * FIVE * 60, five);
            }
            self.pass(five, gaps);
            // Requests for a gap, or that come late, teach nothing.
            if self.mark <= five && unknown(five, gaps).is_none_or(|(from, _)| five < from) {
                self.move_to(five, false);
                self.learn(count);
            }
        }
        if self.since > 0 {
            self.pass(to, gaps);
            // Of hours that were passed over at once, and what came late.
            self.joined = self.joined.split_off(&(self.mark / FIVES));
        }
    }

    /// While most of the group is up, its keys count as far as their wide quotas go. Newcomers make no difference: when they
    /// became known depends on the order of records.
    fn learn(&mut self, count: GroupCount) {
        let end = (self.mark + 1) * FIVE * 60;
        let expected = self.season.expect_if_known(end, FIVE * 60, self.since, 1.0, 1.0).mean;
        let is_up = crowd::is_up(f64::from(count.strict), expected);
        self.season.count_many(if is_up { count.wide } else { count.strict });
        self.silent_hours = 0;
    }

    /// Moves the season to the last full hour before `to`, and over gaps.
    fn pass(&mut self, to: u32, gaps: &[Gap]) {
        while self.mark < to {
            let gap = unknown(self.mark, gaps).filter(|(from, _)| *from < to);
            let known_to = gap.map_or(to, |(from, _)| from.max(self.mark));
            self.pass_hours(known_to);
            let Some((_, until)) = gap else { return };
            self.move_to(known_to, false);
            let until = until.min(to);
            if until <= self.mark {
                return;
            }
            self.move_to(until, true);
        }
    }

    fn pass_hours(&mut self, to: u32) {
        while self.mark / FIVES < to / FIVES {
            if self.silent_hours >= SILENT_HOURS_MAX {
                self.season.forget_day();
                self.mark = to / FIVES * FIVES;
                return;
            }
            self.move_to((self.mark / FIVES + 1) * FIVES, false);
            self.silent_hours += 1;
        }
    }

    /// Moves the season on. Before an hour is learnt, those who have joined in it are added.
    fn move_to(&mut self, five: u32, is_unknown: bool) {
        if five <= self.mark {
            return;
        }
        let hour = self.mark / FIVES;
        if five / FIVES > hour && !is_unknown {
            self.close_newcomers(hour);
        }
        self.season.advance(self.mark * FIVE * 60, five * FIVE * 60, self.since, is_unknown);
        self.mark = five;
    }

    /// Of what newcomers usually do in an hour and did not in their first day, half is forgotten each day.
    fn close_newcomers(&mut self, hour: u32) {
        let left = &mut self.newcomers[(hour % 24) as usize];
        #[allow(clippy::cast_precision_loss)] // what is usual in an hour
        let joined = self.joined.remove(&hour).unwrap_or(0) as f32 / SIXTEENTHS;
        *left = (*left - joined).max(0.0) * 0.5;
        if joined > 0.0 {
            self.season.join(hour, joined);
        }
    }

    /// Appends the state.
    pub fn write(&self, out: &mut Writer) {
        self.write_learnt(out);
        self.newcomers.iter().for_each(|usual| out.float(*usual));
    }

    /// What is learnt and what is not closed. Newcomers come when they come.
    pub(super) fn write_learnt(&self, out: &mut Writer) {
        out.counts([self.since, self.mark, self.silent_hours].into_iter());
        self.season.write(out);
        out.uint(self.open.len() as u64);
        for (five, GroupCount { strict, wide, .. }) in &self.open {
            out.counts([*five, *strict, *wide].into_iter());
        }
        out.uint(self.joined.len() as u64);
        self.joined.iter().for_each(|(hour, joined)| out.counts([*hour, *joined].into_iter()));
    }

    /// Reads what [`GroupSeason::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut read = Self { since: input.u32()?, mark: input.u32()?, ..Self::default() };
        read.silent_hours = input.u32()?;
        read.season = Season::read(input)?;
        for _ in 0..input.uint()? {
            let five = input.u32()?;
            let count = GroupCount { strict: input.u32()?, wide: input.u32()?, joined: 0 };
            read.open.insert(five, count);
        }
        for _ in 0..input.uint()? {
            read.joined.insert(input.u32()?, input.u32()?);
        }
        for usual in &mut read.newcomers {
            *usual = input.float()?;
        }
        Ok(read)
    }
}

/// The first five minutes, and those behind the last, of the first gap that has any from these on. Five minutes that had closed
/// when the gap was told are known.
fn unknown(five: u32, gaps: &[Gap]) -> Option<(u32, u32)> {
    let mut spans = gaps.iter().map(|gap| (gap.told / FIVE, gap.until.div_ceil(FIVE)));
    spans.find(|(from, until)| *until > five && from < until)
}

#[cfg(test)]
#[path = "group_season_tests.rs"]
mod tests;
