//! What a user says about topics to read.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    properties::{PropertyError, Value, check},
    start::Start,
};

/// How messages are taken from librdkafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consume {
    /// Many at a time, without a copy: the cheap way.
    #[default]
    Batch,
    /// One at a time, each copied: the plain way, to fall back on.
    Poll,
}

/// Valid settings of topics to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawKafkaSettings", into = "RawKafkaSettings")]
pub struct KafkaSettings {
    brokers: Vec<String>,
    topics: Vec<String>,
    group: String,
    start: Start,
    consume: Consume,
    properties: BTreeMap<String, Value>,
}

/// A Kafka source: topics with one record a message.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawKafkaSettings {
    /// Brokers to ask first, as `HOST:PORT`. At least one.
    brokers: Vec<String>,
    /// Topics to read. At least one.
    topics: Vec<String>,
    /// The consumer group that Keyhound is known by.
    #[serde(default = "keyhound")]
    group: String,
    /// Where the very first reading starts: `beginning`, `end`, so long ago (`-7d`), or a time. `earliest` and `latest` are
    /// taken too.
    #[serde(default)]
    start: Start,
    /// `batch`, or `poll` to take messages one at a time if batches should misbehave.
    #[serde(default)]
    consume: Consume,
    /// Any librdkafka property, except those that Keyhound sets itself.
    #[serde(default)]
    properties: BTreeMap<String, Value>,
}

/// Settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaSettingsError {
    #[error("\"{field}\" is empty; it must name at least one")]
    Empty { field: &'static str },
    #[error("\"brokers\" has \"{0}\"; each must be HOST:PORT, for example kafka-1:9092")]
    Broker(String),
    #[error(
        "\"topics\" has \"{0}\"; a topic's name is 1 to 249 letters, digits, dots, underscores and hyphens (patterns \
         are not supported)"
    )]
    Topic(String),
    #[error("\"topics\" names \"{0}\" twice")]
    TopicTwice(String),
    #[error("\"group\" is empty; it must be a name, for example keyhound")]
    Group,
    #[error(transparent)]
    Property(#[from] PropertyError),
}

impl KafkaSettings {
    pub fn brokers(&self) -> &[String] {
        &self.brokers
    }

    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub const fn start(&self) -> Start {
        self.start
    }

    pub const fn consume(&self) -> Consume {
        self.consume
    }

    /// Properties as librdkafka is to have them, secrets resolved; or the name of the one that cannot be.
    pub fn properties(&self) -> Result<Vec<(String, String)>, (String, PropertyError)> {
        let resolved = |(name, value): (&String, &Value)| match value.resolve() {
            Ok(value) => Ok((name.clone(), value)),
            Err(error) => Err((name.clone(), error)),
        };
        self.properties.iter().map(resolved).collect()
    }
}

impl KafkaSettings {
    /// A property that is a number of milliseconds, if it is set.
    pub fn milliseconds(&self, name: &str) -> Option<Duration> {
        self.properties.get(name)?.resolve().ok()?.parse().ok().map(Duration::from_millis)
    }

    /// The same brokers, asked about one topic.
    pub fn with_topic(&self, topic: &str) -> Result<Self, KafkaSettingsError> {
        RawKafkaSettings { topics: vec![topic.to_owned()], ..self.clone().into() }.try_into()
    }
}

impl TryFrom<RawKafkaSettings> for KafkaSettings {
    type Error = KafkaSettingsError;

    fn try_from(raw: RawKafkaSettings) -> Result<Self, Self::Error> {
        let RawKafkaSettings { brokers, topics, group, start, consume, properties } = raw;
        for (field, list) in [("brokers", &brokers), ("topics", &topics)] {
            if list.is_empty() {
                return Err(KafkaSettingsError::Empty { field });
            }
        }
        if let Some(broker) = brokers.iter().find(|broker| !is_broker(broker)) {
            return Err(KafkaSettingsError::Broker(broker.clone()));
        }
        for (at, topic) in topics.iter().enumerate() {
            if !is_topic(topic) {
                return Err(KafkaSettingsError::Topic(topic.clone()));
            }
            if topics[..at].contains(topic) {
                return Err(KafkaSettingsError::TopicTwice(topic.clone()));
            }
        }
        if group.is_empty() {
            return Err(KafkaSettingsError::Group);
        }
        for (name, value) in &properties {
            check(name, value)?;
        }
        Ok(Self { brokers, topics, group, start, consume, properties })
    }
}

impl From<KafkaSettings> for RawKafkaSettings {
    fn from(settings: KafkaSettings) -> Self {
        let KafkaSettings { brokers, topics, group, start, consume, properties } = settings;
        Self { brokers, topics, group, start, consume, properties }
    }
}

fn is_broker(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(',') && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_topic(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=249).contains(&text.len()) && text.chars().all(allowed)
}

fn keyhound() -> String {
    "keyhound".to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Consume, KafkaSettings, Start};

    #[test]
    fn brokers_and_topics_are_enough() {
        let yaml = "{ brokers: [localhost:9092], topics: [kong-logs] }";
        let settings: KafkaSettings = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(settings.group(), "keyhound");
        assert_eq!(settings.start(), Start::Ago { seconds: 604_800 });
        assert_eq!(settings.consume(), Consume::Batch);
    }

    #[test]
    fn properties_pass_through_as_text() {
        let yaml = "brokers: [a:1]\ntopics: [t]\nstart: -12h\nproperties:\n  fetch.min.bytes: 1\n  \
                    socket.keepalive.enable: true\n  client.id: hound\n";
        let settings: KafkaSettings = serde_saphyr::from_str(yaml).unwrap();
        let properties = settings.properties().unwrap();
        let shown: Vec<String> = properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["client.id=hound", "fetch.min.bytes=1", "socket.keepalive.enable=true"]);
    }

    #[track_caller]
    fn refused(yaml: &str, expected: &str) {
        let error = serde_saphyr::from_str::<KafkaSettings>(yaml).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        refused("{ brokers: [], topics: [t] }", "\"brokers\" is empty");
        refused("{ brokers: [localhost], topics: [t] }", "\"localhost\"; each must be HOST:PORT");
        refused("{ brokers: ['a:1'], topics: ['a b'] }", "\"topics\" has \"a b\"");
        refused("{ brokers: ['a:1'], topics: [t, t] }", "\"t\" twice");
        refused("{ brokers: ['a:1'], topics: [t], start: soon }", "\"start\" is \"soon\"");
        refused("{ brokers: ['a:1'], topics: [t], partitions: 3 }", "partitions");
        refused(
            "{ brokers: ['a:1'], topics: [t], properties: { group.id: x } }",
            "\"group.id\", which Keyhound",
        );
        refused("{ brokers: ['a:1'], topics: [t], properties: { sasl.password: x } }", "named like a secret");
    }
}
