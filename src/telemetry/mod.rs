//! What Keyhound tells about itself: structured logs, and metrics for Prometheus.
//!
//! Owns the names of all metrics, in [`metrics`], and the way logs are written, in [`logs`]. No label is ever made
//! from a key, an address, a path or an agent: labels are rules, steps, reasons and other closed lists. Counters
//! that would be touched per event live in the slot as plain atomics; they are read at scrape time by [`Status`].

pub mod build;
mod catch_up;
pub mod logs;
pub mod metrics;
pub mod reading;

pub use catch_up::{CatchUp, Waiting, about, grouped};
pub use logs::{LogFormat, LogSettings};
pub use metrics::{Metrics, SlotTimers, faults, start_at_zero};
pub use reading::{EngineCounts, PartitionReading, Reading, SourceReading, Status, TableReading};
