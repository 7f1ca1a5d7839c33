//! What tests of engines begin with.

use std::time::Duration;

use super::{Engines, IdKey, MemoryLimits, Settings, groups::second_of};
use crate::respond::{Caps, FRESH_WITHIN};

/// Four partitions with room for a few keys.
pub fn settings() -> Settings {
    Settings {
        partitions: 4,
        limits: MemoryLimits::of_keys(10),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_hours(1),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    }
}

impl Engines {
    /// What the keys of all partitions have learnt, in the order of partitions and keys.
    pub fn learnt(&self) -> Vec<Vec<u8>> {
        let learnt = self.engines.iter().flat_map(|engine| engine.table.learnt(second_of(engine.watermark)));
        learnt.map(|(_, written)| written.0).collect()
    }
}
