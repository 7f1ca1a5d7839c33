//! Records from Kafka, consumed in batches.

pub(super) mod batch_queue;
