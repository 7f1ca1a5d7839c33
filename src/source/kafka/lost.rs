//! Positions that a partition no longer has: retention was faster, or the topic was made anew.
//!
//! Reading goes on at the earliest record that there is, never silently at the latest, and what was lost is told and
//! counted. A topic that was made anew is read from its beginning: nothing of it has been read.

use rdkafka::TopicPartitionList;

use super::{
    super::{Notice, SourceError},
    Client, KafkaSource, offsets,
};

impl KafkaSource {
    /// Moves every position that its log no longer has to the earliest record. The client is of no use afterwards:
    /// librdkafka fetches nothing more of such a partition, refuses to seek it, and forgets its queue when it is
    /// unassigned.
    pub(super) fn find_again(&mut self, client: &Client) -> Result<(), SourceError> {
        self.is_stale = true;
        for place in 0..self.partitions.len() {
            let partition = self.partitions.at(place);
            let (low, high) = offsets::watermarks(
                &client.consumer,
                &partition.topic,
                partition.number,
                offsets::ANSWER_WITHIN,
            )?;
            let from = partition.position;
            if (low..=high).contains(&from) {
                continue;
            }
            partition.position = low;
            partition.end = Some(high);
            partition.at_end = false;
            let (source, input, topic) = (self.source, partition.input, partition.topic.clone());
            let (partition, lost) = (partition.number, low.checked_sub(from));
            self.moved.push((input, from, low));
            self.notices.push(Notice::Lost { source, input, topic, partition, from, to: low, lost });
        }
        Ok(())
    }

    /// Another client that goes on where the one before stood.
    pub(super) fn reopen(&mut self) -> Result<Client, SourceError> {
        let client = Client::new(&self.settings)?;
        let mut list = TopicPartitionList::with_capacity(self.partitions.len());
        for place in 0..self.partitions.len() {
            let partition = self.partitions.at(place);
            client.include(&mut list, &partition.topic, partition.number, partition.position)?;
        }
        client.assign(&list)?;
        self.is_stale = false;
        Ok(client)
    }
}
