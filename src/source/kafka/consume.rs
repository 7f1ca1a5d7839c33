//! Taking messages, many at a time or one by one, and what becomes of the errors among them.

use std::{ops::Range, sync::Arc, time::Duration};

use rdkafka::{
    Message as _,
    consumer::Consumer as _,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    super::{Batch, Inputs, Notice, Record, SourceError, batch::Position},
    Client, KafkaSource,
    batch_queue::BatchQueue,
};

impl KafkaSource {
    /// Appends what is ready, up to the batch's room; waits at most `wait` for the first record.
    pub(super) fn consume(
        &mut self,
        client: &mut Client,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        now: Duration,
        wait: Duration,
    ) -> Result<(), SourceError> {
        let before = batch.len();
        self.serve(client, batch, inputs, now)?;
        let wait = if batch.len() > before { Duration::ZERO } else { wait };
        match client.queue.clone() {
            Some(queue) if client.behind.is_empty() => self.take_batch(client, &queue, batch, wait),
            Some(queue) => self.take_aligned(client, &queue, batch, now, wait),
            None if wait.is_zero() || batch.room() == 0 => Ok(()),
            None => {
                self.poll_once(client, batch, wait)?;
                self.serve(client, batch, inputs, now)
            }
        }
    }

    /// Serves what librdkafka has to tell: errors, statistics. A message that comes this way is a record too.
    fn serve(
        &mut self,
        client: &mut Client,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        now: Duration,
    ) -> Result<(), SourceError> {
        while batch.room() > 0 && self.poll_once(client, batch, Duration::ZERO)? {}
        if self.retention.as_mut().is_some_and(|question| question.is_answered(&mut self.notices)) {
            self.retention = None;
        }
        let consumer = Arc::clone(&client.consumer);
        let context = consumer.context();
        let source = self.source;
        self.notices.extend(context.take_texts().into_iter().map(|text| Notice::Transport { source, text }));
        match context.take_statistics() {
            Some(statistics) => self.learn(client, &statistics, inputs, now),
            None => Ok(()),
        }
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
                    let whole = message.payload().unwrap_or_default();
                    let bytes = &whole[..whole.len().min(self.record_bytes_max)];
                    let cut = bytes.len() < whole.len();
                    batch.push(Record { source, input, offset, next, log_time_ms, bytes, cut });
                    if cut {
                        self.was_cut(position, whole.len());
                    }
                }
                Ok(true)
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                // The plain way does not say which topic; with several, the statistics will.
                if let [topic] = self.settings.topics()
                    && let Some(place) = self.partitions.place(topic, number)
                {
                    self.reached_end(place);
                }
                Ok(true)
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Err(SourceError::Fatal { text: code.to_string() })
            }
            Some(Err(KafkaError::MessageConsumption(code))) => {
                // The plain way does not say which partition an error is about.
                self.judge(client, code, None, code.to_string()).map(|()| true)
            }
            Some(Err(error)) => Err(SourceError::Fatal { text: error.to_string() }),
        }
    }

    /// Takes what is ready from the queue; if that is nothing, waits for the first message.
    pub(super) fn take_batch(
        &mut self,
        client: &Client,
        queue: &Arc<BatchQueue>,
        batch: &mut Batch,
        wait: Duration,
    ) -> Result<(), SourceError> {
        let before = batch.len();
        self.take(client, queue, batch, usize::MAX, Duration::ZERO)?;
        if batch.len() == before && !wait.is_zero() && batch.room() > 0 {
            // Asked for more than one, librdkafka would wait until all of them are there.
            self.take(client, queue, batch, 1, wait)?;
            self.take(client, queue, batch, usize::MAX, Duration::ZERO)?;
        }
        Ok(())
    }

    pub(super) fn take(
        &mut self,
        client: &Client,
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
        self.append(client, batch, taken)
    }

    /// Appends the records among these messages of the batch, and takes down what the others say.
    pub(super) fn append(
        &mut self,
        client: &Client,
        batch: &mut Batch,
        taken: Range<usize>,
    ) -> Result<(), SourceError> {
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
                self.judge(client, code, place, text)?;
            } else if let Some(place) = place {
                let log_time_ms = messages.time_ms(index);
                if let Some(position) = self.advance(place, head.offset.unsigned_abs(), log_time_ms)
                    && let Some(whole) = batch.push_message(position, index, self.record_bytes_max)
                {
                    self.was_cut(position, whole);
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn was_cut(&mut self, position: Position, whole: usize) {
        let Position { source, input, offset, .. } = position;
        self.notices.push(Notice::Oversized { source, input, offset, length: whole as u64 });
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
        partition.is_served();
        partition.newest_log_time_ms = partition.newest_log_time_ms.max(log_time_ms);
        partition.last_log_time_ms = log_time_ms.or(partition.last_log_time_ms);
        Some(Position { source, input: partition.input, offset, next, log_time_ms })
    }

    fn told_of(&mut self, topic: &str, partition: i32, text: &str) {
        let text = format!("{topic}/{partition}: {text}");
        self.notices.push(Notice::Transport { source: self.source, text });
    }

    fn reached_end(&mut self, place: usize) {
        let partition = self.partitions.at(place);
        partition.at_end = true;
        partition.is_served();
    }

    /// The broker does not give a partition's records: no right, no such topic. That is not for the others to suffer
    /// from, and may pass, so reading goes on. The plain way does not say which partition is meant: with one topic,
    /// each will say that it is served again.
    fn was_refused(&mut self, place: Option<usize>, text: &str) {
        let all = if self.settings.topics().len() == 1 { 0..self.partitions.len() } else { 0..0 };
        for place in place.map_or(all, |place| place..place + 1) {
            self.partitions.at(place).refused = Some(text.to_owned());
        }
    }

    /// What an error means: the end of a partition, a position that is gone, something that passes, or the end of
    /// reading.
    fn judge(
        &mut self,
        client: &Client,
        code: RDKafkaErrorCode,
        place: Option<usize>,
        text: String,
    ) -> Result<(), SourceError> {
        let about = place.map(|place| {
            let partition = self.partitions.at(place);
            (partition.topic.clone(), partition.number)
        });
        let (topic, partition) = about.unwrap_or_else(|| (self.settings.topics().join(","), -1));
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                if let Some(place) = place {
                    self.reached_end(place);
                }
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                self.find_again(client, place);
                Ok(())
            }
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => {
                self.was_refused(place, &text);
                self.told_of(&topic, partition, &text);
                Ok(())
            }
            RDKafkaErrorCode::Fatal => Err(SourceError::Fatal { text }),
            _ => {
                self.told_of(&topic, partition, &text);
                Ok(())
            }
        }
    }
}
