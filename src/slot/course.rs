//! One course of inputs through the judgement, the same whether they are new or read again.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    judge::{Judge, Outcome, PANICKED, Rejection, Tally},
    late::LateEvents,
    outputs::Outputs,
    watermark::Watermarks,
};
use crate::{
    engine::{Command, Effect, Told},
    event::EventTime,
    source::Batch,
    store::{Entry, Excluded, Exclusion, Run},
};

/// The judgement with what the slot knows around it. All of it follows from the sequence of inputs.
pub struct Course<J> {
    pub judge: J,
    pub watermarks: Watermarks,
    pub outputs: Outputs,
    /// Commands applied so far.
    pub commands: u64,
    /// The wall clock when the last batch came.
    pub read_at_ms: u64,
    /// Inputs that had no usable time in all of the last batch, with what may stand in for it, in milliseconds; 0 =
    /// nothing can.
    pub timeless: BTreeMap<u32, u64>,
    /// Of inputs whose newest time in the last batch was ahead of their log's: that time, in milliseconds.
    pub ahead: BTreeMap<u32, u64>,
    /// What of the last batch came behind the watermark, by input.
    pub late: Vec<(u32, LateEvents)>,
    outcome: Outcome,
    /// What is left out.
    pub exclusions: Vec<Exclusion>,
    /// In a replay of which something is left out: its batches are older than that.
    pub keeps_exclusions: bool,
    /// A watermark is being taken in.
    is_passing: bool,
    /// Inputs whose names the judge knows.
    named: BTreeSet<u32>,
}

impl<J: Judge> Course<J> {
    pub fn new(judge: J) -> Self {
        Self {
            judge,
            watermarks: Watermarks::default(),
            outputs: Outputs::default(),
            commands: 0,
            read_at_ms: 0,
            timeless: BTreeMap::new(),
            ahead: BTreeMap::new(),
            late: Vec::new(),
            outcome: Outcome::default(),
            exclusions: Vec::new(),
            keeps_exclusions: false,
            is_passing: false,
            named: BTreeSet::new(),
        }
    }

    /// Inputs whose names the judge knows.
    #[cfg(test)]
    pub fn named(&self) -> usize {
        self.named.len()
    }

    /// Names the inputs of a batch to the judge, ahead of its records.
    pub fn name_inputs(&mut self, runs: &[Run], name: impl Fn(u32) -> Option<String>) {
        for run in runs {
            if self.named.insert(run.input) {
                self.judge.name_input(run.input, &name(run.input).unwrap_or_default());
            }
        }
    }

    /// No record of an input will come any more. If one does, it is named again.
    pub fn forget(&mut self, input: u32) {
        self.watermarks.forget(input);
        self.timeless.remove(&input);
        if self.named.remove(&input) {
            self.judge.forget_input(input);
        }
    }

    /// Reads the records of a batch, or of a part of one. [`Self::end_batch`] has to follow after the last part.
    pub fn records(&mut self, batch: &Batch, at_ms: u64) {
        self.read_at_ms = at_ms;
        if !self.exclusions.is_empty() && !self.keeps_exclusions {
            self.end_exclusions(at_ms);
        }
        self.outcome.watermark = self.watermarks.current();
        self.judge.read(batch, at_ms, &mut self.outcome);
    }

    /// Ends a batch, and returns its counts. `name` names an input.
    pub fn end_batch(&mut self, runs: &[Run], name: impl Fn(u32) -> Option<String>) -> Vec<Tally> {
        self.timeless.clear();
        for run in runs {
            self.watermarks.open(run.input);
            self.timeless.insert(run.input, 0);
        }
        self.ahead = self.outcome.ahead.drain(..).collect();
        self.late.clear();
        self.late.append(&mut self.outcome.late);
        for (input, newest_ms) in self.outcome.set_back.drain(..) {
            self.timeless.insert(input, newest_ms);
        }
        for (input, newest_ms) in self.outcome.seen.drain(..) {
            self.watermarks.seen(input, newest_ms);
            self.timeless.remove(&input);
        }
        // What was judged comes before what could not be, so that the order does not hang on the batch's parts.
        self.settle();
        for rejection in self.outcome.rejections.drain(..) {
            self.outputs.rejection(&rejection, &name(rejection.input).unwrap_or_default());
        }
        for further in self.outcome.further.drain(..) {
            self.outputs.further_rejections(&further, &name(further.input).unwrap_or_default());
        }
        std::mem::take(&mut self.outcome.tallies)
    }

    /// Applies any other input.
    pub fn enter(&mut self, entry: &Entry) {
        match entry {
            // Batches come by `records`, since their bytes are not in the entry.
            Entry::Batch { .. } => {}
            Entry::PassedOver { run, name, length } => self.pass_over(*run, name, *length),
            Entry::Opened(inputs) => inputs.iter().for_each(|&input| self.watermarks.open(input)),
            Entry::Idle(inputs) => inputs.iter().for_each(|&input| self.watermarks.idle(input)),
            Entry::Timeless(inputs) => inputs.iter().for_each(|&(input, log_ms)| {
                self.watermarks.seen(input, log_ms);
                self.watermarks.idle(input);
            }),
            Entry::Watermark(ms) => self.watermark(EventTime(*ms)),
            Entry::Excluded(exclusion) => self.exclude(exclusion.clone()),
            Entry::Command(command) => drop(self.command(command)),
            Entry::Reference(_) => {
                self.judge.refer(&mut self.outcome);
                self.settle();
            }
        }
    }

    /// Its place is told, and nothing of what it holds: not even a hash, since nobody may read it once more.
    fn pass_over(&mut self, run: Run, name: &str, length: usize) {
        self.watermarks.open(run.input);
        let Run { input, from: offset, .. } = run;
        let rejection = Rejection { input, offset, index: 0, reason: PANICKED, length, hash: 0 };
        self.outputs.rejection(&rejection, name);
    }

    fn watermark(&mut self, time: EventTime) {
        self.is_passing = true;
        self.watermarks.advance(time);
        self.judge.watermark(time, &mut self.outcome);
        self.settle();
        self.is_passing = false;
    }

    /// From now on the judge notes whose request it judges.
    pub fn note_keys(&mut self, notes_keys: bool) {
        self.outcome.notes_keys = notes_keys;
    }

    /// What is being judged, and that of which it is one: after a panic, what it came from.
    pub fn in_hand(&self) -> Vec<Excluded> {
        let in_hand = self.judge.in_hand();
        if in_hand.is_empty() && self.is_passing { vec![Excluded::AllTimedWork] } else { in_hand }
    }

    /// Applies a command, and returns the effects that it had.
    pub fn command(&mut self, command: &Command) -> Vec<Effect> {
        self.commands = command.sequence + 1;
        self.judge.command(command, &mut self.outcome);
        // What a rail held leaves no trace once it has gone round.
        let is_held = |effect: &&Effect| matches!(effect, Effect::Grant(grant) if grant.outcome.is_err());
        let mut effects: Vec<Effect> = self.outcome.effects.iter().filter(is_held).cloned().collect();
        self.judge.settle(&mut self.outcome);
        effects.extend(self.outcome.effects.iter().cloned());
        self.settle();
        self.outputs.command(command, &effects);
        effects
    }

    /// Puts other reference data into force.
    pub fn change(&mut self, change: J::Change) {
        self.judge.change(change, &mut self.outcome);
        self.settle();
    }

    /// Takes in what was told before. What follows from it goes out with the next commit, which has to be a checkpoint:
    /// no replay goes over it.
    pub fn adopt(&mut self, told: &Told) {
        self.judge.adopt(told, &mut self.outcome);
        self.settle();
    }

    fn settle(&mut self) {
        self.judge.settle(&mut self.outcome);
        for effect in self.outcome.effects.drain(..) {
            self.outputs.effect(&effect, |rule| self.judge.rule_id(rule).to_owned());
        }
    }
}

/// The runs of a batch. Positions go back where a log was made anew.
pub fn runs_of(batch: &Batch) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for record in batch.records() {
        match runs.last_mut() {
            Some(run) if run.input == record.input && run.to <= record.offset => run.to = record.next,
            _ => runs.push(Run { input: record.input, from: record.offset, to: record.next }),
        }
    }
    runs
}
