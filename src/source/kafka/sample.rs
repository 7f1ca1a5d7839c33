//! The last records of a topic, for a look at it: no group is joined and nothing is committed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, TopicPartitionList,
    consumer::Consumer as _,
    error::KafkaError,
    metadata::{Metadata, MetadataPartition, MetadataTopic},
};

use super::{super::SourceError, batch_queue::Consumer, client, offsets, settings::KafkaSettings};

/// How long brokers may take to answer, and how long no record may come.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often to look in the meantime whether they have refused us for good.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Payload bytes after which a sample is large enough, however few records that are.
const BYTES_MAX: usize = 256 * 1024 * 1024;
/// Names of topics that an error proposes.
const NEAR_MAX: usize = 3;

/// One record of a sample. Raw API keys may be in it, so it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SampledRecord {
    pub partition: i32,
    pub offset: u64,
    pub key: Option<Vec<u8>>,
    /// Empty where the record has none.
    pub value: Vec<u8>,
}

/// The last records of each partition, in the order in which they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TopicSample {
    /// How many partitions the topic has.
    pub partitions: usize,
    pub records: Vec<SampledRecord>,
    /// Why there are fewer records than there could be.
    pub cut_short: Option<String>,
}

/// Why a topic cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error("kafka: no answer from {brokers} within {seconds} s: {text}")]
    Unreachable { brokers: String, seconds: u64, text: String },
    #[error(
        "kafka: {brokers} show no topic \"{topic}\": {near}; a topic that this user may not describe is not shown"
    )]
    NoSuchTopic { topic: String, brokers: String, near: String },
    #[error(
        "kafka: topic \"{topic}\" has no records in its {partitions} partitions: send a request through the gateway first"
    )]
    Empty { topic: String, partitions: usize },
    #[error("kafka: no record of topic \"{topic}\" came within {seconds} s: {text}")]
    Silent { topic: String, seconds: u64, text: String },
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// The last `most` records of the first topic in `settings`, spread over its partitions.
pub fn sample(settings: &KafkaSettings, most: u32) -> Result<TopicSample, SampleError> {
    let topic = settings.topics().first().cloned().unwrap_or_default();
    let consumer = client::create(settings, &[("queued.max.messages.kbytes", "8192")])?;
    let numbers = partitions(&consumer, &settings.brokers().join(","), &topic)?;
    let mut ends = Vec::with_capacity(numbers.len());
    for &number in &numbers {
        let (low, high) = offsets::watermarks(&consumer, &topic, number, ANSWER_WITHIN)?;
        ends.push((low, high));
    }
    let held: Vec<u64> = ends.iter().map(|(low, high)| high.saturating_sub(*low)).collect();
    let shares = shares(&held, u64::from(most));
    let wanted: HashMap<i32, (u64, u64)> = numbers
        .iter()
        .zip(&ends)
        .zip(&shares)
        .filter(|(_, share)| **share > 0)
        .map(|((number, (_, high)), share)| (*number, (high - share, *high)))
        .collect();
    let empty = || SampleError::Empty { topic: topic.clone(), partitions: numbers.len() };
    if wanted.is_empty() {
        return Err(empty());
    }
    let (records, cut_short) = read(&consumer, &topic, wanted)?;
    if records.is_empty() {
        // What is left may be nothing but the marks of transactions, or records of open ones.
        return Err(empty());
    }
    Ok(TopicSample { partitions: numbers.len(), records, cut_short })
}

/// What is wrong with each of the topics: that the brokers do not show it.
pub fn missing(settings: &KafkaSettings) -> Result<Vec<SampleError>, SampleError> {
    let brokers = settings.brokers().join(",");
    let consumer = client::create(settings, &[])?;
    let metadata = metadata(&consumer, &brokers)?;
    let errors = settings.topics().iter().map(|topic| numbers(&metadata, &brokers, topic).err());
    Ok(errors.flatten().collect())
}

/// The numbers of the topic's partitions.
fn partitions(consumer: &Consumer, brokers: &str, topic: &str) -> Result<Vec<i32>, SampleError> {
    numbers(&metadata(consumer, brokers)?, brokers, topic)
}

/// What the brokers show. All topics are asked for, so that none is created by asking for it.
fn metadata(consumer: &Consumer, brokers: &str) -> Result<Metadata, SampleError> {
    let started = Instant::now();
    loop {
        let error = match consumer.fetch_metadata(None, LOOK_EVERY) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        offsets::serve_events(consumer);
        if started.elapsed() + LOOK_EVERY > ANSWER_WITHIN || consumer.context().was_refused() {
            let (brokers, text) = (brokers.to_owned(), offsets::with_reasons(&error, consumer));
            return Err(SampleError::Unreachable { brokers, seconds: started.elapsed().as_secs(), text });
        }
    }
}

fn numbers(metadata: &Metadata, brokers: &str, topic: &str) -> Result<Vec<i32>, SampleError> {
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let Some(found) = found.filter(|found| !found.partitions().is_empty()) else {
        let near = near(topic, &names(metadata));
        return Err(SampleError::NoSuchTopic { topic: topic.to_owned(), brokers: brokers.to_owned(), near });
    };
    let mut numbers: Vec<i32> = found.partitions().iter().map(MetadataPartition::id).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn names(metadata: &Metadata) -> Vec<&str> {
    metadata.topics().iter().map(MetadataTopic::name).filter(|name| !name.starts_with("__")).collect()
}

/// What somebody may have meant who wrote `topic`.
fn near(topic: &str, names: &[&str]) -> String {
    let mut ranked: Vec<(f64, &str)> = names
        .iter()
        .map(|name| (strsim::jaro_winkler(topic, name), *name))
        .filter(|(like, _)| *like > 0.7)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let quoted: Vec<String> = ranked.iter().take(NEAR_MAX).map(|(_, name)| format!("\"{name}\"")).collect();
    match (quoted.is_empty(), names.len()) {
        (false, _) => format!("near names are {}", quoted.join(", ")),
        (true, count) => format!("of the {count} that they show none has a name like it"),
    }
}

/// How many of the `held` records to take from each partition, so that `most` in all are spread evenly.
fn shares(held: &[u64], most: u64) -> Vec<u64> {
    let mut shares = vec![0; held.len()];
    let mut order: Vec<usize> = (0..held.len()).collect();
    order.sort_by_key(|&index| held[index]);
    let mut left = most;
    for (place, &index) in order.iter().enumerate() {
        // Those that hold little leave their part to the others; the last ones get what does not divide.
        let share = held[index].min(left / (held.len() - place) as u64);
        shares[index] = share;
        left -= share;
    }
    shares
}

/// Reads `wanted`: by partition, the first offset and the one after the last.
fn read(
    consumer: &Consumer,
    topic: &str,
    mut wanted: HashMap<i32, (u64, u64)>,
) -> Result<(Vec<SampledRecord>, Option<String>), SampleError> {
    let failed = |text: String| SampleError::Silent {
        topic: topic.to_owned(),
        seconds: ANSWER_WITHIN.as_secs(),
        text,
    };
    let mut list = TopicPartitionList::with_capacity(wanted.len());
    for (number, (from, _)) in &wanted {
        list.add_partition_offset(topic, *number, offsets::at(*from))
            .map_err(|error| failed(error.to_string()))?;
    }
    consumer.assign(&list).map_err(|error| failed(error.to_string()))?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    let mut progress = Instant::now();
    while !wanted.is_empty() {
        let ended = match consumer.poll(LOOK_EVERY) {
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset().max(0).unsigned_abs());
                // What was fetched ahead of a partition that is done already is nothing that was waited for.
                let to = wanted.get(&partition).map_or(0, |(_, to)| *to);
                if to > 0 {
                    progress = Instant::now();
                }
                if offset < to {
                    let value = message.payload().unwrap_or_default().to_vec();
                    let key = message.key().map(<[u8]>::to_vec);
                    bytes += value.len() + key.as_ref().map_or(0, Vec::len);
                    records.push(SampledRecord { partition, offset, key, value });
                }
                if bytes > BYTES_MAX {
                    return Ok((records, Some(format!("it stopped at {BYTES_MAX} bytes"))));
                }
                (offset + 1 >= to).then_some(partition)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            Some(Err(_)) | None => None,
        };
        if let Some(partition) = ended.filter(|partition| wanted.remove(partition).is_some()) {
            // A busy one would go on and take the room of the others.
            let mut done = TopicPartitionList::with_capacity(1);
            done.add_partition(topic, partition);
            consumer.pause(&done).map_err(|error| failed(error.to_string()))?;
        }
        if progress.elapsed() >= ANSWER_WITHIN {
            let text = offsets::with_reasons(&"the brokers say nothing", consumer);
            if records.is_empty() {
                return Err(failed(text));
            }
            let seconds = ANSWER_WITHIN.as_secs();
            return Ok((records, Some(format!("nothing more came within {seconds} s: {text}"))));
        }
    }
    Ok((records, None))
}

#[cfg(test)]
mod tests {
    use super::{near, shares};

    #[test]
    fn a_sample_is_spread_and_small_partitions_leave_their_part_to_others() {
        assert_eq!(shares(&[100, 100, 100], 30), [10, 10, 10]);
        assert_eq!(shares(&[2, 100, 100], 30), [2, 14, 14]);
        assert_eq!(shares(&[0, 5, 5], 30), [0, 5, 5]);
        assert_eq!(shares(&[100, 100, 100], 2).iter().sum::<u64>(), 2);
        assert!(shares(&[], 30).is_empty());
    }

    #[test]
    fn near_names_come_first_and_far_ones_not_at_all() {
        let names = ["kong-logs", "kong-log-dead", "payments"];
        assert_eq!(near("kong-lgos", &names), "near names are \"kong-logs\", \"kong-log-dead\"");
        assert_eq!(near("zzz", &names), "of the 3 that they show none has a name like it");
    }
}
