//! The slot's commits and checkpoints, and what it tells of itself.

use std::time::Duration;

use super::{
    Slot,
    judge::{Judge, Outcome, PANICKED},
};
use crate::store::{CODEC_VERSION, Clock, Committed, Entry, InputPosition, Log, LogError, Mark, Progress};

/// With so many bytes of outputs waiting, a commit is due whatever the interval.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// How long outputs may be under way before the slot gives up.
const IN_FLIGHT_MAX: Duration = Duration::from_secs(30);

/// How often the lag is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl<L: Log, J: Judge, C: Clock> Slot<L, J, C> {
    pub(super) fn commit_if_due(&mut self) -> Result<(), LogError> {
        let something =
            !self.sequence.is_empty() || !self.course.outputs.is_empty() || self.log.wants_commit();
        let changing = self.waiting_change.is_some();
        if !something && !changing {
            return Ok(());
        }
        let now = self.clock.now();
        let urgent = self.course.outputs.is_urgent() || !self.answers.is_empty() || changing;
        if self.cadence.commit_due(now, urgent) || self.course.outputs.bytes() > WAITING_BYTES_MAX {
            let checkpoint = self.cadence.checkpoint_due(now) || changing || !self.log.rewindable();
            self.commit(checkpoint)?;
        }
        Ok(())
    }

    /// Commits everything since the last commit; with a checkpoint, the changed state too.
    pub(super) fn commit(&mut self, checkpoint: bool) -> Result<(), LogError> {
        let start = self.clock.now();
        self.log.begin()?;
        for output in self.course.outputs.take() {
            self.log.produce(output)?;
        }
        let written = if checkpoint { self.keep_state()? } else { 0 };
        self.wait_for_outputs()?;
        self.progress = self.next_progress();
        let positions: Vec<InputPosition> = self.positions.values().copied().collect();
        // A replay starts after a checkpoint, so what came before it need not be kept.
        let sequence: &[Entry] = if checkpoint { &[] } else { &self.sequence };
        self.log.send_positions(&self.progress, &positions, sequence)?;
        if checkpoint {
            self.mark(written)?;
        }
        let committed = self.log.commit()?;
        self.positions.clear();
        self.sequence.clear();
        self.count_passed_over();
        self.after(start, checkpoint, committed);
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

    /// Gives every changed entry to the log, and returns how many.
    fn keep_state(&mut self) -> Result<u64, LogError> {
        let (log, mut written, mut result) = (&mut self.log, 0, Ok(()));
        self.course.judge.checkpoint(&mut |key, value| {
            written += 1;
            if result.is_ok() {
                result = log.keep(key, value);
            }
        });
        result.map(|()| written)
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

    fn mark(&mut self, written: u64) -> Result<(), LogError> {
        for input in self.ended.drain(..) {
            self.course.watermarks.forget(input);
            self.timeless.remove(&input);
        }
        let mark = Mark {
            progress: self.progress.clone(),
            inputs: self.course.watermarks.states(),
            at_ms: self.clock.wall_ms(),
            read_at_ms: self.course.read_at_ms,
        };
        self.log.checkpoint(&mark)?;
        self.status.checkpoint(mark.at_ms, written);
        Ok(())
    }

    /// Answers who waited, and lets a change in that waited for its checkpoint.
    fn after(&mut self, start: Duration, checkpoint: bool, committed: Committed) {
        let end = self.clock.now();
        self.cadence.committed(start, end, checkpoint);
        self.status.commit(end.saturating_sub(start), checkpoint, committed.store_bytes);
        for (effects, done) in self.answers.drain(..) {
            // Whoever asked may have gone away; the command stands.
            let _ = done.send(effects);
        }
        if checkpoint && let Some((change, done)) = self.waiting_change.take() {
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
        let lag_ms = |input| self.course.watermarks.lag_ms(input, wall_ms);
        let lags = self.log.lag();
        for (source, lag) in &lags {
            self.arrivals.belongs(lag.input, *source);
        }
        self.arrivals.look(now, |input| self.log.idle(input));
        self.status.look(lags, lag_ms, |reading| self.course.judge.measure(reading));
        self.log.notices(&mut self.notices);
        let contacts = self.log.contacts(now);
        self.status.arrived(&self.arrivals, &contacts, now, &mut self.notices);
        self.status.contacts(contacts, wall_ms);
        self.status.notice(&mut self.notices);
    }
}
