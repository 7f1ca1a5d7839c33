//! Positions that a partition no longer has: retention was faster, or the topic was made anew.
//!
//! Never silently: each is told, and what was lost is counted. Where retention was faster, reading goes on at the earliest
//! record that there is. A log that is shorter than what was read of it was made anew, or lost its end when a broker took
//! over that lacked it. Which one, nobody says; so reading goes on at the first record that is as new as the one that was
//! read last, or a minute older: of a new log that is all of it, of a shortened one the last minute is read twice.
//!
//! A topic that was made anew and has grown beyond the position before anybody looked cannot be told from the old one.

use std::time::Duration;

use rdkafka::TopicPartitionList;

use super::{
    super::{Notice, SourceError},
    Client, KafkaSource, now_ms, offsets,
};

/// How long a partition may take to say what it has. Meanwhile nothing of any source is read.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// When to try again if no client could be made.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How much older, by its time, a record may be than the one before it. Producers' clocks differ.
const OUT_OF_ORDER_MS: u64 = 60_000;

impl KafkaSource {
    /// Moves the position at `place` if its log no longer has it; if nobody says which one is meant, every such position.
    /// One whose log does not answer stays as it is, and is refused again. The client is of no use afterwards:
    /// librdkafka fetches nothing more of such a partition, refuses to seek it, and forgets its queue when it is
    /// unassigned.
    pub(super) fn find_again(&mut self, client: &Client, place: Option<usize>) {
        self.renew_at = Some(Duration::ZERO);
        for place in place.map_or(0..self.partitions.len(), |place| place..place + 1) {
            if let Err(error) = self.find_position(client, place) {
                self.notices.push(Notice::Transport { source: self.source, text: error.to_string() });
            }
        }
    }

    fn find_position(&mut self, client: &Client, place: usize) -> Result<(), SourceError> {
        let partition = self.partitions.at(place);
        let (topic, number, from) = (&partition.topic, partition.number, partition.position);
        let (low, high) = offsets::watermarks(&client.consumer, topic, number, ANSWER_WITHIN)?;
        if (low..=high).contains(&from) {
            return Ok(());
        }
        let last_ms =
            partition.last_log_time_ms.map(|last| last.min(now_ms()).saturating_sub(OUT_OF_ORDER_MS));
        let to = match last_ms {
            Some(last_ms) if from > high => {
                let found = offsets::since(&client.consumer, topic, &[number], last_ms, ANSWER_WITHIN)?;
                found.first().map_or(low, |(_, offset)| *offset).clamp(low, high)
            }
            _ => low,
        };
        partition.position = to;
        partition.end = Some(high);
        partition.at_end = false;
        partition.caught_up = false;
        let (source, input, topic) = (self.source, partition.input, partition.topic.clone());
        let (partition, lost) = (partition.number, low.checked_sub(from));
        self.moved.push((input, from, to));
        self.notices.push(Notice::Lost { source, input, topic, partition, from, to, lost });
        Ok(())
    }

    /// The client to go on with: another, if one is due and can be made.
    pub(super) fn renewed(&mut self, client: Client, now: Duration) -> Client {
        if self.renew_at.is_none_or(|at| now < at) {
            return client;
        }
        match self.reopen() {
            Ok(renewed) => {
                self.renew_at = None;
                client.let_go();
                renewed
            }
            Err(error) => {
                self.renew_at = Some(now + RENEW_AGAIN_AFTER);
                self.notices.push(Notice::Transport { source: self.source, text: error.to_string() });
                client
            }
        }
    }

    /// Another client that goes on where the one before stood.
    fn reopen(&mut self) -> Result<Client, SourceError> {
        let mut client = Client::new(&self.settings, self.queues(self.partitions.len()))?;
        let mut list = TopicPartitionList::with_capacity(self.partitions.len());
        for place in 0..self.partitions.len() {
            client.include(&mut list, place, self.partitions.at(place))?;
        }
        client.assign(&list)?;
        Ok(client)
    }
}
