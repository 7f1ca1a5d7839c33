//! The counters of counting rules, for the keys that have had a request that matched one.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::second_of;
use crate::{
    detect::{Counting, Scale, Signal},
    event::{Event, KeyId},
    profile::{CodecError, Hot, Reader, Warm, Writer, tally::Counter},
};

/// What the counters of a partition may take at most, in bytes as [`OfKey::bytes`] has them.
pub const BYTES_MAX: usize = 16 << 20;

/// A key's entry in the tree, with what allocations take beside what is asked for.
const KEY_BYTES: usize = 160;
/// A counter. Not its size, which is the compiler's to say: what is thrown out hangs on it.
const COUNTER_BYTES: usize = 160;
/// A pane or a value, with room that is not used.
const ENTRY_BYTES: usize = 48;

const _: () = assert!(size_of::<Counter>() <= COUNTER_BYTES);

/// The counters of one key.
#[derive(Debug, Default)]
struct OfKey {
    /// The newest second of the key's when something was counted.
    last_seen: u32,
    /// It is among those that changed since the checkpoint of this number began.
    changed: u64,
    counters: Vec<Counter>,
}

impl OfKey {
    /// A function of what was counted alone, never of what an allocator gave.
    fn bytes(&self) -> usize {
        let counters = self.counters.iter().map(|one| COUNTER_BYTES + one.len() * ENTRY_BYTES);
        KEY_BYTES + counters.sum::<usize>()
    }

    /// Counts a request in the rules of `mask`, which it matches, and in those about a share. Says whether anything
    /// changed.
    fn count(
        &mut self,
        counting: &Counting,
        mask: u64,
        event: &Event<'_>,
        (hot, warm): (&Hot, Option<&Warm>),
        signals: &mut Vec<Signal>,
    ) -> bool {
        let (now, second) = (hot.last_seen, second_of(event.time));
        let mut changed = false;
        for (bit, one) in counting.of_bits(mask | counting.shares) {
            let matched = mask & bit != 0;
            let at = match self.counters.iter().position(|counter| counter.name == one.name) {
                Some(at) => at,
                None if matched && one.is_countable(event, now, second) => {
                    self.counters.reserve_exact(1);
                    self.counters.push(one.counter());
                    self.counters.len() - 1
                }
                None => continue,
            };
            changed = true;
            let counter = &mut self.counters[at];
            one.count(counter, event, matched, now, second);
            if matched {
                signals.extend(one.judge(counter, served(one.count.over, hot, warm), now));
            } else if counter.is_empty() {
                // A share of nothing: it begins anew with the next match.
                self.counters.remove(at);
            }
        }
        changed
    }

    /// As a checkpoint has it.
    fn written(&self) -> Writer {
        let mut out = Writer::versioned();
        out.counts([self.last_seen].into_iter());
        out.uint(self.counters.len() as u64);
        self.counters.iter().for_each(|counter| counter.write(&mut out));
        out
    }

    /// The greatest count of any rule within its window: how much would be lost with it.
    fn greatest(&self, counting: &Counting, now: u32) -> u32 {
        let count = |counter: &Counter| {
            let window = counting.of_name(counter.name)?.window(now);
            Some(counter.matched.count_within(window))
        };
        self.counters.iter().filter_map(count).max().unwrap_or(0)
    }
}

/// What checkpoints still have to write.
#[derive(Debug, Default)]
struct Dirty {
    /// Checkpoints begun.
    begun: u64,
    /// Keys that changed since the last one began.
    changed: BTreeSet<KeyId>,
    /// Keys that the one that has begun has not written yet.
    cut: BTreeSet<KeyId>,
    /// Keys of that one that have changed since, as they were.
    aside: Vec<(KeyId, Option<Writer>)>,
}

impl Dirty {
    /// Comes before a change of a key's counters, if they are not among the changed ones already. `before`: as they are.
    #[cold]
    fn note(&mut self, key: KeyId, before: Option<&OfKey>) {
        if self.cut.remove(&key) {
            self.aside.push((key, before.map(OfKey::written)));
        }
        self.changed.insert(key);
    }

    /// What a key among the changed ones has in [`OfKey::changed`].
    const fn mark(&self) -> u64 {
        self.begun + 1
    }
}

/// All counters of a partition. What has left its window counts as nothing, so that it can go at any time.
#[derive(Debug)]
pub struct Counters {
    of_key: BTreeMap<KeyId, OfKey>,
    bytes: usize,
    bytes_max: usize,
    dirty: Dirty,
    /// Keys whose counters went before their windows were over.
    pub evicted: u64,
}

impl Counters {
    /// None yet, and at most so many bytes of them after a sweep.
    pub fn new(bytes_max: usize) -> Self {
        Self { of_key: BTreeMap::new(), bytes: 0, bytes_max, dirty: Dirty::default(), evicted: 0 }
    }

    /// Counts a request of the key in every rule that it matches, and says what is over its limit.
    pub fn count(
        &mut self,
        counting: &Counting,
        event: &Event<'_>,
        (hot, warm): (&mut Hot, Option<&Warm>),
        signals: &mut Vec<Signal>,
    ) {
        let mask = counting.mask(event);
        if mask == 0 && !(hot.may_be_counted() && counting.shares != 0) {
            return;
        }
        let (before, of_key) = match self.of_key.get_mut(&hot.key) {
            Some(of_key) => (of_key.bytes(), of_key),
            None if mask == 0 => {
                hot.set_counted(false);
                return;
            }
            None => {
                let (now, second) = (hot.last_seen, second_of(event.time));
                if !counting.of_bits(mask).any(|(_, one)| one.is_countable(event, now, second)) {
                    return;
                }
                hot.set_counted(true);
                self.dirty.note(hot.key, None);
                let of_key = OfKey { changed: self.dirty.mark(), ..OfKey::default() };
                (0, self.of_key.entry(hot.key).or_insert(of_key))
            }
        };
        if of_key.changed != self.dirty.mark() {
            self.dirty.note(hot.key, Some(of_key));
            of_key.changed = self.dirty.mark();
        }
        if !of_key.count(counting, mask, event, (hot, warm), signals) {
            return;
        }
        of_key.last_seen = hot.last_seen;
        if of_key.counters.is_empty() {
            self.of_key.remove(&hot.key);
            self.bytes -= before;
            hot.set_counted(false);
        } else {
            self.bytes = self.bytes + of_key.bytes() - before;
        }
    }

    /// Keys that checkpoints still have to write.
    pub fn unwritten(&self) -> usize {
        self.dirty.changed.len() + self.dirty.cut.len() + self.dirty.aside.len()
    }

    /// Bytes that they take.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes room if they take too much: first those go whose windows are over, then those with the least in them,
    /// of these the oldest, down to nine tenths. So a flood of keys that match once pushes out none that is watched.
    pub fn sweep(&mut self, counting: &Counting, now: u32) {
        if self.bytes <= self.bytes_max {
            return;
        }
        let rank = |(key, of_key): (&KeyId, &OfKey)| {
            // What is newer than the watermark is within, too.
            let greatest = of_key.greatest(counting, now.max(of_key.last_seen));
            (greatest, of_key.last_seen, key.hash, *key)
        };
        let mut order: Vec<_> = self.of_key.iter().map(rank).collect();
        order.sort_unstable();
        for (greatest, _, _, key) in order {
            let is_within = greatest > 0;
            if is_within && self.bytes <= self.bytes_max - self.bytes_max / 10 {
                break;
            }
            self.evicted += u64::from(is_within);
            self.remove(&key);
        }
    }

    /// Forgets a key's counters.
    pub fn remove(&mut self, key: &KeyId) {
        if let Some(of_key) = self.of_key.remove(key) {
            self.dirty.note(*key, Some(&of_key));
            self.bytes -= of_key.bytes();
        }
    }

    /// Other rules are in force: counters of what is not counted any more go.
    pub fn refer(&mut self, counting: &Counting) {
        let is_over = |counter: &Counter| counting.of_name(counter.name).is_none();
        let keys = self.of_key.iter().filter(|(_, of_key)| of_key.counters.iter().any(is_over));
        let keys: Vec<KeyId> = keys.map(|(key, _)| *key).collect();
        for key in keys {
            let Some(of_key) = self.of_key.get_mut(&key) else { continue };
            self.dirty.note(key, Some(of_key));
            of_key.changed = self.dirty.mark();
            let before = of_key.bytes();
            of_key.counters.retain(|counter| !is_over(counter));
            self.bytes -= before - of_key.bytes();
            if of_key.counters.is_empty() {
                self.remove(&key);
            }
        }
    }

    /// Begins a checkpoint of the counters as they are now. The one before has to be written.
    pub fn begin_checkpoint(&mut self) {
        self.dirty.cut = std::mem::take(&mut self.dirty.changed);
        self.dirty.begun += 1;
    }

    /// Hands entries of the checkpoint that has begun to `write`, at most `left` of them and those that were put aside;
    /// `None` = gone. Takes what it wrote off `left`, and says whether all is written.
    pub fn write_checkpoint(
        &mut self,
        left: &mut usize,
        mut write: impl FnMut(&KeyId, Option<Writer>),
    ) -> bool {
        for (key, entry) in self.dirty.aside.drain(..) {
            *left = left.saturating_sub(1);
            write(&key, entry);
        }
        while let Some(key) = (*left > 0).then(|| self.dirty.cut.pop_first()).flatten() {
            *left -= 1;
            write(&key, self.of_key.get(&key).map(OfKey::written));
        }
        self.dirty.cut.is_empty()
    }

    /// Takes a key's counters back, as far as their rules are in force.
    pub fn restore(
        &mut self,
        key: KeyId,
        counting: &Counting,
        input: &mut Reader<'_>,
    ) -> Result<(), CodecError> {
        let mut of_key = OfKey { last_seen: input.u32()?, ..OfKey::default() };
        let length = input.uint()?;
        for _ in 0..length {
            let counter = Counter::read(input)?;
            if counting.of_name(counter.name).is_some() {
                of_key.counters.push(counter);
            } else {
                of_key.changed = self.dirty.mark();
                self.dirty.note(key, None);
            }
        }
        if !of_key.counters.is_empty() {
            self.bytes += of_key.bytes();
            self.of_key.insert(key, of_key);
        }
        Ok(())
    }
}

/// What the key's own window of this length has.
fn served(over: Scale, hot: &Hot, warm: Option<&Warm>) -> u32 {
    match (over, warm) {
        (Scale::Day, Some(warm)) => warm.day_sum,
        (Scale::Day, None) => hot.sums[Scale::Hour as usize],
        _ => hot.sums[over as usize],
    }
}

#[cfg(test)]
#[path = "counters_tests.rs"]
pub(super) mod tests;
