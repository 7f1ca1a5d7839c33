//! The slot's commits and checkpoints, and what it tells of itself.

use std::time::Duration;

use super::{
    Slot,
    judge::{Judge, Outcome, PANICKED},
};
use crate::store::{CODEC_VERSION, Clock, Committed, Entry, InputPosition, Log, LogError, Mark, Progress};

/// With so many bytes of outputs waiting, a commit is due whatever the interval.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// Of input that is read once, a commit comes when this part of a piece has changed, as a divisor.
const ONCE: usize = 2;

/// How long outputs may be under way before the slot gives up.
const IN_FLIGHT_MAX: Duration = Duration::from_secs(30);

/// How often the lag is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What of the state a commit writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    Nothing,
    /// A piece of the checkpoint that has begun, or of one that begins now.
    Part,
    /// A whole checkpoint of the state as it is now.
    All,
}

/// A checkpoint that has begun and is not written to its end.
pub(super) struct Unfinished {
    /// Of when it began.
    mark: Mark,
    /// Entries so far.
    written: u64,
}

impl<L: Log, J: Judge, C: Clock> Slot<L, J, C> {
    pub(super) fn commit_if_due(&mut self) -> Result<(), LogError> {
        let something = !self.sequence.is_empty()
            || !self.course.outputs.is_empty()
            || self.unfinished.is_some()
            || self.log.wants_commit();
        let changing = self.waiting_change.is_some();
        if !something && !changing {
            return Ok(());
        }
        let now = self.clock.now();
        let rewindable = self.log.rewindable();
        // A whole checkpoint of so much would stand in the way for long. Where there is one with every commit, it also has
        // all the small things that a piece has once only.
        let most = self.cadence.entries() / if rewindable { 1 } else { ONCE };
        let is_much = (changing || !rewindable) && self.course.judge.unwritten() > most;
        let urgent = self.course.outputs.is_urgent() || !self.answers.is_empty();
        let is_due = self.cadence.commit_due(now, urgent)
            || self.course.outputs.bytes() > WAITING_BYTES_MAX
            // Nothing is read while a change waits, so that no time has to be left for it.
            || changing
            || is_much;
        if !is_due {
            return Ok(());
        }
        let begins = || self.cadence.checkpoint_due(now) && !self.log.is_moving();
        let writes = if !rewindable || changing && !is_much {
            Writes::All
        } else if changing || self.unfinished.is_some() || begins() {
            Writes::Part
        } else {
            Writes::Nothing
        };
        self.commit(writes)
    }

    /// Commits everything since the last commit, and so much of the state.
    pub(super) fn commit(&mut self, writes: Writes) -> Result<(), LogError> {
        let start = self.clock.now();
        self.log.begin()?;
        for output in self.course.outputs.take() {
            self.log.produce(output)?;
        }
        self.progress = self.next_progress();
        let completed = match writes {
            Writes::Nothing => None,
            Writes::Part => self.write_some(self.cadence.entries())?,
            Writes::All => {
                if self.unfinished.is_some() {
                    self.write_some(usize::MAX)?;
                }
                self.write_some(usize::MAX)?
            }
        };
        self.wait_for_outputs()?;
        let positions: Vec<InputPosition> = self.positions.values().copied().collect();
        // A replay starts after the commit in which a checkpoint began, so what came before need not be kept.
        let is_whole =
            completed.as_ref().is_some_and(|done| done.mark.progress.commit == self.progress.commit);
        let sequence: &[Entry] = if is_whole { &[] } else { &self.sequence };
        self.log.send_positions(&self.progress, &positions, sequence)?;
        if let Some(Unfinished { mark, written }) = &completed {
            self.log.checkpoint(mark)?;
            self.status.checkpoint(mark.at_ms, *written);
        }
        let committed = self.log.commit(self.clock.wall_ms())?;
        self.positions.clear();
        self.sequence.clear();
        self.count_passed_over();
        self.after(start, completed.is_some(), writes, committed);
        Ok(())
    }

    fn count_passed_over(&mut self) {
        if self.passed_over.is_empty() {
            return;
        }
        let mut outcome = Outcome::default();
        for (source, record) in self.passed_over.drain(..) {
            let tally = outcome.tally(source);
            tally.records += 1;
            tally.rejected.push((PANICKED, 1));
            self.status.forget_passed_over(record);
        }
        self.status.count(&outcome.tallies);
    }

    /// Gives about `most` entries of the checkpoint that has begun to the log; of one that begins now, if there is none.
    /// Returns it if that was all.
    fn write_some(&mut self, most: usize) -> Result<Option<Unfinished>, LogError> {
        let mut unfinished = match self.unfinished.take() {
            Some(unfinished) => unfinished,
            None => self.begin_checkpoint(),
        };
        let (log, mut result) = (&mut self.log, Ok(()));
        let done = self.course.judge.write_checkpoint(most, &mut |key, value| {
            unfinished.written += 1;
            if result.is_ok() {
                result = log.keep(key, value);
            }
        });
        result?;
        if done {
            return Ok(Some(unfinished));
        }
        self.unfinished = Some(unfinished);
        Ok(None)
    }

    fn begin_checkpoint(&mut self) -> Unfinished {
        for input in std::mem::take(&mut self.ended) {
            self.course.forget(input);
            self.timeless.remove(&input);
            self.end_silence(input);
        }
        self.course.judge.begin_checkpoint();
        self.log.begin_checkpoint();
        let mark = Mark {
            progress: self.progress.clone(),
            inputs: self.course.watermarks.states(),
            at_ms: self.clock.wall_ms(),
            read_at_ms: self.course.read_at_ms,
            exclusions: self.course.exclusions.clone(),
        };
        Unfinished { mark, written: 0 }
    }

    fn wait_for_outputs(&mut self) -> Result<(), LogError> {
        let start = self.clock.now();
        loop {
            let count = self.log.in_flight()?;
            if count == 0 {
                return Ok(());
            }
            if self.clock.now().saturating_sub(start) > IN_FLIGHT_MAX {
                return Err(LogError::Stuck { count, seconds: IN_FLIGHT_MAX.as_secs() });
            }
        }
    }

    fn next_progress(&self) -> Progress {
        Progress {
            commit: self.progress.commit + 1,
            watermark_ms: self.course.watermarks.current().0,
            references: self.course.judge.references(),
            codec: CODEC_VERSION,
            digest: self.course.outputs.digest(),
            commands: self.course.commands,
        }
    }

    /// Answers who waited, and lets a change in that waited for its checkpoint.
    fn after(&mut self, start: Duration, completed: bool, writes: Writes, committed: Committed) {
        let end = self.clock.now();
        self.cadence.committed(start, end, completed);
        self.status.commit(end.saturating_sub(start), writes != Writes::Nothing, committed.store_bytes);
        for (effects, done) in self.answers.drain(..) {
            // Whoever asked may have gone away; the command stands.
            let _ = done.send(effects);
        }
        if writes == Writes::All
            && let Some((change, done)) = self.waiting_change.take()
        {
            self.course.change(change);
            self.sequence.push(Entry::Reference(self.course.judge.references()));
            let _ = done.send(());
        }
    }

    /// Looks at how far behind it is, once a second.
    pub(super) fn look(&mut self) {
        let now = self.clock.now();
        if now.saturating_sub(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let wall_ms = self.clock.wall_ms();
        self.status.beat(wall_ms);
        let lags = self.log.lag();
        for (source, lag) in &lags {
            self.arrivals.belongs(lag.input, *source);
        }
        self.catch_ups.take(&lags);
        self.status.show_exclusions(&self.course.exclusions);
        self.arrivals.look(now, |input| self.log.idle(input));
        let lag_ms = |input| self.lag_ms(input, wall_ms);
        self.status.look(lags, lag_ms, |reading| self.course.judge.measure(reading));
        self.log.notices(&mut self.notices);
        let contacts = self.log.contacts(now);
        self.status.arrived(&mut self.arrivals, &contacts, now, &mut self.notices);
        self.status.contacts(contacts, wall_ms);
        self.status.catch_up(&mut self.catch_ups, (now, wall_ms), &mut self.notices);
        self.status.notice(&mut self.notices);
    }
}
