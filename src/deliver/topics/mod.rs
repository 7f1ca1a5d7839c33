//! Publishes outputs to Keyhound's own Kafka topics, in the order of the outbox.
//!
//! At least once: a record is acknowledged in the outbox only after the broker has said that it has it on all
//! in-sync replicas. Ids are deterministic, so that readers can tell a repetition. Runs only where a source is Kafka.

pub mod create;
pub mod instances;
pub mod publisher;

pub use create::ensure;
pub use instances::{Heartbeat, OtherInstances};
pub use publisher::{PublishError, ToTopics};
