//! How a topic is keyed: what its record keys are, and whether the requests of one API key stay in one partition.
//!
//! Pure: told of each record what its key is like and which API keys its requests have. Keeps key ids only.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
};

use serde::Serialize;

use crate::event::{Handles, KeyId};

/// API keys, seen more than once, that it takes to say that requests of one key stay together. At two partitions, so
/// many would do so by chance once in a thousand topics.
const REPEATED_MIN: usize = 10;

/// A record's key. It may be a raw API key.
#[derive(Clone, Copy)]
pub struct RecordKey<'a> {
    pub bytes: &'a [u8],
    /// The key id that it would have if it were a raw API key.
    pub id: KeyId,
}

/// What is compared of a request.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub key: KeyId,
    pub alias: Option<KeyId>,
    pub handles: Handles<'a>,
}

/// What a record's key is, compared with a request in that record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    Absent,
    /// The API key itself: a secret that every reader of the topic sees.
    RawKey,
    /// Keyhound's own id of the key.
    KeyId,
    Credential,
    Consumer,
    Other,
}

impl Likeness {
    fn of(key: Option<RecordKey<'_>>, request: &Seen<'_>) -> Self {
        let Some(key) = key else { return Self::Absent };
        let text = std::str::from_utf8(key.bytes).unwrap_or_default();
        let is_its = |id: KeyId| id == request.key || request.alias == Some(id);
        match text {
            _ if is_its(key.id) => Self::RawKey,
            "" => Self::Other,
            _ if text.parse::<KeyId>().is_ok_and(is_its) => Self::KeyId,
            _ if text == request.handles.credential => Self::Credential,
            _ if text == request.handles.consumer => Self::Consumer,
            _ => Self::Other,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Absent => "without a key",
            Self::RawKey => "by the raw API key, in clear",
            Self::KeyId => "by Keyhound's id of the API key",
            Self::Credential => "by the credential id",
            Self::Consumer => "by the consumer",
            Self::Other => "by something else",
        }
    }
}

/// Counts over a sample.
#[derive(Clone, Debug, Default)]
pub struct Keying {
    /// Requests, by what their record's key is.
    requests: HashMap<Likeness, u64>,
    keys: HashMap<KeyId, OfKey>,
    /// Records with requests of several API keys.
    mixed: u64,
    last: Option<(u64, KeyId)>,
    last_mixed: bool,
}

#[derive(Clone, Debug, Default)]
struct OfKey {
    requests: u64,
    partitions: HashSet<i32>,
    record_keys: HashSet<KeyId>,
}

/// What the sample says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Keyed {
    /// Partitions of the topic.
    pub partitions: usize,
    /// Requests with an API key, by what their record's key is, the most frequent first.
    pub record_keys: Vec<RecordKeys>,
    /// Whether each API key has one record key of its own.
    pub one_record_key_each: bool,
    /// API keys with more than one request, and those of them with all requests in one partition.
    pub keys_repeated: usize,
    pub keys_in_one_partition: usize,
    /// Records with requests of several API keys.
    pub mixed_records: u64,
    pub skipping: Skipping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RecordKeys {
    pub like: Likeness,
    pub requests: u64,
}

/// Whether an instance could judge the topic's own partitions without sorting requests by key first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipping {
    /// Nothing in the sample is against it.
    Possible,
    /// One partition holds everything.
    OnePartition,
    /// Requests of one API key are in several partitions.
    Spread,
    /// Records hold requests of several API keys.
    Mixed,
    /// Too few API keys were seen twice.
    Unknown,
}

impl Keying {
    /// Takes in one request. `record` tells the records of the sample apart; requests of one come one after the other.
    pub fn note(&mut self, record: u64, partition: i32, key: Option<RecordKey<'_>>, request: &Seen<'_>) {
        *self.requests.entry(Likeness::of(key, request)).or_default() += 1;
        let of_key = self.keys.entry(request.key).or_default();
        of_key.requests += 1;
        of_key.partitions.insert(partition);
        of_key.record_keys.extend(key.map(|key| key.id));
        match self.last {
            Some((last, of)) if last == record => {
                if of != request.key && !self.last_mixed {
                    self.mixed += 1;
                    self.last_mixed = true;
                }
            }
            _ => (self.last, self.last_mixed) = (Some((record, request.key)), false),
        }
    }

    /// What it comes to for a topic of so many partitions.
    pub fn conclude(&self, partitions: usize) -> Keyed {
        let mut record_keys: Vec<RecordKeys> = self
            .requests
            .iter()
            .map(|(like, requests)| RecordKeys { like: *like, requests: *requests })
            .collect();
        record_keys.sort_by_key(|keys| (std::cmp::Reverse(keys.requests), keys.like));
        let repeated: Vec<&OfKey> = self.keys.values().filter(|key| key.requests > 1).collect();
        let together = repeated.iter().filter(|key| key.partitions.len() == 1).count();
        let skipping = match () {
            () if partitions <= 1 => Skipping::OnePartition,
            () if self.mixed > 0 => Skipping::Mixed,
            () if together < repeated.len() => Skipping::Spread,
            () if repeated.len() < REPEATED_MIN => Skipping::Unknown,
            () => Skipping::Possible,
        };
        Keyed {
            partitions,
            record_keys,
            one_record_key_each: !self.keys.is_empty()
                && self.keys.values().all(|key| key.record_keys.len() == 1),
            keys_repeated: repeated.len(),
            keys_in_one_partition: together,
            mixed_records: self.mixed,
            skipping,
        }
    }
}

impl Keyed {
    /// Lines under a left column of 11.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        let shown: Vec<String> =
            self.record_keys.iter().map(|keys| format!("{} {}", keys.requests, keys.like.words())).collect();
        let requests =
            if shown.is_empty() { "no request with an API key".to_owned() } else { shown.join(", ") };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "keyed      {requests}; {} partitions", self.partitions);
        if self.one_record_key_each && self.record_keys.iter().any(|keys| keys.like == Likeness::Other) {
            text.push_str("           each API key has one record key of its own: a hash of it, perhaps\n");
        }
        let _ = writeln!(
            text,
            "           of {} API keys seen more than once, {} stay in one partition",
            self.keys_repeated, self.keys_in_one_partition
        );
        let _ = writeln!(text, "by key?    {}", self.skipping_words());
        if self.record_keys.iter().any(|keys| keys.like == Likeness::RawKey) {
            text.push_str("WARNING    record keys are raw API keys in clear: key records by a credential id or a hash\n");
        }
        text
    }

    fn skipping_words(&self) -> String {
        match self.skipping {
            Skipping::Possible => format!(
                "the topic's own partitions could be judged as they are: nothing in the sample is against it. \
                 It would take `partitions: {}` and is not built",
                self.partitions
            ),
            Skipping::OnePartition => "one partition holds every key: there is nothing to sort".to_owned(),
            Skipping::Spread => format!(
                "no: {} API keys are in several partitions, so requests have to be sorted by key",
                self.keys_repeated - self.keys_in_one_partition
            ),
            Skipping::Mixed => format!(
                "no: {} records hold requests of several API keys, so requests have to be sorted by key",
                self.mixed_records
            ),
            Skipping::Unknown => format!(
                "cannot be said: fewer than {REPEATED_MIN} API keys were seen more than once; try more --records"
            ),
        }
    }
}

#[cfg(test)]
#[path = "keying_tests.rs"]
mod tests;
