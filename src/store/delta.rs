//! Changed state on its way into its table.
//!
//! A checkpoint may change millions of entries, which lie all over the table: writing them there touches every page of
//! it, and the slot would stand still for as long. So a checkpoint appends them in pieces, over several commits, and
//! once it is complete each of the commits that follow moves a few pieces to the table, in its own transaction. A newer
//! piece is moved later, so that the newer value wins. Pieces of a checkpoint that was never completed are deleted when
//! the store is opened. Measured in `docs/decisions/001-embedded-store.md`.

use rusqlite::{Connection, Transaction, params};

use super::{
    database::StoreError,
    tables::{meta, set_meta, signed, unsigned},
};

/// The table of pieces. Numbers ascend and are never given twice.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS state_delta (number INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
";

/// Entries of one piece: about 7 ms to move.
const ENTRIES: usize = 1_000;
/// A commit moves at least so many pieces, and more so that all are gone after [`COMMITS`] of them.
const PIECES_MIN: u64 = 2;
/// Never more than so many, whatever waits: about 60 ms.
const PIECES_MAX: u64 = 8;
/// Fewer than there are commits between two checkpoints.
const COMMITS: u64 = 30;
/// The length that says that an entry is gone.
const GONE: u32 = u32::MAX;

/// Changed entries of the state, flat: each a key and a value, both after their lengths.
#[derive(Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    /// Where each piece of [`ENTRIES`] but the first begins.
    cuts: Vec<usize>,
    count: usize,
}

impl Changes {
    /// `None` = the entry is gone.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        if self.count > 0 && self.count.is_multiple_of(ENTRIES) {
            self.cuts.push(self.bytes.len());
        }
        self.count += 1;
        // Entries have kilobytes at most.
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(GONE).to_le_bytes();
        self.bytes.extend_from_slice(&length(key));
        self.bytes.extend_from_slice(key);
        match value {
            Some(value) => {
                self.bytes.extend_from_slice(&length(value));
                self.bytes.extend_from_slice(value);
            }
            None => self.bytes.extend_from_slice(&GONE.to_le_bytes()),
        }
    }

    /// Forgets them, and gives the memory back: checkpoints are far apart.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Appends them as pieces after the one of this number, and says which the last is.
    fn append(&self, tx: &Transaction<'_>, after: u64) -> Result<u64, StoreError> {
        let mut insert = tx.prepare_cached("INSERT INTO state_delta VALUES (?1, ?2)")?;
        let ends = self.cuts.iter().copied().chain([self.bytes.len()]);
        let (mut start, mut number) = (0, after);
        for end in ends.filter(|end| *end > 0) {
            number += 1;
            insert.execute(params![signed(number), &self.bytes[start..end]])?;
            start = end;
        }
        Ok(number)
    }
}

/// Which pieces there are, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// The last that was moved.
    moved: u64,
    /// The last of a checkpoint that is complete.
    complete: u64,
    /// The last.
    last: u64,
    /// How many a commit moves.
    share: u64,
}

impl Pieces {
    /// Those that are there; of a checkpoint that was not completed none stays.
    pub fn load(db: &Connection) -> Result<Self, StoreError> {
        let ends = "SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM state_delta";
        let (first, last): (i64, i64) = db.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // A store from before checkpoints came in pieces has complete ones only.
        let complete = meta(db, "pieces")?.unwrap_or_else(|| unsigned(last));
        db.execute("DELETE FROM state_delta WHERE number > ?1", [signed(complete)])?;
        Ok(Self { moved: unsigned(first - 1).min(complete), complete, last: complete, share: PIECES_MIN })
    }

    /// Whether some of a complete checkpoint are not moved yet.
    pub const fn is_moving(&self) -> bool {
        self.moved < self.complete
    }

    /// Moves as many as one commit may, then appends changes; they complete a checkpoint if `completes`. To be kept if
    /// the transaction is.
    pub fn write(
        mut self,
        tx: &Transaction<'_>,
        changes: &Changes,
        completes: bool,
    ) -> Result<Self, StoreError> {
        self.moved = (self.moved + self.share).min(self.complete);
        fold(tx, self.moved)?;
        self.last = changes.append(tx, self.last)?;
        if completes {
            self.complete = self.last;
            self.share = (self.complete - self.moved).div_ceil(COMMITS).clamp(PIECES_MIN, PIECES_MAX);
            set_meta(tx, "pieces", &self.complete)?;
        }
        Ok(self)
    }

    /// Moves all of them.
    pub fn write_all(mut self, tx: &Transaction<'_>) -> Result<Self, StoreError> {
        fold(tx, self.complete)?;
        self.moved = self.complete;
        Ok(self)
    }
}

/// Moves the pieces up to the one of this number to the table of the state, the oldest first.
fn fold(tx: &Transaction<'_>, to: u64) -> Result<(), StoreError> {
    let next = "SELECT number, entries FROM state_delta WHERE number <= ?1 ORDER BY number LIMIT 1";
    let mut oldest = tx.prepare_cached(next)?;
    let mut done = tx.prepare_cached("DELETE FROM state_delta WHERE number = ?1")?;
    let mut put = tx.prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2)")?;
    let mut gone = tx.prepare_cached("DELETE FROM state WHERE key = ?1")?;
    loop {
        let mut rows = oldest.query([signed(to)])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let number: i64 = row.get(0)?;
        let mut rest = row.get_ref(1)?.as_blob().unwrap_or_default();
        while !rest.is_empty() {
            let key = take(&mut rest)?.unwrap_or_default();
            match take(&mut rest)? {
                Some(value) => put.execute(params![key, value])?,
                None => gone.execute(params![key])?,
            };
        }
        drop(rows);
        done.execute([number])?;
    }
}

/// The next field; `None` = gone.
fn take<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, StoreError> {
    let damaged = || StoreError::Damaged { table: "state_delta" };
    let (length, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = u32::from_le_bytes(*length);
    if length == GONE {
        *rest = after;
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| damaged())?;
    let (field, after) = after.split_at_checked(length).ok_or_else(damaged)?;
    *rest = after;
    Ok(Some(field))
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
