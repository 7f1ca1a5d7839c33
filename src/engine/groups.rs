//! How tenants, and all keys together, are used: what tells a flash crowd from a stolen key.
//!
//! Partitions count for the groups of their keys; here the counts are summed, and compared with each group's own
//! profile. Group 0 is the whole fleet.
//!
//! Anybody can invent keys, and a stolen key must not excuse another: keys without a mature profile do not count, and
//! the others count up to a quota, a few times their own usual. A group whose use within the quotas is up twofold is one
//! of which about half the usual use is up. Then, and only then, how far the rise goes is taken from a wider quota.

use std::collections::HashMap;

use super::{
    group_counts::GroupCount,
    group_season::GroupSeason,
    seam::{Context, Partial},
};
use crate::{
    detect::{GroupUse, Scale},
    event::EventTime,
    profile::{CodecError, Reader, Writer, fold::SPAN, gaps::Gap, panes::Panes, season::FIVE},
};

/// Groups that are told apart; tenants beyond belong to the fleet alone.
pub const GROUPS_MAX: usize = 10_000;

#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    /// The hash of its tenant's name.
    tenant: u64,
    last_seen: u32,
    season: GroupSeason,
    /// Requests within the strict quotas, by the five minutes of the clock for which a quota is.
    strict: Panes<u32, 2, 300>,
    minute: Panes<u32, 12, 5>,
    five: Panes<u32, 10, 30>,
    hour: Panes<u32, 12, 300>,
    most: Most,
}

/// How a group was used when it was up most: in this half hour of the clock, and in the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Most([GroupUse; 2]);

impl Most {
    /// A request is looked at as long as its minute is open, and may be of the beginning of five.
    const SECONDS: u32 = (SPAN + FIVE).next_multiple_of(30) * 60;

    fn note(&mut self, now: GroupUse) {
        let [most, before] = &mut self.0;
        match (now.second / Self::SECONDS).saturating_sub(most.second / Self::SECONDS) {
            0 if now.strict_times() <= most.strict_times() => {}
            0 => *most = now,
            1 => (*before, *most) = (*most, now),
            _ => (*before, *most) = (GroupUse::default(), now),
        }
    }

    fn most(&self) -> GroupUse {
        let [most, before] = self.0;
        if before.strict_times() > most.strict_times() { before } else { most }
    }

    fn write(&self, out: &mut Writer) {
        for GroupUse { second, strict, observed, expected } in &self.0 {
            out.uint((*second).into());
            for value in std::iter::once(strict).chain(observed).chain(expected) {
                out.raw(&value.to_le_bytes());
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut most = Self::default();
        for GroupUse { second, strict, observed, expected } in &mut most.0 {
            *second = input.u32()?;
            for value in std::iter::once(strict).chain(observed).chain(expected) {
                *value = f64::from_le_bytes(input.array()?);
            }
        }
        Ok(most)
    }
}

impl Group {
    fn advance(&mut self, second: u32) {
        let from = self.last_seen;
        if second <= from {
            return;
        }
        if from > 0 {
            self.strict.advance(from, second);
            self.minute.advance(from, second);
            self.five.advance(from, second);
            self.hour.advance(from, second);
        }
        self.last_seen = second;
    }

    /// Counts what came since the last tick in the windows that end now.
    fn count(&mut self, second: u32, count: GroupCount) {
        self.strict.add(self.last_seen, second, count.strict);
        let n = if self.is_up() { count.wide } else { count.strict };
        self.minute.add(self.last_seen, second, n);
        self.five.add(self.last_seen, second, n);
        self.hour.add(self.last_seen, second, n);
    }

    fn expected(&self, scale: Scale) -> f64 {
        self.season.expected(self.last_seen, scale.seconds())
    }

    fn is_up(&self) -> bool {
        self.now().is_up()
    }

    fn now(&self) -> GroupUse {
        GroupUse {
            second: self.last_seen,
            strict: f64::from(self.strict.sum()),
            observed: [self.minute.sum(), self.five.sum(), self.hour.sum()].map(f64::from),
            expected: [Scale::Minute, Scale::FiveMinutes, Scale::Hour].map(|scale| self.expected(scale)),
        }
    }

    fn raw(&self) -> impl Iterator<Item = u32> {
        self.strict.raw().chain(self.minute.raw()).chain(self.five.raw()).chain(self.hour.raw())
    }
}

/// All groups, and how they are used.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    /// The five minutes up to which all have closed.
    closed_to: u32,
}

impl Groups {
    /// Gives the tenants with these hashes the numbers in which they stand. Who was there before keeps what is known.
    pub fn renumber(&mut self, tenants: &[u64]) {
        if self.groups.iter().map(|group| &group.tenant).eq(tenants) {
            return;
        }
        let before = std::mem::take(&mut self.groups);
        let mut before: HashMap<u64, Group> = before.into_iter().map(|group| (group.tenant, group)).collect();
        let new = |tenant| Group { tenant, ..Group::default() };
        let group = |&tenant| before.remove(&tenant).unwrap_or_else(|| new(tenant));
        self.groups = tenants.iter().map(group).collect();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Sums what the partitions counted.
    pub fn add(&mut self, partial: &Partial) {
        let second = second_of(partial.at);
        for (group, usual) in &partial.newcomers {
            if let Some(group) = self.groups.get_mut(usize::from(*group)) {
                group.season.announce(usual);
            }
        }
        // What has closed is neither learnt nor looked at: an input that is far behind is no rise.
        let counts = partial.counts.iter().filter(|(_, five, _)| *five >= self.closed_to);
        for (group, five, count) in counts {
            if let Some(group) = self.groups.get_mut(usize::from(*group)) {
                group.advance(second);
                group.count(second, *count);
                group.season.count(*five, *count);
            }
        }
    }

    /// Learns the five minutes that end before the first minute that is open, beside gaps in the logs.
    pub fn close(&mut self, open_from: u32, gaps: &[Gap]) {
        let to = open_from / FIVE;
        if to != self.closed_to {
            self.closed_to = to;
            self.groups.iter_mut().for_each(|group| group.season.close(to, gaps));
        }
    }

    /// How every group is used at `at`.
    pub fn context(&mut self, at: EventTime) -> Context {
        let second = second_of(at);
        let groups = self.groups.iter_mut().map(|group| {
            group.advance(second);
            let now = group.now();
            group.most.note(now);
            (now, group.most.most())
        });
        let (groups, most) = groups.unzip();
        Context { at, groups, most }
    }

    /// What is learnt of each and what is not closed, by tenant.
    #[cfg(test)]
    pub fn learnt(&self) -> std::collections::BTreeMap<u64, Writer> {
        let learnt = self.groups.iter().map(|group| {
            let mut out = Writer::default();
            group.season.write_learnt(&mut out);
            (group.tenant, out)
        });
        learnt.collect()
    }

    /// Appends every group's state.
    pub fn write(&self, out: &mut Writer) {
        out.uint(self.groups.len() as u64);
        for group in &self.groups {
            out.raw(&group.tenant.to_le_bytes());
            out.uint(group.last_seen.into());
            group.season.write(out);
            out.counts(group.raw());
            group.most.write(out);
        }
        out.uint(self.closed_to.into());
    }

    /// Reads what [`Groups::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let n = input.u32()?;
        let mut groups = Vec::new();
        for _ in 0..n {
            groups.push(Group {
                tenant: u64::from_le_bytes(input.array()?),
                last_seen: input.u32()?,
                season: GroupSeason::read(input)?,
                strict: Panes::from_raw(input.counts(2)?.into_iter()),
                minute: Panes::from_raw(input.counts(12)?.into_iter()),
                five: Panes::from_raw(input.counts(10)?.into_iter()),
                hour: Panes::from_raw(input.counts(12)?.into_iter()),
                most: Most::read(input)?,
            });
        }
        Ok(Self { groups, closed_to: input.u32()? })
    }
}

/// Seconds since the epoch, as profiles count.
pub fn second_of(time: EventTime) -> u32 {
    u32::try_from(time.0 / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
