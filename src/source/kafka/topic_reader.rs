//! Follows a topic of Keyhound's own from its beginning, without a group and without positions that outlive it.
//!
//! Never ends with an error: what is out of reach is told, and tried again with a new client, from where it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
    metadata::MetadataPartition,
};

use super::{batch_queue::Consumer, client, offsets, settings::KafkaSettings};

/// How long the brokers may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often they are asked whether the topic is there, and with as many partitions.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After how long it is tried again.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// For how long a client that has met an error is kept: it may overcome it by itself.
const ERROR_MAX: Duration = Duration::from_secs(20);
/// Headers of a record that are looked at.
const HEADERS_MAX: usize = 16;

/// What a client that reads this one topic needs.
const PROPERTIES: [(&str, &str); 5] = [
    ("statistics.interval.ms", "0"),
    ("auto.offset.reset", "earliest"),
    ("queued.min.messages", "1000"),
    ("queued.max.messages.kbytes", "8192"),
    ("allow.auto.create.topics", "false"),
];

/// One record. Whoever may write to the topic may have written anything, so it is not printed.
pub struct TopicRecord {
    /// Empty if it has none.
    pub key: Vec<u8>,
    /// `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    /// It was written after reading had begun.
    pub is_live: bool,
}

impl TopicRecord {
    /// The text of a header; empty if there is none.
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// A client with the whole topic assigned.
struct Session {
    consumer: Arc<Consumer>,
    partitions: Vec<i32>,
    /// Partitions that were read to where they ended.
    at_end: BTreeSet<i32>,
    looked_at: Instant,
    failed_at: Option<Instant>,
}

/// Reads one topic.
pub struct TopicReader {
    settings: KafkaSettings,
    topic: String,
    session: Option<Session>,
    /// Where each partition goes on.
    next: BTreeMap<i32, u64>,
    /// Where each partition ended when reading began.
    ends: BTreeMap<i32, u64>,
    has_begun: bool,
    tried_at: Option<Instant>,
    fault: Option<String>,
}

impl TopicReader {
    /// Reads `topic` where `settings` lead to.
    pub const fn new(settings: KafkaSettings, topic: String) -> Self {
        Self {
            settings,
            topic,
            session: None,
            next: BTreeMap::new(),
            ends: BTreeMap::new(),
            has_begun: false,
            tried_at: None,
            fault: None,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What is out of reach, and why.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Whether it is known where the topic ended when reading began: what is written from then on is live.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether it was read to where it ended.
    pub fn has_caught_up(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.at_end.len() >= session.partitions.len())
    }

    /// The next record, if one comes within `wait`.
    pub fn poll(&mut self, wait: Duration) -> Option<TopicRecord> {
        self.look();
        let Some(session) = &mut self.session else {
            std::thread::sleep(wait);
            return None;
        };
        match session.consumer.poll(wait)? {
            Ok(message) => {
                let (partition, offset) = (message.partition(), message.offset().max(0).unsigned_abs());
                self.next.insert(partition, offset + 1);
                let is_live = self.ends.get(&partition).is_none_or(|end| offset >= *end);
                return Some(record(&message, is_live));
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                session.at_end.insert(partition);
                if session.at_end.len() >= session.partitions.len() {
                    (session.failed_at, self.fault) = (None, None);
                }
            }
            Err(error) => {
                session.failed_at.get_or_insert_with(Instant::now);
                self.fault = Some(format!("topic {}: {error}", self.topic));
            }
        }
        None
    }

    /// Makes a client where there is none, or the one that there is cannot read.
    fn look(&mut self) {
        if let Some(session) = &mut self.session {
            if session.failed_at.is_some_and(|at| at.elapsed() >= ERROR_MAX) {
                self.session = None;
            } else if session.looked_at.elapsed() >= LOOK_EVERY {
                session.looked_at = Instant::now();
                match partitions(&session.consumer, &self.topic) {
                    Ok(found) if found == session.partitions => {}
                    Ok(_) => self.session = None,
                    Err(text) => {
                        session.failed_at.get_or_insert_with(Instant::now);
                        self.fault = Some(text);
                    }
                }
            }
        }
        if self.session.is_none() && self.tried_at.is_none_or(|at| at.elapsed() >= TRY_EVERY) {
            match self.open() {
                Ok(session) => self.session = Some(session),
                Err(text) => self.fault = Some(text),
            }
            self.tried_at = Some(Instant::now());
        }
    }

    fn open(&mut self) -> Result<Session, String> {
        let consumer = client::create(&self.settings, &PROPERTIES).map_err(|error| error.to_string())?;
        let partitions = partitions(&consumer, &self.topic)?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        let mut ends = BTreeMap::new();
        for &partition in &partitions {
            let (low, high) = offsets::watermarks(&consumer, &self.topic, partition, ANSWER_WITHIN)
                .map_err(|error| error.to_string())?;
            let known = self.next.get(&partition).copied().filter(|next| (low..=high).contains(next));
            list.add_partition_offset(&self.topic, partition, offsets::at(known.unwrap_or(low)))
                .map_err(|error| error.to_string())?;
            // What is in a partition that came later, or in a topic that was made anew, is new.
            let end =
                if self.has_begun { self.ends.get(&partition).map_or(0, |end| high.min(*end)) } else { high };
            ends.insert(partition, end);
        }
        consumer.assign(&list).map_err(|error| error.to_string())?;
        (self.ends, self.has_begun) = (ends, true);
        let (looked_at, failed_at) = (Instant::now(), None);
        Ok(Session { consumer, partitions, at_end: BTreeSet::new(), looked_at, failed_at })
    }
}

fn record(message: &BorrowedMessage<'_>, is_live: bool) -> TopicRecord {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter().take(HEADERS_MAX));
    TopicRecord {
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect(),
        is_live,
    }
}

/// The numbers of the topic's partitions, ascending. Serves no events: records would be lost with them.
fn partitions(consumer: &Consumer, topic: &str) -> Result<Vec<i32>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("topic {topic}: {error}");
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN).map_err(|error| failed(&error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    if let Some(error) = found.and_then(rdkafka::metadata::MetadataTopic::error) {
        return Err(failed(&RDKafkaErrorCode::from(error)));
    }
    let mut numbers: Vec<i32> =
        found.map(|found| found.partitions().iter().map(MetadataPartition::id).collect()).unwrap_or_default();
    numbers.sort_unstable();
    if numbers.is_empty() { Err(failed(&"it is not there")) } else { Ok(numbers) }
}

#[cfg(test)]
#[path = "topic_reader_tests.rs"]
mod tests;
