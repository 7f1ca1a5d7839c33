//! All keys of a partition: a hash table of indices over slabs, with a bound and a deterministic victim.

use hashbrown::HashTable;

use super::{
    codec::{CodecError, Reader, Writer},
    key::{Hot, NONE},
    warm::{WARM_AFTER, Warm},
};
use crate::event::KeyId;

const CHUNK: usize = 1024;

/// Grows by chunks, so that growing never copies what is there.
#[derive(Debug)]
struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    #[allow(clippy::cast_possible_truncation)] // bounded by the table's limit, a u32
    fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            *self.get_mut(index) = value;
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].push(value);
        (last * CHUNK + self.chunks[last].len() - 1) as u32
    }

    fn get(&self, index: u32) -> &T {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

/// Where a key's profile is, and enough of the key to tell it from nearly all others without fetching the profile.
#[derive(Clone, Copy, Debug)]
struct Place {
    tag: u32,
    index: u32,
}

/// The profiles of a partition's keys.
#[derive(Debug)]
pub struct KeyTable {
    index: HashTable<Place>,
    hots: Slab<Hot>,
    warms: Slab<Warm>,
    changed: Vec<u32>,
    evicted: Vec<KeyId>,
    limit: usize,
}

impl KeyTable {
    /// A table of at most `limit` keys.
    pub fn new(limit: usize) -> Self {
        Self {
            index: HashTable::new(),
            hots: Slab::new(),
            warms: Slab::new(),
            changed: Vec::new(),
            evicted: Vec::new(),
            limit: limit.max(1),
        }
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether it holds more than its limit and wants a sweep.
    pub fn is_over_limit(&self) -> bool {
        self.index.len() > self.limit
    }

    /// Where a key is.
    pub fn find(&self, key: &KeyId) -> Option<u32> {
        let tag = tag_of(key);
        let is_it = |place: &Place| place.tag == tag && self.hots.get(place.index).key == *key;
        self.index.find(hash_of(key), is_it).map(|place| place.index)
    }

    /// Where a key is in all likelihood, found without looking at any profile; [`KeyTable::is_at`] makes sure.
    pub fn guess(&self, key: &KeyId) -> Option<u32> {
        let tag = tag_of(key);
        self.index.find(hash_of(key), |place| place.tag == tag).map(|place| place.index)
    }

    /// Whether a guess was right. It stays so until a key is removed.
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

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, hot: Hot) -> u32 {
        let (hash, tag) = (hash_of(&hot.key), tag_of(&hot.key));
        let index = self.hots.insert(hot);
        let hots = &self.hots;
        self.index.insert_unique(hash, Place { tag, index }, |place| hash_of(&hots.get(place.index).key));
        index
    }

    /// The hot part.
    pub fn hot(&self, index: u32) -> &Hot {
        self.hots.get(index)
    }

    /// The hot part, marked as changed.
    pub fn hot_mut(&mut self, index: u32) -> &mut Hot {
        let hot = self.hots.get_mut(index);
        if !hot.dirty {
            hot.dirty = true;
            self.changed.push(index);
        }
        hot
    }

    /// Both parts; the warm one if there is one.
    pub fn parts_mut(&mut self, index: u32) -> (&mut Hot, Option<&mut Warm>) {
        let hot = self.hots.get_mut(index);
        if !hot.dirty {
            hot.dirty = true;
            self.changed.push(index);
        }
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
        let hot = self.hots.get_mut(index);
        if hot.warm == NONE {
            hot.warm = self.warms.insert(Warm::new(hot.last_seen));
        }
    }

    /// Forgets which tenants the keys belong to, since the catalogue changed.
    pub fn forget_groups(&mut self) {
        for hot in self.hots.chunks.iter_mut().flatten() {
            hot.group = super::key::UNRESOLVED;
        }
    }

    /// Removes keys down to nine tenths of the limit: first those that were hardly used, then those that were seen longest
    /// ago (the hash decides between equal ones), but never one that `keep` names. Gives those that went.
    pub fn sweep(&mut self, keep: impl Fn(&KeyId) -> bool) -> Vec<KeyId> {
        let mut order: Vec<(bool, u32, [u8; 16], u32)> = self
            .index
            .iter()
            .map(|place| (self.hots.get(place.index), place.index))
            .filter(|(hot, _)| !keep(&hot.key))
            .map(|(hot, index)| (hot.total >= WARM_AFTER, hot.last_seen / 3600, hot.key.hash, index))
            .collect();
        let goal = self.index.len().saturating_sub(self.limit - self.limit / 10).min(order.len());
        if goal == 0 {
            return Vec::new();
        }
        order.select_nth_unstable(goal - 1);
        let mut victims: Vec<u32> = order[..goal].iter().map(|(.., index)| *index).collect();
        victims.sort_unstable();
        self.changed.retain(|index| victims.binary_search(index).is_err());
        victims.into_iter().map(|index| self.remove(index)).collect()
    }

    fn remove(&mut self, index: u32) -> KeyId {
        let hot = *self.hots.get(index);
        if let Ok(entry) = self.index.find_entry(hash_of(&hot.key), |place| place.index == index) {
            entry.remove();
        }
        if hot.warm != NONE {
            self.warms.free.push(hot.warm);
        }
        self.hots.free.push(index);
        self.evicted.push(hot.key);
        hot.key
    }

    /// Hands every key that changed since the last call to `write`, in the order of the hashes; `None` = evicted.
    pub fn checkpoint(&mut self, mut write: impl FnMut(&KeyId, Option<Writer>)) {
        let mut evicted = std::mem::take(&mut self.evicted);
        evicted.retain(|key| self.find(key).is_none());
        evicted.sort_unstable();
        for key in &evicted {
            write(key, None);
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable_by_key(|index| self.hots.get(*index).key);
        for index in &changed {
            self.hots.get_mut(*index).dirty = false;
            write(&self.hots.get(*index).key, Some(self.encode(*index)));
        }
        changed.clear();
        self.changed = changed;
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

    /// Puts a key back from a checkpoint.
    pub fn restore(&mut self, input: &mut Reader<'_>) -> Result<(), CodecError> {
        let hot = Hot::read(input)?;
        let warm = if input.byte()? == 1 { Some(Warm::read(input)?) } else { None };
        let index = self.insert(hot);
        if let Some(warm) = warm {
            let at = self.warms.insert(warm);
            self.hots.get_mut(index).warm = at;
        }
        Ok(())
    }

    /// Bytes that the table holds, its index and free room included.
    pub fn bytes(&self) -> usize {
        self.hots.chunks.len() * CHUNK * size_of::<Hot>()
            + self.warms.chunks.len() * CHUNK * size_of::<Warm>()
            + self.index.allocation_size()
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

/// Of the half of the key id that [`hash_of`] does not use.
fn tag_of(key: &KeyId) -> u32 {
    u32::from_le_bytes([key.hash[0], key.hash[1], key.hash[2], key.hash[3]])
}

/// A key id is the output of an HMAC: its own bytes are as good as any hash of them.
fn hash_of(key: &KeyId) -> u64 {
    let mut last = [0; 8];
    last.copy_from_slice(&key.hash[8..]);
    u64::from_le_bytes(last)
}
