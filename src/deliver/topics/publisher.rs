//! The dispatcher that produces outbox records to Kafka and waits for the delivery reports. In between it says now and
//! then that this instance is there.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    metadata::MetadataTopic,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};

use super::instances::{HEARTBEAT_EVERY, Heartbeat};
use crate::{
    deliver::{Deliver, DeliverError},
    store::{OutRecord, Topic},
    telemetry::{Metrics, start_at_zero},
};

/// How long librdkafka tries one record before it reports a failure.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one turn waits for its reports: longer than any record is tried.
const TURN_TIMEOUT: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(20);
/// How often the brokers are tried while nothing is published.
const REACH_EVERY: Duration = Duration::from_secs(30);
/// How long they may take then: what comes meanwhile waits.
const REACH_WITHIN: Duration = Duration::from_secs(5);
/// How soon after a heartbeat the next one may come, for somebody new.
const ANSWER_AFTER: Duration = Duration::from_secs(1);

/// What can come of a record, as metrics name it.
const OUTCOMES: [&str; 3] = ["delivered", "failed", "skipped"];

/// Why a publisher could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no producer for Keyhound's topics: {0}")]
pub struct PublishError(#[from] KafkaError);

/// Publishes every record of the outbox to `{prefix}{topic}`.
pub struct ToTopics {
    client: ClientConfig,
    producer: BaseProducer<Reports>,
    /// Counts turns, so that a report that comes late is not taken for one of the next turn.
    turn: u32,
    prefix: String,
    heartbeat: Arc<Heartbeat>,
    metrics: Arc<Metrics>,
    /// When the last heartbeat was sent, or this was made: the first one waits until the topic is read, so that no answer
    /// to it is missed.
    beat_at: Instant,
    /// When the brokers were last tried.
    tried_at: Option<Instant>,
}

impl ToTopics {
    /// `client` names the brokers and how to reach them; how to produce is set here.
    pub fn new(
        client: &ClientConfig,
        prefix: &str,
        heartbeat: Arc<Heartbeat>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, PublishError> {
        let mut client = client.clone();
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "zstd")
            .set("linger.ms", "5")
            .set("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string());
        let producer = client.create_with_context(Reports::default())?;
        let topics = Topic::ALL.map(Topic::as_str);
        start_at_zero(&metrics.delivery.published_records, &[&topics, &OUTCOMES]);
        let (turn, prefix, beat_at, tried_at) = (0, prefix.to_owned(), Instant::now(), None);
        Ok(Self { client, producer, turn, prefix, heartbeat, metrics, beat_at, tried_at })
    }

    /// Hands one record to librdkafka; waits while its queue is full.
    fn produce(&self, record: &OutRecord, index: usize, deadline: Instant) -> Result<(), KafkaError> {
        let topic = format!("{}{}", self.prefix, record.topic.as_str());
        loop {
            let tag = Box::new((self.turn, index));
            let mut message: BaseRecord<'_, [u8], [u8], Box<(u32, usize)>> =
                BaseRecord::with_opaque_to(&topic, tag).headers(self.heartbeat.headers());
            if !record.key.is_empty() {
                message = message.key(record.key.as_bytes());
            }
            // Nothing is a tombstone: a null payload, not an empty one.
            if !record.value.is_empty() {
                message = message.payload(record.value.as_slice());
            }
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                    if Instant::now() < deadline =>
                {
                    self.producer.poll(POLL);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits for a report on each of `count` records; gives the first that failed, and why.
    fn wait(&self, count: usize, deadline: Instant) -> Option<(usize, String)> {
        while self.producer.context().reported() < count {
            if Instant::now() >= deadline {
                return Some((0, format!("no delivery report within {} s", TURN_TIMEOUT.as_secs())));
            }
            self.producer.poll(POLL);
        }
        self.producer.context().first_failure()
    }

    /// No later turn could deliver it: it is told, counted and passed over, so that the others go on.
    fn pass_over(&self, record: &OutRecord, error: &KafkaError) {
        tracing::error!(event = "record_not_published", record = record.seq, topic = record.topic.as_str(), %error, "a record cannot be published; skipped");
        self.metrics.delivery.published_records.with_label_values(&[record.topic.as_str(), "skipped"]).inc();
    }

    /// Says that this instance is there, if it is time to. Nobody waits for it, and one that is lost is followed by
    /// another.
    fn beat(&mut self) {
        let age = self.beat_at.elapsed();
        if age < HEARTBEAT_EVERY && (age < ANSWER_AFTER || !self.heartbeat.take_wanted()) {
            return;
        }
        self.beat_at = Instant::now();
        self.turn = self.turn.wrapping_add(1);
        self.producer.context().begin(self.turn);
        let (topic, key) = (self.decisions_topic(), self.heartbeat.record_key());
        let record: BaseRecord<'_, [u8], [u8], Box<(u32, usize)>> =
            BaseRecord::with_opaque_to(&topic, Box::new((self.turn, 0)));
        drop(self.producer.send(record.key(key.as_bytes()).headers(self.heartbeat.headers())));
    }

    fn decisions_topic(&self) -> String {
        format!("{}{}", self.prefix, Topic::Decisions.as_str())
    }

    fn tried(&mut self, fault: Option<String>) {
        self.tried_at = Some(Instant::now());
        self.metrics.outputs.attempted(Self::NAME, fault);
    }

    /// Makes a new producer where librdkafka has given this one up for good.
    fn renew(&mut self) {
        let Some((code, reason)) = self.producer.client().fatal_error() else { return };
        tracing::error!(event = "producer_failed", %code, reason, "the Kafka producer failed for good; a new one is created");
        match self.client.create_with_context(Reports::default()) {
            Ok(producer) => self.producer = producer,
            Err(error) => {
                tracing::error!(event = "producer_not_created", %error, "a new Kafka producer could not be created");
            }
        }
    }
}

impl Deliver for ToTopics {
    const NAME: &'static str = "topics";

    fn deliver(&mut self, records: &[OutRecord]) -> Result<u64, DeliverError> {
        let before = records.first().map_or(0, |record| record.seq.saturating_sub(1));
        let through = |index: usize| index.checked_sub(1).map_or(before, |last| records[last].seq);
        self.beat();
        let deadline = Instant::now() + TURN_TIMEOUT;
        self.turn = self.turn.wrapping_add(1);
        self.producer.context().begin(self.turn);
        let mut handed = 0;
        let mut refused = None;
        let others: BTreeSet<usize> =
            (0..records.len()).filter(|index| is_of_another(&records[*index])).collect();
        for (index, record) in records.iter().enumerate() {
            if others.contains(&index) {
                self.producer.context().leave_out();
                handed += 1;
                continue;
            }
            match self.produce(record, index, deadline) {
                Ok(()) => {}
                Err(error) if is_hopeless(&error) => self.producer.context().give_up(index, error),
                Err(error) => {
                    refused = Some((index, error.to_string()));
                    break;
                }
            }
            handed += 1;
        }
        let failed = self.wait(handed, deadline).or(refused);
        let delivered = failed.as_ref().map_or(records.len(), |(index, _)| *index);
        let hopeless = self.producer.context().hopeless();
        for (index, record) in records[..delivered].iter().enumerate().filter(|(i, _)| !others.contains(i)) {
            if let Some((_, error)) = hopeless.iter().find(|(found, _)| *found == index) {
                self.pass_over(record, error);
                continue;
            }
            self.metrics
                .delivery
                .published_records
                .with_label_values(&[record.topic.as_str(), "delivered"])
                .inc();
        }
        self.tried(failed.as_ref().map(|(_, reason)| reason.clone()));
        match failed {
            None => Ok(through(records.len())),
            Some((index, reason)) => {
                self.metrics
                    .delivery
                    .published_records
                    .with_label_values(&[records[index].topic.as_str(), "failed"])
                    .inc();
                self.renew();
                Err(DeliverError { through: through(index), reason })
            }
        }
    }

    /// Asks about a topic that has to be there, by the connections that records go by.
    fn idle(&mut self) {
        // Reports on heartbeats, which nobody waits for.
        self.producer.poll(Duration::ZERO);
        if self.tried_at.is_some_and(|at| at.elapsed() < REACH_EVERY) {
            self.beat();
            return;
        }
        let topic = self.decisions_topic();
        let asked = self.producer.client().fetch_metadata(Some(&topic), REACH_WITHIN);
        let fault = match asked {
            Err(error) => Some(error.to_string()),
            Ok(metadata) => {
                let error = metadata.topics().first().and_then(MetadataTopic::error);
                error.map(|error| format!("topic {topic}: {}", RDKafkaErrorCode::from(error)))
            }
        };
        self.tried(fault);
    }
}

/// Whether another instance publishes it: this one has only taken it in.
fn is_of_another(record: &OutRecord) -> bool {
    #[derive(serde::Deserialize)]
    struct Origin<'a> {
        #[serde(default)]
        instance: &'a str,
    }
    let of_another = |origin: Origin<'_>| !origin.instance.is_empty();
    record.topic == Topic::Decisions && serde_json::from_slice(&record.value).is_ok_and(of_another)
}

/// Collects delivery reports.
#[derive(Default)]
struct Reports(Mutex<Reported>);

#[derive(Default)]
struct Reported {
    turn: u32,
    count: usize,
    first_failure: Option<(usize, String)>,
    /// Records that the broker will never take.
    hopeless: Vec<(usize, KafkaError)>,
}

/// Whether trying again cannot help: the record itself is at fault.
fn is_hopeless(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidMessage, InvalidMessageSize, MessageSizeTooLarge};
    matches!(error.rdkafka_error_code(), Some(MessageSizeTooLarge | InvalidMessage | InvalidMessageSize))
}

impl Reports {
    fn reported(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    fn first_failure(&self) -> Option<(usize, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first_failure.clone()
    }

    fn hopeless(&self) -> Vec<(usize, KafkaError)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hopeless.clone()
    }

    /// Counts a record that is not to be published as reported.
    fn leave_out(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count += 1;
    }

    /// Counts a record that librdkafka did not even take as reported.
    fn give_up(&self, index: usize, error: KafkaError) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reported.count += 1;
        reported.hopeless.push((index, error));
    }

    fn begin(&self, turn: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Reported { turn, ..Reported::default() };
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(event = "producer_error", %error, reason, "Kafka producer");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<(u32, usize)>;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: Box<(u32, usize)>) {
        let (turn, index) = *tag;
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.turn != turn {
            return;
        }
        reported.count += 1;
        if let Err((error, message)) = result {
            if is_hopeless(error) {
                reported.hopeless.push((index, error.clone()));
            } else if reported.first_failure.as_ref().is_none_or(|(first, _)| index < *first) {
                reported.first_failure = Some((index, format!("topic {}: {error}", message.topic())));
            }
        }
    }
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
