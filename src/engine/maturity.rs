//! How far a key is known, for whoever judges more than one request of it.

use super::Engines;
use crate::{event::KeyId, incident::MATURE};

impl Engines {
    /// Whether a key is mature. It has then been known for days: nobody has many such keys at will.
    pub fn is_mature(&self, key: &KeyId) -> bool {
        let table = &self.engines[self.partition(key)].table;
        table.find(key).is_some_and(|index| table.hot(index).maturity() >= MATURE)
    }

    /// A key's profile counts as mature in its group, with a quota of 1,024.
    #[cfg(test)]
    pub(super) fn make_mature(&mut self, key: &KeyId) {
        let engine = self.owner(key);
        let index = engine.table.find(key).expect("a profile");
        engine.table.hot_mut(index).group_quotas = [64; 2];
    }
}
