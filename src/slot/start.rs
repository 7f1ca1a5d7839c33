//! Coming back: restore the checkpoint, replay what came after it, compare.

use serde::de::DeserializeOwned;

use super::{
    Status, course::Course, exclusion::watched, input_name, judge::Judge, runs_of, watermark::Watermarks,
};
use crate::{
    engine::Told,
    event::EventTime,
    source::Batch,
    store::{Entry, Log, LogError, Progress, Resume, Run, Topic},
};

/// What the comparison at the end of a replay said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// An empty store: nothing to compare.
    #[default]
    New,
    /// The replay led to the effects that were committed.
    Equal,
    /// It led to others. Outputs are already out and nothing is lost; the replayed state is taken.
    Differs,
    /// The rules, the catalogue or the place databases are not those of then, so the effects may be others.
    ReferenceChanged,
    /// Not all of the state or of the input could be read again, so there is nothing to compare. What could be replayed is taken.
    Incomplete,
}

/// Records that were applied before and are nowhere to be read again: the state is without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The input's name.
    pub input: String,
    /// The first position that is gone, in records or bytes as the input counts.
    pub from: u64,
    /// Where what is left begins.
    pub to: u64,
    pub reason: String,
}

/// What coming back took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Return {
    pub comparison: Comparison,
    /// Entries of the checkpoint.
    pub entries: u64,
    /// Records that were read again.
    pub records: u64,
    /// Entries of the checkpoint that were left out, since their bytes had changed.
    pub damaged_entries: u64,
    /// What could not be.
    pub gaps: Vec<Gap>,
    /// Records that were left out since this version panics at them, with their sources.
    pub passed_over: Vec<(u16, Run)>,
    /// Something was left out of the replay at which this version panics again and again.
    pub has_exclusions: bool,
    /// When the checkpoint was taken, in milliseconds since the Unix epoch; `None` = there was none.
    pub checkpoint_at_ms: Option<u64>,
}

impl Return {
    /// Notes that a record was left out at which this version panics.
    fn pass_over(&mut self, (source, record): (u16, Run), name: &str) {
        self.passed_over.push((source, record));
        let reason = "Keyhound panics at this record".to_owned();
        self.gaps.push(Gap { input: name.to_owned(), from: record.from, to: record.to, reason });
    }

    /// Notes that a part of `run` is gone, and returns where to go on; any other error may pass, and is given back.
    fn miss(&mut self, run: Run, name: Option<String>, error: LogError) -> Result<u64, LogError> {
        let Some((from, to)) = error.gone(run).filter(|(_, to)| *to > run.from) else { return Err(error) };
        let (input, to) = (name.unwrap_or_else(|| format!("input {}", run.input)), to.min(run.to));
        // Runs follow one another, so that a file that is gone makes one gap and not one a batch.
        match self.gaps.iter_mut().rev().find(|gap| gap.input == input) {
            Some(gap) if gap.to == from => gap.to = to,
            _ => self.gaps.push(Gap { input, from, to, reason: error.to_string() }),
        }
        Ok(to)
    }
}

/// Brings the course to where the last commit left it, and returns its place with what that took.
pub fn come_back<L: Log, J: Judge>(
    log: &mut L,
    course: &mut Course<J>,
    batch: &mut Batch,
    status: &Status,
) -> Result<(Progress, Return), LogError> {
    let Resume { mark, progress, sequence } = log.assign()?;
    let Some(progress) = progress else { return Ok((Progress::default(), Return::default())) };
    let mut back = Return::default();
    if let Some(mark) = mark {
        back.checkpoint_at_ms = Some(mark.at_ms);
        let entries = &mut back.entries;
        back.damaged_entries = log.restore(&mut |key, value| {
            *entries += 1;
            course.judge.restore(key, value).map_err(LogError::State)
        })?;
        course.watermarks = Watermarks::restore(&mark.inputs, EventTime(mark.progress.watermark_ms));
        course.outputs.set_digest(&mark.progress.digest);
        course.commands = mark.progress.commands;
        course.restore_exclusions(mark.exclusions);
        // Nothing is read; but what still waits in the state came then, and may be judged before the next batch.
        batch.clear();
        course.records(batch, mark.read_at_ms);
    }
    course.outputs.suppress(true);
    status.replays(true);
    for exclusion in status.exclusions_of_replay() {
        course.exclude(exclusion);
        back.has_exclusions = true;
        course.keeps_exclusions = true;
    }
    for entry in &sequence {
        replay(log, course, batch, entry, (status, &mut back))?;
    }
    status.replays(false);
    course.keeps_exclusions = false;
    course.outputs.suppress(false);
    back.comparison = compare(course, &progress, &back);
    Ok((progress, back))
}

/// What is out. A record that this version cannot read is left as it is.
pub fn told<L: Log>(log: &mut L) -> Result<Told, LogError> {
    Ok(Told { decisions: read(&log.told(Topic::Decisions)?), incidents: read(&log.told(Topic::Incidents)?) })
}

fn read<T: DeserializeOwned>(values: &[Vec<u8>]) -> Vec<T> {
    values.iter().filter_map(|value| serde_json::from_slice(value).ok()).collect()
}

/// Applies one entry again, as far as its records are still there.
fn replay<L: Log, J: Judge>(
    log: &mut L,
    course: &mut Course<J>,
    batch: &mut Batch,
    entry: &Entry,
    (status, back): (&Status, &mut Return),
) -> Result<(), LogError> {
    let Entry::Batch { at_ms, runs } = entry else {
        watched(status, course, |course| course.enter(entry));
        return Ok(());
    };
    course.name_inputs(runs, |input| log.input_name(input));
    // One of these has panicked: one at a time, to find it or to pass it over.
    let singly = status.may_panic(runs);
    let mut of_one = Batch::new(1);
    let batch = if singly { &mut of_one } else { batch };
    batch.clear();
    for &run in runs {
        let mut rest = run;
        while rest.from < rest.to {
            rest.from = match log.read_again(rest, batch) {
                Ok(next) => next,
                Err(error) => back.miss(rest, log.input_name(run.input), error)?,
            };
            if rest.from < rest.to || batch.room() == 0 {
                apply(course, batch, *at_ms, (status, back), singly.then(|| input_name(log, run.input)));
            }
        }
    }
    apply(course, batch, *at_ms, (status, back), None);
    course.end_batch(runs, |input| log.input_name(input));
    status.let_go();
    Ok(())
}

/// Applies the records of a batch again, and empties it; `name` is that of the input of a single one.
fn apply<J: Judge>(
    course: &mut Course<J>,
    batch: &mut Batch,
    at_ms: u64,
    (status, back): (&Status, &mut Return),
    name: Option<String>,
) {
    let runs = runs_of(batch);
    if let (&[record], Some(name)) = (runs.as_slice(), &name)
        && status.is_condemned(&record)
    {
        let source = batch.records().next().map_or(0, |record| record.source);
        back.pass_over((source, record), name);
        status.pass_over(record);
    } else if !runs.is_empty() {
        back.records += batch.len() as u64;
        course.note_keys(name.is_some());
        status.take_in_hand(&runs, name);
        watched(status, course, |course| course.records(batch, at_ms));
        course.note_keys(false);
    }
    batch.clear();
}

fn compare<J: Judge>(course: &Course<J>, progress: &Progress, back: &Return) -> Comparison {
    if !back.gaps.is_empty() || back.damaged_entries > 0 || back.has_exclusions {
        Comparison::Incomplete
    } else if course.judge.references() != progress.references {
        Comparison::ReferenceChanged
    } else if course.outputs.digest() == progress.digest {
        Comparison::Equal
    } else {
        Comparison::Differs
    }
}
