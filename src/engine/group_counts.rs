//! What a partition has counted for the groups of its keys since the last tick.
//!
//! By the five minutes of the clock in which the requests were made, so that what is learnt of groups does not depend on when
//! they are read. Nearly all are of the newest five minutes: those are counted by number, the others in a map.

use std::collections::BTreeMap;

use super::tenants::Tenants;
use crate::profile::{CodecError, Reader, Writer};

/// Requests of mature keys in a group. A few keys that do far more than ever are not a rise of the group, so that each
/// key counts up to a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCount {
    /// Each key within its quota.
    pub strict: u32,
    /// Each key up to ten times its quota: how far a rise of most keys goes.
    pub wide: u32,
    /// What keys that have joined usually do in this hour, in sixteenths of a request.
    pub joined: u32,
}

impl GroupCount {
    /// Adds another count.
    pub const fn add(&mut self, other: Self) {
        self.strict = self.strict.saturating_add(other.strict);
        self.wide = self.wide.saturating_add(other.wide);
        self.joined = self.joined.saturating_add(other.joined);
    }
}

/// Older five minutes than so many are not counted: they have closed.
const OPEN: u32 = 6;

/// Counts by group and five minutes.
#[derive(Clone, Debug, Default)]
pub struct GroupCounts {
    five: u32,
    /// Of those five minutes, by the group's number.
    newest: Vec<GroupCount>,
    /// Of others, by group and five minutes.
    others: BTreeMap<(u16, u32), GroupCount>,
}

impl GroupCounts {
    /// Counts a request in these five minutes.
    pub fn add(&mut self, group: u16, five: u32, count: GroupCount) {
        if five > self.five {
            self.set_newest_aside();
            self.five = five;
            self.others.retain(|(_, other), _| other + OPEN >= five);
        }
        if five + OPEN < self.five {
            return;
        }
        if five < self.five {
            self.others.entry((group, five)).or_default().add(count);
            return;
        }
        let group = usize::from(group);
        if self.newest.len() <= group {
            self.newest.resize(group + 1, GroupCount::default());
        }
        self.newest[group].add(count);
    }

    #[cold]
    fn set_newest_aside(&mut self) {
        for (group, count) in
            (0u16..).zip(&mut self.newest).filter(|(_, count)| **count != GroupCount::default())
        {
            self.others.entry((group, self.five)).or_default().add(std::mem::take(count));
        }
    }

    /// Takes all that was counted: groups, five minutes and counts, in this order.
    pub fn take(&mut self) -> Vec<(u16, u32, GroupCount)> {
        self.set_newest_aside();
        let others = std::mem::take(&mut self.others).into_iter();
        others.map(|((group, five), count)| (group, five, count)).collect()
    }

    /// The numbers of groups are others from now on; what belongs to tenants that are gone is dropped.
    pub fn renumber(&mut self, before: &Tenants, now: &Tenants) {
        for (group, five, count) in self.take() {
            if let Some(group) = now.number_of_hash(before.hash(group)) {
                self.add(group, five, count);
            }
        }
    }

    /// Appends the counts.
    pub fn write(&self, tenants: &Tenants, out: &mut Writer) {
        let counts = self.clone().take();
        out.uint(self.five.into());
        out.uint(counts.len() as u64);
        for (group, five, GroupCount { strict, wide, joined }) in counts {
            out.raw(&tenants.hash(group).to_le_bytes());
            out.counts([five, strict, wide, joined].into_iter());
        }
    }

    /// Reads what [`GroupCounts::write`] wrote. Tenants that are gone have no number any more.
    pub fn read(tenants: &Tenants, input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut read = Self { five: input.u32()?, ..Self::default() };
        for _ in 0..input.uint()? {
            let group = tenants.number_of_hash(u64::from_le_bytes(input.array()?));
            let five = input.u32()?;
            let count = GroupCount { strict: input.u32()?, wide: input.u32()?, joined: input.u32()? };
            if let Some(group) = group {
                read.add(group, five, count);
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_comes_back_by_group_and_five_minutes() {
        let one = |strict| GroupCount { strict, wide: 1, joined: 3 };
        let mut counts = GroupCounts::default();
        for (group, five, strict) in [(0, 7, 1), (2, 7, 0), (0, 6, 1), (0, 7, 1), (0, 8, 1), (1, 6, 1)] {
            counts.add(group, five, one(strict));
        }
        let mut out = Writer::default();
        let tenants = Tenants::new(&["a", "b"]);
        counts.write(&tenants, &mut out);
        let taken = counts.take();
        let of = |strict, wide| GroupCount { strict, wide, joined: 3 * wide };
        assert_eq!(
            taken,
            [(0, 6, of(1, 1)), (0, 7, of(2, 2)), (0, 8, of(1, 1)), (1, 6, of(1, 1)), (2, 7, of(0, 1))]
        );
        assert_eq!(counts.take(), []);
        let fewer = Tenants::new(&["b"]);
        counts.add(2, 9, of(1, 1));
        counts.add(1, 9, of(1, 1));
        counts.renumber(&tenants, &fewer);
        assert_eq!(counts.take(), [(1, 9, of(1, 1))], "that of b");
    }
}
