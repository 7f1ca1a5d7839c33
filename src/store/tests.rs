//! Who may open a store, and what its tables of inputs keep.

use std::path::Path;

use super::{
    record::{InputPosition, Mark, Progress},
    *,
};
use crate::{
    respond::{Decision, DecisionId, Mode, Step, SubjectRef, decision::Versions},
    source::{InputName, Inputs},
};

/// The wall clock at each commit.
const COMMITTED_MS: u64 = 1_800_000_000_000;

fn identity() -> Identity {
    Identity { partitions: 8, topic_prefix: "keyhound.".to_owned(), pepper_check: "kc1_0".to_owned() }
}

fn open(dir: &Path, identity: &Identity) -> Result<EmbeddedLog, StoreError> {
    EmbeddedLog::open(dir.to_owned(), identity, Vec::new(), &[])
}

#[track_caller]
fn refused(other: &Identity, because: &str) {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &identity()).unwrap());
    let error = open(dir.path(), other).err().expect("another identity is refused").to_string();
    assert!(error.contains(because), "{error}");
    drop(open(dir.path(), &identity()).expect("and nothing has changed by it"));
}

#[test]
fn a_store_is_opened_only_with_the_settings_that_it_was_created_with() {
    refused(&Identity { partitions: 4, ..identity() }, "partitions: 8, and the settings say 4");
    refused(&Identity { topic_prefix: "kh.".to_owned(), ..identity() }, "topic_prefix: \"keyhound.\"");
    refused(&Identity { pepper_check: "kc1_1".to_owned(), ..identity() }, "another pepper");
}

#[test]
fn two_processes_cannot_share_a_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), &identity()).unwrap();
    let error = open(dir.path(), &identity()).err().expect("it is in use").to_string();
    assert!(error.contains("another process uses it"), "{error}");
    drop(first);
    open(dir.path(), &identity()).unwrap();
}

#[test]
fn an_input_that_ended_is_forgotten_and_its_index_never_given_again() {
    let dir = tempfile::tempdir().unwrap();
    database::lock(dir.path()).unwrap();
    let mut db = database::open(dir.path(), &identity()).unwrap().0;
    let mut table = inputs::InputTable::load(&db).unwrap();
    let name = |text: &str| InputName(text.to_owned());
    assert_eq!(table.input(0, &name("file:1")), (0, None));
    assert_eq!(table.input(0, &name("file:2")), (1, None));
    table.advance(&[InputPosition { input: 0, next: 70, newest_ms: 5 }]);
    table.starts_at(1, 9);
    table.finished_at(1, 512);
    table.ended(0);
    table.take_ended(&mut Vec::new());
    let tx = db.transaction().unwrap();
    table.write(&tx, false).unwrap();
    tx.commit().unwrap();
    let again = inputs::InputTable::load(&db).unwrap();
    assert_eq!(again.get(0).unwrap().next, Some(70), "a replay may still need it");
    assert_eq!(again.get(1).unwrap().next, Some(9));
    let tx = db.transaction().unwrap();
    table.begin_checkpoint();
    table.write(&tx, true).unwrap();
    tx.commit().unwrap();
    let mut again = inputs::InputTable::load(&db).unwrap();
    let mut known = Vec::new();
    again.each_known(0, &mut |input, name| known.push((input, name.to_owned())));
    assert_eq!(known, [(1, "file:2".to_owned())]);
    assert_eq!(again.input(0, &name("file:3")), (2, None));
    assert_eq!(again.input(0, &name("file:2")), (1, Some(9)));
    assert_eq!((again.finished_size(1), again.finished_size(2)), (Some(512), None));
}

#[test]
fn an_input_that_comes_back_before_it_is_forgotten_is_opened_again_and_keeps_its_position() {
    let dir = tempfile::tempdir().unwrap();
    database::lock(dir.path()).unwrap();
    let mut db = database::open(dir.path(), &identity()).unwrap().0;
    let mut table = inputs::InputTable::load(&db).unwrap();
    let name = InputName("file:1".to_owned());
    for told in [false, true] {
        let (input, _) = table.input(0, &name);
        table.ended(input);
        if told {
            table.take_ended(&mut Vec::new());
        }
        table.take_opened(&mut Vec::new());
        table.input(0, &name);
        let (mut opened, mut ended) = (Vec::new(), Vec::new());
        table.take_opened(&mut opened);
        table.take_ended(&mut ended);
        assert_eq!((opened, ended), (vec![input], Vec::new()));
        table.advance(&[InputPosition { input, next: 70, newest_ms: 5 }]);
        let tx = db.transaction().unwrap();
        table.begin_checkpoint();
        table.write(&tx, true).unwrap();
        tx.commit().unwrap();
        assert_eq!(inputs::InputTable::load(&db).unwrap().get(input).unwrap().next, Some(70));
    }
}

/// A revoke or a lift of one key, as its topic carries it, in force until 2027.
fn decision(key: &str, epoch: u64, step: Step) -> Decision {
    let text = |text: &str| text.to_owned();
    Decision {
        schema: text(Decision::SCHEMA),
        id: DecisionId(format!("dec_{epoch}")),
        epoch,
        subject: SubjectRef { kind: text("key"), id: text(key), ..SubjectRef::default() },
        handles: Vec::new(),
        step,
        mode: Mode::Enforce,
        only: None,
        rate: None,
        as_of: text("2026-11-29T12:00:00.000Z"),
        expires_at: text("2027-01-01T00:00:00.000Z"),
        incident: String::new(),
        cause: text("operator"),
        rule: text("command"),
        rule_version: String::new(),
        reason: text("leaked"),
        versions: Versions::default(),
        instance: String::new(),
    }
}

fn line(decision: &Decision) -> (Vec<u8>, u64) {
    (serde_json::to_vec(decision).unwrap(), 7)
}

/// Commits these as decisions, with a checkpoint at this watermark.
fn commit(log: &mut EmbeddedLog, watermark_ms: u64, decisions: &[Decision]) {
    let progress = Progress { commit: watermark_ms, watermark_ms, ..Progress::default() };
    log.begin().unwrap();
    for decision in decisions {
        let (key, value) = (decision.subject.id.clone(), line(decision).0);
        let kept = Kept::Until(decision.expires().after(KEPT_AFTER_END).0);
        log.produce(Output { topic: Topic::Decisions, key, value, kept }).unwrap();
    }
    log.send_positions(&progress, &[], &[]).unwrap();
    log.checkpoint(&Mark { progress, ..Mark::default() }).unwrap();
    log.commit(COMMITTED_MS).unwrap();
}

/// Key and step of what is current, and whether a checkpoint has to take it in.
fn current(log: &mut EmbeddedLog) -> (Vec<(String, Step)>, bool) {
    let current = log.outbox().current_decisions().unwrap();
    let read = |value: &[u8]| serde_json::from_slice::<Decision>(value).unwrap();
    let current = current.iter().map(|(record, _)| (record.key.clone(), read(&record.value).step)).collect();
    (current, log.has_taken_over().unwrap())
}

#[test]
fn a_decision_is_kept_with_the_time_of_the_clock_that_the_slot_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), &identity()).unwrap();
    commit(&mut log, 5, &[decision("key", 1, Step::Revoke)]);
    let current = log.outbox().current_decisions().unwrap();
    assert_eq!(current[0].1, COMMITTED_MS);
}

#[test]
fn a_database_that_is_older_than_the_decisions_file_takes_over_what_was_decided_since() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), &identity()).unwrap();
    let of = |epoch, step| move |key: &str| decision(key, epoch, step);
    commit(&mut log, 5, &[of(1, Step::Revoke)("known"), of(9, Step::Observe)("lifted")]);
    drop(log);
    let since = [of(4, Step::Revoke)("since"), of(3, Step::Observe)("known"), of(8, Step::Revoke)("lifted")];
    let file = DecisionsFile::new(dir.path(), &identity().pepper_check);
    file.write(&since.each_ref().map(line), 7).unwrap();
    let expected = vec![
        ("known".to_owned(), Step::Observe),
        ("lifted".to_owned(), Step::Observe),
        ("since".to_owned(), Step::Revoke),
    ];
    for (decisions, taken_in) in [(2, false), (0, true)] {
        let mut log = open(dir.path(), &identity()).unwrap();
        assert_eq!((log.taken_over().is_lost, log.taken_over().decisions), (false, decisions));
        // Until a checkpoint has them, whatever ends the process before.
        assert_eq!(current(&mut log), (expected.clone(), true));
        if taken_in {
            commit(&mut log, 6, &[]);
            assert!(!log.has_taken_over().unwrap());
        }
    }
    // What the database has forgotten, since its time had passed, does not come back.
    let mut log = open(dir.path(), &identity()).unwrap();
    commit(&mut log, u64::MAX >> 1, &[]);
    drop(log);
    let mut log = open(dir.path(), &identity()).unwrap();
    assert_eq!(current(&mut log), (Vec::new(), false));
}

#[test]
fn an_older_decision_does_not_take_the_place_of_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), &identity()).unwrap();
    commit(&mut log, 5, &[decision("key", 9, Step::Observe)]);
    commit(&mut log, 6, &[decision("key", 4, Step::Revoke)]);
    assert_eq!(current(&mut log).0, [("key".to_owned(), Step::Observe)]);
    commit(&mut log, 7, &[decision("key", 10, Step::Revoke), decision("key", 9, Step::Observe)]);
    drop(log);
    let mut log = open(dir.path(), &identity()).unwrap();
    assert_eq!(current(&mut log).0, [("key".to_owned(), Step::Revoke)]);
}

#[test]
fn a_new_store_beside_a_decisions_file_that_cannot_be_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = DecisionsFile::new(dir.path(), &identity().pepper_check);
    std::fs::write(file.path(), "nonsense").unwrap();
    for _ in 0..2 {
        let error = open(dir.path(), &identity()).err().expect("it may hold a revoke").to_string();
        let path = file.path().display().to_string();
        for words in [path.as_str(), "checksum", "backup", "move it away"] {
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(std::fs::read(file.path()).unwrap(), b"nonsense");
    }
    file.write(&[line(&decision("known", 1, Step::Revoke))], 7).unwrap();
    let mut log = open(dir.path(), &identity()).unwrap();
    assert_eq!((log.taken_over().is_lost, log.taken_over().decisions), (true, 1));
    assert_eq!(current(&mut log), (vec![("known".to_owned(), Step::Revoke)], true));
    drop(log);
    // Beside a database it is told and put aside.
    std::fs::write(file.path(), "nonsense").unwrap();
    let mut log = open(dir.path(), &identity()).unwrap();
    assert!(log.taken_over().unreadable.is_some());
    assert_eq!(current(&mut log).0.len(), 1);
    assert!(!file.path().exists() && dir.path().join("keyhound.decisions.unreadable").exists());
}

#[test]
fn a_damaged_row_is_left_out_once_and_its_decision_is_taken_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), &identity()).unwrap();
    let decisions = ["a", "b", "c"].map(|key| decision(key, 1, Step::Revoke));
    log.keep(b"k", Some(b"v")).unwrap();
    log.keep(b"l", Some(b"v")).unwrap();
    let progress = Progress { commit: 1, watermark_ms: 4, ..Progress::default() };
    log.checkpoint(&Mark { progress, ..Mark::default() }).unwrap();
    log.commit(COMMITTED_MS).unwrap();
    commit(&mut log, 5, &decisions);
    log.restore(&mut |_, _| Ok(())).unwrap();
    drop(log);
    let file = DecisionsFile::new(dir.path(), &identity().pepper_check);
    file.write(&[line(&decisions[1])], 7).unwrap();
    let db = rusqlite::Connection::open(dir.path().join("keyhound.sqlite")).unwrap();
    let changed = db.execute("UPDATE current SET value = x'00' WHERE key IN ('b', 'c')", []).unwrap();
    assert_eq!(
        (changed, db.execute("UPDATE state SET value = x'00' WHERE key = x'6b'", []).unwrap()),
        (2, 1)
    );
    drop(db);

    let mut log = open(dir.path(), &identity()).unwrap();
    assert_eq!((log.taken_over().damaged, log.taken_over().decisions), (2, 1));
    let expected = vec![("a".to_owned(), Step::Revoke), ("b".to_owned(), Step::Revoke)];
    assert_eq!(current(&mut log), (expected.clone(), true));
    assert_eq!(log.restore(&mut |_, _| Ok(())).unwrap(), 1);
    commit(&mut log, 6, &[]);
    drop(log);
    let mut log = open(dir.path(), &identity()).unwrap();
    assert_eq!((log.taken_over().damaged, log.taken_over().decisions), (0, 0));
    assert_eq!(current(&mut log), (expected, false));
    let mut state = Vec::new();
    let damaged = log.restore(&mut |key, _| {
        state.push(key.to_vec());
        Ok(())
    });
    assert_eq!((damaged.unwrap(), state), (0, vec![b"l".to_vec()]));
}

#[test]
fn nothing_of_a_transaction_that_is_given_up_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), &identity()).unwrap();
    let progress = Progress { commit: 1, codec: CODEC_VERSION, ..Progress::default() };
    let give = |log: &mut EmbeddedLog| {
        log.begin().unwrap();
        let (topic, key, value) = (Topic::Incidents, "inc_1".to_owned(), b"{}".to_vec());
        log.produce(Output { topic, key, value, kept: Kept::Open }).unwrap();
        log.begin_checkpoint();
        log.keep(b"k", Some(b"v")).unwrap();
        log.send_positions(&progress, &[], &[Entry::Watermark(5)]).unwrap();
        log.checkpoint(&Mark { progress: progress.clone(), ..Mark::default() }).unwrap();
    };
    give(&mut log);
    log.abort().unwrap();
    assert_eq!(log.assign().unwrap(), Resume::default());
    give(&mut log);
    assert_eq!(log.commit(COMMITTED_MS).unwrap().newest_output, 1);
    let resume = log.assign().unwrap();
    assert_eq!(resume.mark.unwrap().progress, progress);
    assert!(resume.sequence.is_empty());
    let mut state = Vec::new();
    log.restore(&mut |key, value| {
        state.push((key.to_vec(), value.to_vec()));
        Ok(())
    })
    .unwrap();
    assert_eq!(state, [(b"k".to_vec(), b"v".to_vec())]);
}

#[test]
fn what_is_acknowledged_after_the_log_is_closed_is_written_too() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        EmbeddedLog::open(dir.path().to_owned(), &identity(), Vec::new(), &["a".to_owned(), "b".to_owned()])
            .unwrap()
    };
    let mut log = open();
    let outbox = log.outbox();
    log.begin().unwrap();
    for key in ["1", "2", "3"] {
        let (topic, key, value) = (Topic::Incidents, key.to_owned(), b"{}".to_vec());
        log.produce(Output { topic, key, value, kept: Kept::Open }).unwrap();
    }
    log.send_positions(&Progress { codec: CODEC_VERSION, ..Progress::default() }, &[], &[]).unwrap();
    log.commit(COMMITTED_MS).unwrap();
    assert!(matches!(outbox.write_last(), Err(StoreError::InUse { .. })), "its commits write them");
    drop(log);
    outbox.dispatcher("a").unwrap().ack(3);
    outbox.dispatcher("b").unwrap().ack(2);
    outbox.write_last().unwrap();
    let outbox = open().outbox();
    assert_eq!(outbox.waiting(), [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    assert_eq!(outbox.after(0, 10).unwrap().len(), 1, "what all have is trimmed");
}

#[test]
fn what_has_ended_is_forgotten_when_its_time_has_passed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log =
        EmbeddedLog::open(dir.path().to_owned(), &identity(), Vec::new(), &["d".to_owned()]).unwrap();
    let outbox = log.outbox();
    let commit = |log: &mut EmbeddedLog, watermark_ms: u64, outputs: Vec<Output>| {
        let progress = Progress { commit: watermark_ms, watermark_ms, ..Progress::default() };
        log.begin().unwrap();
        for output in outputs {
            log.produce(output).unwrap();
        }
        log.send_positions(&progress, &[], &[]).unwrap();
        log.checkpoint(&Mark { progress, ..Mark::default() }).unwrap();
        log.commit(COMMITTED_MS).unwrap();
    };
    let output = |topic, key: &str, kept| Output { topic, key: key.to_owned(), value: b"{}".to_vec(), kept };
    let outputs = vec![
        output(Topic::Incidents, "open", Kept::Open),
        output(Topic::Incidents, "closed", Kept::Until(100)),
        output(Topic::Decisions, "short", Kept::Until(100)),
        output(Topic::Decisions, "long", Kept::Until(200)),
    ];
    commit(&mut log, 50, outputs);
    assert_eq!(outbox.open_incidents().unwrap().len(), 1);
    assert_eq!(outbox.current(Topic::Incidents, false).unwrap().len(), 2);
    commit(&mut log, 101, Vec::new());
    let keys = |topic| -> Vec<String> {
        outbox.current(topic, false).unwrap().into_iter().map(|record| record.key).collect()
    };
    assert_eq!(
        (keys(Topic::Incidents), keys(Topic::Decisions)),
        (vec!["open".to_owned()], vec!["long".to_owned()])
    );
    let newest = outbox.after(4, 10).unwrap();
    assert_eq!((newest.len(), newest[0].key.as_str(), newest[0].value.len()), (1, "short", 0), "a tombstone");
    assert_eq!(outbox.waiting(), [("d".to_owned(), 5)]);
    // One whose time has passed, decided on again in the commit that would bury it.
    commit(&mut log, 201, vec![output(Topic::Decisions, "long", Kept::Until(900))]);
    assert_eq!(keys(Topic::Decisions), ["long"]);
    assert!(outbox.after(5, 10).unwrap().iter().all(|record| !record.value.is_empty()), "no tombstone");
}
