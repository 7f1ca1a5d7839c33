//! Records from Kafka, consumed in batches by explicit offsets.
//!
//! Every partition of the topics is assigned at the offset that the table of inputs has for it; librdkafka is
//! never asked where to start, never commits, and never resets. Messages of all partitions go to one queue and
//! are taken many at a time ([`batch_queue`]); the consumer itself is polled in between for errors and statistics.

pub(super) mod batch_queue;
mod client;
mod context;
mod offsets;
mod partitions;
mod properties;
mod replay;
mod settings;
mod start;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
};

use self::{
    batch_queue::{BatchQueue, Consumer},
    context::Statistics,
    partitions::{Partition, Partitions},
    replay::{Range, Replay},
};
pub use self::{
    properties::{FileValue, PropertyError, Value},
    settings::{Consume, KafkaSettings, KafkaSettingsError},
    start::{Start, StartError},
};
use super::{Batch, InputLag, InputName, Inputs, Notice, Record, Source, SourceError, batch::Position};

/// What a started source works with. The queue goes before the consumer.
struct Client {
    /// None when messages are taken one at a time.
    queue: Option<Arc<BatchQueue>>,
    consumer: Arc<Consumer>,
}

/// The source of a `kafka` section.
pub struct KafkaSource {
    source: u16,
    settings: KafkaSettings,
    client: Option<Client>,
    partitions: Partitions,
    replay: Option<Replay>,
    notices: Vec<Notice>,
}

impl KafkaSource {
    /// A source with the index `source` in the settings. Connects to nothing yet.
    pub fn new(source: u16, settings: KafkaSettings) -> Self {
        Self {
            source,
            settings,
            client: None,
            partitions: Partitions::default(),
            replay: None,
            notices: Vec::new(),
        }
    }

    /// Assigns partitions of a topic where the table says, or, for those that it has not seen, where `start` does.
    fn assign(
        &mut self,
        client: &Client,
        topic: &str,
        numbers: &[i32],
        start: Start,
        inputs: &mut dyn Inputs,
    ) -> Result<(), SourceError> {
        let known = numbers.iter().map(|&number| {
            let (input, next) = inputs.input(self.source, &Partition::name(topic, number));
            (number, input, next)
        });
        let known: Vec<(i32, u32, Option<u64>)> = known.collect();
        let unknown: Vec<i32> = known.iter().filter(|(.., next)| next.is_none()).map(|(n, ..)| *n).collect();
        let resolved = match unknown.as_slice() {
            [] => Vec::new(),
            unknown => offsets::resolve(&client.consumer, topic, unknown, start, now_ms())?,
        };
        let mut list = TopicPartitionList::with_capacity(numbers.len());
        for (number, input, next) in known {
            let found = resolved.iter().find(|(resolved, _)| *resolved == number).map(|(_, offset)| *offset);
            let position = next.or(found).ok_or_else(|| failed(topic, number, "no offset to start at"))?;
            if next.is_none() {
                inputs.starts_at(input, position);
            }
            let offset = Offset::Offset(i64::try_from(position).unwrap_or(i64::MAX));
            list.add_partition_offset(topic, number, offset)
                .map_err(|error| failed(topic, number, &error))?;
            if let Some(queue) = &client.queue
                && !queue.forward(topic, number)
            {
                return Err(failed(topic, number, "no queue for the partition"));
            }
            self.partitions.add(Partition {
                topic: topic.to_owned(),
                number,
                input,
                position,
                at_end: false,
                end: None,
                newest_log_time_ms: None,
            });
        }
        client
            .consumer
            .incremental_assign(&list)
            .map_err(|error| SourceError::Fatal { text: error.to_string() })
    }

    /// Serves what librdkafka has to tell: errors, statistics. A message that comes this way is a record too.
    fn serve(
        &mut self,
        client: &Client,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
    ) -> Result<(), SourceError> {
        while batch.room() > 0 && self.poll_once(client, batch, Duration::ZERO)? {}
        let context = client.consumer.context();
        let source = self.source;
        self.notices.extend(context.take_texts().into_iter().map(|text| Notice::Transport { source, text }));
        match context.take_statistics() {
            Some(statistics) => self.learn(client, &statistics, inputs),
            None => Ok(()),
        }
    }

    /// Takes where each partition ends from the statistics, and reads partitions that were not there before.
    fn learn(
        &mut self,
        client: &Client,
        statistics: &Statistics,
        inputs: &mut dyn Inputs,
    ) -> Result<(), SourceError> {
        for (topic, found) in &statistics.topics {
            let mut new: Vec<i32> = Vec::new();
            for (&number, partition) in &found.partitions {
                match self.partitions.place(topic, number) {
                    Some(place) => self.partitions.at(place).end = u64::try_from(partition.ls_offset).ok(),
                    None if number >= 0 && self.settings.topics().contains(topic) => new.push(number),
                    None => {}
                }
            }
            new.sort_unstable();
            if !new.is_empty() {
                // What a new partition holds is new, all of it.
                self.assign(client, topic, &new, Start::Earliest, inputs)?;
            }
            for partition in new {
                let place = self.partitions.place(topic, partition);
                let input = place.map_or(0, |place| self.partitions.at(place).input);
                let (source, topic) = (self.source, topic.clone());
                self.notices.push(Notice::NewPartition { source, input, topic, partition });
            }
        }
        Ok(())
    }

    /// Takes one message or event by the plain way; whether there was one.
    fn poll_once(&mut self, client: &Client, batch: &mut Batch, wait: Duration) -> Result<bool, SourceError> {
        match client.consumer.poll(wait) {
            None => Ok(false),
            Some(Ok(message)) => {
                let offset = message.offset().unsigned_abs();
                let log_time_ms = message.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok());
                if let Some(place) = self.partitions.place(message.topic(), message.partition())
                    && let Some(position) = self.advance(place, offset, log_time_ms)
                {
                    let Position { source, input, offset, next, log_time_ms } = position;
                    let bytes = message.payload().unwrap_or_default();
                    batch.push(Record { source, input, offset, next, log_time_ms, bytes });
                }
                Ok(true)
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                // The plain way does not say which topic; with several, the statistics will.
                if let [topic] = self.settings.topics()
                    && let Some(place) = self.partitions.place(topic, number)
                {
                    self.partitions.at(place).at_end = true;
                }
                Ok(true)
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Err(SourceError::Fatal { text: code.to_string() })
            }
            Some(Err(KafkaError::MessageConsumption(code))) => {
                // The plain way does not say which partition an error is about.
                let lost = |code| {
                    matches!(code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
                };
                let place = if lost(code) { self.out_of_range(client) } else { None };
                self.judge(code, place, code.to_string()).map(|()| true)
            }
            Some(Err(error)) => Err(SourceError::Fatal { text: error.to_string() }),
        }
    }

    /// The partition whose position its log does not have.
    fn out_of_range(&self, client: &Client) -> Option<usize> {
        let lost = self.partitions.iter().find(|partition| {
            offsets::watermarks(&client.consumer, &partition.topic, partition.number)
                .is_ok_and(|(low, high)| !(low..=high).contains(&partition.position))
        });
        lost.and_then(|partition| self.partitions.place(&partition.topic, partition.number))
    }

    /// Takes what is ready from the queue; if that is nothing, waits for the first message.
    fn take_batch(
        &mut self,
        queue: &Arc<BatchQueue>,
        batch: &mut Batch,
        wait: Duration,
    ) -> Result<(), SourceError> {
        let before = batch.len();
        self.take(queue, batch, usize::MAX, Duration::ZERO)?;
        if batch.len() == before && !wait.is_zero() && batch.room() > 0 {
            // Asked for more than one, librdkafka would wait until all of them are there.
            self.take(queue, batch, 1, wait)?;
            self.take(queue, batch, usize::MAX, Duration::ZERO)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        queue: &Arc<BatchQueue>,
        batch: &mut Batch,
        most: usize,
        wait: Duration,
    ) -> Result<(), SourceError> {
        let most = batch.room().min(most);
        if most == 0 {
            return Ok(());
        }
        let taken = queue.take(batch.messages_mut(), most, wait);
        // Messages come in runs of one partition, so the table is asked once a run.
        let (mut topic_id, mut partition, mut place) = (0, -1, None);
        for index in taken {
            let messages = batch.messages_mut();
            let head = messages.head(index);
            if (head.topic_id, head.partition) != (topic_id, partition) {
                (topic_id, partition) = (head.topic_id, head.partition);
                place = self.partitions.place(messages.topic(index), partition);
            }
            if let Some(code) = head.error {
                let text = messages.error_text(index);
                self.judge(code, place, text)?;
            } else if let Some(place) = place {
                let log_time_ms = messages.time_ms(index);
                if let Some(position) = self.advance(place, head.offset.unsigned_abs(), log_time_ms) {
                    batch.push_message(position, index);
                }
            }
        }
        Ok(())
    }

    /// Moves a partition's position over a record. None if it has been given before: it must not count twice.
    fn advance(&mut self, place: usize, offset: u64, log_time_ms: Option<u64>) -> Option<Position> {
        let source = self.source;
        let partition = self.partitions.at(place);
        if offset < partition.position {
            return None;
        }
        let next = offset + 1;
        partition.position = next;
        partition.at_end = false;
        partition.newest_log_time_ms = partition.newest_log_time_ms.max(log_time_ms);
        Some(Position { source, input: partition.input, offset, next, log_time_ms })
    }

    /// What an error means: the end of a partition, something that passes, or the end of reading.
    fn judge(
        &mut self,
        code: RDKafkaErrorCode,
        place: Option<usize>,
        text: String,
    ) -> Result<(), SourceError> {
        let about = place.map(|place| {
            let partition = self.partitions.at(place);
            (partition.topic.clone(), partition.number, partition.position)
        });
        let (topic, partition, offset) = about.unwrap_or_else(|| (self.settings.topics().join(","), -1, 0));
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                if let Some(place) = place {
                    self.partitions.at(place).at_end = true;
                }
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Err(SourceError::OffsetOutOfRange { topic, partition, offset })
            }
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => Err(SourceError::Partition { topic, partition, text }),
            RDKafkaErrorCode::Fatal => Err(SourceError::Fatal { text }),
            _ => {
                let source = self.source;
                self.notices.push(Notice::Transport { source, text: format!("{topic}/{partition}: {text}") });
                Ok(())
            }
        }
    }

    fn poll_started(
        &mut self,
        client: &Client,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        wait: Duration,
    ) -> Result<(), SourceError> {
        let before = batch.len();
        self.serve(client, batch, inputs)?;
        let wait = if batch.len() > before { Duration::ZERO } else { wait };
        match &client.queue {
            Some(queue) => self.take_batch(queue, batch, wait),
            None if wait.is_zero() || batch.room() == 0 => Ok(()),
            None => {
                self.poll_once(client, batch, wait)?;
                self.serve(client, batch, inputs)
            }
        }
    }
}

impl Source for KafkaSource {
    fn start(&mut self, inputs: &mut dyn Inputs) -> Result<(), SourceError> {
        let consumer = client::create(&self.settings)?;
        let queue = match self.settings.consume() {
            Consume::Poll => None,
            Consume::Batch => {
                let queue = BatchQueue::new(Arc::clone(&consumer));
                Some(Arc::new(queue.ok_or_else(|| SourceError::Fatal { text: "no queue".to_owned() })?))
            }
        };
        let client = Client { queue, consumer };
        let brokers = self.settings.brokers().join(",");
        for topic in self.settings.topics().to_vec() {
            let numbers = offsets::partitions(&client.consumer, self.source, &brokers, &topic)?;
            self.assign(&client, &topic, &numbers, self.settings.start(), inputs)?;
        }
        self.client = Some(client);
        Ok(())
    }

    fn poll(
        &mut self,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        wait: Duration,
    ) -> Result<(), SourceError> {
        // What is new is read now, so what was old has been.
        self.replay = None;
        let not_started = || SourceError::Fatal { text: "polled before it was started".to_owned() };
        let client = self.client.take().ok_or_else(not_started)?;
        let polled = self.poll_started(&client, batch, inputs, wait);
        self.client = Some(client);
        polled
    }

    fn read_again(
        &mut self,
        input: u32,
        name: &InputName,
        from: u64,
        to: u64,
        batch: &mut Batch,
    ) -> Result<u64, SourceError> {
        let failed =
            |text: &str| SourceError::ReadAgain { input: name.clone(), from, to, text: text.to_owned() };
        let partition = self.partitions.of_input(input).ok_or_else(|| failed("the partition is not read"))?;
        let (topic, partition) = (partition.topic.as_str(), partition.number);
        let replay = match &mut self.replay {
            Some(replay) => replay,
            none => none.insert(Replay::new(&self.settings)?),
        };
        replay.read(&Range { source: self.source, input, name, topic, partition, from, to }, batch)
    }

    fn rewindable(&self) -> bool {
        true
    }

    fn lag(&self) -> Vec<InputLag> {
        self.partitions.lag()
    }

    fn idle(&self, input: u32) -> bool {
        self.partitions.of_input(input).is_none_or(Partition::is_idle)
    }

    fn finished(&self) -> bool {
        false
    }

    fn describe(&self, input: u32) -> Option<String> {
        self.partitions.of_input(input).map(|p| format!("{}/{}", p.topic, p.number))
    }

    fn notices(&mut self, into: &mut Vec<Notice>) {
        into.append(&mut self.notices);
    }
}

fn failed(topic: &str, partition: i32, error: &(impl std::fmt::Display + ?Sized)) -> SourceError {
    SourceError::StartOffset { topic: topic.to_owned(), partition, text: error.to_string() }
}

/// The wall clock, for `start: -7d` only.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
