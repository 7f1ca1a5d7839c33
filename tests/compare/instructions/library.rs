//! What of the library differs between commits: a record's fields, and the engines' settings.

use std::time::Duration;

use keyhound::{
    engine::{self, Engines, IdKey, MemoryLimits},
    respond::{Caps, FRESH_WITHIN},
    source::Record,
};

/// A record of one source and one input.
pub fn record(offset: u64, time_ms: u64, bytes: &[u8]) -> Record<'_> {
    Record { source: 0, input: 0, offset, next: offset + 1, log_time_ms: Some(time_ms), bytes, cut: false }
}

/// With the default settings, as the benchmark has them.
pub fn engines() -> Engines {
    Engines::new(engine::Settings {
        partitions: 8,
        limits: MemoryLimits::of_keys(2_500_000),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_secs(1800),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    })
}
