//! Which keys go when a shard is full.
//!
//! A function of what the table holds and of the event that needs room, and of nothing else: a replay evicts the same.

use super::KeyTable;
use crate::{
    event::KeyId,
    profile::{
        key::{Hot, MATURE},
        warm::WARM_AFTER,
    },
};

/// A profile that was not used for so many seconds says little of what is normal now: 90 days.
const UNUSED: u32 = 90 * 86_400;
/// The part of a shard that is freed at a time.
const FREED: usize = 10;

/// How much is lost with a key: those of the first go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// Nobody used it for 90 days.
    Unused,
    /// Fewer than fifty requests, and not mature: what a flood of invented keys is made of.
    New,
    /// Not mature yet. A key that is known for less than a day never is.
    Immature,
    Mature,
}

impl Worth {
    /// `now`: the second of the event that needs room.
    fn of(hot: &Hot, now: u32) -> Self {
        if hot.last_seen.saturating_add(UNUSED) < now {
            Self::Unused
        } else if hot.maturity() >= MATURE {
            Self::Mature
        } else if hot.total < WARM_AFTER {
            Self::New
        } else {
            Self::Immature
        }
    }
}

impl KeyTable {
    /// Whether the shard of a key that is not there has no room for it.
    pub fn is_full_for(&self, key: &KeyId) -> bool {
        self.shards[self.shard_of(key)].index.len() >= self.shard_limit
    }

    /// Whether that shard has twice what it may have, and more.
    pub fn is_overfull_for(&self, key: &KeyId, more: usize) -> bool {
        self.shards[self.shard_of(key)].index.len() >= 2 * self.shard_limit + more
    }

    /// Makes room for a key: frees a tenth of its shard, by [`Worth`], then those that were seen longest ago (the hash
    /// decides between equal ones), but never a key that `keep` names. Gives those that went.
    ///
    /// A shard has some thousands of keys, so that this takes about a millisecond however many there are in all.
    pub fn make_room(&mut self, key: &KeyId, now: u32, keep: impl Fn(&KeyId) -> bool) -> Vec<KeyId> {
        self.free(self.shard_of(key), now, keep)
    }

    /// The same for all shards that have more keys than they may: of a table that has got a lower limit.
    pub fn trim(&mut self, now: u32, keep: impl Fn(&KeyId) -> bool) -> Vec<KeyId> {
        let shards =
            (0..self.shards.len()).filter(|shard| self.shards[*shard].index.len() > self.shard_limit);
        let shards: Vec<usize> = shards.collect();
        shards.into_iter().flat_map(|shard| self.free(shard, now, &keep)).collect()
    }

    fn free(&mut self, shard: usize, now: u32, keep: impl Fn(&KeyId) -> bool) -> Vec<KeyId> {
        let places = self.shards[shard].index.iter().map(|place| (self.hots.get(place.index), place.index));
        let mut order: Vec<(Worth, u32, KeyId, u32)> = places
            .filter(|(hot, _)| !keep(&hot.key))
            .map(|(hot, index)| (Worth::of(hot, now), hot.last_seen, hot.key, index))
            .collect();
        let kept = self.shard_limit - (self.shard_limit / FREED).max(1);
        let goal = self.shards[shard].index.len().saturating_sub(kept).min(order.len());
        if goal == 0 {
            return Vec::new();
        }
        order.select_nth_unstable(goal - 1);
        order.truncate(goal);
        // What comes of it must not hang on the order in which a hash table has them.
        order.sort_unstable();
        order
            .into_iter()
            .map(|(worth, .., index)| {
                let key = self.remove(shard, index);
                self.evictions[worth as usize] += 1;
                key
            })
            .collect()
    }

    /// Keys that went to make room since the start, in the order of [`Worth`].
    pub const fn evictions(&self) -> [u64; 4] {
        self.evictions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::KeyKind;

    const DAY: u32 = 86_400;
    const NOW: u32 = 200 * DAY;

    fn key(n: u16) -> KeyId {
        let mut hash = [0; 16];
        hash[..2].copy_from_slice(&n.to_be_bytes());
        hash[8] = n.to_le_bytes()[0];
        KeyId { kind: KeyKind::Raw, hash }
    }

    /// A key that is known for so many days and had so many requests, the last of them `ago` seconds before now.
    fn known(n: u16, days: u32, total: u32, ago: u32) -> Hot {
        let mut hot = Hot::new(key(n), NOW - ago - days * DAY);
        hot.last_seen = NOW - ago;
        hot.total = total;
        hot
    }

    fn table(limit: usize, hots: impl IntoIterator<Item = Hot>) -> KeyTable {
        let mut table = KeyTable::new(limit);
        for hot in hots {
            table.insert(hot);
        }
        table
    }

    fn gone(table: &mut KeyTable, keep: impl Fn(&KeyId) -> bool) -> Vec<u16> {
        let gone = table.make_room(&key(999), NOW, keep);
        gone.iter().map(|key| u16::from_be_bytes([key.hash[0], key.hash[1]])).collect()
    }

    #[test]
    fn what_is_hardly_known_goes_before_what_is_mature_and_what_is_kept_never_goes() {
        let hots = [
            known(1, 60, 10_000, 80 * DAY), // mature, and quiet for long
            known(2, 0, 3, 1),              // invented a second ago
            known(3, 60, 10_000, 100 * DAY),
            known(4, 0, 3, 60),
            known(5, 1, 2, 30),  // used on two days, twice in all
            known(6, 0, 500, 5), // a new key of a busy service
            known(7, 0, 3, 60),  // the victim of a theft
        ];
        let mut table = table(7, hots);
        let mut all = Vec::new();
        let kept = |key: &KeyId| u16::from_be_bytes([key.hash[0], key.hash[1]]) >= 7;
        for n in 8..14 {
            assert!(table.is_full_for(&key(999)));
            let one = gone(&mut table, kept);
            assert_eq!(one.len(), 1);
            all.extend(one);
            // One that is kept as well, so that the table is full again.
            table.insert(known(n, 0, 1, 0));
        }
        assert_eq!(all, [3, 4, 5, 2, 6, 1]);
        assert_eq!(table.evictions(), [1, 3, 1, 1]);
        assert_eq!(gone(&mut table, kept), [0u16; 0], "nothing else is left");
    }

    #[test]
    fn a_large_table_frees_a_tenth_of_one_shard_and_what_went_is_not_found() {
        let keys = || (0..20_000u16).map(|n| known(n, 0, 1, u32::from(n)));
        let mut table = table(20_000, keys());
        let shards = table.shards.len();
        assert_eq!(shards, 4);
        let before = table.len();
        let guess = table.guess(&key(19_999)).unwrap();
        let gone = table.make_room(&key(19_999), NOW, |_| false);
        assert!((490..=510).contains(&gone.len()), "{}", gone.len());
        assert_eq!(table.len(), before - gone.len());
        assert!(gone.iter().all(|key| table.find(key).is_none() && table.guess(key).is_none()));
        assert!(!table.is_at(guess, &key(19_999)), "a guess from before is not right any more");
        assert!(gone.iter().all(|key| table.shard_of(key) == table.shard_of(&self::key(19_999))));
    }
}
