//! A record at which the judgement panics: found within one restart, told with its position, passed over.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::*;
use crate::{
    slot::quarantine::Culprit,
    store::{Excluded, Exclusion},
};

/// What a run leaves that is ended by panics and crashes, with what each panic told.
struct Survived {
    left: Left,
    culprits: Vec<Culprit>,
    rejected: Vec<(&'static str, u64)>,
    excluded: Vec<Excluded>,
}

/// Runs a tape to its end over panics and crashes. The process lives on over a panic, and not over a crash.
fn survive(tape: &Tape, crashes: &[Crash]) -> Survived {
    survive_with(Toy::default, tape, crashes)
}

/// The same with any judge, made anew for each life.
fn survive_with(judge: impl Fn() -> Toy, tape: &Tape, crashes: &[Crash]) -> Survived {
    let (disk, tape) = (Disk::default(), Arc::new(tape.clone()));
    let clock = VirtualClock::new(START_MS);
    let sources = ["tape".to_owned()];
    let mut status = Arc::new(Status::new(&sources));
    let (mut crashes, mut culprits) = (crashes.iter().copied(), Vec::new());
    for _ in 0..100 {
        let log = MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), crashes.next());
        let (_ask, asks) = mpsc::channel();
        let life = || {
            let slot = Slot::start(log, judge(), clock.clone(), settings(256), asks, status.clone());
            slot.and_then(|mut slot| slot.run(&AtomicBool::new(false)))
        };
        match catch_unwind(AssertUnwindSafe(life)) {
            Err(_) => culprits.push(status.panicked(clock.wall_ms())),
            Ok(Err(LogError::Crashed { .. })) => status = Arc::new(Status::new(&sources)),
            Ok(end) => {
                assert_eq!(end.unwrap(), End::Finished);
                let reading = status.read();
                assert_eq!(reading.digest_mismatches, 0, "a replay led elsewhere");
                assert!(!status.is_quarantine_on(), "records are read one at a time for ever");
                let progress = disk.progress().expect("a run commits");
                let (digest, watermark_ms) = (progress.digest, progress.watermark_ms);
                let left = Left { outputs: disk.outputs(), state: disk.state(), digest, watermark_ms };
                let rejected = reading.sources[0].rejected.clone();
                let excluded = status.exclusions().into_iter().map(|exclusion| exclusion.what).collect();
                return Survived { left, culprits, rejected, excluded };
            }
        }
    }
    panic!("it never comes to the end: {culprits:?}");
}

/// Ten batches of 20 records of two inputs; at the places in `planted` a record panics.
fn tape_with(planted: &[usize]) -> Tape {
    let mut text = String::new();
    for n in 0..200 {
        let key = if planted.contains(&n) { "panic-sk_live_secret" } else { ["a", "b", "c"][n % 3] };
        let _ = writeln!(text, "{} {n} {key}", n % 2);
        if n % 20 == 19 {
            text.push_str("---\n");
        }
    }
    tape(2, &text)
}

/// The input and offset of each record that was rejected.
fn rejected(left: &Left) -> Vec<(String, u64)> {
    let read = |text: String| {
        assert!(!text.contains("secret") && text.contains("\"reason\":\"panicked\""), "{text}");
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        (record["input"].as_str().unwrap().to_owned(), record["offset"].as_u64().unwrap())
    };
    texts(&left.outputs, Topic::Rejected).into_iter().map(read).collect()
}

/// The requests that each key's state has counted.
fn counted(left: &Left) -> Vec<String> {
    let of_keys = left.state.iter().filter(|(key, _)| key[0] != 0);
    of_keys
        .map(|(key, value)| {
            let all = String::from_utf8_lossy(value);
            format!("{} {}", String::from_utf8_lossy(key), all.split(' ').next().unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_record_that_panics_is_found_within_one_restart_and_passed_over() {
    // The record 75 is the 37th of input 1.
    let Survived { left, culprits, rejected: counts, .. } = survive(&tape_with(&[75]), &[]);
    assert!(matches!(&culprits[0], Culprit::Among(runs) if runs.len() == 2), "{culprits:?}");
    let record = Run { input: 1, from: 37, to: 38 };
    assert_eq!(culprits[1..], [Culprit::Record(record, "tape:1".to_owned())]);
    assert_eq!(rejected(&left), [("tape:1".to_owned(), 37)]);
    assert_eq!(counts, [("panicked", 1)]);
    assert_eq!(counted(&left), ["a 66", "b 67", "c 66"], "all others are judged");
}

#[test]
fn records_that_panic_at_the_ends_of_batches_and_side_by_side_are_all_passed_over() {
    let Survived { left, culprits, .. } = survive(&tape_with(&[0, 19, 20, 100, 101, 102, 199]), &[]);
    let places = [(0, 0), (1, 9), (0, 10), (0, 50), (1, 50), (0, 51), (1, 99)];
    let mut found = rejected(&left);
    let mut expected = places.map(|(input, offset)| (format!("tape:{input}"), offset));
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(culprits.len() <= 14, "two panics a record at most: {}", culprits.len());
    assert_eq!(counted(&left), ["a 65", "b 64", "c 64"]);
}

#[test]
fn what_was_passed_over_is_passed_over_again_by_a_replay() {
    let tape = tape_with(&[75]);
    // A crash at each call of the life that passes it over, and at some of those that do not get so far.
    let mut replays = 0;
    for at_call in 1..200 {
        let crashes: Vec<Crash> = [0, 0, at_call, at_call, at_call]
            .map(|at_call| Crash { at_call, after: true })
            .into_iter()
            .collect();
        let Survived { left, .. } = survive(&tape, &crashes);
        assert_eq!(rejected(&left), [("tape:1".to_owned(), 37)], "crash at call {at_call}");
        assert_eq!(counted(&left), ["a 66", "b 67", "c 66"], "crash at call {at_call}");
        replays += 1;
    }
    assert_eq!(replays, 199);
}

#[test]
fn a_record_that_panics_only_in_a_replay_is_left_out_and_what_is_out_stays() {
    // It was judged and committed by a version that did not panic.
    let (disk, tape) =
        (Disk::default(), Arc::new(tape(1, "0 1 a\n0 2 a\n0 3 fragile\n0 4 a\n---\n0 5 a\n---")));
    let clock = VirtualClock::new(START_MS);
    let status = Arc::new(Status::default());
    let start = |judge: Toy| {
        let log = MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), None);
        let (_ask, asks) = mpsc::channel();
        Slot::start(log, judge, clock.clone(), settings(8), asks, status.clone())
    };
    let mut slot = start(Toy::default()).unwrap();
    slot.step().unwrap();
    slot.commit(Writes::Nothing).unwrap();
    drop(slot);
    let fragile = || {
        let mut toy = Toy::default();
        toy.fragile = true;
        toy
    };
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| start(fragile()))).is_err());
        assert_ne!(status.panicked(START_MS), Culprit::None);
    }
    let mut slot = start(fragile()).unwrap();
    let back = status.returned();
    assert_eq!(back.comparison, Comparison::Incomplete);
    assert!(back.gaps[0].reason.contains("panics") && (back.gaps[0].from, back.gaps[0].to) == (2, 3));
    assert_eq!(status.read().sources[0].rejected, [("panicked", 1)]);
    assert!(!status.is_quarantine_on(), "records are read one at a time for ever");
    assert_eq!(slot.run(&AtomicBool::new(false)).unwrap(), End::Finished);
}

/// So many records of two inputs in turn, the n-th of this key, in batches of 20.
fn tape_of_keys(records: usize, key: impl Fn(usize) -> String) -> Tape {
    let mut text = String::new();
    for n in 0..records {
        let _ = writeln!(text, "{} {n} {}", n % 2, key(n));
        if n % 20 == 19 {
            text.push_str("---\n");
        }
    }
    tape(2, &text)
}

/// 200 records, of which every fourth is one at which the state of its key panics.
fn tape_with_a_cursed_key() -> Tape {
    tape_of_keys(200, |n| ["a", "b", "c", "cursed"][n % 4].to_owned())
}

#[test]
fn a_key_whose_state_panics_at_every_request_is_left_out_after_the_second_one() {
    let Survived { left, culprits, rejected: counts, excluded } = survive(&tape_with_a_cursed_key(), &[]);
    assert!(culprits.len() <= 4, "{culprits:?}");
    assert_eq!(excluded, [Excluded::Key("cursed".to_owned())]);
    assert_eq!(counts, [("panicked", 47)], "the first three are judged");
    assert_eq!(rejected(&left).len(), 47);
    assert_eq!(counted(&left), ["a 50", "b 50", "c 50", "cursed 3"]);
}

#[test]
fn what_is_left_out_is_left_out_again_by_a_replay() {
    let tape = tape_with_a_cursed_key();
    let whole = survive(&tape, &[]).left;
    for at_call in 1..150 {
        // A crash in the life that leaves the key out, and in those before that it.
        let crashes: Vec<Crash> = [0, 0, 0, 0, at_call, at_call]
            .map(|at_call| Crash { at_call, after: at_call % 2 == 0 })
            .into_iter()
            .collect();
        // Another process knows of the exclusion only what was recorded.
        let Survived { left, .. } = survive(&tape, &crashes);
        assert_eq!(counted(&left), counted(&whole), "crash at call {at_call}");
        assert_eq!(rejected(&left).len(), 47, "crash at call {at_call}");
    }
}

/// 300 records: of every three, one is that of a key that nobody has seen, and at which it panics.
fn tape_with_ever_new_cursed_keys() -> Tape {
    tape_of_keys(300, |n| ["a".to_owned(), "new-b".to_owned(), format!("new-cursed-{n}")][n % 3].clone())
}

#[test]
fn ever_new_keys_at_which_it_panics_leave_all_immature_keys_out_and_mature_ones_are_judged_on() {
    let Survived { left, culprits, rejected: counts, excluded } =
        survive(&tape_with_ever_new_cursed_keys(), &[]);
    assert!(culprits.len() <= 16, "two panics each of eight keys: {}", culprits.len());
    assert_eq!(excluded, [Excluded::ImmatureKeys]);
    let counted = counted(&left);
    assert_eq!(counted[0], "a 100");
    let of_others: u64 = counted[1].strip_prefix("new-b ").expect("the other key").parse().unwrap();
    assert!(counted.len() == 2 && of_others < 20, "until the eighth panic: {counted:?}");
    assert_eq!(counts, [("panicked", 200 - of_others)]);
}

#[test]
fn immature_keys_are_left_out_again_by_a_replay() {
    let tape = tape_with_ever_new_cursed_keys();
    for at_call in 1..100 {
        // A crash in the life that leaves them out, which only what was recorded outlives.
        let crashes: Vec<Crash> = std::iter::repeat_n(0, 16)
            .chain([at_call])
            .map(|at_call| Crash { at_call, after: at_call % 2 == 0 })
            .collect();
        let Survived { left, culprits, .. } = survive(&tape, &crashes);
        assert_eq!(counted(&left)[0], "a 100", "crash at call {at_call}");
        assert!(culprits.len() <= 32, "crash at call {at_call}: {}", culprits.len());
    }
}

#[test]
fn what_panics_whenever_time_passes_is_left_out_and_records_are_judged_on() {
    let judge = || Toy::panicking_from(START_MS + 50_000);
    let Survived { left, culprits, rejected, excluded } = survive_with(judge, &tape_with(&[]), &[]);
    assert_eq!(culprits, [Culprit::Work(Excluded::AllTimedWork), Culprit::Work(Excluded::AllTimedWork)]);
    assert_eq!(excluded, [Excluded::AllTimedWork]);
    assert_eq!(rejected, [], "no record is passed over for it");
    assert_eq!(counted(&left), ["a 67", "b 67", "c 66"]);
    assert!(left.watermark_ms > START_MS + 50_000, "the slot's own watermark goes on");
}

#[test]
fn a_version_that_panics_in_a_replay_whenever_time_passes_leaves_that_out_and_comes_to_the_end() {
    let (disk, tape) = (Disk::default(), Arc::new(tape_with(&[])));
    let clock = VirtualClock::new(START_MS);
    let status = Arc::new(Status::default());
    let start = |judge: Toy| {
        let log = MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), None);
        let (_ask, asks) = mpsc::channel();
        Slot::start(log, judge, clock.clone(), settings(256), asks, status.clone())
    };
    let mut slot = start(Toy::default()).unwrap();
    for _ in 0..4 {
        slot.step().unwrap();
    }
    slot.commit(Writes::Nothing).unwrap();
    drop(slot);
    let fragile = || Toy::panicking_from(START_MS + 1);
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| start(fragile()))).is_err());
        assert_eq!(status.panicked(clock.wall_ms()), Culprit::Work(Excluded::AllTimedWork));
    }
    let mut slot = start(fragile()).unwrap();
    assert_eq!(status.returned().comparison, Comparison::Incomplete);
    assert_eq!(slot.run(&AtomicBool::new(false)).unwrap(), End::Finished);
}

#[test]
fn a_command_that_panics_is_not_tried_again() {
    let clock = VirtualClock::new(START_MS);
    let (disk, status) = (Disk::default(), Arc::new(Status::default()));
    let (ask, asks) = mpsc::channel();
    let tape = Arc::new(tape_with(&[]));
    let log = MemoryLog::open(disk.clone(), tape.clone(), clock.clone(), None);
    let mut slot =
        Slot::start(log, Toy::default(), clock.clone(), settings(256), asks, status.clone()).unwrap();
    let (done, mut answer) = oneshot::channel();
    let command = Command {
        sequence: 0,
        at_ms: START_MS,
        by: "somebody".to_owned(),
        from: String::new(),
        reason: "planted-panic".to_owned(),
        action: Action::Pause,
    };
    ask.send(Ask::Command { command, done }).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| slot.step())).is_err());
    drop(slot);
    assert_eq!(status.panicked(clock.wall_ms()), Culprit::None);
    assert!(answer.try_recv().is_err(), "whoever gave it gets an error");
    let (_ask, asks) = mpsc::channel();
    let log = MemoryLog::open(disk, tape, clock.clone(), None);
    let mut slot = Slot::start(log, Toy::default(), clock, settings(256), asks, status).unwrap();
    assert_eq!(slot.run(&AtomicBool::new(false)).unwrap(), End::Finished);
}

#[test]
fn an_exclusion_ends_after_an_hour_and_where_a_wrong_clock_made_it_too_long() {
    let exclusion = Exclusion::new(Excluded::AllTimedWork, START_MS);
    for (after_minutes, is_active) in [(0, true), (59, true), (60, false), (600, false)] {
        assert_eq!(exclusion.is_active(START_MS + after_minutes * 60_000), is_active, "{after_minutes}");
    }
    assert!(!exclusion.is_active(START_MS - 1), "the clock was ahead when it was made");
}
