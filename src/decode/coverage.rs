//! Which facts of a mapping a source's records really have: what `inspect` shows.

use super::fields::{Fields, SLOTS, Slot};

/// Counts of requests, and of those that had each fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    requests: u64,
    seen: [u64; SLOTS],
}

impl Coverage {
    pub(super) fn count(&mut self, fields: &Fields<'_>) {
        self.requests += 1;
        for slot in Slot::ALL {
            self.seen[slot as usize] += u64::from(fields.has(slot));
        }
    }

    /// Requests looked at.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests whose record had this fact.
    pub fn seen(&self, slot: Slot) -> u64 {
        self.seen[slot as usize]
    }
}
