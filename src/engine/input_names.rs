//! What the inputs are called, for evidence.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The names of the inputs that are read, by number. All partitions share them; a lock is taken only where a request is
/// evidence.
#[derive(Clone, Debug, Default)]
pub struct InputNames(Arc<RwLock<BTreeMap<u32, String>>>);

impl InputNames {
    /// Names an input.
    pub fn set(&self, input: u32, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(input, name.to_owned());
    }

    /// No record of the input will come any more.
    pub fn forget(&self, input: u32) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&input);
    }

    /// The name of an input; empty if it has none.
    pub fn of(&self, input: u32) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&input).cloned().unwrap_or_default()
    }

    /// Inputs that have a name.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
