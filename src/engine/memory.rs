//! How the memory that the settings allow is shared out between what is kept.

use super::{admit::CANDIDATES_MAX, counters, waiting::SPIKES_MAX};
use crate::profile::{routes::ROUTES_MAX, table::KEY_BYTES};

/// An open incident with its step, evidence and samples, in bytes.
const INCIDENT_BYTES: u64 = 8 << 10;
/// The histograms of a route, in bytes.
const ROUTE_BYTES: u64 = 8 << 10;
/// A key on its way into the table, in bytes.
const CANDIDATE_BYTES: u64 = 96;
/// A spike that waits, with the request that it shows, in bytes.
const SPIKE_BYTES: u64 = 1024;
/// What a partition has besides: its filter of repeated records, its groups, routes that wait for a place.
const OTHER_BYTES: u64 = 512 << 10;
/// What a partition takes whatever is kept in it.
const PARTITION_BYTES: u64 = ROUTES_MAX as u64 * ROUTE_BYTES
    + CANDIDATES_MAX as u64 * CANDIDATE_BYTES
    + SPIKES_MAX as u64 * SPIKE_BYTES
    + OTHER_BYTES;
/// A Keyhound that keeps fewer keys than this is of no use: of each partition.
const KEYS_MIN: u64 = 1_000;

/// The most that each partition keeps. What is thrown out hangs on these numbers, so that they follow from settings alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    pub keys: usize,
    /// Of the counters of counting rules.
    pub counter_bytes: usize,
    /// Open incidents, from which on no key that is not mature gets another one.
    pub incidents: usize,
}

impl MemoryLimits {
    /// The limits of each of so many partitions that share `bytes`, or [`MemoryLimits::least`] if that is more.
    ///
    /// A tenth is for counters, a twentieth for incidents, and what the partitions' other tables leave is for profiles.
    pub fn shared(bytes: u64, partitions: u16) -> Self {
        let share = bytes.max(Self::least(partitions)) / u64::from(partitions.max(1));
        let counter_bytes = (share / 10).min(counters::BYTES_MAX as u64);
        let incident_bytes = share / 20;
        let left = share.saturating_sub(PARTITION_BYTES + counter_bytes + incident_bytes);
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            // Places in the tables have 32 bits.
            keys: number(left / KEY_BYTES as u64).min(u32::MAX as usize / 2),
            counter_bytes: number(counter_bytes),
            incidents: number(incident_bytes / INCIDENT_BYTES),
        }
    }

    /// The least that so many partitions can do with, in bytes.
    pub fn least(partitions: u16) -> u64 {
        let mib = 1 << 20;
        let each = (PARTITION_BYTES + KEYS_MIN * KEY_BYTES as u64) * 20 / 17;
        (u64::from(partitions.max(1)) * (each + 20)).div_ceil(mib) * mib
    }

    /// So many keys, and as much of all else as a partition may have. For tests and the demo.
    pub const fn of_keys(keys: usize) -> Self {
        Self { keys, counter_bytes: counters::BYTES_MAX, incidents: usize::MAX }
    }
}

/// What a partition takes of its share with so much in it, in bytes.
pub(super) const fn accounted(keys: usize, counter_bytes: usize, incidents: usize) -> u64 {
    let incidents = (incidents as u64).saturating_mul(INCIDENT_BYTES);
    (PARTITION_BYTES + (keys * KEY_BYTES) as u64 + counter_bytes as u64).saturating_add(incidents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_takes_what_was_allowed_and_no_more() {
        for (bytes, partitions) in [(300_000_000, 8), (64 << 20, 1), (2 << 30, 8), (64 << 30, 64)] {
            let limits = MemoryLimits::shared(bytes, partitions);
            let full = accounted(limits.keys, limits.counter_bytes, limits.incidents);
            let all = full * u64::from(partitions);
            assert!((bytes / 100 * 99..=bytes).contains(&all), "{bytes} {partitions}: {all} {limits:?}");
        }
        assert_eq!(MemoryLimits::shared(300_000_000, 8).keys * 8, 175_448);
    }

    #[test]
    fn the_least_is_enough_for_some_keys_and_what_is_less_counts_as_the_least() {
        for partitions in [1, 8, 1024] {
            let limits = MemoryLimits::shared(MemoryLimits::least(partitions), partitions);
            assert!((KEYS_MIN..2 * KEYS_MIN).contains(&(limits.keys as u64)), "{partitions}: {limits:?}");
            assert_eq!(MemoryLimits::shared(1, partitions), limits);
        }
    }
}
