//! How tenants, and all keys together, are used: what tells a flash crowd from a stolen key.
//!
//! Partitions count for the groups of their keys; here the counts are summed, and compared with each group's own
//! profile. Group 0 is the whole fleet.

use super::seam::{Context, Partial};
use crate::{
    detect::{GroupUse, Scale},
    event::EventTime,
    profile::{CodecError, Reader, Season, Writer, panes::Panes},
};

/// Groups that are told apart; tenants beyond belong to the fleet alone.
pub const GROUPS_MAX: usize = 10_000;

#[derive(Clone, Debug, Default, PartialEq)]
struct Group {
    first_seen: u32,
    last_seen: u32,
    season: Season,
    minute: Panes<u32, 12, 5>,
    five: Panes<u32, 10, 30>,
    hour: Panes<u32, 12, 300>,
}

impl Group {
    fn advance(&mut self, second: u32) {
        let from = self.last_seen;
        if second <= from {
            return;
        }
        if from == 0 {
            self.first_seen = second;
        } else {
            self.season.advance(from, second, self.first_seen, false);
            self.minute.advance(from, second);
            self.five.advance(from, second);
            self.hour.advance(from, second);
        }
        self.last_seen = second;
    }

    fn count(&mut self, second: u32, n: u32) {
        self.minute.add(self.last_seen, second, n);
        self.five.add(self.last_seen, second, n);
        self.hour.add(self.last_seen, second, n);
        self.season.count_many(n);
    }

    fn now(&self) -> GroupUse {
        let expected = |scale: Scale| {
            // The level would follow a crowd; the profile alone is what is usual.
            let e = self.season.expect(self.last_seen, scale.seconds(), self.first_seen, 1.0);
            e.mean / if scale < Scale::Hour { f64::from(self.season.level()) } else { 1.0 }
        };
        GroupUse {
            observed: [self.minute.sum(), self.five.sum(), self.hour.sum()].map(f64::from),
            expected: [Scale::Minute, Scale::FiveMinutes, Scale::Hour].map(expected),
        }
    }
}

/// All groups, and how they are used.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
}

impl Groups {
    /// Makes room for `n` groups; a changed catalogue renumbers them, so that all but the fleet start anew.
    pub fn resize(&mut self, n: usize) {
        self.groups.truncate(1);
        self.groups.resize_with(n.clamp(1, GROUPS_MAX), Group::default);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Sums what the partitions counted.
    pub fn add(&mut self, partial: &Partial) {
        let second = second_of(partial.at);
        for (group, n) in &partial.counts {
            if let Some(group) = self.groups.get_mut(usize::from(*group)) {
                group.advance(second);
                group.count(second, *n);
            }
        }
    }

    /// How every group is used at `at`.
    pub fn context(&mut self, at: EventTime) -> Context {
        let second = second_of(at);
        let groups = self.groups.iter_mut().map(|group| {
            group.advance(second);
            group.now()
        });
        Context { at, groups: groups.collect() }
    }

    /// Appends every group's state.
    pub fn write(&self, out: &mut Writer) {
        out.uint(self.groups.len() as u64);
        for group in &self.groups {
            out.counts([group.first_seen, group.last_seen].into_iter());
            group.season.write(out);
            out.counts(group.minute.raw().chain(group.five.raw()).chain(group.hour.raw()));
        }
    }

    /// Reads what [`Groups::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let n = input.u32()?;
        let mut groups = Vec::new();
        for _ in 0..n {
            groups.push(Group {
                first_seen: input.u32()?,
                last_seen: input.u32()?,
                season: Season::read(input)?,
                minute: Panes::from_raw(input.counts(12)?.into_iter()),
                five: Panes::from_raw(input.counts(10)?.into_iter()),
                hour: Panes::from_raw(input.counts(12)?.into_iter()),
            });
        }
        Ok(Self { groups })
    }
}

/// Seconds since the epoch, as profiles count.
pub fn second_of(time: EventTime) -> u32 {
    u32::try_from(time.0 / 1000).unwrap_or(u32::MAX)
}
