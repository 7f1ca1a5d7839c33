//! Renamed, truncated, deleted, and back again.

use super::*;
use crate::source::SourceError;

#[test]
fn after_a_rotation_the_old_file_is_finished_then_the_new_one_read() {
    let mut logs = Logs::new("access.log");
    logs.write("access.log", "one\n");
    logs.check("one");
    logs.write("access.log", "two\n");
    logs.rename("access.log", "access.log.1");
    logs.write("access.log", "new\n");
    logs.check("two new");
    // A worker that had not been told yet.
    logs.write("access.log.1", "late\n");
    logs.write("access.log", "newer\n");
    logs.check("late newer");
}

#[test]
fn a_rotation_while_down_loses_nothing() {
    let mut logs = Logs::new("access.log");
    logs.write("access.log", "one\n");
    logs.check("one");
    logs.restart();
    logs.write("access.log", "two\n");
    logs.aged("access.log", 1_000);
    logs.rename("access.log", "access.log.1");
    logs.write("access.log", "new\n");
    logs.check("two new");
}

#[test]
fn a_file_that_was_rotated_away_is_let_go_in_the_end() {
    let mut logs = Logs::new("access.log");
    logs.write("access.log", "one\nno break");
    logs.check("one");
    logs.rename("access.log", "gone");
    let mut last = String::new();
    for _ in 0..58 {
        last += &logs.poll(10);
    }
    assert_eq!((last.as_str(), logs.table.ended.len()), ("", 0), "its writer may not have been told yet");
    for _ in 0..10 {
        last += &logs.poll(10);
    }
    assert_eq!(last, "no break", "its last line is taken as it is, once");
    assert_eq!((logs.table.ended.as_slice(), logs.open()), (&[0][..], 0));
}

#[test]
fn a_truncated_file_is_read_again_as_another_input() {
    let mut logs = Logs::new("access.log");
    logs.write("access.log", "one\ntwo\n");
    logs.check("one two");
    File::create(logs.path("access.log")).unwrap();
    logs.write("access.log", "new\n");
    logs.check("new");
    assert_eq!(logs.notices(), ["truncated"]);
    assert_ne!(logs.table.names[0], logs.table.names[1], "a position never means two records");
    logs.restart();
    logs.write("access.log", "newer\n");
    logs.check("newer");
    assert_eq!(logs.table.ended, [0], "what it was has ended");
    logs.table.checkpoint();
    logs.restart();
    File::create(logs.path("access.log")).unwrap();
    logs.write("access.log", "x\n");
    logs.check("x");
    assert_eq!(logs.notices(), ["truncated"], "while down, too");
    assert_eq!(logs.table.ended, [1]);
    logs.table.checkpoint();
    logs.restart();
    logs.check("");
    assert_eq!(logs.table.names.len(), 3, "and it is known as what it is now");
}

#[test]
fn what_a_file_was_before_it_was_truncated_has_ended_though_a_crash_kept_it() {
    let mut logs = Logs::new("access.log");
    logs.write("access.log", "one\ntwo\n");
    logs.check("one two");
    File::create(logs.path("access.log")).unwrap();
    logs.write("access.log", "new\n");
    logs.check("new");
    logs.table.ended.clear();
    logs.restart();
    logs.check("");
    assert_eq!(logs.table.ended, [0]);
}

#[test]
fn a_worker_that_obeys_late_loses_nothing_however_often_it_was_looked() {
    let mut logs = Logs::new("access.log");
    logs.step = Duration::from_millis(1);
    logs.write("access.log", "one\n");
    logs.check("one");
    logs.rename("access.log", "access.log.1");
    for _ in 0..1_000 {
        assert_eq!(logs.poll(10), "");
    }
    logs.write("access.log.1", "late\n");
    logs.check("late");
    logs.step = Duration::from_secs(50);
    logs.check("");
    logs.write("access.log.1", "later\n");
    logs.check("later");
    assert!(logs.table.ended.is_empty());
}

#[test]
fn a_file_that_comes_back_goes_on_where_it_was() {
    let mut logs = Logs::new("access.log");
    logs.step = Duration::from_secs(30);
    logs.write("access.log", "one\n");
    logs.check("one");
    logs.rename("access.log", "out");
    for _ in 0..5 {
        assert_eq!(logs.poll(10), "");
    }
    assert_eq!(logs.table.ended, [0]);
    logs.rename("out", "access.log");
    logs.check("");
    logs.table.checkpoint();
    logs.restart();
    logs.write("access.log", "two\n");
    logs.check("two");
}

#[test]
fn a_file_that_comes_back_at_the_last_moment_is_read_on() {
    for seconds in 57..65 {
        let mut logs = Logs::new("access.log");
        logs.write("access.log", "one\n");
        logs.check("one");
        logs.rename("access.log", "out");
        for _ in 0..seconds {
            assert_eq!(logs.poll(10), "");
        }
        logs.rename("out", "access.log");
        assert_eq!(logs.poll(10), "");
        logs.write("access.log", "two\n");
        logs.check("two");
    }
}

#[test]
fn folders_are_looked_into_a_few_times_a_second_only() {
    let mut logs = Logs::new("*.log");
    logs.check("");
    logs.step = Duration::from_millis(10);
    logs.write("a.log", "one\n");
    let polls = (1..=100).find(|_| !logs.poll(10).is_empty());
    assert_eq!(polls, Some(25));
}

#[test]
fn a_file_is_gone_once_it_is_deleted_and_not_while_its_folder_is_away() {
    let mut logs = Logs::new("logs/access.log");
    fs::create_dir(logs.path("logs")).unwrap();
    logs.write("logs/access.log", "one\n");
    logs.check("one");
    let again = |logs: &mut Logs| {
        logs.restart();
        logs.poll(1_000);
        let name = logs.table.name(0);
        logs.source().read_again(0, &name, 0, 4, &mut Batch::new(10))
    };
    assert_eq!(again(&mut logs).unwrap(), 4);
    logs.rename("logs", "away");
    let error = again(&mut logs).unwrap_err();
    assert!(matches!(&error, SourceError::ReadAgain { text, .. } if text.contains("no folder")), "{error}");
    logs.rename("away", "logs");
    assert_eq!(again(&mut logs).unwrap(), 4);
    fs::remove_file(logs.path("logs/access.log")).unwrap();
    let error = again(&mut logs).unwrap_err();
    assert!(matches!(error, SourceError::Gone { from: 0, to: 4, .. }), "{error}");
}
