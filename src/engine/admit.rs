//! Which requests count: keys that are new, and requests that were counted already.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Event, KeyId};

/// Keys that were seen refused only, and are not worth a profile yet.
pub const CANDIDATES_MAX: usize = 4096;
/// A key that was only ever refused gets a profile at this sighting.
const SIGHTINGS: u8 = 3;
const REPEATS: usize = 1 << 14;

/// Keys on their way into the table: a flood of invented keys must not push out the real ones.
#[derive(Debug, Default)]
pub struct Candidates {
    sightings: BTreeMap<KeyId, u8>,
    order: VecDeque<KeyId>,
}

impl Candidates {
    /// Whether a key that is not in the table gets a profile with this request: at once if the gateway let it
    /// through, else at its third sighting.
    pub fn admit(&mut self, event: &Event<'_>) -> bool {
        if !matches!(event.status, 401 | 403) {
            self.sightings.remove(&event.key);
            return true;
        }
        let count = self.sightings.entry(event.key).or_insert(0);
        if *count == 0 {
            self.order.push_back(event.key);
        }
        *count += 1;
        let admitted = *count >= SIGHTINGS;
        if admitted {
            self.sightings.remove(&event.key);
        }
        while self.sightings.len() > CANDIDATES_MAX || self.order.len() > 2 * CANDIDATES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.sightings.remove(&oldest);
        }
        admitted
    }

    /// Keys that wait.
    pub fn len(&self) -> usize {
        self.sightings.len()
    }

    /// Forgets all, at a checkpoint: what waits is outside of what is kept.
    pub fn clear(&mut self) {
        self.sightings.clear();
        self.order.clear();
    }
}

/// Recognises a request id that was seen a short while ago, by a table of the last one in each slot.
#[derive(Debug)]
pub struct Repeats {
    slots: Vec<u64>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { slots: vec![0; REPEATS] }
    }
}

impl Repeats {
    /// Whether this request was seen before; a request without an id never was.
    #[allow(clippy::cast_possible_truncation)] // the low bits choose the slot
    pub fn is_repeat(&mut self, event: &Event<'_>) -> bool {
        if event.request_id == 0 {
            return false;
        }
        let slot = &mut self.slots[event.request_id as usize & (REPEATS - 1)];
        std::mem::replace(slot, event.request_id) == event.request_id
    }

    /// Forgets all, at a checkpoint.
    pub fn clear(&mut self) {
        self.slots.fill(0);
    }
}
