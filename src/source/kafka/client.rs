//! How a consumer is set up, and what a started source works with.

use std::{sync::Arc, time::Duration};

use rdkafka::{ClientConfig, TopicPartitionList, consumer::Consumer as _};

use super::{
    super::SourceError,
    backlog::Behind,
    batch_queue::{BatchQueue, Consumer},
    context::Context,
    failed, offsets,
    partitions::Partition,
    settings::{Consume, KafkaSettings},
};

/// How often to look whether a client that was replaced is still in use.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a user's `properties` may change. A full local queue makes the fetcher sleep, by default for a second.
/// The two bounds are part of the memory budget: at most so many messages, or KiB, are fetched ahead in a queue (and one fetch more, since that is not cut short: `fetch.max.bytes`, or a single batch of records if it is larger).
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

/// What may be fetched ahead while partitions have queues of their own: so many messages, so much of their bytes, and so
/// much of a fetch, which is not cut short. A message takes 400 bytes beside its own, so that is 104 MiB, little more than
/// what one queue for all may take; a fetch of compressed records takes what they unpack to.
const MESSAGES_AHEAD: usize = 100_000;
const BYTES_AHEAD: usize = 40 << 20;
const FETCH_BYTES: usize = 24 << 20;
/// Of one partition. A broker cuts a producer's batch in two at the end of a fetch, and it is fetched again: up to a sixth
/// of the fetch where batches are as large as they may be, a MiB.
const FETCH_BYTES_OF_ONE: usize = 6 << 20;
/// What may wait outside the queues, of all partitions that are behind.
const WAITING_BYTES: usize = 24 << 20;
/// Two names of one property.
const FETCH_NAMES: [&str; 2] = ["fetch.message.max.bytes", "max.partition.fetch.bytes"];

/// A consumer of which so many partitions may have a queue of their own: each has its share of what is fetched ahead, if
/// the user does not say how much.
pub fn create_divided(settings: &KafkaSettings, queues: usize) -> Result<Arc<Consumer>, SourceError> {
    finish(divided(settings, queues)?, settings, &[])
}

/// The connection, with the share of each queue.
pub(super) fn divided(settings: &KafkaSettings, queues: usize) -> Result<ClientConfig, SourceError> {
    let mut config = connection(settings)?;
    let shares = [
        ("queued.min.messages", share(MESSAGES_AHEAD, queues, 100, 100_000)),
        ("queued.max.messages.kbytes", share(BYTES_AHEAD >> 10, queues, 32, 32_768)),
        (FETCH_NAMES[0], share(FETCH_BYTES, queues, 32 << 10, FETCH_BYTES_OF_ONE)),
    ];
    for (name, share) in shares {
        let is_set =
            config.get(name).is_some() || name == FETCH_NAMES[0] && config.get(FETCH_NAMES[1]).is_some();
        if !is_set {
            config.set(name, share.to_string());
        }
    }
    Ok(config)
}

/// The share of one of so many queues.
fn share(all: usize, queues: usize, least: usize, most: usize) -> usize {
    (all / queues.max(1)).clamp(least, most)
}

/// A consumer by the settings, with nothing assigned yet. `more` is stronger than what the user says.
pub fn create(settings: &KafkaSettings, more: &[(&str, &str)]) -> Result<Arc<Consumer>, SourceError> {
    finish(connection(settings)?, settings, more)
}

fn finish(
    mut config: ClientConfig,
    settings: &KafkaSettings,
    more: &[(&str, &str)],
) -> Result<Arc<Consumer>, SourceError> {
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

/// What a started source works with. The queue goes before the consumer.
pub(super) struct Client {
    /// Partitions that are behind, each with a queue of its own.
    pub(super) behind: Vec<Behind>,
    /// How much may wait outside the queue of a partition that gets one of its own first; `None` = none does.
    run_bytes: Option<usize>,
    /// None when messages are taken one at a time.
    pub(super) queue: Option<Arc<BatchQueue>>,
    pub(super) consumer: Arc<Consumer>,
}

impl Client {
    /// `queues` = how many partitions may have a queue of their own.
    pub(super) fn new(settings: &KafkaSettings, queues: usize) -> Result<Self, SourceError> {
        let consumer = create_divided(settings, queues)?;
        let queue = match settings.consume() {
            Consume::Poll => None,
            Consume::Batch => {
                let queue = BatchQueue::new(Arc::clone(&consumer));
                Some(Arc::new(queue.ok_or_else(|| SourceError::Fatal { text: "no queue".to_owned() })?))
            }
        };
        let run_bytes = (queues > 1).then(|| share(WAITING_BYTES, queues, 24 << 10, 192 << 10));
        Ok(Self { behind: Vec::new(), run_bytes, queue, consumer })
    }

    /// Ends it on a thread of its own, once no batch holds its messages any more: librdkafka may take seconds to let go
    /// of brokers that do not answer.
    pub(super) fn let_go(mut self) {
        std::thread::spawn(move || {
            self.behind.clear();
            // A queue holds the consumer, and a batch the queues of its messages.
            let own = 1 + usize::from(self.queue.is_some());
            while Arc::strong_count(&self.consumer) > own
                || self.queue.as_ref().is_some_and(|queue| Arc::strong_count(queue) > 1)
            {
                std::thread::sleep(LOOK_AGAIN);
            }
        });
    }

    /// Adds the partition at a place of the table to what is to be assigned, and gives it the queue that it starts with.
    pub(super) fn include(
        &mut self,
        list: &mut TopicPartitionList,
        place: usize,
        partition: &Partition,
    ) -> Result<(), SourceError> {
        let &Partition { ref topic, number, input, position, .. } = partition;
        list.add_partition_offset(topic, number, offsets::at(position))
            .map_err(|error| failed(topic, number, &error))?;
        let no_queue = || failed(topic, number, "no queue for the partition");
        match (&self.queue, self.run_bytes) {
            (Some(_), Some(run_bytes)) if !partition.caught_up => {
                let queue = BatchQueue::of_partition(Arc::clone(&self.consumer), topic, number);
                let queue = queue.ok_or_else(no_queue)?;
                self.behind.push(Behind::new(place, input, queue, run_bytes));
                Ok(())
            }
            (Some(queue), _) if !queue.forward(topic, number) => Err(no_queue()),
            _ => Ok(()),
        }
    }

    /// The statistics say where the log of the partition at a place of the table ends.
    pub(super) fn told_end(&mut self, place: usize, end: Option<u64>) {
        if let Some(one) = self.behind.iter_mut().find(|one| one.place == place) {
            one.told_end(end);
        }
    }

    pub(super) fn assign(&self, list: &TopicPartitionList) -> Result<(), SourceError> {
        let assigned = self.consumer.incremental_assign(list);
        assigned.map_err(|error| SourceError::Fatal { text: error.to_string() })
    }
}
