//! The counters of counting rules, for the keys that have had a request that matched one.

use std::collections::BTreeMap;

use super::groups::second_of;
use crate::{
    detect::{Counting, Scale, Signal},
    event::{Event, KeyId},
    profile::{CodecError, Hot, Reader, Warm, Writer, tally::Counter},
};

/// What the counters of a partition may take, in bytes as [`OfKey::bytes`] has them.
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
    /// It changed since the last checkpoint.
    dirty: bool,
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

    /// The greatest count of any rule within its window: how much would be lost with it.
    fn greatest(&self, counting: &Counting, now: u32) -> u32 {
        let count = |counter: &Counter| {
            let window = counting.of_name(counter.name)?.window(now);
            Some(counter.matched.count_within(window))
        };
        self.counters.iter().filter_map(count).max().unwrap_or(0)
    }
}

/// All counters of a partition. What has left its window counts as nothing, so that it can go at any time.
#[derive(Debug, Default)]
pub struct Counters {
    of_key: BTreeMap<KeyId, OfKey>,
    bytes: usize,
    changed: Vec<KeyId>,
    /// Keys whose counters went before their windows were over.
    pub evicted: u64,
}

impl Counters {
    /// Counts a request of the key in every rule that it matches, and says what is over its limit.
    pub fn count(
        &mut self,
        counting: &Counting,
        event: &Event<'_>,
        (hot, warm): (&mut Hot, Option<&Warm>),
        signals: &mut Vec<Signal>,
    ) {
        let mask = counting.mask(event);
        if mask == 0 && !(hot.counted && counting.shares != 0) {
            return;
        }
        let (before, of_key) = match self.of_key.get_mut(&hot.key) {
            Some(of_key) => (of_key.bytes(), of_key),
            None if mask == 0 => {
                hot.counted = false;
                return;
            }
            None => {
                let (now, second) = (hot.last_seen, second_of(event.time));
                if !counting.of_bits(mask).any(|(_, one)| one.is_countable(event, now, second)) {
                    return;
                }
                hot.counted = true;
                (0, self.of_key.entry(hot.key).or_default())
            }
        };
        if !of_key.count(counting, mask, event, (hot, warm), signals) {
            return;
        }
        of_key.last_seen = hot.last_seen;
        let is_known = std::mem::replace(&mut of_key.dirty, true);
        if of_key.counters.is_empty() {
            self.of_key.remove(&hot.key);
            self.bytes -= before;
            hot.counted = false;
        } else {
            self.bytes = self.bytes + of_key.bytes() - before;
        }
        if !is_known {
            self.changed.push(hot.key);
        }
    }

    /// Bytes that they take, of at most [`BYTES_MAX`] after a sweep.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes room if they take too much: first those go whose windows are over, then those with the least in them,
    /// of these the oldest, down to nine tenths. So a flood of keys that match once pushes out none that is watched.
    pub fn sweep(&mut self, counting: &Counting, now: u32) {
        if self.bytes <= BYTES_MAX {
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
            if is_within && self.bytes <= BYTES_MAX - BYTES_MAX / 10 {
                break;
            }
            self.evicted += u64::from(is_within);
            self.remove(&key);
        }
    }

    /// Forgets a key's counters.
    pub fn remove(&mut self, key: &KeyId) {
        if let Some(of_key) = self.of_key.remove(key) {
            self.bytes -= of_key.bytes();
            self.changed.push(*key);
        }
    }

    /// Other rules are in force: counters of what is not counted any more go.
    pub fn refer(&mut self, counting: &Counting) {
        let keys: Vec<KeyId> = self.of_key.keys().copied().collect();
        for key in keys {
            let Some(of_key) = self.of_key.get_mut(&key) else { continue };
            let before = of_key.bytes();
            of_key.counters.retain(|counter| counting.of_name(counter.name).is_some());
            let after = of_key.bytes();
            if after == before {
                continue;
            }
            self.bytes -= before - after;
            if of_key.counters.is_empty() {
                self.remove(&key);
            } else if !std::mem::replace(&mut of_key.dirty, true) {
                self.changed.push(key);
            }
        }
    }

    /// Hands the counters of every key that changed since the last call to `write`, in the order of the keys; `None` =
    /// gone.
    pub fn checkpoint(&mut self, mut write: impl FnMut(&KeyId, Option<Writer>)) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for key in &changed {
            let entry = self.of_key.get_mut(key).map(|of_key| {
                of_key.dirty = false;
                let mut out = Writer::versioned();
                out.counts([of_key.last_seen].into_iter());
                out.uint(of_key.counters.len() as u64);
                of_key.counters.iter().for_each(|counter| counter.write(&mut out));
                out
            });
            write(key, entry);
        }
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
            } else if !std::mem::replace(&mut of_key.dirty, true) {
                self.changed.push(key);
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
