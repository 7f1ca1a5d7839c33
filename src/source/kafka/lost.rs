//! Positions that a partition no longer has: retention was faster, or the topic was made anew.
//!
//! Reading goes on at the earliest record that there is, never silently at the latest, and what was lost is told and
//! counted. A topic that was made anew is read from its beginning: nothing of it has been read.

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _};

use super::{
    super::{Notice, SourceError},
    Client, KafkaSource, failed, offsets,
};

impl KafkaSource {
    /// Goes on at the earliest record of the partition at `place`; without one, looks at all of them.
    pub(super) fn find_again(&mut self, client: &Client, place: Option<usize>) -> Result<(), SourceError> {
        let places = place.map_or(0..self.partitions.len(), |place| place..place + 1);
        for place in places {
            let partition = self.partitions.at(place);
            let (topic, number) = (partition.topic.clone(), partition.number);
            let (low, high) = offsets::watermarks(&client.consumer, &topic, number, offsets::ANSWER_WITHIN)?;
            let partition = self.partitions.at(place);
            let from = partition.position;
            if !(low..=high).contains(&from) {
                partition.position = low;
                partition.end = Some(high);
                partition.at_end = false;
                let (source, input) = (self.source, partition.input);
                let lost = low.checked_sub(from);
                let topic = topic.clone();
                self.notices.push(Notice::Lost {
                    source,
                    input,
                    topic,
                    partition: number,
                    from,
                    to: low,
                    lost,
                });
            }
            // Even where the log has the position by now: after this error librdkafka fetches nothing more of it.
            self.assign_anew(client, place)?;
        }
        Ok(())
    }

    /// Assigns a partition again at its position. What was fetched before is thrown away by librdkafka.
    fn assign_anew(&mut self, client: &Client, place: usize) -> Result<(), SourceError> {
        let partition = self.partitions.at(place);
        let (topic, number) = (partition.topic.as_str(), partition.number);
        let mut list = TopicPartitionList::with_capacity(1);
        let offset = Offset::Offset(i64::try_from(partition.position).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, number, offset).map_err(|error| failed(topic, number, &error))?;
        client.consumer.incremental_unassign(&list).map_err(|error| failed(topic, number, &error))?;
        if let Some(queue) = &client.queue
            && !queue.forward(topic, number)
        {
            return Err(failed(topic, number, "no queue for the partition"));
        }
        client.consumer.incremental_assign(&list).map_err(|error| failed(topic, number, &error))
    }
}
