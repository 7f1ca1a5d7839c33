//! What a commit says: positions, the sequence of inputs, and outputs.

use serde::{Deserialize, Serialize};

use crate::engine::Command;

/// The version of everything that is written here. A store of another version is refused.
pub const CODEC_VERSION: u16 = 14;

/// Records of one input that were applied one after the other: those with `from <= offset < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    #[serde(rename = "i")]
    pub input: u32,
    #[serde(rename = "f")]
    pub from: u64,
    #[serde(rename = "t")]
    pub to: u64,
}

/// Versions of the reference data in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct References {
    pub rules: String,
    pub catalogue: String,
    pub geo: String,
    /// `shadow` or `enforce`.
    pub mode: String,
    /// The settings that no reload changes, and Keyhound's own version: a hash.
    pub settings: String,
}

/// One input of the ordered sequence. The state is a function of these and of nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A poll batch: its runs in the order in which they were applied, and the wall clock when it came, which
    /// stands in for the log's own time where a record has none.
    Batch {
        at_ms: u64,
        runs: Vec<Run>,
    },
    /// These inputs were opened: they hold the watermark back until they are read or said to be idle.
    Opened(Vec<u32>),
    /// The log had no more of these inputs.
    Idle(Vec<u32>),
    /// These inputs brought no time that can be right for a while. With the time of their logs' that stands in for it,
    /// in milliseconds; 0 = nothing that they brought was a request.
    Timeless(Vec<(u32, u64)>),
    /// Event time has come so far, in milliseconds.
    Watermark(u64),
    Command(Command),
    /// A record at which the slot panicked before: passed over. With its input's name and its length in bytes.
    PassedOver {
        run: Run,
        name: String,
        length: usize,
    },
    /// The slot has panicked here more than once.
    Excluded(Exclusion),
    /// Other rules, another catalogue or other place databases, right after a checkpoint.
    Reference(References),
}

/// A part of the work that is left out, so that a panic in it does not stop all other work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excluded {
    /// The requests of the key with this id.
    Key(String),
    /// Those of all keys that are not mature: new ones among them, of which a caller has as many as he likes.
    ImmatureKeys,
    /// What passing time brings in this partition: ends of windows, incidents and steps.
    TimedWork(u16),
    /// The same in all partitions.
    AllTimedWork,
}

/// What is left out, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    pub what: Excluded,
    /// By the wall clock when batches come, in milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// Where one input stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputPosition {
    pub input: u32,
    /// Where reading goes on.
    pub next: u64,
    /// The greatest event time that was seen in it, in milliseconds; 0 = none yet.
    pub newest_ms: u64,
}

/// The part of a position record that all inputs of a slot share; written by every commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Commits since the store was created, this one among them.
    pub commit: u64,
    pub watermark_ms: u64,
    pub references: References,
    pub codec: u16,
    /// Digest of the effects so far, in hex.
    pub digest: String,
    /// Commands applied so far: the sequence number of the next one.
    pub commands: u64,
}

/// What the watermark knows of one input at a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputState {
    pub input: u32,
    pub newest_ms: u64,
    pub idle: bool,
}

/// The positions that a checkpoint stands for: where a replay starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The progress of the commit that carries the checkpoint.
    pub progress: Progress,
    pub inputs: Vec<InputState>,
    /// The wall clock when it was taken.
    pub at_ms: u64,
    /// The wall clock when the last batch before it came: what is judged before the next one is as late as that.
    #[serde(default)]
    pub read_at_ms: u64,
    /// What was left out then.
    #[serde(default)]
    pub exclusions: Vec<Exclusion>,
}

/// What a log kept of the time before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resume {
    /// The last checkpoint; `None` on an empty store.
    pub mark: Option<Mark>,
    /// The last commit.
    pub progress: Option<Progress>,
    /// The inputs since the checkpoint, in the order in which they were applied.
    pub sequence: Vec<Entry>,
}

/// Where an output goes. The prefix of topics is added by who delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Topic {
    /// No key.
    Findings = 1,
    /// Keyed by the incident's id.
    Incidents = 2,
    /// Keyed by the subject's id.
    Decisions = 3,
    /// No key.
    Rejected = 4,
    /// No key.
    Audit = 5,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 5] =
        [Self::Findings, Self::Incidents, Self::Decisions, Self::Rejected, Self::Audit];

    /// The topic's name without the prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Incidents => "incidents",
            Self::Decisions => "decisions",
            Self::Rejected => "rejected",
            Self::Audit => "audit",
        }
    }

    /// The topic with this number, as the outbox keeps it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| *topic as u8 == number)
    }
}

/// How long the current record of a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// It is open: until another record of the key.
    Open,
    /// Until event time has passed this, in milliseconds. A decision is then followed by a tombstone.
    Until(u64),
}

/// One output, as its topic carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub topic: Topic,
    /// Empty = no key.
    pub key: String,
    /// JSON. Empty = a tombstone: the key is forgotten.
    pub value: Vec<u8>,
    /// How long the record of this key is kept beside the outbox, where incidents and decisions are.
    pub kept: Kept,
}
