//! Which requests count: keys that are new, and requests that were counted already.

use std::collections::{BTreeMap, VecDeque};

use super::checkpoint::{id_bytes, id_of};
use crate::{
    event::{Event, KeyId},
    profile::{CodecError, Reader, Writer},
};

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
    changed: bool,
}

impl Candidates {
    /// Whether a key that is not in the table gets a profile with this request: at once if the gateway let it
    /// through, else at its third sighting.
    pub fn admit(&mut self, event: &Event<'_>) -> bool {
        if !matches!(event.status, 401 | 403) {
            self.changed |= self.sightings.remove(&event.key).is_some();
            return true;
        }
        self.changed = true;
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

    /// All of it as one entry, if it changed since the last call.
    pub fn checkpoint(&mut self) -> Option<Writer> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut out = Writer::versioned();
        out.uint(self.order.len() as u64);
        for key in &self.order {
            out.raw(&id_bytes(key));
            out.uint(self.sightings.get(key).copied().unwrap_or(0).into());
        }
        Some(out)
    }

    /// Takes it back.
    pub fn restore(&mut self, input: &mut Reader<'_>) -> Result<(), CodecError> {
        for _ in 0..input.uint()? {
            let key = id_of(input.raw(17)?)?;
            let count = u8::try_from(input.uint()?).map_err(|_| CodecError::Impossible(0))?;
            self.order.push_back(key);
            if count > 0 {
                self.sightings.insert(key, count);
            }
        }
        Ok(())
    }
}

/// Recognises a request id that was seen a short while ago, by a table of the last one in each slot.
#[derive(Debug)]
pub struct Repeats {
    slots: Vec<u64>,
    changed: bool,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { slots: vec![0; REPEATS], changed: false }
    }
}

impl Repeats {
    /// Whether this request was seen before; a request without an id never was.
    #[allow(clippy::cast_possible_truncation)] // the low bits choose the slot
    pub fn is_repeat(&mut self, event: &Event<'_>) -> bool {
        if event.request_id == 0 {
            return false;
        }
        self.changed = true;
        let slot = &mut self.slots[event.request_id as usize & (REPEATS - 1)];
        std::mem::replace(slot, event.request_id) == event.request_id
    }

    /// The ids in it as one entry, if any came since the last call.
    pub fn checkpoint(&mut self) -> Option<Writer> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut out = Writer::versioned();
        let ids = || self.slots.iter().filter(|id| **id != 0);
        out.uint(ids().count() as u64);
        ids().for_each(|id| out.raw(&id.to_le_bytes()));
        Some(out)
    }

    /// Takes them back. An id's low bits say which slot it was in.
    #[allow(clippy::cast_possible_truncation)] // the low bits choose the slot
    pub fn restore(&mut self, input: &mut Reader<'_>) -> Result<(), CodecError> {
        for _ in 0..input.uint()? {
            let id = u64::from_le_bytes(input.array()?);
            self.slots[id as usize & (REPEATS - 1)] = id;
        }
        Ok(())
    }
}
