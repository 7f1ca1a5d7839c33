//! The slot with a small counting judge, on a log that crashes at every possible call.

mod backlog;
mod crashes;
mod embedded;
mod engines;
mod gaps;
mod order;
mod panics;
mod reading;
mod rotated;
mod toy;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::Duration,
};

use self::toy::Toy;
use super::*;
use crate::engine::Action;
use crate::source::SourceError;
use crate::store::{Crash, Disk, MemoryLog, Output, ScriptedBatch, Tape, Topic, VirtualClock};
use crate::telemetry::Status as _;

/// The wall clock at the start of every test, in milliseconds.
const START_MS: u64 = 1_800_000_000_000;

fn settings(batch_records: usize) -> SlotSettings {
    SlotSettings {
        fresh_within: Duration::from_mins(2),
        batch_records,
        cadence: CadenceSettings {
            commit_every: Duration::from_millis(200),
            checkpoint_every: Duration::from_secs(1),
            // Few, so that what changes while one is being written is put to the test.
            checkpoint_entries: 1,
        },
        // At once, so that what is idle does not hang on when a crash was.
        idle_after: Duration::ZERO,
        timeless_after: Duration::MAX,
        stalled_after: Duration::MAX,
        wait: Duration::from_millis(20),
    }
}

/// Everything that a run leaves behind and that has to be equal.
#[derive(Debug, PartialEq)]
struct Left {
    outputs: Vec<Output>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    digest: String,
    watermark_ms: u64,
}

/// Runs a tape to its end, crashing at each of `crashes` in turn; returns what is left and the calls of the last life.
fn run(tape: &Tape, crashes: &[Crash]) -> (Left, u64) {
    run_with(Toy::default, tape, crashes)
}

/// The same with any judge, made anew for each life.
fn run_with<J: Judge>(judge: impl Fn() -> J, tape: &Tape, crashes: &[Crash]) -> (Left, u64) {
    let (disk, tape) = (Disk::default(), Arc::new(tape.clone()));
    let clock = VirtualClock::new(START_MS);
    let status = Arc::new(Status::default());
    let mut crashes = crashes.iter().copied();
    loop {
        let crash = crashes.next();
        let log = MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), crash);
        let (_ask, asks) = mpsc::channel();
        let slot = Slot::start(log, judge(), clock.clone(), settings(256), asks, Arc::clone(&status));
        let end = slot.and_then(|mut slot| Ok((slot.run(&AtomicBool::new(false))?, slot.log.calls())));
        match end {
            Ok((end, calls)) => {
                assert_eq!(end, End::Finished);
                assert_eq!(status.read().digest_mismatches, 0, "a replay led elsewhere");
                let progress = disk.progress().expect("a run commits");
                let (digest, watermark_ms) = (progress.digest, progress.watermark_ms);
                return (Left { outputs: disk.outputs(), state: disk.state(), digest, watermark_ms }, calls);
            }
            Err(LogError::Crashed { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// A tape of one record a line: `input time_s key`, batches parted by a line of `--- [idle inputs]`.
fn tape(inputs: usize, text: &str) -> Tape {
    let mut tape = Tape { inputs: vec![Vec::new(); inputs], ..Tape::default() };
    let mut batch = ScriptedBatch { after_ms: 90, ..ScriptedBatch::default() };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(idle) = line.strip_prefix("---") {
            batch.idle = idle.split_whitespace().map(|input| input.parse().unwrap()).collect();
            tape.batches.push(std::mem::replace(
                &mut batch,
                ScriptedBatch { after_ms: 90, ..ScriptedBatch::default() },
            ));
            continue;
        }
        let (input, record) = line.split_once(' ').expect("input and record");
        let input: u32 = input.parse().unwrap();
        let records = &mut tape.inputs[input as usize];
        let from = records.len() as u64;
        records.push((Some(START_MS + 1_000_000), record.as_bytes().to_vec()));
        match batch.runs.iter_mut().find(|run| run.input == input) {
            Some(run) => run.to = from + 1,
            None => batch.runs.push(Run { input, from, to: from + 1 }),
        }
    }
    tape
}

fn texts(outputs: &[Output], topic: Topic) -> Vec<String> {
    let of_topic = outputs.iter().filter(|output| output.topic == topic);
    of_topic.map(|output| String::from_utf8(output.value.clone()).unwrap()).collect()
}

#[test]
fn rejected_records_leave_a_position_and_never_what_they_held() {
    let (left, _) = run(&tape(1, "0 1 a\n0 !sk_live_secret\n0 2 a\n---"), &[]);
    let rejected = texts(&left.outputs, Topic::Rejected);
    assert_eq!(rejected.len(), 1);
    assert!(
        rejected[0].contains(r#""input":"tape:0","offset":1,"index":0,"reason":"toy","length":15"#),
        "{rejected:?}"
    );
    assert!(!rejected[0].contains("secret"));
}

/// Where the watermark stands after some rounds, in milliseconds.
fn watermark_after(rounds: usize, tape: &Tape, settings: SlotSettings) -> u64 {
    let clock = VirtualClock::new(START_MS);
    let log = MemoryLog::open(Disk::default(), Arc::new(tape.clone()), clock.clone(), None);
    let (_ask, asks) = mpsc::channel();
    let mut slot = Slot::start(log, Toy::default(), clock, settings, asks, Arc::default()).unwrap();
    for _ in 0..rounds {
        slot.step().unwrap();
    }
    slot.course.watermarks.current().0
}

#[test]
fn an_idle_input_no_longer_holds_the_watermark_back() {
    let silent = "0 100 a\n---\n0 200 a\n---\n0 300 a\n---";
    let told = "0 100 a\n---\n0 200 a\n--- 1\n0 300 a\n--- 1";
    let late = |text: &str| watermark_after(2, &tape(2, text), settings(8));
    assert_eq!(late(silent), 0, "input 1 may hold anything");
    assert_eq!(late(told), START_MS + 190_000);
}

#[test]
fn an_input_that_brings_nothing_is_waited_for_for_a_while_and_its_lag_is_told() {
    let text = "0 100 a\n1 100 b\n---\n0 200 a\n---\n0 300 a\n---\n0 400 a\n---";
    let clock = VirtualClock::new(START_MS);
    let log = MemoryLog::open(Disk::default(), Arc::new(tape(2, text)), clock.clone(), None);
    let (_ask, asks) = mpsc::channel();
    let settings = SlotSettings { stalled_after: Duration::from_millis(180), ..settings(8) };
    let mut slot = Slot::start(log, Toy::default(), clock, settings, asks, Arc::default()).unwrap();
    let mut watermarks_s = Vec::new();
    for _ in 0..4 {
        slot.step().unwrap();
        watermarks_s.push((slot.course.watermarks.current().0 - START_MS) / 1000);
    }
    assert_eq!(watermarks_s, [90, 90, 290, 390]);
    assert_eq!(slot.lag_ms(1, START_MS + 500_000), Some(400_000));
}

#[test]
fn what_comes_behind_the_watermark_is_counted_by_input_and_told() {
    let text = "0 990 a\n--- 1\n0 991 a\n1 10 b\n1 11 b\n1 979 b\n---\n0 992 a\n---";
    let clock = VirtualClock::new(START_MS);
    let log = MemoryLog::open(Disk::default(), Arc::new(tape(2, text)), clock.clone(), None);
    let (_ask, asks) = mpsc::channel();
    let mut slot = Slot::start(log, Toy::default(), clock, settings(8), asks, Arc::default()).unwrap();
    for _ in 0..3 {
        slot.step().unwrap();
    }
    slot.arrivals.belongs(1, 0);
    assert_eq!(slot.arrivals.late.take(0), 3);
    let text = slot.arrivals.late.warning(0).unwrap();
    // The watermark stood at 980.
    assert!(text.starts_with("2 events of") && text.contains("up to 970 s"), "{text}");
}

#[test]
fn a_wrong_clock_does_not_make_the_others_late() {
    // The log's time of every record is 1,000 s after the start.
    let (left, _) = run(&tape(1, "0 100 a\n---\n0 5000 b\n---\n0 101 a\n0 102 a\n---"), &[]);
    assert_eq!(left.watermark_ms, START_MS + 92_000);
}

#[test]
fn a_log_without_a_time_that_can_be_right_is_not_waited_for() {
    let watermark_s = |inputs, text: &str, timeless_after| {
        let settings = SlotSettings { timeless_after, ..settings(8) };
        watermark_after(4, &tape(inputs, text), settings).saturating_sub(START_MS) / 1000
    };
    let (soon, never) = (Duration::from_millis(180), Duration::MAX);
    // The second input is not one of requests at all; what is ahead of its log is not either.
    let beside =
        "0 100 a\n1 !x\n---\n0 101 a\n1 !x\n---\n0 102 a\n1 !x\n---\n0 103 a\n1 5000 b\n---\n0 104 a\n---";
    assert_eq!(watermark_s(2, beside, never), 0, "it holds the other up");
    assert_eq!(watermark_s(2, beside, soon), 93);
    let comes_right =
        "0 100 a\n1 !x\n---\n0 101 a\n1 !x\n---\n0 102 a\n1 !x\n---\n0 103 a\n1 50 b\n---\n0 104 a\n---";
    assert_eq!(watermark_s(2, comes_right, soon), 92, "it is waited for again, and never goes back");
    // Alone with its wrong clock, the log's own time is all there is: 1,000 s after the start.
    let alone = "0 5000 a\n---\n0 5001 a\n---\n0 5002 a\n---\n0 5003 a\n---\n0 5004 a\n---";
    assert_eq!((watermark_s(1, alone, never), watermark_s(1, alone, soon)), (0, 990));
}

#[test]
fn a_committed_command_is_applied_again_after_a_crash() {
    let text = "0 1 a\n---\n0 2 a\n---\n0 3 a\n---\n0 4 a\n---";
    let (disk, tape) = (Disk::default(), Arc::new(tape(1, text)));
    let clock = VirtualClock::new(START_MS);
    let open = || MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), None);
    let (ask, asks) = mpsc::channel();
    let (done, mut answer) = oneshot::channel();
    let (by, from, reason) = ("ann".to_owned(), String::new(), "test".to_owned());
    let command = Command { sequence: 9, at_ms: 7, by, from, reason, action: Action::Pause };
    ask.send(Ask::Command { command, done }).unwrap();
    let mut slot =
        Slot::start(open(), Toy::default(), clock.clone(), settings(8), asks, Arc::default()).unwrap();
    slot.step().unwrap();
    assert_eq!(answer.try_recv(), Ok(Vec::new()), "a command is committed at once");
    drop(slot);
    let status = Arc::new(Status::default());
    let (_ask, asks) = mpsc::channel();
    let mut slot =
        Slot::start(open(), Toy::default(), clock.clone(), settings(8), asks, Arc::clone(&status)).unwrap();
    assert_eq!(slot.course.judge.commands(), 1);
    assert_eq!(status.returned().comparison, Comparison::Equal);
    assert_eq!(slot.run(&AtomicBool::new(false)).unwrap(), End::Finished);
    assert_eq!(disk.progress().unwrap().commands, 1);
}

#[test]
fn what_waits_in_a_checkpoint_is_after_a_restart_as_late_as_it_was_before() {
    let (disk, tape) = (Disk::default(), Arc::new(tape(1, "0 1 a\n---\n0 2 a\n---")));
    let clock = VirtualClock::new(START_MS);
    let start = || {
        let log = MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), None);
        let (_ask, asks) = mpsc::channel();
        Slot::start(log, Toy::default(), clock.clone(), settings(8), asks, Arc::default()).unwrap()
    };
    let mut slot = start();
    slot.step().unwrap();
    slot.commit(Writes::All).unwrap();
    let read_at_ms = slot.course.judge.read_at_ms();
    assert!(read_at_ms >= START_MS);
    drop(slot);
    clock.advance(Duration::from_hours(1));
    assert_eq!(start().course.judge.read_at_ms(), read_at_ms);
}

#[test]
fn a_change_of_rules_comes_right_after_a_checkpoint() {
    let (disk, tape) = (Disk::default(), Arc::new(tape(1, "0 1 a\n---\n0 2 a\n---\n0 3 a\n---")));
    let clock = VirtualClock::new(START_MS);
    let open = || MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), None);
    let (ask, asks) = mpsc::channel();
    let mut slot =
        Slot::start(open(), Toy::default(), clock.clone(), settings(8), asks, Arc::default()).unwrap();
    slot.step().unwrap();
    let (done, mut answer) = oneshot::channel();
    ask.send(Ask::Change { change: "r2".to_owned(), done }).unwrap();
    slot.step().unwrap();
    assert_eq!(answer.try_recv(), Ok(()));
    assert!(disk.sequence().is_empty(), "all before the change is in the checkpoint");
    slot.step().unwrap();
    slot.commit(Writes::Nothing).unwrap();
    assert!(matches!(&disk.sequence()[0], Entry::Reference(now) if now.rules == "r2"));
    drop(slot);
    // Another process that still has the old rules: it says so, and takes a checkpoint before it goes on.
    let status = Arc::new(Status::default());
    let (_ask, asks) = mpsc::channel();
    let slot =
        Slot::start(open(), Toy::default(), clock.clone(), settings(8), asks, Arc::clone(&status)).unwrap();
    assert_eq!(status.returned().comparison, Comparison::ReferenceChanged);
    assert!(disk.sequence().is_empty());
    drop(slot);
}

/// A batch with a request of each of so many keys, and a last one.
fn many_keys(keys: u32) -> Tape {
    let requests: Vec<String> = (0..keys).map(|key| format!("0 {key} key-{key}")).collect();
    tape(1, &format!("{}\n---\n0 1 last\n---", requests.join("\n")))
}

#[test]
fn a_change_waits_while_much_is_written_in_pieces_and_nothing_is_read_meanwhile() {
    let disk = Disk::default();
    let clock = VirtualClock::new(START_MS);
    let log = MemoryLog::open(disk.clone(), Arc::new(many_keys(50)), clock.clone(), None);
    let (ask, asks) = mpsc::channel();
    let mut settings = settings(64);
    settings.cadence.checkpoint_entries = 8;
    let mut slot = Slot::start(log, Toy::default(), clock, settings, asks, Arc::default()).unwrap();
    slot.step().unwrap();
    let (done, mut answer) = oneshot::channel();
    ask.send(Ask::Change { change: "r2".to_owned(), done }).unwrap();
    let mut pieces = Vec::new();
    while answer.try_recv().is_err() {
        let before = slot.course.judge.unwritten();
        slot.step().unwrap();
        pieces.push(before - slot.course.judge.unwritten().min(before));
        assert_eq!(disk.positions()[&0], 50, "it has read on");
    }
    // The checkpoint's first piece has an entry for the watermark besides.
    assert!(pieces.len() >= 6 && pieces.iter().all(|piece| *piece <= 8), "{pieces:?}");
    assert!(slot.unfinished.is_none());
    slot.step().unwrap();
    slot.commit(Writes::Nothing).unwrap();
    assert_eq!(disk.positions()[&0], 51, "it reads on");
    assert!(matches!(&disk.sequence()[0], Entry::Reference(now) if now.rules == "r2"));
}

#[test]
fn input_that_is_read_once_is_committed_before_much_has_changed() {
    let tape = |once| Tape { once, ..many_keys(20) };
    let committed_after_one_step = |tape: Tape| {
        let disk = Disk::default();
        let clock = VirtualClock::new(START_MS);
        let log = MemoryLog::open(disk.clone(), Arc::new(tape), clock.clone(), None);
        let (_ask, asks) = mpsc::channel();
        let mut settings = settings(64);
        settings.cadence.checkpoint_entries = 8;
        settings.cadence.commit_every = Duration::from_mins(1);
        let mut slot = Slot::start(log, Toy::default(), clock, settings, asks, Arc::default()).unwrap();
        slot.step().unwrap();
        disk.progress().map(|progress| progress.commit)
    };
    assert_eq!(committed_after_one_step(tape(false)), None, "it can be read again");
    assert_eq!(committed_after_one_step(tape(true)), Some(1));
}
