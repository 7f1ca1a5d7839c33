//! The table as entries of a checkpoint, written piece by piece while it goes on changing.
//!
//! A checkpoint has the table as it was when it began. A key that changes, or goes, before its turn has come is put
//! aside as it was.

use std::collections::BTreeSet;

use super::{KeyTable, NOBODY};
use crate::{
    event::KeyId,
    profile::{
        codec::{CodecError, Reader, Writer},
        key::{Hot, NONE},
        warm::Warm,
    },
};

/// The bits of [`Hot::change`] that say whether a key changed: 0 = it is as the last checkpoint has it.
pub(super) const CHANGED: u8 = 3;
/// It changed, and its checkpoint has an odd number.
pub(super) const FIRST: u8 = 1;
/// It changed, and its checkpoint has an even number.
const SECOND: u8 = 2;
/// A checkpoint may have the key.
pub(super) const STORED: u8 = 4;

/// What a checkpoint that has begun has not written yet.
#[derive(Debug, Default)]
pub(super) struct TableCheckpoint {
    /// Keys that had gone when it began, by shard.
    gone: Vec<BTreeSet<KeyId>>,
    /// Places of keys that had changed when it began. The key is still as it was if its mark says so.
    changed: Vec<u32>,
    /// Keys as they were.
    aside: Vec<(KeyId, Writer)>,
}

impl TableCheckpoint {
    pub const fn capacity(&self) -> usize {
        self.changed.capacity()
    }
}

impl KeyTable {
    /// Begins a checkpoint of the table as it is now. The one before has to be written.
    pub fn begin_checkpoint(&mut self) {
        debug_assert!(self.cut.changed.is_empty() && self.cut.gone.is_empty(), "one at a time");
        self.change = if self.change == FIRST { SECOND } else { FIRST };
        std::mem::swap(&mut self.cut.changed, &mut self.changed);
        let gone = self.shards.iter_mut().map(|shard| std::mem::take(&mut shard.gone));
        self.cut.gone = gone.filter(|gone| !gone.is_empty()).collect();
    }

    /// Hands entries of the checkpoint that has begun to `write`, at most `left` of them and those that were put aside;
    /// `None` = evicted. Takes what it wrote off `left`, and says whether all is written.
    pub fn write_checkpoint(
        &mut self,
        left: &mut usize,
        mut write: impl FnMut(&KeyId, Option<Writer>),
    ) -> bool {
        for (key, entry) in self.cut.aside.drain(..) {
            *left = left.saturating_sub(1);
            write(&key, Some(entry));
        }
        while let Some(gone) = self.cut.gone.last_mut() {
            while let Some(key) = (*left > 0).then(|| gone.pop_first()).flatten() {
                *left -= 1;
                write(&key, None);
            }
            if !gone.is_empty() {
                return false;
            }
            self.cut.gone.pop();
        }
        let from = self.cut.changed.len().saturating_sub(*left);
        let mut next: Vec<(KeyId, u32)> =
            self.cut.changed.drain(from..).map(|index| (self.hots.get(index).key, index)).collect();
        // In the order of keys, so that those of one piece lie close to each other where they are kept.
        next.sort_unstable();
        for (key, index) in next {
            *left -= 1;
            let was = if self.change == FIRST { SECOND } else { FIRST };
            let hot = self.hots.get_mut(index);
            if hot.change & CHANGED != was {
                continue;
            }
            hot.change = STORED;
            if key != NOBODY {
                write(&key, Some(self.encode(index)));
            }
        }
        if self.cut.changed.is_empty() {
            // A flood is over some time: the room for its list goes with it.
            self.cut.changed.shrink_to(1024);
        }
        self.cut.changed.is_empty()
    }

    /// Entries that are left of the checkpoint that has begun, and that have changed since.
    pub fn unwritten(&self) -> usize {
        let TableCheckpoint { gone, changed, aside } = &self.cut;
        let gone = gone.iter().chain(self.shards.iter().map(|shard| &shard.gone)).map(BTreeSet::len);
        self.changed.len() + changed.len() + aside.len() + gone.sum::<usize>()
    }

    /// Marks a key as changed since the last checkpoint began, and puts it aside as it was if that is not written.
    #[cold]
    pub(super) fn note_change(&mut self, index: u32) {
        self.keep_for_checkpoint(index);
        let hot = self.hots.get_mut(index);
        hot.change = hot.change & STORED | self.change;
        self.changed.push(index);
    }

    /// Puts a key aside as it is, if the checkpoint that has begun still needs it.
    pub(super) fn keep_for_checkpoint(&mut self, index: u32) {
        let hot = self.hots.get(index);
        let change = hot.change & CHANGED;
        if change == 0 || change == self.change {
            return;
        }
        let entry = (hot.key, self.encode(index));
        self.cut.aside.push(entry);
        self.hots.get_mut(index).change = STORED;
    }

    fn encode(&self, index: u32) -> Writer {
        let hot = self.hots.get(index);
        let mut out = Writer::versioned();
        hot.write(&mut out);
        out.raw(&[u8::from(hot.warm != NONE)]);
        if hot.warm != NONE {
            self.warms.get(hot.warm).write(&mut out);
        }
        out
    }

    /// Reads a key from a checkpoint.
    pub fn read(input: &mut Reader<'_>) -> Result<(Hot, Option<Warm>), CodecError> {
        let hot = Hot::read(input)?;
        let warm = if input.byte()? == 1 { Some(Warm::read(input)?) } else { None };
        Ok((hot, warm))
    }

    /// Puts a key back. [`KeyTable::make_room`] comes before it where the key's shard is full.
    pub fn restore(&mut self, (hot, warm): (Hot, Option<Warm>)) {
        let index = self.insert(Hot { change: STORED, ..hot });
        if let Some(warm) = warm {
            self.hots.get_mut(index).warm = self.warms.insert(warm);
        }
    }

    /// What each key has learnt and what is not closed, once all is closed that can be closed where the logs are known so far.
    #[cfg(test)]
    pub fn learnt(&self, known: crate::profile::Known<'_>) -> std::collections::BTreeMap<KeyId, Writer> {
        let places = self.shards.iter().flat_map(|shard| shard.index.iter());
        let learnt = places.map(|place| {
            let mut hot = *self.hots.get(place.index);
            let mut warm = self.warm(place.index).copied();
            hot.close_minutes(known, warm.as_mut());
            let mut out = Writer::default();
            hot.write(&mut out);
            if let Some(warm) = warm {
                warm.write_learnt(hot.open_from, &mut out);
            }
            (hot.key, out)
        });
        learnt.collect()
    }
}
