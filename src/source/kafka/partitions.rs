//! The partitions that are read, and how far.

use std::{collections::HashMap, time::Duration};

use super::{
    super::{InputLag, InputName},
    context::Statistics,
};

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
    /// Whether it has once been read to the end that it had: it is not held back for others any more.
    pub caught_up: bool,
    /// Where the log's committed records ended when the broker last said so.
    pub end: Option<u64>,
    /// Where all its records ended, those of open transactions included.
    pub high: Option<u64>,
    /// Where an open transaction holds up what comes after it, and since when it has.
    pub held_up: Option<(u64, Duration)>,
    /// Why the broker last refused to give records; `None` = it gives them.
    pub refused: Option<String>,
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

    /// Takes down where the log ends, and whether a transaction holds it up: then the last stable offset stands still
    /// while records wait behind it.
    pub fn note_transaction(&mut self, statistics: &Statistics, now: Duration) {
        let topic = statistics.topics.get(&self.topic);
        let Some(found) = topic.and_then(|topic| topic.partitions.get(&self.number)) else { return };
        self.high = u64::try_from(found.hi_offset).ok();
        let stable = u64::try_from(found.ls_offset).ok();
        self.held_up = stable.filter(|stable| self.high.is_some_and(|high| high > *stable)).map(|stable| {
            let since = self.held_up.filter(|(at, _)| *at == stable).map_or(now, |(_, since)| since);
            (stable, since)
        });
    }

    /// How long the same open transaction has held it up.
    pub fn blocked_for(&self, now: Duration) -> Duration {
        self.held_up.map_or(Duration::ZERO, |(_, since)| now.saturating_sub(since))
    }

    /// Records have come, or the log's end: the broker serves it.
    pub fn is_served(&mut self) {
        self.refused = None;
    }

    fn lag(&self) -> InputLag {
        // Up to the end of all records, since those behind an open transaction wait too.
        let behind = if self.at_end {
            let held_up =
                self.held_up.zip(self.high).map_or(0, |((stable, _), high)| high.saturating_sub(stable));
            Some(held_up)
        } else {
            self.high.max(self.end).map(|end| end.saturating_sub(self.position))
        };
        InputLag {
            input: self.input,
            records_behind: behind,
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

    /// Topics of which every partition ends at its first offset.
    pub fn empty_topics(&self) -> Vec<String> {
        let is_empty = |topic: &&String| {
            self.list.iter().all(|partition| partition.topic != **topic || partition.high == Some(0))
        };
        let mut topics: Vec<String> = self.places.keys().filter(is_empty).cloned().collect();
        topics.sort();
        topics
    }

    pub fn is_any_refused(&self) -> bool {
        self.list.iter().any(|partition| partition.refused.is_some())
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn lag(&self) -> Vec<InputLag> {
        self.list.iter().map(Partition::lag).collect()
    }
}
