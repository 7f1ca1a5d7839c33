//! Changed state on its way into its table.
//!
//! A checkpoint may change a hundred thousand entries, which lie all over the table: writing them there touches every
//! page of it, and the slot would stand still for as long. So a checkpoint appends them in pieces, and each of the
//! commits that follow moves a few pieces to the table, in its own transaction. A newer piece is moved later, so that
//! the newer value wins. Measured in `docs/decisions/001-embedded-store.md`.

use rusqlite::{Transaction, params};

use super::database::StoreError;

/// The table of pieces. Numbers ascend among those that are there.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS state_delta (number INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
";

/// Entries of one piece: about 7 ms to move.
const ENTRIES: usize = 1_000;
/// A commit moves this many pieces, or more so that all are gone after [`COMMITS`] of them.
const PIECES_A_COMMIT: u64 = 2;
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

    /// Appends them as pieces, and says how many those are.
    pub fn append(&self, tx: &Transaction<'_>) -> Result<u64, StoreError> {
        let mut insert = tx.prepare_cached("INSERT INTO state_delta (entries) VALUES (?1)")?;
        let ends = self.cuts.iter().copied().chain([self.bytes.len()]);
        let (mut start, mut pieces) = (0, 0);
        for end in ends.filter(|end| *end > 0) {
            insert.execute([&self.bytes[start..end]])?;
            start = end;
            pieces += 1;
        }
        Ok(pieces)
    }
}

/// How many pieces one commit moves, of so many after a checkpoint.
pub(super) fn share(pieces: u64) -> u64 {
    PIECES_A_COMMIT.max(pieces.div_ceil(COMMITS))
}

/// Moves at most `most` pieces to the table of the state, the oldest first.
pub(super) fn fold(tx: &Transaction<'_>, most: u64) -> Result<(), StoreError> {
    let mut oldest = tx.prepare_cached("SELECT number, entries FROM state_delta ORDER BY number LIMIT 1")?;
    let mut done = tx.prepare_cached("DELETE FROM state_delta WHERE number = ?1")?;
    let mut put = tx.prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2)")?;
    let mut gone = tx.prepare_cached("DELETE FROM state WHERE key = ?1")?;
    for _ in 0..most {
        let mut rows = oldest.query([])?;
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
    Ok(())
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
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store::tables;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(tables::SCHEMA).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db
    }

    fn append(db: &mut Connection, entries: impl Iterator<Item = (u32, Option<u32>)>) {
        let mut changes = Changes::default();
        for (key, value) in entries {
            let value = value.map(u32::to_be_bytes);
            changes.push(&key.to_be_bytes(), value.as_ref().map(<[u8; 4]>::as_slice));
        }
        let tx = db.transaction().unwrap();
        changes.append(&tx).unwrap();
        tx.commit().unwrap();
    }

    fn pieces(db: &Connection) -> u64 {
        db.query_row("SELECT count(*) FROM state_delta", [], |row| row.get::<_, i64>(0))
            .unwrap()
            .unsigned_abs()
    }

    fn fold_some(db: &mut Connection, most: u64) -> u64 {
        let tx = db.transaction().unwrap();
        fold(&tx, most).unwrap();
        tx.commit().unwrap();
        pieces(db)
    }

    fn state(db: &Connection) -> Vec<(u32, u32)> {
        let number = |bytes: Vec<u8>| u32::from_be_bytes(bytes.try_into().unwrap());
        let mut rows = db.prepare("SELECT key, value FROM state ORDER BY key").unwrap();
        let rows = rows.query_map([], |row| Ok((number(row.get(0)?), number(row.get(1)?)))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn what_a_checkpoint_appends_reaches_the_table_piece_by_piece_and_the_newer_wins() {
        let mut db = database();
        append(&mut db, (0..2_500).map(|key| (key, Some(1))));
        assert_eq!(pieces(&db), 3);
        assert_eq!(fold_some(&mut db, 2), 1);
        assert_eq!(state(&db).len(), 2_000);
        // Two checkpoints' pieces at once: some entries change, some go.
        append(&mut db, [(1, Some(2)), (2_400, Some(2)), (2_401, None), (3, None)].into_iter());
        assert_eq!(fold_some(&mut db, 100), 0);
        let state = state(&db);
        assert_eq!(state.len(), 2_498);
        let value = |key: u32| state.iter().find(|(other, _)| *other == key).map(|(_, value)| *value);
        assert_eq!([1, 2, 3, 2_400, 2_401].map(value), [Some(2), Some(1), None, Some(2), None]);
    }

    #[test]
    fn nothing_to_append_makes_no_piece_and_a_full_one_is_one() {
        let mut db = database();
        append(&mut db, std::iter::empty());
        assert_eq!(pieces(&db), 0);
        append(&mut db, (0..1_000).map(|key| (key, Some(1))));
        assert_eq!(pieces(&db), 1);
    }

    #[test]
    fn all_pieces_are_gone_before_the_next_checkpoint() {
        for count in [1, 2, 85, 1_000] {
            assert!(share(count) * COMMITS >= count, "{count}");
        }
    }

    #[test]
    fn a_piece_that_ends_early_is_an_error() {
        let mut db = database();
        let mut changes = Changes::default();
        changes.push(b"key", Some(b"value"));
        changes.bytes.pop();
        let tx = db.transaction().unwrap();
        changes.append(&tx).unwrap();
        let error = fold(&tx, 1).unwrap_err();
        assert!(error.to_string().contains("state_delta"), "{error}");
    }
}
