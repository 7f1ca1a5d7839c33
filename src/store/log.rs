//! The seam between the slot and whatever keeps its inputs and outputs.

use std::time::Duration;

use super::{
    database::StoreError,
    record::{Entry, InputPosition, Mark, Output, Progress, Resume, Run, Topic},
};
use crate::source::{Batch, Contact, InputLag, Notice, SourceError};

/// What a commit made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The sequence number of the newest output; 0 = there has never been one.
    pub newest_output: u64,
    /// Bytes that the store takes, where it can know.
    pub store_bytes: u64,
}

/// Takes one entry of the state: its key and its value.
pub type ReadEntry<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), LogError> + 'a;

/// Records in, outputs and positions out, in transactions.
///
/// The order of calls is: [`assign`](Log::assign) once, [`restore`](Log::restore) and
/// [`read_again`](Log::read_again) for the replay, then for ever `poll_batch`, and from time to time `begin`,
/// `produce`, `begin_checkpoint` and `keep` any number of times, `send_positions`, at most one `checkpoint`, `commit`. Nothing that was
/// given between `begin` and `commit` is seen by anybody unless `commit` returns, and all of it survives a kill of
/// the process from then on. After an error the log is dropped and opened anew; only `abort` may follow.
///
/// On Kafka, `assign` is the barrier of the takeover (the stable offset, then the changelog up to the last stable
/// offset, then the comparison), `keep` a record of the changelog, `in_flight` the producer's count, which has to be
/// 0 before `send_positions`, and `commit` the end of the transaction.
pub trait Log: Send {
    /// Takes the inputs over: opens them where the last commit left off, and says what was kept.
    fn assign(&mut self) -> Result<Resume, LogError>;

    /// Hands over every entry of the last checkpoint's state, in the order of keys, but those whose bytes are not what
    /// was written. Gives how many those are.
    fn restore(&mut self, entry: &mut ReadEntry<'_>) -> Result<u64, LogError>;

    /// The current record of each key of a topic that keeps them.
    fn told(&mut self, topic: Topic) -> Result<Vec<Vec<u8>>, LogError>;

    /// Whether decisions were taken over from a newer store, and no checkpoint contains them yet.
    fn has_taken_over(&mut self) -> Result<bool, LogError> {
        Ok(false)
    }

    /// Appends records of a run again, up to the batch's room. Returns where to go on: `run.to` when done. Records
    /// that will never be there again are an error of their own, which says where those that are left begin.
    fn read_again(&mut self, run: Run, batch: &mut Batch) -> Result<u64, LogError>;

    /// Appends what has come, up to the batch's room; waits at most `wait` for the first record. `now` is the time by
    /// the slot's clock.
    fn poll_batch(&mut self, batch: &mut Batch, now: Duration, wait: Duration) -> Result<(), LogError>;

    /// Moves the inputs that were opened since the last call into `into`.
    fn opened(&mut self, into: &mut Vec<u32>);

    /// Moves the inputs that will never have a record again into `into`. Their positions are forgotten with the
    /// next checkpoint, unless they are opened again before that.
    fn ended(&mut self, into: &mut Vec<u32>);

    /// Whether everything that an input holds right now has been read.
    fn idle(&self, input: u32) -> bool;

    /// Whether the next record of an input waits until earlier ones of others have been read.
    fn waits(&self, input: u32) -> bool {
        let _ = input;
        false
    }

    /// Whether no record will ever come again.
    fn finished(&self) -> bool;

    /// Whether all inputs can be read again. If not, every commit has to carry a checkpoint.
    fn rewindable(&self) -> bool;

    /// How far behind each input is, with the index of its source.
    fn lag(&self) -> Vec<(u16, InputLag)>;

    /// How each source stands with what it reads, in their order, at the time `now` of the slot's clock.
    fn contacts(&self, now: Duration) -> Vec<Contact>;

    /// The stable name of an input: `kafka:kong-logs/3`.
    fn input_name(&self, input: u32) -> Option<String>;

    /// Moves what is worth telling since the last call into `into`.
    fn notices(&mut self, into: &mut Vec<Notice>);

    /// Whether something of the log's own waits for a commit: acknowledgements, new inputs.
    fn wants_commit(&self) -> bool;

    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Adds an output to the transaction.
    fn produce(&mut self, output: Output) -> Result<(), LogError>;

    /// What is kept from here on belongs to a checkpoint of the state as it is in this transaction. It may be given over
    /// several transactions; one that is not completed is as if it had never begun.
    fn begin_checkpoint(&mut self);

    /// Whether it still moves what the last checkpoint gave to its place: time for the next one when it is done.
    fn is_moving(&self) -> bool;

    /// Adds a changed entry of the state to the checkpoint that has begun; `None` = it is gone. Of two values of a key
    /// the one that is given later counts.
    fn keep(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError>;

    /// How many outputs are under way to where they are kept; waits a millisecond for them if there are any. To be
    /// 0 before `send_positions`.
    fn in_flight(&mut self) -> Result<usize, LogError>;

    /// Adds the position records, and the sequence since the last commit.
    fn send_positions(
        &mut self,
        progress: &Progress,
        positions: &[InputPosition],
        sequence: &[Entry],
    ) -> Result<(), LogError>;

    /// Says that what was kept in this transaction completes a checkpoint: a replay starts after the commit of the
    /// transaction in which it began, which is the mark's.
    fn checkpoint(&mut self, mark: &Mark) -> Result<(), LogError>;

    /// Makes the transaction durable. `wall_ms` is the wall clock, for those who judge how fresh an output is.
    fn commit(&mut self, wall_ms: u64) -> Result<Committed, LogError>;

    /// Gives the transaction up.
    fn abort(&mut self) -> Result<(), LogError>;
}

/// Why a log cannot go on. All of these end the slot.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the state of the last checkpoint cannot be read: {0}")]
    State(String),
    #[error("input {input} of the recorded sequence is not known any more; its records cannot be read again")]
    UnknownInput { input: u32 },
    #[error("{count} outputs were not acknowledged within {seconds} s")]
    Stuck { count: usize, seconds: u64 },
    /// A test's crash: everything that was not committed is gone.
    #[error("crashed at call {call}, as the test wanted")]
    Crashed { call: u64 },
}

impl LogError {
    /// The part of `run` that will never be read again, if that is what this error says.
    pub(crate) const fn gone(&self, run: Run) -> Option<(u64, u64)> {
        match self {
            Self::Source(SourceError::Gone { from, to, .. }) => Some((*from, *to)),
            Self::UnknownInput { .. } => Some((run.from, run.to)),
            _ => None,
        }
    }

    /// A fixed label for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Source(error) => error.label(),
            Self::Store(_) => "store",
            Self::State(_) => "state",
            Self::UnknownInput { .. } => "unknown_input",
            Self::Stuck { .. } => "stuck",
            Self::Crashed { .. } => "crashed",
        }
    }
}
