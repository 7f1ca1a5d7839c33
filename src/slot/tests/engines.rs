//! The real engines on a few days of traffic with a leaked key: crashes leave no trace in them either.

use super::{
    reading::{reading, servers},
    *,
};
use crate::{
    catalogue::Catalogue,
    event::EventTime,
    generate::{Injection, Plan, Scenario, Traffic},
    rules::RuleSet,
    slot::Reading,
};

/// Lines of one batch.
const BATCH: usize = 256;

/// What stands before a key.
const KEY: &[u8] = b"\"api_key\":\"";

/// The shipped rules; those on volume make a table that takes a second or more without optimisation.
fn shipped_rules(volume: bool) -> RuleSet {
    let mut files = vec![
        ("breadth.yaml", include_str!("../../../rules/breadth.yaml")),
        ("cost.yaml", include_str!("../../../rules/cost.yaml")),
        ("errors.yaml", include_str!("../../../rules/errors.yaml")),
        ("place.yaml", include_str!("../../../rules/place.yaml")),
    ];
    if volume {
        files.push(("volume.yaml", include_str!("../../../rules/volume.yaml")));
    }
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    RuleSet::compile(&files).expect("the shipped rules compile")
}

/// The traffic, in batches of one input.
fn leak() -> (Tape, Catalogue) {
    let plan = Plan { days: 5, keys: 10, tenants: 2, lines_max: 15_000, ..Plan::default() };
    let mut traffic = Traffic::new(plan).unwrap();
    let at = EventTime(plan.start.0).after(Duration::from_hours(4 * 24 + 10));
    traffic.inject(Injection { scenario: Scenario::Leak, at, target: 3 }).unwrap();
    // What is read again comes in other parts than it first came.
    let mut tape = Tape { inputs: vec![Vec::new()], again_max: 37, ..Tape::default() };
    while let Some(line) = traffic.next_line() {
        // Some requests show another key as well.
        let mut bytes = line.bytes.to_vec();
        if let Some(at) = memchr::memmem::find(&bytes, KEY).filter(|_| tape.inputs[0].len() % 7 == 3) {
            bytes.splice(at + KEY.len()..at + KEY.len(), *b"of-another, ");
        }
        tape.inputs[0].push((Some(line.time.0), bytes));
    }
    let lines = tape.inputs[0].len() as u64;
    for from in (0..lines).step_by(BATCH) {
        let to = (from + BATCH as u64).min(lines);
        let runs = vec![Run { input: 0, from, to }];
        tape.batches.push(ScriptedBatch { runs, idle: Vec::new(), after_ms: 90 });
    }
    (tape, servers(&traffic))
}

/// As many crashes at random calls, in each of as many rounds.
fn check(rules: &RuleSet, rounds: u32, crashes: usize) -> Left {
    let (tape, catalogue) = leak();
    let judge = || -> Reading { reading(rules.clone(), catalogue.clone()) };
    let (undisturbed, _) = run_with(judge, &tape, &[]);
    let incidents = texts(&undisturbed.outputs, Topic::Incidents).len();
    assert!(incidents > 0, "no incident");
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..rounds {
        let crashes: Vec<Crash> = (0..crashes)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                Crash { at_call: 1 + random % 120, after: random >> 40 & 1 == 0 }
            })
            .collect();
        let (left, _) = run_with(judge, &tape, &crashes);
        same(&left, &undisturbed, round);
    }
    undisturbed
}

#[test]
fn crashes_leave_no_trace_in_the_engines() {
    check(&shipped_rules(false), 2, 25);
}

#[test]
fn nor_in_what_they_know_of_volume() {
    let undisturbed = check(&shipped_rules(true), 1, 3);
    assert!(!texts(&undisturbed.outputs, Topic::Decisions).is_empty());
}

/// Names the first difference rather than showing everything.
#[track_caller]
fn same(left: &Left, right: &Left, round: u32) {
    let mut outputs = left.outputs.iter().zip(&right.outputs);
    if let Some((left, right)) = outputs.find(|(left, right)| left != right) {
        let text = |output: &Output| String::from_utf8_lossy(&output.value).into_owned();
        panic!("round {round}, {:?}\nleft  {}\nright {}", left.topic, text(left), text(right));
    }
    assert_eq!(left.outputs.len(), right.outputs.len(), "round {round}: outputs");
    for (key, value) in &right.state {
        assert_eq!(left.state.get(key), Some(value), "round {round}: entry {}", String::from_utf8_lossy(key));
    }
    assert_eq!(left.state.len(), right.state.len(), "round {round}: entries");
    assert_eq!((&left.digest, left.watermark_ms), (&right.digest, right.watermark_ms), "round {round}");
}

#[test]
fn a_decision_of_another_instance_is_taken_in_again_by_a_replay() {
    let clock = VirtualClock::new(START_MS);
    let tape = Arc::new(tape(1, "0 1 a\n---\n0 2 a\n---\n0 3 a\n---"));
    let start = |disk: &Disk, asks| {
        let log = MemoryLog::open(disk.clone(), Arc::clone(&tape), clock.clone(), None);
        let (judge, status) =
            (reading(RuleSet::default(), Catalogue::default()), Arc::new(Status::default()));
        (Slot::start(log, judge, clock.clone(), settings(8), asks, status.clone()).unwrap(), status)
    };
    // What the command leads to, once it is committed.
    let asked = |disk: &Disk, action| {
        let (ask, asks) = mpsc::channel();
        let (done, mut answer) = oneshot::channel();
        let (by, from, reason) = Default::default();
        let command = Command { sequence: 0, at_ms: START_MS, by, from, reason, action };
        ask.send(Ask::Command { command, done }).unwrap();
        start(disk, asks).0.step().unwrap();
        answer.try_recv().unwrap().into_iter().find_map(|effect| match effect {
            Effect::Decision(decision) => Some(decision),
            _ => None,
        })
    };
    let key = crate::incident::testing::stolen().subject.id;
    let revoke = Action::Take { key, step: crate::respond::Step::Revoke, for_seconds: 3_600 };
    let given = asked(&Disk::default(), revoke).expect("a decision");
    let disk = Disk::default();
    let take_in = || Action::TakeIn { decision: given.clone(), over: 0 };
    assert_eq!(asked(&disk, take_in()).expect("a decision").id, given.id);
    assert_eq!(asked(&disk, take_in()), None, "it is known after the crash");
    let (_ask, asks) = mpsc::channel();
    let (slot, status) = start(&disk, asks);
    assert_eq!(status.returned().comparison, Comparison::Equal);
    assert_eq!(slot.course.judge.engines().counts().map(|counts| counts.in_force).sum::<u64>(), 1);
}
