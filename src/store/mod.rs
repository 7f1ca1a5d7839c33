//! What is kept, and the two seams that the slot sees: [`Log`] and [`Clock`].
//!
//! A [`Log`] hands records over, takes outputs, and makes positions and outputs durable in one commit. The
//! [`EmbeddedLog`] multiplexes sources over an embedded database; the [`MemoryLog`] does the same in memory and
//! crashes where a test wants it to; Kafka's transactions fit behind the same verbs. This module owns the tables,
//! their codec's version and who may open them. It judges nothing, decodes nothing and reads no rules.

mod clock;
mod current;
mod database;
mod decisions_file;
mod delta;
mod embedded;
mod inputs;
mod instance;
mod log;
mod memory;
mod outbox;
mod places;
mod presence;
mod record;
mod seal;
mod tables;

#[cfg(test)]
mod tests;

/// What has ended is still kept for so long, and a decision's tombstone comes then.
pub const KEPT_AFTER_END: std::time::Duration = std::time::Duration::from_hours(7 * 24);

pub use clock::{Clock, SystemClock, VirtualClock};
pub use database::{Identity, StoreError, TakenOver};
pub use decisions_file::{DecisionsFile, DecisionsFileError, Kept as KeptDecisions};
pub use embedded::EmbeddedLog;
pub use instance::Instance;
pub use log::{Committed, Log, LogError, ReadEntry};
pub use memory::{Crash, Disk, MemoryLog, ScriptedBatch, Tape};
pub use outbox::{Dispatcher, OutRecord, Outbox};
pub use presence::{Presence, PresenceError};
pub use record::{
    CODEC_VERSION, Entry, Excluded, Exclusion, InputPosition, InputState, Kept, Mark, Output, Progress,
    References, Resume, Run, Topic,
};
