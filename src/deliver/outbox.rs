//! What a dispatcher needs of the outbox: committed outputs in order, and a mark of how far it came.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::{self, OutRecord, StoreError, Topic};

/// Why the outbox could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("the outbox cannot be read: {0}")]
    Read(#[from] StoreError),
    #[error("the log was opened without a dispatcher named \"{0}\"")]
    Dispatcher(String),
}

/// The outbox, as its readers see it. Calls may touch the disk: not to be used on an async thread.
pub trait Outbox: Send + Sync {
    /// At most `limit` records with a sequence greater than `seq`, in order.
    fn after(&self, seq: u64, limit: usize) -> Result<Vec<OutRecord>, OutboxError>;

    /// How far `dispatcher` has acknowledged; 0 = nothing yet.
    fn acknowledged(&self, dispatcher: &str) -> Result<u64, OutboxError>;

    /// Marks that `dispatcher` has delivered all records through `seq`.
    fn acknowledge(&self, dispatcher: &str, seq: u64) -> Result<(), OutboxError>;
}

impl Outbox for store::Outbox {
    fn after(&self, seq: u64, limit: usize) -> Result<Vec<OutRecord>, OutboxError> {
        Ok(store::Outbox::after(self, seq, limit)?)
    }

    fn acknowledged(&self, dispatcher: &str) -> Result<u64, OutboxError> {
        Ok(named(self, dispatcher)?.acked())
    }

    fn acknowledge(&self, dispatcher: &str, seq: u64) -> Result<(), OutboxError> {
        named(self, dispatcher)?.ack(seq);
        Ok(())
    }
}

fn named(outbox: &store::Outbox, dispatcher: &str) -> Result<store::Dispatcher, OutboxError> {
    outbox.dispatcher(dispatcher).ok_or_else(|| OutboxError::Dispatcher(dispatcher.to_owned()))
}

/// An outbox in memory, for `demo` and for tests: what it holds is lost with the process.
#[derive(Debug, Default)]
pub struct MemoryOutbox {
    records: Mutex<Vec<OutRecord>>,
    marks: Mutex<BTreeMap<String, u64>>,
}

impl MemoryOutbox {
    /// Appends a record and gives its sequence. An empty value is a tombstone.
    pub fn append(&self, topic: Topic, key: &str, value: &[u8]) -> u64 {
        let mut records = lock(&self.records);
        let seq = records.len() as u64 + 1;
        records.push(OutRecord { seq, topic, key: key.to_owned(), value: value.to_vec() });
        seq
    }
}

impl Outbox for MemoryOutbox {
    fn after(&self, seq: u64, limit: usize) -> Result<Vec<OutRecord>, OutboxError> {
        Ok(lock(&self.records).iter().filter(|record| record.seq > seq).take(limit).cloned().collect())
    }

    fn acknowledged(&self, dispatcher: &str) -> Result<u64, OutboxError> {
        Ok(lock(&self.marks).get(dispatcher).copied().unwrap_or(0))
    }

    fn acknowledge(&self, dispatcher: &str, seq: u64) -> Result<(), OutboxError> {
        lock(&self.marks).insert(dispatcher.to_owned(), seq);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
