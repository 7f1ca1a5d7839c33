//! Which partitions there are, and the offset that reading one for the first time starts at.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList, consumer::Consumer as _, metadata::MetadataPartition, types::RDKafkaErrorCode,
};

use super::{super::SourceError, batch_queue::Consumer, start::Start};

/// How long brokers may take to answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How often to look in the meantime whether they have refused us for good.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// More events than librdkafka queues while it fails to connect.
const EVENTS_MAX: usize = 1_000;

/// The numbers of a topic's partitions, ascending.
pub fn partitions(
    consumer: &Consumer,
    source: u16,
    brokers: &str,
    topic: &str,
) -> Result<Vec<i32>, SourceError> {
    let failed = |error: &dyn std::fmt::Display| SourceError::Metadata {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        seconds: ANSWER_WITHIN.as_secs(),
        text: with_reasons(error, consumer),
    };
    let mut left = ANSWER_WITHIN;
    let metadata = loop {
        match consumer.fetch_metadata(Some(topic), LOOK_EVERY) {
            Ok(metadata) => break metadata,
            Err(error) => {
                serve_events(consumer);
                left = left.saturating_sub(LOOK_EVERY);
                if left.is_zero() || consumer.context().was_refused() {
                    return Err(failed(&error));
                }
            }
        }
    };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let no_such = || SourceError::NoSuchTopic {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        source_index: source,
    };
    let found = found.ok_or_else(no_such)?;
    if let Some(error) = found.error() {
        let error = RDKafkaErrorCode::from(error);
        return Err(match error {
            RDKafkaErrorCode::UnknownTopicOrPartition => no_such(),
            _ => failed(&error),
        });
    }
    let mut numbers: Vec<i32> = found.partitions().iter().map(MetadataPartition::id).collect();
    if numbers.is_empty() {
        return Err(no_such());
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The first offset to read in each of a topic's `partitions`. Each may take `within` to answer.
pub fn resolve(
    consumer: &Consumer,
    topic: &str,
    partitions: &[i32],
    start: Start,
    now_ms: u64,
    within: Duration,
) -> Result<Vec<(i32, u64)>, SourceError> {
    let Some(time_ms) = start.time_ms(now_ms) else {
        let ends = partitions.iter().map(|&partition| {
            let (low, high) = watermarks(consumer, topic, partition, within)?;
            Ok((partition, if start == Start::Earliest { low } else { high }))
        });
        return ends.collect();
    };
    since(consumer, topic, partitions, time_ms, within)
}

/// The first record of each partition that is not older than a time of the log's, in milliseconds; where there is none,
/// the one that comes next.
pub fn since(
    consumer: &Consumer,
    topic: &str,
    partitions: &[i32],
    time_ms: u64,
    within: Duration,
) -> Result<Vec<(i32, u64)>, SourceError> {
    let time = Offset::Offset(i64::try_from(time_ms).unwrap_or(i64::MAX));
    let mut wanted = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        let added = wanted.add_partition_offset(topic, partition, time);
        added.map_err(|error| failed(topic, partition, &error, consumer))?;
    }
    let found = consumer
        .offsets_for_times(wanted, within)
        .map_err(|error| failed(topic, partitions.first().copied().unwrap_or(0), &error, consumer))?;
    let offsets = found.elements().into_iter().map(|element| {
        let partition = element.partition();
        element.error().map_err(|error| failed(topic, partition, &error, consumer))?;
        match element.offset() {
            Offset::Offset(offset) if offset >= 0 => Ok((partition, offset.unsigned_abs())),
            // No record is as new: what comes next is.
            _ => Ok((partition, watermarks(consumer, topic, partition, within)?.1)),
        }
    });
    offsets.collect()
}

/// A position as librdkafka takes it.
pub fn at(position: u64) -> Offset {
    Offset::Offset(i64::try_from(position).unwrap_or(i64::MAX))
}

/// The first offset that a partition still has, and the one that comes next.
pub fn watermarks(
    consumer: &Consumer,
    topic: &str,
    partition: i32,
    within: Duration,
) -> Result<(u64, u64), SourceError> {
    let (low, high) = consumer
        .fetch_watermarks(topic, partition, within)
        .map_err(|error| failed(topic, partition, &error, consumer))?;
    Ok((low.max(0).unsigned_abs(), high.max(0).unsigned_abs()))
}

fn failed(topic: &str, partition: i32, error: &dyn std::fmt::Display, consumer: &Consumer) -> SourceError {
    SourceError::StartOffset { topic: topic.to_owned(), partition, text: with_reasons(error, consumer) }
}

/// An error with what librdkafka told on the side: the error alone is often just "timed out".
pub fn with_reasons(error: &dyn std::fmt::Display, consumer: &Consumer) -> String {
    serve_events(consumer);
    // The others repeat it for other addresses, or follow from it.
    match consumer.context().take_texts().into_iter().next() {
        Some(reason) => format!("{error} ({reason})"),
        None => error.to_string(),
    }
}

/// Lets librdkafka tell what it has queued. A poll serves one event, and says nothing of log lines.
pub fn serve_events(consumer: &Consumer) {
    for _ in 0..EVENTS_MAX {
        let _ = consumer.poll(Duration::ZERO);
    }
}
