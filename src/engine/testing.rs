//! What tests of engines begin with.

use std::time::Duration;

use super::{IdKey, MemoryLimits, Settings};
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
