//! The partitions that are read, and how far.

use std::collections::HashMap;

use super::super::{InputLag, InputName};

/// One partition that is read.
#[derive(Debug)]
pub struct Partition {
    pub topic: String,
    pub number: i32,
    pub input: u32,
    /// Where reading goes on.
    pub position: u64,
    /// Whether everything up to now has been read.
    pub at_end: bool,
    /// Where the log ended when the broker last said so.
    pub end: Option<u64>,
    pub newest_log_time_ms: Option<u64>,
    /// The log time of the last record read; of an earlier process, the newest time of an event.
    pub last_log_time_ms: Option<u64>,
}

impl Partition {
    pub fn name(topic: &str, partition: i32) -> InputName {
        InputName(format!("kafka:{topic}/{partition}"))
    }

    /// Whether the broker has no more, as far as is known.
    pub fn is_idle(&self) -> bool {
        self.at_end || self.end.is_some_and(|end| self.position >= end)
    }

    fn lag(&self) -> InputLag {
        let behind = self.end.map(|end| end.saturating_sub(self.position));
        InputLag {
            input: self.input,
            records_behind: if self.at_end { Some(0) } else { behind },
            bytes_behind: None,
            newest_log_time_ms: self.newest_log_time_ms,
        }
    }
}

/// The table of partitions.
#[derive(Debug, Default)]
pub struct Partitions {
    list: Vec<Partition>,
    /// For each topic, the place in the list of each partition number.
    places: HashMap<String, Vec<Option<usize>>>,
}

impl Partitions {
    pub fn add(&mut self, partition: Partition) {
        let Ok(number) = usize::try_from(partition.number) else { return };
        let places = self.places.entry(partition.topic.clone()).or_default();
        if places.len() <= number {
            places.resize(number + 1, None);
        }
        places[number] = Some(self.list.len());
        self.list.push(partition);
    }

    /// The place of a partition, for `at`.
    pub fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        let number = usize::try_from(partition).ok()?;
        self.places.get(topic)?.get(number).copied().flatten()
    }

    pub fn at(&mut self, place: usize) -> &mut Partition {
        &mut self.list[place]
    }

    pub fn of_input(&self, input: u32) -> Option<&Partition> {
        self.list.iter().find(|partition| partition.input == input)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn lag(&self) -> Vec<InputLag> {
        self.list.iter().map(Partition::lag).collect()
    }
}
