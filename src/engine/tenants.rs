//! Which number the group of each tenant has, and what becomes of numbers when tenants come and go.
//!
//! Numbers follow from the names in their order, so that each catalogue gives other ones. What belongs to a group goes by
//! the hash of its tenant's name: it moves with it, and a tenant that is new takes nothing from the others.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::groups::GROUPS_MAX;
use crate::event::stable_hash;

/// In the place of a tenant's hash: the group of all keys.
pub const FLEET: u64 = 0;

/// The tenants that have groups of their own. Number 0 is the fleet.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    /// By the group's number.
    hashes: Arc<Vec<u64>>,
    numbers: Arc<HashMap<u64, u16>>,
}

impl Tenants {
    /// Of these names, in their order; those beyond [`GROUPS_MAX`] have no group of their own.
    pub fn new(names: &[&str]) -> Self {
        let hashes = names.iter().take(GROUPS_MAX - 1).map(|name| hash_of(name));
        let hashes: Vec<u64> = std::iter::once(FLEET).chain(hashes).collect();
        let numbers = hashes.iter().copied().zip(0u16..).collect();
        Self { hashes: Arc::new(hashes), numbers: Arc::new(numbers) }
    }

    /// The group of a tenant; that of the fleet if it has none.
    pub fn number_of(&self, name: &str) -> u16 {
        self.numbers.get(&hash_of(name)).copied().unwrap_or(0)
    }

    /// The group of the tenant whose name has this hash.
    pub fn number_of_hash(&self, hash: u64) -> Option<u16> {
        if hash == FLEET { Some(0) } else { self.numbers.get(&hash).copied() }
    }

    /// The hash of a group's tenant.
    pub fn hash(&self, number: u16) -> u64 {
        self.hashes.get(usize::from(number)).copied().unwrap_or(FLEET)
    }

    /// The hashes by the numbers of their groups: the fleet's at least.
    pub fn hashes(&self) -> &[u64] {
        if self.hashes.is_empty() { &[FLEET] } else { &self.hashes }
    }

    /// Whether the numbers are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.hashes() == other.hashes()
    }

    /// What belongs to each group under the numbers of `before`, under these numbers. What belongs to tenants that are
    /// gone is dropped.
    pub fn moved<T: Clone + Default>(&self, before: &Self, values: Vec<T>) -> Vec<T> {
        let mut moved = vec![T::default(); self.hashes().len()];
        for (hash, value) in before.hashes().iter().zip(values) {
            if let Some(number) = self.number_of_hash(*hash) {
                moved[usize::from(number)] = value;
            }
        }
        moved
    }

    /// The same of what only some groups have.
    pub fn moved_entries<T>(&self, before: &Self, entries: BTreeMap<u16, T>) -> BTreeMap<u16, T> {
        let moved = entries.into_iter();
        moved.filter_map(|(number, value)| Some((self.number_of_hash(before.hash(number))?, value))).collect()
    }
}

/// Never [`FLEET`], nor that of no name.
fn hash_of(name: &str) -> u64 {
    stable_hash(name.as_bytes()).max(1)
}
