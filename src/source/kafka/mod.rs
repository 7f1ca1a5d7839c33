//! Records from Kafka, consumed in batches by explicit offsets.
//!
//! Every partition of the topics is assigned at the offset that the table of inputs has for it; librdkafka is
//! never asked where to start, never commits, and never resets. Messages of all partitions go to one queue and
//! are taken many at a time ([`batch_queue`]); the consumer itself is polled in between for errors and statistics.
//! Partitions that are behind have queues of their own and are read in the order of event time ([`backlog`]).

mod backlog;
pub(super) mod batch_queue;
pub mod client;
mod consume;
mod context;
mod lost;
mod offsets;
mod partitions;
mod properties;
mod reach;
mod replay;
mod retention;
mod sample;
mod settings;
mod start;
mod topic_reader;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rdkafka::TopicPartitionList;

use self::{
    client::Client,
    context::Statistics,
    partitions::{Partition, Partitions},
    replay::{Range, Replay},
    retention::Question,
};
pub use self::{
    properties::{FileValue, PropertyError, Value},
    sample::{SampleError, SampledRecord, TopicSample, missing as missing_topics, sample},
    settings::{Consume, KafkaSettings, KafkaSettingsError},
    start::{Start, StartError},
    topic_reader::{TopicReader, TopicRecord},
};
use super::{
    Batch, Contact, InputLag, InputName, Inputs, Notice, RECORD_BYTES_MAX, Source, SourceError, TimeOf,
    contact::Reach,
};

/// How long a partition that was added may take to answer. Meanwhile nothing of any source is read.
const NEW_ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// For how long one that did not is not asked again.
const SILENT_FOR: Duration = Duration::from_mins(1);

/// The source of a `kafka` section.
pub struct KafkaSource {
    source: u16,
    settings: KafkaSettings,
    client: Option<Client>,
    partitions: Partitions,
    /// Partitions that were added and did not answer, and when to ask each again.
    silent: HashMap<(String, i32), Duration>,
    /// When to make the client anew; `None` = it can go on.
    renew_at: Option<Duration>,
    reach: Reach,
    record_bytes_max: usize,
    time_of: Option<TimeOf>,
    /// Inputs whose position was lost: where it was, and where reading goes on.
    moved: Vec<(u32, u64, u64)>,
    replay: Option<Replay>,
    /// How long topics keep their records, until the answer has come.
    retention: Option<Question>,
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
            silent: HashMap::new(),
            renew_at: None,
            reach: Reach::default(),
            record_bytes_max: RECORD_BYTES_MAX,
            time_of: None,
            moved: Vec::new(),
            replay: None,
            retention: None,
            notices: Vec::new(),
        }
    }

    /// `time_of` tells the times of its records. Without it, partitions that are behind are read as their records come.
    #[must_use]
    pub fn aligned_by(mut self, time_of: TimeOf) -> Self {
        self.time_of = Some(time_of);
        self
    }

    /// How many of so many partitions may have a queue of their own.
    const fn queues(&self, partitions: usize) -> usize {
        let is_aligned = self.time_of.is_some() && matches!(self.settings.consume(), Consume::Batch);
        if is_aligned { partitions } else { 1 }
    }

    /// Of a record that is longer it takes so many bytes.
    #[must_use]
    pub const fn bounded(mut self, record_bytes_max: usize) -> Self {
        self.record_bytes_max = record_bytes_max;
        self
    }

    /// Assigns partitions of a topic where the table says, or, for those that it has not seen, where `start` does.
    fn assign(
        &mut self,
        client: &mut Client,
        topic: &str,
        numbers: &[i32],
        start: Start,
        within: Duration,
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
            unknown => offsets::resolve(&client.consumer, topic, unknown, start, now_ms(), within)?,
        };
        let mut list = TopicPartitionList::with_capacity(numbers.len());
        for (number, input, next) in known {
            let found = resolved.iter().find(|(resolved, _)| *resolved == number).map(|(_, offset)| *offset);
            let position = next.or(found).ok_or_else(|| failed(topic, number, "no offset to start at"))?;
            if next.is_none() {
                inputs.starts_at(input, position);
            }
            let partition = Partition {
                topic: topic.to_owned(),
                number,
                input,
                position,
                at_end: false,
                caught_up: false,
                end: None,
                high: None,
                held_up: None,
                refused: None,
                newest_log_time_ms: None,
                last_log_time_ms: inputs.newest_ms(input),
            };
            client.include(&mut list, self.partitions.len(), &partition)?;
            self.partitions.add(partition);
        }
        client.assign(&list)
    }

    /// Takes where each partition ends from the statistics, and reads partitions that were not there before.
    fn learn(
        &mut self,
        client: &mut Client,
        statistics: &Statistics,
        inputs: &mut dyn Inputs,
        now: Duration,
    ) -> Result<(), SourceError> {
        self.look_at_brokers(client, statistics, now);
        let mut answers = true;
        for (topic, found) in &statistics.topics {
            let mut new: Vec<i32> = Vec::new();
            for (&number, partition) in &found.partitions {
                match self.partitions.place(topic, number) {
                    Some(place) => {
                        let end = u64::try_from(partition.ls_offset).ok();
                        self.partitions.at(place).end = end;
                        client.told_end(place, end);
                    }
                    // One that has no leader yet would not answer.
                    None if number >= 0
                        && partition.leader >= 0
                        && self.settings.topics().contains(topic) =>
                    {
                        new.push(number);
                    }
                    None => {}
                }
            }
            new.retain(|&number| self.silent.get(&(topic.clone(), number)).is_none_or(|until| now >= *until));
            new.sort_unstable();
            for number in new {
                // After one that did not answer the next statistics go on: the others may be as silent.
                answers = answers && self.include_new(client, topic, number, inputs, now)?;
            }
        }
        Ok(())
    }

    /// Reads a partition that was not there before; whether it has answered.
    fn include_new(
        &mut self,
        client: &mut Client,
        topic: &str,
        number: i32,
        inputs: &mut dyn Inputs,
        now: Duration,
    ) -> Result<bool, SourceError> {
        let (source, place) = (self.source, (topic.to_owned(), number));
        // What a new partition holds is new, all of it.
        match self.assign(client, topic, &[number], Start::Earliest, NEW_ANSWERS_WITHIN, inputs) {
            Err(error @ SourceError::StartOffset { .. }) => {
                self.silent.insert(place, now + SILENT_FOR);
                self.notices.push(Notice::Transport { source, text: error.to_string() });
                return Ok(false);
            }
            assigned => assigned?,
        }
        self.silent.remove(&place);
        let input = self.partitions.place(topic, number).map_or(0, |place| self.partitions.at(place).input);
        let (topic, partition) = place;
        self.notices.push(Notice::NewPartition { source, input, topic, partition });
        Ok(true)
    }
}

impl Source for KafkaSource {
    fn reads(&self) -> Vec<String> {
        self.settings.topics().iter().map(|topic| format!("kafka:{topic}")).collect()
    }

    fn start(&mut self, inputs: &mut dyn Inputs) -> Result<(), SourceError> {
        let mut client = Client::new(&self.settings, 1)?;
        let brokers = self.settings.brokers().join(",");
        let found = self.settings.topics().iter().map(|topic| {
            let numbers = offsets::partitions(&client.consumer, self.source, &brokers, topic)?;
            Ok((topic.clone(), numbers))
        });
        let found = found.collect::<Result<Vec<(String, Vec<i32>)>, SourceError>>()?;
        // What is fetched ahead can be divided only before there is a client.
        let queues = self.queues(found.iter().map(|(_, numbers)| numbers.len()).sum());
        if queues > 1 {
            let renewed = Client::new(&self.settings, queues)?;
            std::mem::replace(&mut client, renewed).let_go();
        }
        let (start, within) = (self.settings.start(), offsets::ANSWER_WITHIN);
        for (topic, numbers) in found {
            self.assign(&mut client, &topic, &numbers, start, within, inputs)?;
        }
        self.retention = Some(Question::ask(self.source, &self.settings)?);
        self.client = Some(client);
        Ok(())
    }

    fn poll(
        &mut self,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        now: Duration,
        wait: Duration,
    ) -> Result<(), SourceError> {
        // What is new is read now, so what was old has been.
        self.replay = None;
        self.reach.begin(now);
        let not_started = || SourceError::Fatal { text: "polled before it was started".to_owned() };
        let mut client = self.client.take().ok_or_else(not_started)?;
        let polled = self.consume(&mut client, batch, inputs, now, wait);
        for (input, from, to) in self.moved.drain(..) {
            inputs.moved(input, from, to);
        }
        self.client = Some(self.renewed(client, now));
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
        let partition = self.partitions.of_input(input).ok_or_else(|| {
            let text = "the topic has no such partition, or is not in the settings any more".to_owned();
            SourceError::Gone { input: name.clone(), from, to, text }
        })?;
        let (topic, partition) = (partition.topic.as_str(), partition.number);
        let replay = match &mut self.replay {
            Some(replay) => replay,
            none => none.insert(Replay::new(&self.settings, self.record_bytes_max)?),
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
        self.partitions.of_input(input).is_none_or(Partition::is_idle) && !self.waits(input)
    }

    fn waits(&self, input: u32) -> bool {
        let mut behind = self.client.iter().flat_map(|client| &client.behind);
        behind.any(|one| one.input == input && one.waits())
    }

    fn finished(&self) -> bool {
        false
    }

    fn describe(&self, input: u32) -> Option<String> {
        self.partitions.of_input(input).map(|p| format!("{}/{}", p.topic, p.number))
    }

    fn contact(&self, now: Duration) -> Contact {
        self.reach.contact(now)
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
