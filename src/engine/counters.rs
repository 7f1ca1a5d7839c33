//! The counters of counting rules, for the keys that have had a request that matched one.

use std::collections::BTreeMap;

use super::groups::second_of;
use crate::{
    detect::{Counting, Scale, Signal},
    event::{Event, KeyId},
    profile::{CodecError, Hot, Reader, Warm, Writer, tally::Counter},
};

/// What the counters of a partition may hold: panes and values, and for each counter one more. About 16 bytes each.
pub const ENTRIES_MAX: usize = 1 << 18;

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
    fn entries(&self) -> usize {
        self.counters.iter().map(|counter| counter.len() + 1).sum()
    }
}

/// All counters of a partition. What has left its window counts as nothing, so that it can go at any time.
#[derive(Debug, Default)]
pub struct Counters {
    of_key: BTreeMap<KeyId, OfKey>,
    entries: usize,
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
        if mask == 0 && !(hot.counted && counting.has_shares) {
            return;
        }
        let of_key = if mask == 0 {
            let Some(of_key) = self.of_key.get_mut(&hot.key) else {
                hot.counted = false;
                return;
            };
            of_key
        } else {
            hot.counted = true;
            self.of_key.entry(hot.key).or_default()
        };
        let before = of_key.entries();
        let (now, second) = (hot.last_seen, second_of(event.time));
        of_key.last_seen = now;
        for (bit, one) in counting.uses.iter().enumerate() {
            let matched = mask >> bit & 1 == 1;
            if !matched && one.count.share_of.is_none() {
                continue;
            }
            let at = match of_key.counters.iter().position(|counter| counter.name == one.name) {
                Some(at) => at,
                None if matched => {
                    of_key.counters.push(one.counter());
                    of_key.counters.len() - 1
                }
                None => continue,
            };
            let counter = &mut of_key.counters[at];
            one.count(counter, event, matched, now, second);
            if matched {
                let served = served(one.count.over, hot, warm);
                signals.extend(one.judge(counter, served, now));
            }
        }
        self.entries = self.entries + of_key.entries() - before;
        if !std::mem::replace(&mut of_key.dirty, true) {
            self.changed.push(hot.key);
        }
    }

    /// What they hold, of at most [`ENTRIES_MAX`].
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes that they hold, about.
    pub fn bytes(&self) -> usize {
        self.of_key.len() * size_of::<(KeyId, OfKey)>() + self.entries * size_of::<(u64, u32)>()
    }

    /// Makes room if they hold too much: first those go whose windows are over, then those that were counted longest
    /// ago, down to nine tenths.
    pub fn sweep(&mut self, counting: &Counting, now: u32) {
        if self.entries <= ENTRIES_MAX {
            return;
        }
        let longest = counting.uses.iter().map(|one| one.count.over.seconds()).max().unwrap_or(0);
        let mut order: Vec<(u32, KeyId)> =
            self.of_key.iter().map(|(key, of_key)| (of_key.last_seen, *key)).collect();
        order.sort_unstable_by_key(|(last_seen, key)| (*last_seen, key.hash, key.kind));
        for (last_seen, key) in order {
            let is_over = last_seen.saturating_add(longest) < now;
            if !is_over && self.entries <= ENTRIES_MAX - ENTRIES_MAX / 10 {
                break;
            }
            self.evicted += u64::from(!is_over);
            self.remove(&key);
        }
    }

    /// Forgets a key's counters.
    pub fn remove(&mut self, key: &KeyId) {
        if let Some(of_key) = self.of_key.remove(key) {
            self.entries -= of_key.entries();
            self.changed.push(*key);
        }
    }

    /// Other rules are in force: counters of what is not counted any more go.
    pub fn refer(&mut self, counting: &Counting) {
        let keys: Vec<KeyId> = self.of_key.keys().copied().collect();
        for key in keys {
            let Some(of_key) = self.of_key.get_mut(&key) else { continue };
            let before = of_key.entries();
            of_key.counters.retain(|counter| counting.knows(counter.name));
            let after = of_key.entries();
            if after == before {
                continue;
            }
            self.entries -= before - after;
            if !std::mem::replace(&mut of_key.dirty, true) {
                self.changed.push(key);
            }
            if after == 0 {
                self.remove(&key);
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
            if counting.knows(counter.name) {
                of_key.counters.push(counter);
            } else if !std::mem::replace(&mut of_key.dirty, true) {
                self.changed.push(key);
            }
        }
        if !of_key.counters.is_empty() {
            self.entries += of_key.entries();
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
mod tests;
