//! Tests of pieces: in which order they are moved, how many at a time, and what becomes of an unfinished checkpoint.

use rusqlite::Connection;

use super::*;
use crate::store::tables;

fn database() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(tables::SCHEMA).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    db
}

fn changes(entries: impl Iterator<Item = (u32, Option<u32>)>) -> Changes {
    let mut changes = Changes::default();
    for (key, value) in entries {
        let value = value.map(u32::to_be_bytes);
        changes.push(&key.to_be_bytes(), value.as_ref().map(<[u8; 4]>::as_slice));
    }
    changes
}

fn write(db: &mut Connection, pieces: Pieces, changes: &Changes, completes: bool) -> Pieces {
    let tx = db.transaction().unwrap();
    let pieces = pieces.write(&tx, changes, completes).unwrap();
    tx.commit().unwrap();
    pieces
}

fn waiting(db: &Connection) -> u64 {
    unsigned(db.query_row("SELECT count(*) FROM state_delta", [], |row| row.get(0)).unwrap())
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
    let pieces = Pieces::load(&db).unwrap();
    let pieces = write(&mut db, pieces, &changes((0..2_500).map(|key| (key, Some(1)))), true);
    assert_eq!((waiting(&db), state(&db).len()), (3, 0));
    let pieces = write(&mut db, pieces, &Changes::default(), false);
    assert_eq!((waiting(&db), state(&db).len()), (1, 2_000));
    // Two checkpoints' pieces at once: some entries change, some go.
    let entries = [(1, Some(2)), (2_400, Some(2)), (2_401, None), (3, None)];
    let pieces = write(&mut db, pieces, &changes(entries.into_iter()), true);
    assert!(pieces.is_moving());
    let pieces = write(&mut db, pieces, &Changes::default(), false);
    assert!(!pieces.is_moving() && waiting(&db) == 0);
    let state = state(&db);
    assert_eq!(state.len(), 2_498);
    let value = |key: u32| state.iter().find(|(other, _)| *other == key).map(|(_, value)| *value);
    assert_eq!([1, 2, 3, 2_400, 2_401].map(value), [Some(2), Some(1), None, Some(2), None]);
}

#[test]
fn a_checkpoint_that_is_not_completed_never_reaches_the_table() {
    let mut db = database();
    let pieces = Pieces::load(&db).unwrap();
    let pieces = write(&mut db, pieces, &changes([(1, Some(1))].into_iter()), true);
    let mut unfinished = pieces;
    for value in 2..6 {
        unfinished = write(&mut db, unfinished, &changes([(1, Some(value))].into_iter()), false);
    }
    assert_eq!((state(&db), waiting(&db)), (vec![(1, 1)], 4));
    // A restart.
    let pieces = Pieces::load(&db).unwrap();
    assert_eq!(waiting(&db), 0);
    let pieces = write(&mut db, pieces, &changes([(1, Some(7))].into_iter()), true);
    let tx = db.transaction().unwrap();
    pieces.write_all(&tx).unwrap();
    tx.commit().unwrap();
    assert_eq!((state(&db), waiting(&db)), (vec![(1, 7)], 0));
}

#[test]
fn nothing_to_append_makes_no_piece_and_a_full_one_is_one() {
    let mut db = database();
    let pieces = Pieces::load(&db).unwrap();
    let pieces = write(&mut db, pieces, &Changes::default(), true);
    assert_eq!((waiting(&db), pieces.is_moving()), (0, false));
    write(&mut db, pieces, &changes((0..1_000).map(|key| (key, Some(1)))), true);
    assert_eq!(waiting(&db), 1);
}

#[test]
fn a_commit_moves_a_bounded_number_of_pieces_and_most_checkpoints_are_moved_before_the_next() {
    for (count, commits) in [(1, 1), (2, 1), (85, 29), (240, 30), (1_000, 125)] {
        let mut db = database();
        let mut pieces = Pieces { share: PIECES_MIN, ..Pieces::default() };
        pieces = write(&mut db, pieces, &changes((0..count * 1_000).map(|key| (key, Some(1)))), true);
        let mut needed = 0;
        while pieces.is_moving() {
            let before = pieces.moved;
            pieces = write(&mut db, pieces, &Changes::default(), false);
            assert!(pieces.moved - before <= PIECES_MAX);
            needed += 1;
        }
        assert_eq!(needed, commits, "{count} pieces");
    }
}

#[test]
fn a_piece_that_ends_early_is_an_error() {
    let mut db = database();
    let mut changes = Changes::default();
    changes.push(b"key", Some(b"value"));
    changes.bytes.pop();
    let tx = db.transaction().unwrap();
    changes.append(&tx, 0).unwrap();
    let error = fold(&tx, 1).unwrap_err();
    assert!(error.to_string().contains("state_delta"), "{error}");
}
