//! Committed outputs, for those who deliver them.
//!
//! Any thread may read and acknowledge; the slot's thread writes acknowledgements down with its next commit, and
//! trims what every dispatcher has acknowledged. A dispatcher that crashes between delivering and acknowledging
//! delivers again: at least once, with the same ids.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, Transaction, params};
use tokio::sync::watch;

use super::{
    current::{CURRENT, OUTBOX, acknowledged_sum, current_row, outbox_row, progress_of},
    database::{StoreError, lock, open_again, open_to_read, presence_when_closed},
    presence::Presence,
    record::Topic,
    tables::signed,
};

/// The outbox holds at most so many rows. Beyond that, the oldest are dropped and counted, delivered or not; open
/// incidents and current decisions stay in their table, from which alerts and gateways are filled at a start.
pub(super) const ROWS_MAX: u64 = 500_000;

/// One committed output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Its place in the order of all outputs, from 1.
    pub seq: u64,
    pub topic: Topic,
    /// Empty = no key.
    pub key: String,
    /// JSON; empty = a tombstone.
    pub value: Vec<u8>,
}

/// Reads committed outputs. Clones read the same.
#[derive(Clone, Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    presence: Presence,
    /// Reads are short, so one connection does for all dispatchers.
    reader: Mutex<Connection>,
    /// For reads that are as long as a table is. Opened with the other, so that it never reads another database.
    scanner: Mutex<Connection>,
    newest: watch::Sender<u64>,
    dropped: AtomicU64,
    acknowledged: Vec<(String, AtomicU64)>,
}

/// One who delivers, and how far it has come.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    index: usize,
}

impl Outbox {
    /// Opens it for these dispatchers. One that is new begins behind what is there.
    pub(super) fn open(dir: &Path, db: &Connection, dispatchers: &[String]) -> Result<Self, StoreError> {
        let (newest, kept) = progress_of(db, dispatchers)?;
        let acknowledged = dispatchers.iter().zip(kept);
        let acknowledged =
            acknowledged.map(|(name, kept)| (name.clone(), AtomicU64::new(kept.unwrap_or(newest)))).collect();
        let (reader, scanner) = (Mutex::new(open_to_read(dir)?), Mutex::new(open_to_read(dir)?));
        let newest = watch::Sender::new(newest);
        let presence = presence_when_closed(dir);
        let (dir, dropped) = (dir.to_owned(), AtomicU64::new(0));
        Ok(Self {
            shared: Arc::new(Shared { dir, presence, reader, scanner, newest, dropped, acknowledged }),
        })
    }

    /// The sequence number of the newest committed output; 0 = none. Changes after each commit with outputs.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    /// At most `limit` outputs with a sequence number above `seq`, in order.
    pub fn after(&self, seq: u64, limit: usize) -> Result<Vec<OutRecord>, StoreError> {
        let db = self.reader();
        let select = format!("SELECT {OUTBOX} FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let mut statement = db.prepare_cached(&select)?;
        let rows = statement.query_map(params![signed(seq), signed(limit as u64)], outbox_row)?;
        rows.map(|row| row?.ok_or(StoreError::Changed { table: "outbox" })).collect()
    }

    /// Every current record of `incidents` or `decisions`; with `open`, those only that are still of interest.
    pub fn current(&self, topic: Topic, open: bool) -> Result<Vec<OutRecord>, StoreError> {
        let db = self.reader();
        let select = format!(
            "SELECT {CURRENT} FROM current WHERE topic = ?1 AND (until_ms IS NULL OR NOT ?2) ORDER BY key"
        );
        let mut statement = db.prepare_cached(&select)?;
        let rows = statement.query_map(params![topic as u8, open], current_row)?;
        rows.map(|row| Ok(row?.ok_or(CHANGED)?.0)).collect()
    }

    /// The current record of every incident that is open.
    pub fn open_incidents(&self) -> Result<Vec<OutRecord>, StoreError> {
        self.current(Topic::Incidents, true)
    }

    /// The current decision of every subject that has one, each with when it was committed, in milliseconds since the
    /// Unix epoch by the wall clock. Dispatchers read on meanwhile.
    pub fn current_decisions(&self) -> Result<Vec<(OutRecord, u64)>, StoreError> {
        let mut records = Vec::new();
        self.each_current_decision(|record, committed_ms| records.push((record, committed_ms)))?;
        Ok(records)
    }

    /// The same one by one.
    pub(super) fn each_current_decision(
        &self,
        mut visit: impl FnMut(OutRecord, u64),
    ) -> Result<(), StoreError> {
        let db = self.shared.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        let select = format!("SELECT {CURRENT} FROM current WHERE topic = ?1 ORDER BY key");
        let mut statement = db.prepare_cached(&select)?;
        for row in statement.query_map([Topic::Decisions as u8], current_row)? {
            let (record, committed_ms) = row?.ok_or(CHANGED)?;
            visit(record, committed_ms);
        }
        Ok(())
    }

    /// The dispatcher of this name, if the log was opened with it.
    pub fn dispatcher(&self, name: &str) -> Option<Dispatcher> {
        let index = self.shared.acknowledged.iter().position(|(known, _)| known == name)?;
        Some(Dispatcher { shared: Arc::clone(&self.shared), index })
    }

    /// How many outputs each dispatcher has not acknowledged yet.
    pub fn waiting(&self) -> Vec<(String, u64)> {
        let newest = *self.shared.newest.borrow();
        let waiting = |seq: &AtomicU64| newest.saturating_sub(seq.load(Ordering::Relaxed));
        self.shared.acknowledged.iter().map(|(name, seq)| (name.clone(), waiting(seq))).collect()
    }

    /// Outputs that were dropped undelivered because the outbox was full, since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes acknowledgements down that came after the last commit. For when the log is closed: as long as it is open,
    /// its commits write them, and this is refused.
    pub fn write_last(&self) -> Result<(), StoreError> {
        // Never into a file that somebody has put there meanwhile, and never into a new one.
        self.shared.presence.clone().check()?;
        let _lock = lock(&self.shared.dir)?;
        let mut db = open_again(&self.shared.dir)?;
        let tx = db.transaction()?;
        let newest = *self.shared.newest.borrow();
        self.write(&tx, &self.acknowledgements(), newest)?;
        Ok(tx.commit()?)
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A reader that panicked left nothing half done: it only reads.
        self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn announce(&self, newest: u64) {
        self.shared.newest.send_if_modified(|seen| std::mem::replace(seen, newest) != newest);
    }

    /// How far each dispatcher has come, in their order.
    pub(super) fn acknowledgements(&self) -> Vec<u64> {
        self.shared.acknowledged.iter().map(|(_, seq)| seq.load(Ordering::Relaxed)).collect()
    }

    /// Writes acknowledgements, and trims what all have acknowledged or what is too much.
    pub(super) fn write(
        &self,
        tx: &Transaction<'_>,
        acknowledged: &[u64],
        newest: u64,
    ) -> Result<(), StoreError> {
        let mut put = tx.prepare_cached("INSERT OR REPLACE INTO acknowledged VALUES (?1, ?2, ?3)")?;
        for ((name, _), seq) in self.shared.acknowledged.iter().zip(acknowledged) {
            put.execute(params![name, signed(*seq), acknowledged_sum(name, *seq)])?;
        }
        // The newest row stays, since it is what the numbering goes on from.
        let delivered = acknowledged.iter().copied().min().unwrap_or(newest).min(newest.saturating_sub(1));
        let mut trim = tx.prepare_cached("DELETE FROM outbox WHERE seq <= ?1")?;
        trim.execute([signed(delivered)])?;
        let dropped = trim.execute([signed(newest.saturating_sub(ROWS_MAX))])?;
        self.shared.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// A row of `current` with other bytes than were written.
const CHANGED: StoreError = StoreError::Changed { table: "current" };

impl Dispatcher {
    /// The sequence number up to which everything has been delivered.
    pub fn acked(&self) -> u64 {
        self.seq().load(Ordering::Relaxed)
    }

    /// Says that everything up to `seq` has been delivered. Never goes back.
    pub fn ack(&self, seq: u64) {
        self.seq().fetch_max(seq, Ordering::Relaxed);
    }

    fn seq(&self) -> &AtomicU64 {
        &self.shared.acknowledged[self.index].1
    }
}
