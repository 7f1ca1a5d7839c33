//! What the judgement passes over once, or leaves out for a time, since it panicked there more than once ([`super::quarantine`]).
//!
//! It is part of the sequence of inputs: when it begins is an entry, and it ends with the first batch that comes after its
//! end by the wall clock, which is recorded too. So a replay leaves out the same.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use super::{Slot, Status, course::Course, input_name, judge::Judge};
use crate::store::{Clock, Entry, Excluded, Exclusion, InputPosition, Log, Run};

/// For how long something is left out.
pub(super) const EXCLUDED_FOR: Duration = Duration::from_hours(1);

/// Does a part of the judgement. Where it panics, that is noted before the panic goes on.
pub(super) fn watched<J: Judge, T>(
    status: &Status,
    course: &mut Course<J>,
    work: impl FnOnce(&mut Course<J>) -> T,
) -> T {
    match catch_unwind(AssertUnwindSafe(|| work(course))) {
        Ok(done) => done,
        Err(panic) => {
            status.blame(course.in_hand());
            resume_unwind(panic)
        }
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "the requests of key {id}"),
            Self::ImmatureKeys => f.write_str("the requests of all keys that are not mature"),
            Self::TimedWork(partition) => {
                write!(f, "the ends of windows, incidents and steps in partition {partition}")
            }
            Self::AllTimedWork => f.write_str("the ends of windows, incidents and steps in all partitions"),
        }
    }
}

impl Exclusion {
    /// Of what is left out from now on.
    pub(super) fn new(what: Excluded, now_ms: u64) -> Self {
        Self { what, until_ms: now_ms + millis(EXCLUDED_FOR) }
    }

    /// Whether it has not ended. One that lies further ahead than any can was made by a clock that was wrong.
    pub(super) fn is_active(&self, now_ms: u64) -> bool {
        self.until_ms > now_ms && self.until_ms - now_ms <= millis(EXCLUDED_FOR)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<J: Judge> Course<J> {
    /// Leaves something out from now on.
    pub(super) fn exclude(&mut self, exclusion: Exclusion) {
        self.exclusions.retain(|known| known.what != exclusion.what);
        self.exclusions.push(exclusion);
        self.judge.exclude(&self.exclusions);
    }

    /// What was left out when a checkpoint was taken.
    pub(super) fn restore_exclusions(&mut self, exclusions: Vec<Exclusion>) {
        self.exclusions = exclusions;
        self.judge.exclude(&self.exclusions);
    }

    /// Ends what is over by the wall clock.
    #[cold]
    pub(super) fn end_exclusions(&mut self, now_ms: u64) {
        let before = self.exclusions.len();
        self.exclusions.retain(|exclusion| exclusion.is_active(now_ms));
        if self.exclusions.len() < before {
            self.judge.exclude(&self.exclusions);
        }
    }
}

impl<L: Log, J: Judge, C: Clock> Slot<L, J, C> {
    /// Enters what the panics of earlier engines ask for.
    pub(super) fn enter_exclusions(&mut self) {
        let now_ms = self.clock.wall_ms();
        for exclusion in self.status.exclusions_asked(now_ms) {
            if !self.course.exclusions.iter().any(|known| known.what == exclusion.what) {
                self.enter(Entry::Excluded(exclusion));
            }
        }
        self.status.show_exclusions(&self.course.exclusions);
    }

    /// Passes over a record that has panicked. Gives whether it was one.
    #[cold]
    pub(super) fn pass_over(&mut self, runs: &[Run]) -> bool {
        let (&[run], Some(record)) = (runs, self.batch.records().next()) else { return false };
        if !self.status.is_condemned(&run) {
            return false;
        }
        let (source, length) = (record.source, record.bytes.len());
        let newest_ms = self.course.watermarks.newest_ms(run.input);
        self.positions.insert(run.input, InputPosition { input: run.input, next: run.to, newest_ms });
        self.passed_over.push((source, run));
        self.status.pass_over(run);
        self.end_silence(run.input);
        let name = input_name(&self.log, run.input);
        self.enter(Entry::PassedOver { run, name, length });
        true
    }
}
