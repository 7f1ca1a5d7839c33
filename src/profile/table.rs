//! All keys of a partition: hash tables of indices over slabs, with a bound and a deterministic victim.
//!
//! The index is cut into shards by a byte of the key, each with its share of the bound. So making room, and growing,
//! touch some thousands of keys at a time and never all of them.

mod checkpoint;
mod eviction;
mod slab;

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashTable;

pub use self::eviction::Worth;
use self::{
    checkpoint::{CHANGED, STORED, TableCheckpoint},
    slab::Slab,
};
use super::{
    fold::Open,
    gaps::Known,
    key::{Hot, NONE},
    warm::Warm,
};
use crate::event::{KeyId, KeyKind};

/// A shard has room for at least so many keys, and for twice as many where there are fewer than [`SHARDS_MAX`].
const SHARD_KEYS: usize = 4096;
/// One byte tells them apart.
const SHARDS_MAX: usize = 256;
/// What a key takes at most, in bytes: both parts of its profile, its other id, and its places in the index and in the
/// lists of what changed, with the room that those do not use.
pub const KEY_BYTES: usize = 1292;

const _: () = assert!(size_of::<Hot>() + size_of::<Warm>() + 20 + 3 * 4 + 64 <= KEY_BYTES);

/// In the place of a key that went, so that nobody finds it there: no key's id is this.
const NOBODY: KeyId = KeyId { kind: KeyKind::Raw, hash: [0; 16] };

/// Where a key's profile is, and enough of the key to tell it from nearly all others without fetching the profile.
#[derive(Clone, Copy, Debug)]
struct Place {
    tag: u32,
    index: u32,
}

/// The keys with the same byte of their hash.
#[derive(Debug, Default)]
struct KeyShard {
    index: HashTable<Place>,
    /// Keys that went since the last checkpoint and are in it.
    gone: BTreeSet<KeyId>,
}

/// The profiles of a partition's keys.
#[derive(Debug)]
pub struct KeyTable {
    shards: Vec<KeyShard>,
    /// Keys of one shard.
    shard_limit: usize,
    length: usize,
    hots: Slab<Hot>,
    warms: Slab<Warm>,
    /// Places of keys that changed since the last checkpoint began.
    changed: Vec<u32>,
    /// What a key that changed has in [`Hot::change`]: another number from one checkpoint to the next.
    change: u8,
    cut: TableCheckpoint,
    evictions: [u64; 4],
    /// How many keys were seen last in each hour.
    last_seen: BTreeMap<u32, u32>,
}

impl KeyTable {
    /// A table of at most `limit` keys, or a little fewer.
    pub fn new(limit: usize) -> Self {
        let shards = (limit / SHARD_KEYS).next_power_of_two().min(SHARDS_MAX);
        Self {
            shards: (0..shards).map(|_| KeyShard::default()).collect(),
            shard_limit: (limit / shards).max(1),
            length: 0,
            hots: Slab::new(),
            warms: Slab::new(),
            changed: Vec::new(),
            change: checkpoint::FIRST,
            cut: TableCheckpoint::default(),
            evictions: [0; 4],
            last_seen: BTreeMap::new(),
        }
    }

    fn shard_of(&self, key: &KeyId) -> usize {
        usize::from(key.hash[8]) & (self.shards.len() - 1)
    }

    /// Keys in the table.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Keys that were seen in the hour of this second, in the 23 before it, or since.
    pub fn active(&self, second: u32) -> usize {
        let from = (second / 3600).saturating_sub(23);
        self.last_seen.range(from..).map(|(_, keys)| *keys as usize).sum()
    }

    /// A key was seen again, before in this hour.
    #[inline]
    pub fn note_hour(&mut self, index: u32, before: u32) {
        let hour = self.hots.get(index).last_seen / 3600;
        if hour > before {
            self.count_last_seen(before, false);
            self.count_last_seen(hour, true);
        }
    }

    #[cold]
    fn count_last_seen(&mut self, hour: u32, more: bool) {
        let keys = self.last_seen.entry(hour).or_insert(0);
        *keys = if more { *keys + 1 } else { keys.saturating_sub(1) };
        if *keys == 0 {
            self.last_seen.remove(&hour);
        }
    }

    /// Whether there is no key.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where a key is.
    pub fn find(&self, key: &KeyId) -> Option<u32> {
        let tag = tag_of(key);
        let is_it = |place: &Place| place.tag == tag && self.hots.get(place.index).key == *key;
        self.shards[self.shard_of(key)].index.find(hash_of(tag), is_it).map(|place| place.index)
    }

    /// Where a key is in all likelihood, found without looking at any profile; [`KeyTable::is_at`] makes sure.
    pub fn guess(&self, key: &KeyId) -> Option<u32> {
        let tag = tag_of(key);
        let index = &self.shards[self.shard_of(key)].index;
        index.find(hash_of(tag), |place| place.tag == tag).map(|place| place.index)
    }

    /// Whether a guess is right.
    pub fn is_at(&self, index: u32, key: &KeyId) -> bool {
        self.hots.get(index).key == *key
    }

    /// Asks the processor to fetch the hot part of what [`KeyTable::guess`] gave. A hint without effect on results.
    pub fn prefetch(&self, index: u32) {
        prefetch(self.hots.get(index));
    }

    /// The same for the warm part, if there is one: looks at the hot part, which should have come by now.
    pub fn prefetch_warm(&self, index: u32) {
        let warm = self.hots.get(index).warm;
        if warm != NONE {
            prefetch(self.warms.get(warm));
        }
    }

    /// Adds a key that is not there yet. [`KeyTable::make_room`] comes before it where the key's shard is full.
    pub fn insert(&mut self, hot: Hot) -> u32 {
        let (shard, tag) = (self.shard_of(&hot.key), tag_of(&hot.key));
        self.count_last_seen(hot.last_seen / 3600, true);
        let index = match self.hots.take_free() {
            Some(index) => {
                let place = self.hots.get_mut(index);
                // This place may be in the list of those that changed already.
                let listed = if place.change & CHANGED == self.change { self.change } else { 0 };
                *place = Hot { change: hot.change | listed, ..hot };
                index
            }
            None => self.hots.push(hot),
        };
        self.length += 1;
        let shard = &mut self.shards[shard];
        if shard.gone.remove(&hot.key) {
            // It is back before a checkpoint heard of its going.
            self.hots.get_mut(index).change |= STORED;
        }
        shard.index.insert_unique(hash_of(tag), Place { tag, index }, |place| hash_of(place.tag));
        index
    }

    /// The hot part.
    pub fn hot(&self, index: u32) -> &Hot {
        self.hots.get(index)
    }

    /// The hot part, marked as changed.
    pub fn hot_mut(&mut self, index: u32) -> &mut Hot {
        if self.hots.get(index).change & CHANGED != self.change {
            self.note_change(index);
        }
        self.hots.get_mut(index)
    }

    /// Both parts; the warm one if there is one.
    pub fn parts_mut(&mut self, index: u32) -> (&mut Hot, Option<&mut Warm>) {
        if self.hots.get(index).change & CHANGED != self.change {
            self.note_change(index);
        }
        let hot = self.hots.get_mut(index);
        let warm = if hot.warm == NONE { None } else { Some(self.warms.get_mut(hot.warm)) };
        (hot, warm)
    }

    /// The warm part, if there is one.
    pub fn warm(&self, index: u32) -> Option<&Warm> {
        let warm = self.hots.get(index).warm;
        (warm != NONE).then(|| self.warms.get(warm))
    }

    /// Gives a key its warm part.
    pub fn warm_up(&mut self, index: u32) {
        let hot = self.hot_mut(index);
        if hot.warm == NONE {
            let warm = Warm::new(hot);
            hot.open = Open::default();
            self.hots.get_mut(index).warm = self.warms.insert(warm);
        }
    }

    /// An incident is open on the key from now on, or ends at `second`: see [`Hot::set_frozen`].
    pub fn set_frozen(&mut self, index: u32, frozen: bool, known: Known<'_>, second: u32) {
        if self.hot(index).frozen == frozen {
            return;
        }
        self.warm_up(index);
        if let (hot, Some(warm)) = self.parts_mut(index) {
            hot.set_frozen(frozen, known, second, warm);
        }
    }

    /// Forgets which tenants the keys belong to, since the catalogue changed.
    pub fn forget_groups(&mut self) {
        for hot in self.hots.iter_mut() {
            hot.group = super::key::UNRESOLVED;
        }
    }

    fn remove(&mut self, shard: usize, index: u32) -> KeyId {
        self.keep_for_checkpoint(index);
        let hot = self.hots.get_mut(index);
        let (key, warm, stored) = (hot.key, hot.warm, hot.change & STORED != 0);
        let hour = hot.last_seen / 3600;
        hot.key = NOBODY;
        self.count_last_seen(hour, false);
        let tag = tag_of(&key);
        let shard = &mut self.shards[shard];
        if let Ok(entry) = shard.index.find_entry(hash_of(tag), |place| place.index == index) {
            entry.remove();
        }
        if stored {
            shard.gone.insert(key);
        }
        if warm != NONE {
            self.warms.free(warm);
        }
        self.hots.free(index);
        self.length -= 1;
        key
    }

    /// Bytes that the table holds, its index and free room included.
    pub fn bytes(&self) -> usize {
        let lists = (self.changed.capacity() + self.cut.capacity()) * size_of::<u32>();
        let index = self.shards.iter().map(|shard| shard.index.allocation_size() + shard.gone.len() * 32);
        self.hots.bytes() + self.warms.bytes() + lists + index.sum::<usize>()
    }
}

/// Asks the processor to fetch all of a profile's part.
#[allow(unused_variables)]
fn prefetch<T>(part: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = std::ptr::from_ref(part).cast::<i8>();
        for line in (0..size_of::<T>()).step_by(64) {
            // SAFETY: prefetching is a hint that may be given any address; these lie in one part.
            #[allow(unsafe_code)]
            unsafe {
                _mm_prefetch(first.wrapping_add(line), _MM_HINT_T0);
            }
        }
    }
}

/// Enough of the key to find it by in nearly all cases. A key id is the output of an HMAC: its own bytes are as good as
/// any hash of them. The partition and the shard come from other bytes.
fn tag_of(key: &KeyId) -> u32 {
    u32::from_le_bytes([key.hash[0], key.hash[1], key.hash[2], key.hash[3]])
}

/// Of the tag alone, so that the index grows without looking at any profile. The low bits choose the place, the high ones
/// tell entries apart.
fn hash_of(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}
