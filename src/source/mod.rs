//! Records in: from Kafka, from files, from standard input, in batches, without a channel or an allocation
//! for each record.
//!
//! A [`Source`] is driven by one thread, the slot's. It owns its connections and its reading positions; where
//! reading starts comes from the table of [`Inputs`], which the store keeps. It never decodes, never commits,
//! and never writes a log line: what is worth telling is handed over as [`Notice`]s.

mod aligned;
mod batch;
mod contact;
pub mod file;
pub mod geo;
pub mod kafka;
mod lines;
mod notice;
mod parts;
mod settings;
pub mod stdin;
#[cfg(test)]
mod testing;
mod whole_log;

use std::time::Duration;

pub use aligned::SKEW_MAX;
pub use batch::{Batch, InputName, Record};
pub use contact::{Contact, OUT_OF_REACH_MAX};
pub use lines::{Line, Step};
pub use notice::Notice;
pub use parts::LogLines;
pub use settings::{KindError, Settings};
pub use whole_log::WholeLog;

/// The longest record that a source can be told to take, and does by default. Of a longer one the beginning is taken.
pub const RECORD_BYTES_MAX: usize = 8 << 20;

/// Tells the time of a record's first request, in milliseconds since the Unix epoch, as far as it can be read.
pub type TimeOf = Box<dyn FnMut(&[u8]) -> Option<u64> + Send>;

/// The table of inputs that the store keeps: names to indices, and where reading goes on.
pub trait Inputs {
    /// The index of an input, given to it when it is first seen, and the position that is kept for it.
    fn input(&mut self, source: u16, name: &InputName) -> (u32, Option<u64>);

    /// Shows the index and the name of each input of a source that has been seen before and not been forgotten.
    fn each_known(&self, source: u16, see: &mut dyn FnMut(u32, &str));

    /// Whether any input of a source has been seen before.
    fn knows_any(&self, source: u16) -> bool;

    /// The newest event time that was seen of an input, in milliseconds; `None` = none yet.
    fn newest_ms(&self, input: u32) -> Option<u64>;

    /// Keeps where the first reading of an input starts, so that a restart before its first record starts there.
    fn starts_at(&mut self, input: u32, next: u64);

    /// The log of an input no longer has `from`: reading goes on at `to`, after a restart before its first record too.
    /// A position `from` that is still on its way to the next commit is passed over.
    fn moved(&mut self, input: u32, from: u64, to: u64);

    /// An input has been read to its end and will never come back (a rotated file that is gone): its position
    /// may be forgotten once nothing needs to be read again from it. One that comes back before that goes on.
    fn ended(&mut self, input: u32);

    /// A file has been read to its end, and holds nothing more for as long as it is of this size.
    fn finished_at(&mut self, input: u32, size: u64);

    /// The size at which it was said to hold nothing more.
    fn finished_size(&self, input: u32) -> Option<u64>;
}

/// Where records come from. Every call is made by the thread of the slot.
pub trait Source: Send {
    /// What it reads, by the settings: `kafka:topic` for each topic, `file:pattern` for each pattern, `stdin`. By this it
    /// is found again after a restart, whatever its place among the sources.
    fn reads(&self) -> Vec<String>;

    /// Finds the inputs and where to start in each.
    fn start(&mut self, inputs: &mut dyn Inputs) -> Result<(), SourceError>;

    /// Appends what is ready, up to the batch's room; waits at most `wait` for the first record. `now` is the time by
    /// any steady clock.
    fn poll(
        &mut self,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        now: Duration,
        wait: Duration,
    ) -> Result<(), SourceError>;

    /// Appends again the records with `from <= offset < to`, up to the batch's room, whatever has been polled
    /// since. Returns where to go on: `to` when all of them have been read. Does not change what `poll` returns.
    ///
    /// [`SourceError::Gone`] = the first of them will never be there again; reading may go on where it says. Any
    /// other error may pass.
    fn read_again(
        &mut self,
        input: u32,
        name: &InputName,
        from: u64,
        to: u64,
        batch: &mut Batch,
    ) -> Result<u64, SourceError>;

    /// Whether [`Source::read_again`] works at all: not on standard input.
    fn rewindable(&self) -> bool;

    /// How far behind each input is.
    fn lag(&self) -> Vec<InputLag>;

    /// Whether everything that this input holds right now has been read.
    fn idle(&self, input: u32) -> bool;

    /// Whether the next record of this input waits until earlier ones of others have been read.
    fn waits(&self, input: u32) -> bool {
        let _ = input;
        false
    }

    /// Whether no record will ever come again: files that are not followed and standard input, at their end.
    fn finished(&self) -> bool;

    /// What people call an input: the path of a file, the topic and partition.
    fn describe(&self, input: u32) -> Option<String>;

    /// How it stands with what it reads, at the time `now` of the clock of [`Source::poll`].
    fn contact(&self, now: Duration) -> Contact {
        let _ = now;
        Contact::default()
    }

    /// Moves what is worth telling since the last call into `into`. To be called after each poll.
    fn notices(&mut self, into: &mut Vec<Notice>);
}

/// How far behind an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputLag {
    pub input: u32,
    /// Records that have not been read yet, where the source can know: Kafka.
    pub records_behind: Option<u64>,
    /// Bytes that have not been read yet, where the source can know: plain files.
    pub bytes_behind: Option<u64>,
    /// The log's own time of the newest record read.
    pub newest_log_time_ms: Option<u64>,
}

/// Why records cannot be read. Each of these ends the slot, except as said.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("kafka: cannot create a client for brokers {brokers}: {text}")]
    Client { brokers: String, text: String },
    #[error("kafka: no answer from {brokers} about topic \"{topic}\" within {seconds} s: {text}")]
    Metadata { brokers: String, topic: String, seconds: u64, text: String },
    #[error(
        "kafka: topic \"{topic}\" does not exist at {brokers}; create it, or correct sources[{source_index}].kafka.topics"
    )]
    NoSuchTopic { brokers: String, topic: String, source_index: u16 },
    #[error("kafka: property \"{name}\": {text}")]
    Property { name: String, text: String },
    #[error("kafka: cannot find where to start in {topic}/{partition}: {text}")]
    StartOffset { topic: String, partition: i32, text: String },
    #[error("kafka: {text}")]
    Fatal { text: String },
    #[error("{input} cannot be read again from {from} to {to}: {text}")]
    ReadAgain { input: InputName, from: u64, to: u64, text: String },
    /// Records that will never be there again: from `from` up to `to`, where those that are left begin.
    #[error("{input} has nothing left from {from} to {to}: {text}")]
    Gone { input: InputName, from: u64, to: u64, text: String },
    #[error("file pattern \"{pattern}\": {text}")]
    Pattern { pattern: String, text: String },
    #[error("standard input: {0}")]
    Stdin(std::io::Error),
}

impl SourceError {
    /// A fixed label for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Client { .. } => "client",
            Self::Metadata { .. } => "metadata",
            Self::NoSuchTopic { .. } => "no_such_topic",
            Self::Property { .. } => "property",
            Self::StartOffset { .. } => "start_offset",
            Self::Fatal { .. } => "fatal",
            Self::ReadAgain { .. } => "read_again",
            Self::Gone { .. } => "gone",
            Self::Pattern { .. } => "pattern",
            Self::Stdin(_) => "stdin",
        }
    }
}
