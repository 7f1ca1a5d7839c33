//! What a dispatcher needs of the outbox: committed outputs in order, and a mark of how far it came.

use std::sync::atomic::{AtomicU64, Ordering};

use super::WallTime;

/// One committed output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Its place in the outbox; grows by one a record, from 1.
    pub sequence: u64,
    /// The topic without prefix: `incidents`, `decisions`, `findings`, `rejected` or `audit`.
    pub topic: String,
    /// The topic's key, as bytes; empty = none.
    pub key: Vec<u8>,
    /// JSON; `None` = a tombstone.
    pub value: Option<Vec<u8>>,
    /// When it was committed, by the wall clock. Kept with the record: freshness is judged by it after any restart.
    pub committed_at: WallTime,
}

/// Why the outbox could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the outbox cannot be {doing}: {reason}")]
pub struct OutboxError {
    pub doing: &'static str,
    pub reason: String,
}

/// The outbox, as its readers see it. Calls may touch the disk: not to be used on an async thread.
pub trait Outbox: Send + Sync {
    /// At most `limit` records with a sequence greater than `sequence`, in order.
    fn after(&self, sequence: u64, limit: usize) -> Result<Vec<OutRecord>, OutboxError>;

    /// How far `dispatcher` has acknowledged; 0 = nothing yet.
    fn acknowledged(&self, dispatcher: &str) -> Result<u64, OutboxError>;

    /// Marks that `dispatcher` has delivered all records through `sequence`.
    fn acknowledge(&self, dispatcher: &str, sequence: u64) -> Result<(), OutboxError>;
}

/// An outbox in memory, for `demo` and for tests: what it holds is lost with the process.
#[derive(Debug, Default)]
pub struct MemoryOutbox {
    records: std::sync::Mutex<Vec<OutRecord>>,
    marks: std::sync::Mutex<std::collections::BTreeMap<String, u64>>,
    last: AtomicU64,
}

impl MemoryOutbox {
    /// Appends a record and gives its sequence.
    pub fn append(&self, topic: &str, key: &[u8], value: Option<Vec<u8>>, committed_at: WallTime) -> u64 {
        let mut records = lock(&self.records);
        let sequence = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        records.push(OutRecord { sequence, topic: topic.to_owned(), key: key.to_vec(), value, committed_at });
        sequence
    }
}

impl Outbox for MemoryOutbox {
    fn after(&self, sequence: u64, limit: usize) -> Result<Vec<OutRecord>, OutboxError> {
        Ok(lock(&self.records)
            .iter()
            .filter(|record| record.sequence > sequence)
            .take(limit)
            .cloned()
            .collect())
    }

    fn acknowledged(&self, dispatcher: &str) -> Result<u64, OutboxError> {
        Ok(lock(&self.marks).get(dispatcher).copied().unwrap_or(0))
    }

    fn acknowledge(&self, dispatcher: &str, sequence: u64) -> Result<(), OutboxError> {
        lock(&self.marks).insert(dispatcher.to_owned(), sequence);
        Ok(())
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
