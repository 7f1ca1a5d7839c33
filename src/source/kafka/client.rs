//! How a consumer is set up.

use std::sync::Arc;

use rdkafka::ClientConfig;

use super::{super::SourceError, batch_queue::Consumer, context::Context, settings::KafkaSettings};

/// What a user's `properties` may change. A full local queue makes the fetcher sleep, by default for a second.
/// The two bounds are part of the memory budget: at most so many messages, or KiB, are fetched ahead in the one
/// queue that all partitions share (and one fetch more, since that is not cut short: `fetch.max.bytes`, or a single batch of records if it is larger).
const DEFAULTS: [(&str, &str); 7] = [
    ("client.id", "keyhound"),
    ("fetch.queue.backoff.ms", "10"),
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.max.bytes", "16777216"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("socket.keepalive.enable", "true"),
];

/// What is ours (`properties.rs` gives the reasons).
const OWNED: [(&str, &str); 6] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
    ("statistics.interval.ms", "5000"),
];

/// How to reach the brokers: their names, and what the user's properties say.
pub fn connection(settings: &KafkaSettings) -> Result<ClientConfig, SourceError> {
    let properties = settings.properties();
    let properties =
        properties.map_err(|(name, error)| SourceError::Property { name, text: error.to_string() })?;
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", settings.brokers().join(","));
    Ok(config)
}

/// A consumer by the settings, with nothing assigned yet. `more` is stronger than what the user says.
pub fn create(settings: &KafkaSettings, more: &[(&str, &str)]) -> Result<Arc<Consumer>, SourceError> {
    let mut config = connection(settings)?;
    for (name, value) in DEFAULTS {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    for (name, value) in OWNED.iter().chain(more) {
        config.set(*name, *value);
    }
    config.set("group.id", settings.group());
    let brokers = settings.brokers().join(",");
    config
        .create_with_context(Context::default())
        .map(Arc::new)
        // librdkafka names the property that it refuses, and not its value if that is a secret.
        .map_err(|error| SourceError::Client { brokers, text: error.to_string() })
}
