//! Rows with other bytes than were written: none is used, and each is told.

use std::{path::Path, sync::mpsc, thread, time::Duration};

use super::*;
use crate::{
    source::{InputName, Inputs as _},
    store::{EmbeddedLog, Identity, Kept, Log as _, Output, inputs::InputTable},
};

const COMMITTED_MS: u64 = 1_800_000_000_000;
const LIMIT: Duration = Duration::from_mins(2);

fn open(dir: &Path) -> Result<EmbeddedLog, StoreError> {
    let (topic_prefix, pepper_check) = ("keyhound.".to_owned(), "kc1_0".to_owned());
    let identity = Identity { partitions: 8, topic_prefix, pepper_check };
    EmbeddedLog::open(dir.to_owned(), &identity, Vec::new(), &["a".to_owned(), "b".to_owned()])
}

/// A store with three decisions that wait for delivery; dispatcher `a` has the first of them.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap();
    log.begin().unwrap();
    for key in ["1", "2", "3"] {
        let (topic, key, value) = (Topic::Decisions, key.to_owned(), b"{}".to_vec());
        log.produce(Output { topic, key, value, kept: Kept::Open }).unwrap();
    }
    log.send_positions(&Progress::default(), &[], &[]).unwrap();
    log.commit(COMMITTED_MS).unwrap();
    log.outbox().dispatcher("a").unwrap().ack(1);
    log.begin().unwrap();
    log.send_positions(&Progress::default(), &[], &[]).unwrap();
    log.commit(COMMITTED_MS).unwrap();
    dir
}

fn change(dir: &Path, sql: &str) {
    let db = Connection::open(dir.join("keyhound.sqlite")).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn a_changed_row_of_the_outbox_is_taken_out_and_told() {
    for sql in [
        "UPDATE outbox SET value = CAST(X'7B7E' || substr(value, 3) AS BLOB) WHERE seq = 2",
        "UPDATE outbox SET topic = 2 WHERE seq = 2",
        "UPDATE outbox SET topic = 77 WHERE seq = 2",
        "UPDATE outbox SET key = '7' WHERE seq = 2",
        "UPDATE outbox SET seq = 700000 WHERE seq = 2",
        "UPDATE outbox SET value = X'' WHERE seq = 2",
    ] {
        let dir = store();
        change(dir.path(), sql);
        let log = open(dir.path()).unwrap();
        assert_eq!(log.taken_over().undelivered, 1, "{sql}");
        let text = log.taken_over().text().unwrap();
        assert!(text.contains("table outbox") && text.contains("disk"), "{text}");
        let kept: Vec<u64> = log.outbox().after(0, 10).unwrap().iter().map(|record| record.seq).collect();
        assert_eq!(kept, [1, 3], "{sql}");
        assert_eq!(*log.outbox().newest().borrow(), 3, "{sql}");
    }
}

#[test]
fn a_row_of_the_outbox_that_changes_while_it_is_open_is_an_error_of_the_store() {
    let dir = store();
    let log = open(dir.path()).unwrap();
    change(dir.path(), "UPDATE outbox SET key = '7' WHERE seq = 2");
    let error = log.outbox().after(0, 10).unwrap_err();
    assert!(matches!(error, StoreError::Changed { table: "outbox" }), "{error}");
    assert!(error.remedy(dir.path()).unwrap().contains("backup"));
}

#[test]
fn the_number_of_a_newest_output_that_was_taken_out_is_not_given_again() {
    let dir = store();
    let log = open(dir.path()).unwrap();
    for name in ["a", "b"] {
        log.outbox().dispatcher(name).unwrap().ack(3);
    }
    drop(log);
    let log = open(dir.path()).unwrap();
    log.outbox().dispatcher("a").unwrap().ack(3);
    let outbox = log.outbox();
    drop(log);
    outbox.write_last().unwrap();
    change(dir.path(), "UPDATE outbox SET key = '7' WHERE seq = 3");
    let log = open(dir.path()).unwrap();
    assert_eq!(*log.outbox().newest().borrow(), 3, "else what comes next would count as delivered");
}

#[test]
fn whose_acknowledgement_changed_is_given_all_again() {
    for sql in [
        "UPDATE acknowledged SET seq = 3 WHERE dispatcher = 'a'",
        "UPDATE acknowledged SET dispatcher = 'c' WHERE dispatcher = 'a'",
        "UPDATE acknowledged SET sum = sum + 1 WHERE dispatcher = 'a'",
    ] {
        let dir = store();
        change(dir.path(), sql);
        let log = open(dir.path()).unwrap();
        assert_eq!(log.outbox().dispatcher("a").unwrap().acked(), 0, "{sql}");
    }
}

#[test]
fn any_changed_column_of_a_current_record_is_noticed() {
    for sql in [
        "UPDATE current SET topic = 2 WHERE key = '2'",
        "UPDATE current SET key = '7' WHERE key = '2'",
        "UPDATE current SET until_ms = 7 WHERE key = '2'",
        "UPDATE current SET committed_ms = 7 WHERE key = '2'",
        "UPDATE current SET seq = 7 WHERE key = '2'",
        "UPDATE current SET value = CAST(X'7B7E' || substr(value, 3) AS BLOB) WHERE key = '2'",
    ] {
        let dir = store();
        change(dir.path(), sql);
        let log = open(dir.path()).unwrap();
        assert_eq!(log.taken_over().damaged, 1, "{sql}");
        assert_eq!(log.outbox().current_decisions().unwrap().len(), 2, "{sql}");
    }
}

#[test]
fn a_changed_position_is_never_read_from() {
    let dir = store();
    let file = dir.path().join("keyhound.sqlite");
    {
        let mut db = Connection::open(&file).unwrap();
        let mut table = InputTable::default();
        let (input, _) = table.input(0, &InputName("file:1".to_owned()));
        table.starts_at(input, 70);
        table.finished_at(input, 512);
        let tx = db.transaction().unwrap();
        table.write(&tx, false).unwrap();
        tx.commit().unwrap();
    }
    let sound = std::fs::read(&file).unwrap();
    for column in ["input", "source", "next", "newest_ms", "finished", "sum"] {
        std::fs::write(&file, &sound).unwrap();
        change(dir.path(), &format!("UPDATE inputs SET {column} = {column} + 1"));
        let error = open(dir.path()).err().expect("a wrong position is not read from");
        assert!(matches!(error, StoreError::Changed { table: "inputs" }), "{column}: {error}");
    }
}

#[test]
fn dispatchers_read_while_all_decisions_are_read() {
    let dir = store();
    let log = open(dir.path()).unwrap();
    let outbox = log.outbox();
    let mut seen = 0;
    outbox
        .each_current_decision(|_, _| {
            let (outbox, (done, read)) = (outbox.clone(), mpsc::channel());
            thread::spawn(move || done.send(outbox.after(0, 10).unwrap().len()));
            assert_eq!(read.recv_timeout(LIMIT), Ok(3), "it waits for whoever reads all decisions");
            seen += 1;
        })
        .unwrap();
    assert_eq!(seen, 3);
}
