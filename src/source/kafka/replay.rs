//! Reading again what has been read before, by a consumer of its own, so that what is new is not disturbed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{TopicPartitionList, consumer::Consumer as _, error::RDKafkaErrorCode};

use super::{
    super::{Batch, InputName, SourceError, batch::Position},
    batch_queue::{BatchQueue, Consumer},
    client, offsets,
    settings::KafkaSettings,
};

/// How long a range may take without a single record.
const RECORDS_WITHIN: Duration = Duration::from_mins(1);
/// A log that ended before a range has to stand there for so long: after a change of leader, it may say so for a moment.
const END_STANDS: Duration = Duration::from_secs(10);
/// How long to wait for messages before events are served again.
const SLICE: Duration = Duration::from_millis(50);

/// Every partition has a queue of its own here, so each one's bounds are low.
const QUEUES: [(&str, &str); 2] = [("queued.min.messages", "10000"), ("queued.max.messages.kbytes", "4096")];

/// A range of one partition to read.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    pub source: u16,
    pub input: u32,
    pub name: &'a InputName,
    pub topic: &'a str,
    pub partition: i32,
    pub from: u64,
    pub to: u64,
}

impl Range<'_> {
    fn failed(&self, text: String) -> SourceError {
        SourceError::ReadAgain { input: self.name.clone(), from: self.from, to: self.to, text }
    }
}

/// What one message meant.
enum Taken {
    /// The range has been read so far.
    To(u64),
    /// The log ends here, before the end of the range.
    End(u64),
    /// The log does not have the position.
    Refused,
}

struct Reader {
    input: u32,
    queue: Arc<BatchQueue>,
    /// Where its messages go on; unknown after one was taken that was not wanted.
    next: Option<u64>,
}

/// A consumer that reads ranges.
pub struct Replay {
    readers: Vec<Reader>,
    consumer: Arc<Consumer>,
    settings: KafkaSettings,
    record_bytes_max: usize,
    /// Where the logs of inputs begin and end that did not have all that was asked for.
    bounds: HashMap<u32, (u64, u64)>,
}

impl Replay {
    pub fn new(settings: &KafkaSettings, record_bytes_max: usize) -> Result<Self, SourceError> {
        let consumer = client::create(settings, &QUEUES)?;
        let (readers, bounds, settings) = (Vec::new(), HashMap::new(), settings.clone());
        Ok(Self { readers, consumer, settings, record_bytes_max, bounds })
    }

    /// Appends the range's records up to the batch's room; returns where to go on.
    pub fn read(&mut self, range: &Range<'_>, batch: &mut Batch) -> Result<u64, SourceError> {
        if let Some(gone) = self.gone(range.from, range) {
            return Err(gone);
        }
        let reader = self.reader_at(range)?;
        let queue = Arc::clone(&self.readers[reader].queue);
        let mut next = range.from;
        let mut end = None;
        let mut deadline = Instant::now() + RECORDS_WITHIN;
        while next < range.to {
            // Offsets may have gaps, so never more than `to - next` records are left.
            let most = batch.room().min(usize::try_from(range.to - next).unwrap_or(usize::MAX));
            if most == 0 {
                break;
            }
            let before = next;
            let taken = queue.take(batch.messages_mut(), most, SLICE);
            for index in taken {
                match self.accept(reader, range, index, batch)? {
                    Taken::To(offset) => next = next.max(offset),
                    Taken::End(offset) => (next, end) = (next.max(offset), Some(offset)),
                    Taken::Refused => return Err(self.refused(next, range)?),
                }
            }
            while self.consumer.poll(Duration::ZERO).is_some() {}
            if next > before {
                deadline = Instant::now() + RECORDS_WITHIN;
            } else if let Some(end) = end.filter(|_| Instant::now() + RECORDS_WITHIN > deadline + END_STANDS)
            {
                self.bounds.insert(range.input, (0, end));
                let odd = || range.failed(format!("nothing came, although the log ends at {end}"));
                return Err(self.gone(next, range).unwrap_or_else(odd));
            } else if Instant::now() > deadline {
                let reasons = self.consumer.context().take_texts().join("; ");
                let text = format!("nothing came within {} s {reasons}", RECORDS_WITHIN.as_secs());
                return Err(range.failed(text));
            }
        }
        Ok(next.min(range.to))
    }

    /// Takes one message: a record of the range, one behind it, the end of the partition, or an error.
    fn accept(
        &mut self,
        reader: usize,
        range: &Range<'_>,
        index: usize,
        batch: &mut Batch,
    ) -> Result<Taken, SourceError> {
        let messages = batch.messages_mut();
        let head = messages.head(index);
        let offset = u64::try_from(head.offset).unwrap_or(0);
        match head.error {
            None if offset < range.from => Ok(Taken::To(range.from)),
            None if offset >= range.to => {
                self.readers[reader].next = None;
                Ok(Taken::To(range.to))
            }
            None => {
                let log_time_ms = messages.time_ms(index);
                let next = offset + 1;
                let Range { source, input, .. } = *range;
                let position = Position { source, input, offset, next, log_time_ms };
                batch.push_message(position, index, self.record_bytes_max);
                if let Some(expected) = &mut self.readers[reader].next {
                    *expected = next;
                }
                Ok(Taken::To(next))
            }
            // Everything up to here has been given; what is missing is no record (the mark of a transaction).
            Some(RDKafkaErrorCode::PartitionEOF) if offset >= range.to => Ok(Taken::To(range.to)),
            Some(RDKafkaErrorCode::PartitionEOF) => Ok(Taken::End(offset)),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Ok(Taken::Refused)
            }
            Some(_) => Err(range.failed(messages.error_text(index))),
        }
    }

    /// Looks what the log still has, after it refused a range. This consumer is of no use afterwards: librdkafka
    /// fetches nothing more of the partition, and refuses to seek it.
    fn refused(&mut self, from: u64, range: &Range<'_>) -> Result<SourceError, SourceError> {
        let bounds =
            offsets::watermarks(&self.consumer, range.topic, range.partition, offsets::ANSWER_WITHIN)?;
        self.bounds.insert(range.input, bounds);
        self.readers.clear();
        self.consumer = client::create(&self.settings, &QUEUES)?;
        let (low, high) = bounds;
        let odd = || range.failed(format!("refused at {from}, although the log has {low} to {high}"));
        Ok(self.gone(from, range).unwrap_or_else(odd))
    }

    /// What a log without the range's start has of the range, as an error that says so.
    fn gone(&self, from: u64, range: &Range<'_>) -> Option<SourceError> {
        let &(low, high) = self.bounds.get(&range.input)?;
        let (to, text) = if from < low {
            (low.min(range.to), format!("the log begins at {low}: retention has deleted what was before"))
        } else if from >= high {
            (range.to, format!("the log ends at {high}: the topic was made anew, or has lost its end"))
        } else {
            return None;
        };
        Some(SourceError::Gone { input: range.name.clone(), from, to, text })
    }

    /// The reader of the range's partition, at its start.
    fn reader_at(&mut self, range: &Range<'_>) -> Result<usize, SourceError> {
        let from = offsets::at(range.from);
        let place = self.readers.iter().position(|reader| reader.input == range.input);
        let place = match place {
            Some(place) if self.readers[place].next == Some(range.from) => return Ok(place),
            Some(place) => {
                let sought = self.consumer.seek(range.topic, range.partition, from, RECORDS_WITHIN);
                sought.map_err(|error| range.failed(error.to_string()))?;
                place
            }
            None => {
                let (topic, partition) = (range.topic, range.partition);
                let queue = BatchQueue::of_partition(Arc::clone(&self.consumer), topic, partition);
                let queue = queue.ok_or_else(|| range.failed("no queue for the partition".to_owned()))?;
                let mut list = TopicPartitionList::with_capacity(1);
                list.add_partition_offset(topic, partition, from)
                    .and_then(|()| self.consumer.incremental_assign(&list))
                    .map_err(|error| range.failed(error.to_string()))?;
                self.readers.push(Reader { input: range.input, queue: Arc::new(queue), next: None });
                self.readers.len() - 1
            }
        };
        self.readers[place].next = Some(range.from);
        Ok(place)
    }
}
