//! Input that is gone when it has to be replayed: told, and gone on without.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::engine::Told;

/// Forty batches of three records each on one input, a checkpoint about every twelfth.
fn long_tape() -> Tape {
    let text = (0..40u64).fold(String::new(), |mut text, batch| {
        for n in 0..3 {
            writeln!(text, "0 {} k{n}", batch * 3).unwrap();
        }
        text + "---\n"
    });
    tape(1, &text)
}

/// One life of a slot on `disk`: `steps` rounds after its start. Returns what coming back took.
fn live(disk: &Disk, tape: &Tape, clock: &VirtualClock, steps: usize) -> (Return, Arc<Status>) {
    let log = MemoryLog::open(disk.clone(), Arc::new(tape.clone()), clock.clone(), None);
    let (_ask, asks) = mpsc::channel();
    let status = Arc::new(Status::default());
    let mut slot =
        Slot::start(log, Toy::default(), clock.clone(), settings(256), asks, Arc::clone(&status)).unwrap();
    for _ in 0..steps {
        slot.step().unwrap();
    }
    (status.returned(), status)
}

/// Requests in the state, of all keys.
fn counted(disk: &Disk) -> u64 {
    let state = disk.state();
    let counts = state.iter().filter(|(key, _)| key.as_slice() != b"\0watermark");
    counts
        .map(|(_, value)| std::str::from_utf8(value).unwrap().split(' ').next().unwrap())
        .fold(0, |sum, count| sum + count.parse::<u64>().unwrap())
}

/// The recorded runs, less what the last checkpoint stands for.
fn recorded(disk: &Disk) -> Vec<Run> {
    let batches = disk.sequence().into_iter().filter_map(|entry| match entry {
        Entry::Batch { runs, .. } => Some(runs),
        _ => None,
    });
    batches.flatten().collect()
}

#[track_caller]
fn goes_on_without(gone: &[Run], steps: usize) {
    let (disk, clock, whole) = (Disk::default(), VirtualClock::new(START_MS), long_tape());
    live(&disk, &whole, &clock, steps);
    let (runs, outputs, positions) = (recorded(&disk), disk.outputs(), disk.positions());
    let read: u64 = positions.values().sum();
    let is_gone = |offset: u64| gone.iter().any(|hole| (hole.from..hole.to).contains(&offset));
    let missed =
        runs.iter().flat_map(|run| run.from..run.to).filter(|offset| is_gone(*offset)).count() as u64;

    let tape = Tape { gone: gone.to_vec(), ..whole };
    let (back, status) = live(&disk, &tape, &clock, 0);
    assert_eq!(back.gaps.iter().map(|gap| gap.to - gap.from).sum::<u64>(), missed, "{:?}", back.gaps);
    assert_eq!(status.read().replay_gaps, back.gaps.len() as u64);
    assert_eq!(status.read().digest_mismatches, 0, "nothing can be compared, so nothing differs");
    assert_eq!(disk.outputs(), outputs, "nothing is sent twice");
    assert_eq!(disk.positions(), positions, "positions never go back");
    if missed > 0 {
        assert_eq!(back.comparison, Comparison::Incomplete);
        assert!(recorded(&disk).is_empty(), "a checkpoint is made at once");
        assert_eq!(counted(&disk), read - missed, "all that is left was replayed");
        let (again, _) = live(&disk, &tape, &clock, 0);
        assert_eq!((again.comparison, again.gaps.len()), (Comparison::Equal, 0), "the next start is clean");
    }
    // And it goes on to the end of the tape.
    live(&disk, &tape, &clock, 60);
    assert_eq!(disk.positions()[&0], 120);
}

const fn hole(from: u64, to: u64) -> Run {
    Run { input: 0, from, to }
}

#[test]
fn what_was_told_is_taken_in_where_the_replay_was_not_whole() {
    let told_with = |gone: Vec<Run>| {
        let (disk, clock, whole) = (Disk::default(), VirtualClock::new(START_MS), long_tape());
        live(&disk, &whole, &clock, 20);
        let log = MemoryLog::open(disk.clone(), Arc::new(Tape { gone, ..whole }), clock.clone(), None);
        let (_ask, asks) = mpsc::channel();
        let slot = Slot::start(log, Toy::default(), clock, settings(256), asks, Arc::default()).unwrap();
        (slot.course.judge.told().clone(), disk)
    };
    assert_eq!(told_with(Vec::new()).0, Told::default(), "a whole replay vouches for its state");
    let (told, disk) = told_with(vec![hole(0, 120)]);
    let ids = |topic| disk.current(topic).into_keys().collect::<Vec<_>>();
    let decisions: Vec<String> = told.decisions.into_iter().map(|decision| decision.subject.id).collect();
    let incidents: Vec<String> = told.incidents.into_iter().map(|incident| incident.id.0).collect();
    assert!(!decisions.is_empty() && !incidents.is_empty());
    assert_eq!((decisions, incidents), (ids(Topic::Decisions), ids(Topic::Incidents)));
}

#[test]
fn a_range_in_the_middle_a_beginning_and_everything_may_be_gone() {
    goes_on_without(&[], 20);
    goes_on_without(&[hole(40, 50)], 20);
    goes_on_without(&[hole(0, 50)], 20);
    goes_on_without(&[hole(0, 120)], 20);
    goes_on_without(&[hole(40, 41), hole(43, 45)], 20);
}

#[test]
fn a_file_that_is_gone_is_one_gap_and_not_one_a_batch() {
    let (disk, clock, whole) = (Disk::default(), VirtualClock::new(START_MS), long_tape());
    live(&disk, &whole, &clock, 20);
    let runs = recorded(&disk);
    assert!(runs.len() > 3, "{runs:?}");
    let tape = Tape { gone: vec![hole(0, 120)], ..whole };
    let (back, _) = live(&disk, &tape, &clock, 0);
    let [Gap { input, from, to, reason }] = &back.gaps[..] else { panic!("{:?}", back.gaps) };
    assert_eq!((input.as_str(), *from, *to), ("tape:0", runs[0].from, runs[runs.len() - 1].to));
    assert!(reason.contains("the test wants it"), "{reason}");
}

#[test]
fn an_error_that_may_pass_is_no_gap() {
    let error = |error: SourceError| LogError::Source(error);
    let input = crate::source::InputName("tape:0".to_owned());
    let passes = SourceError::ReadAgain { input: input.clone(), from: 1, to: 5, text: String::new() };
    assert_eq!(error(passes).gone(hole(1, 5)), None);
    let gone = SourceError::Gone { input, from: 1, to: 5, text: String::new() };
    assert_eq!(error(gone).gone(hole(1, 9)), Some((1, 5)));
    assert_eq!(LogError::UnknownInput { input: 3 }.gone(hole(1, 9)), Some((1, 9)));
}

#[test]
fn positions_that_go_back_begin_another_run() {
    let mut batch = Batch::new(8);
    for offset in [7, 8, 0, 1] {
        let record = crate::source::Record {
            source: 0,
            input: 0,
            offset,
            next: offset + 1,
            log_time_ms: None,
            bytes: b"",
            cut: false,
        };
        batch.push(record);
    }
    assert_eq!(runs_of(&batch), [hole(7, 9), hole(0, 2)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is gone, and whenever it crashed.
    #[test]
    fn whatever_is_gone_it_goes_on(
        holes in prop::collection::vec((0..120u64, 1..30u64), 0..5),
        steps in 1..40usize,
    ) {
        let holes: Vec<Run> = holes.into_iter().map(|(from, length)| hole(from, from + length)).collect();
        goes_on_without(&holes, steps);
    }
}
