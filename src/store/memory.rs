//! A log in memory that crashes where a test wants it to.
//!
//! The [`Disk`] is what survives: a test drops the log at its crash and opens another one on the same disk. The
//! [`Tape`] holds the records and says how they come in batches, so that a run with crashes sees the same batches as
//! one without.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    clock::VirtualClock,
    log::{Committed, Log, LogError, ReadEntry},
    record::{Entry, InputPosition, Mark, Output, Progress, Resume, Run, Topic},
};
use crate::source::{Batch, Contact, InputLag, InputName, Notice, Record, SourceError};

/// Batches as they come: the runs of each, and what is said after it.
#[derive(Clone, Debug, Default)]
pub struct ScriptedBatch {
    pub runs: Vec<Run>,
    /// The inputs that hold no more after this batch.
    pub idle: Vec<u32>,
    /// How long it lets the reader wait, in milliseconds of the virtual clock.
    pub after_ms: u64,
}

/// The records of all inputs, and the batches in which they come.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// By input; a record's offset is its index. The log's own time, if it has one, and the bytes.
    pub inputs: Vec<Vec<(Option<u64>, Vec<u8>)>>,
    pub batches: Vec<ScriptedBatch>,
    /// Whether records cannot be read again, as on standard input.
    pub once: bool,
    /// So many records at most are read again at a time; 0 = as many as fit.
    pub again_max: u64,
    /// Records that cannot be read again any more.
    pub gone: Vec<Run>,
}

/// What survives a crash. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Kept>>);

#[derive(Clone, Debug, Default)]
struct Kept {
    next: BTreeMap<u32, u64>,
    /// Scripted batches whose positions were committed.
    batches: usize,
    progress: Option<Progress>,
    mark: Option<Mark>,
    /// Each with the commit that carried it.
    sequence: Vec<(u64, Entry)>,
    /// Entries of a checkpoint that is not completed.
    begun: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    outputs: Vec<Output>,
}

impl Disk {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All committed outputs in order.
    pub fn outputs(&self) -> Vec<Output> {
        self.kept().outputs.clone()
    }

    /// The newest value by key of a topic.
    pub fn current(&self, topic: Topic) -> BTreeMap<String, Vec<u8>> {
        let outputs = self.outputs();
        outputs.into_iter().filter(|o| o.topic == topic).map(|o| (o.key, o.value)).collect()
    }

    /// The state of the last checkpoint.
    pub fn state(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.kept().state.clone()
    }

    /// Where reading goes on, by input.
    pub fn positions(&self) -> BTreeMap<u32, u64> {
        self.kept().next.clone()
    }

    /// The last commit.
    pub fn progress(&self) -> Option<Progress> {
        self.kept().progress.clone()
    }

    /// The recorded sequence since the last checkpoint.
    pub fn sequence(&self) -> Vec<Entry> {
        self.kept().sequence.iter().map(|(_, entry)| entry.clone()).collect()
    }
}

/// Where to crash: at which call, and whether what was called has its effect first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Counted from 1 over the life of one log.
    pub at_call: u64,
    /// The caller is not told, but it has happened.
    pub after: bool,
}

/// The log. Everything that is not on its disk is lost with it.
pub struct MemoryLog {
    disk: Disk,
    tape: Arc<Tape>,
    clock: VirtualClock,
    crash: Option<Crash>,
    calls: u64,
    /// The next scripted batch.
    turn: usize,
    opened: bool,
    /// Where reading goes on by input, since a scripted batch may not fit into the slot's.
    read_to: BTreeMap<u32, u64>,
    pending: Kept,
}

impl MemoryLog {
    /// Opens the disk, to crash as told.
    pub fn open(disk: Disk, tape: Arc<Tape>, clock: VirtualClock, crash: Option<Crash>) -> Self {
        let turn = disk.kept().batches;
        let read_to = disk.positions();
        let pending = Kept::default();
        Self { disk, tape, clock, crash, calls: 0, turn, opened: false, read_to, pending }
    }

    /// How many calls have been made that could have crashed.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Counts a call, does it, and crashes before or after if this is the one.
    fn call<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, LogError> {
        self.calls += 1;
        let crash = self.crash.filter(|crash| crash.at_call == self.calls);
        match crash {
            Some(Crash { after: false, .. }) => return Err(LogError::Crashed { call: self.calls }),
            Some(_) => {
                work(self);
                return Err(LogError::Crashed { call: self.calls });
            }
            None => {}
        }
        Ok(work(self))
    }

    fn push_run(tape: &Tape, run: Run, batch: &mut Batch) -> u64 {
        let records = &tape.inputs[run.input as usize];
        for offset in run.from..run.to {
            if batch.room() == 0 {
                return offset;
            }
            let (log_time_ms, bytes) = &records[usize::try_from(offset).unwrap_or(usize::MAX)];
            let (input, next, log_time_ms) = (run.input, offset + 1, *log_time_ms);
            batch.push(Record { source: 0, input, offset, next, log_time_ms, bytes, cut: false });
        }
        run.to
    }
}

impl Log for MemoryLog {
    fn assign(&mut self) -> Result<Resume, LogError> {
        self.call(|log| {
            let sequence = log.disk.sequence();
            let mut kept = log.disk.kept();
            kept.begun.clear();
            Resume { mark: kept.mark.clone(), progress: kept.progress.clone(), sequence }
        })
    }

    fn restore(&mut self, entry: &mut ReadEntry<'_>) -> Result<u64, LogError> {
        let state = self.call(|log| log.disk.state())?;
        state.iter().try_for_each(|(key, value)| entry(key, value))?;
        Ok(0)
    }

    fn told(&mut self, topic: Topic) -> Result<Vec<Vec<u8>>, LogError> {
        self.call(|log| {
            let outputs = log.disk.outputs().into_iter().filter(|output| output.topic == topic);
            let current: BTreeMap<String, Output> =
                outputs.map(|output| (output.key.clone(), output)).collect();
            current.into_values().map(|output| output.value).collect()
        })
    }

    fn read_again(&mut self, run: Run, batch: &mut Batch) -> Result<u64, LogError> {
        self.call(|log| {
            let holes = || log.tape.gone.iter().filter(|hole| hole.input == run.input);
            if let Some(hole) = holes().find(|hole| (hole.from..hole.to).contains(&run.from)) {
                let (input, text) =
                    (InputName(format!("tape:{}", run.input)), "the test wants it".to_owned());
                let (from, to) = (run.from, hole.to.min(run.to));
                return Err(LogError::Source(SourceError::Gone { input, from, to, text }));
            }
            let most = if log.tape.again_max == 0 { u64::MAX } else { log.tape.again_max };
            let next_hole = holes().map(|hole| hole.from).filter(|from| *from > run.from).min();
            let to = run.to.min(run.from.saturating_add(most)).min(next_hole.unwrap_or(u64::MAX));
            Ok(Self::push_run(&log.tape, Run { to, ..run }, batch))
        })?
    }

    fn poll_batch(&mut self, batch: &mut Batch, _: Duration, wait: Duration) -> Result<(), LogError> {
        self.call(|log| {
            let Some(scripted) = log.tape.batches.get(log.turn) else {
                return log.clock.advance(wait);
            };
            log.clock.advance(Duration::from_millis(scripted.after_ms));
            for run in &scripted.runs {
                let from = log.read_to.get(&run.input).map_or(run.from, |read_to| run.from.max(*read_to));
                if from >= run.to {
                    continue;
                }
                let next = Self::push_run(&log.tape, Run { from, ..*run }, batch);
                log.read_to.insert(run.input, next);
                if next < run.to {
                    return;
                }
            }
            log.turn += 1;
        })
    }

    fn opened(&mut self, into: &mut Vec<u32>) {
        if !std::mem::replace(&mut self.opened, true) {
            into.extend((0u32..).take(self.tape.inputs.len()));
        }
    }

    fn ended(&mut self, _into: &mut Vec<u32>) {}

    fn idle(&self, input: u32) -> bool {
        // What was said last: that it holds nothing, or a record.
        let before = self.tape.batches[..self.turn].iter().rev();
        let said = before
            .map(|batch| (batch.idle.contains(&input), batch.runs.iter().any(|run| run.input == input)));
        self.finished() || said.into_iter().find(|said| said.0 || said.1).is_some_and(|said| said.0)
    }

    fn finished(&self) -> bool {
        self.turn >= self.tape.batches.len()
    }

    fn rewindable(&self) -> bool {
        !self.tape.once
    }

    fn lag(&self) -> Vec<(u16, InputLag)> {
        Vec::new()
    }

    fn contacts(&self, _now: Duration) -> Vec<Contact> {
        Vec::new()
    }

    fn input_name(&self, input: u32) -> Option<String> {
        Some(format!("tape:{input}"))
    }

    fn notices(&mut self, _into: &mut Vec<Notice>) {}

    fn wants_commit(&self) -> bool {
        false
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.call(|log| log.pending = Kept::default())
    }

    fn produce(&mut self, output: Output) -> Result<(), LogError> {
        self.call(|log| log.pending.outputs.push(output))
    }

    fn begin_checkpoint(&mut self) {}

    fn is_moving(&self) -> bool {
        false
    }

    fn keep(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), LogError> {
        self.call(|log| log.pending.begun.push((key.to_vec(), value.map(<[u8]>::to_vec))))
    }

    fn in_flight(&mut self) -> Result<usize, LogError> {
        self.call(|_| 0)
    }

    fn send_positions(
        &mut self,
        progress: &Progress,
        positions: &[InputPosition],
        sequence: &[Entry],
    ) -> Result<(), LogError> {
        self.call(|log| {
            log.pending.progress = Some(progress.clone());
            log.pending.next = positions.iter().map(|position| (position.input, position.next)).collect();
            log.pending.sequence = sequence.iter().map(|entry| (progress.commit, entry.clone())).collect();
        })
    }

    fn checkpoint(&mut self, mark: &Mark) -> Result<(), LogError> {
        self.call(|log| log.pending.mark = Some(mark.clone()))
    }

    fn commit(&mut self, _wall_ms: u64) -> Result<Committed, LogError> {
        self.call(|log| {
            let mut pending = std::mem::take(&mut log.pending);
            let mut kept = log.disk.kept();
            kept.outputs.append(&mut pending.outputs);
            kept.next.append(&mut pending.next);
            kept.batches = log.turn;
            kept.progress = pending.progress.or(kept.progress.take());
            kept.sequence.append(&mut pending.sequence);
            kept.begun.append(&mut pending.begun);
            if let Some(mark) = pending.mark {
                for (key, value) in std::mem::take(&mut kept.begun) {
                    match value {
                        Some(value) => drop(kept.state.insert(key, value)),
                        None => drop(kept.state.remove(&key)),
                    }
                }
                kept.sequence.retain(|(commit, _)| *commit > mark.progress.commit);
                kept.mark = Some(mark);
            }
            Committed { newest_output: kept.outputs.len() as u64, store_bytes: 0 }
        })
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.call(|log| log.pending = Kept::default())
    }
}
