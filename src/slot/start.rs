//! Coming back: restore the checkpoint, replay what came after it, compare.

use super::{course::Course, judge::Judge, watermark::Watermarks};
use crate::{
    event::EventTime,
    source::Batch,
    store::{Entry, Log, LogError, Progress, Resume},
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
}

/// What coming back took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Return {
    pub comparison: Comparison,
    /// Entries of the checkpoint.
    pub entries: u64,
    /// Records that were read again.
    pub records: u64,
}

/// Brings the course to where the last commit left it, and returns its place with what that took.
pub fn come_back<L: Log, J: Judge>(
    log: &mut L,
    course: &mut Course<J>,
    batch: &mut Batch,
) -> Result<(Progress, Return), LogError> {
    let Resume { mark, progress, sequence } = log.assign()?;
    let Some(progress) = progress else { return Ok((Progress::default(), Return::default())) };
    let mut back = Return::default();
    if let Some(mark) = mark {
        log.restore(&mut |key, value| {
            back.entries += 1;
            course.judge.restore(key, value).map_err(LogError::State)
        })?;
        course.watermarks = Watermarks::restore(&mark.inputs, EventTime(mark.progress.watermark_ms));
        course.outputs.set_digest(&mark.progress.digest);
        course.commands = mark.progress.commands;
    }
    course.outputs.suppress(true);
    for entry in &sequence {
        back.records += replay(log, course, batch, entry)?;
    }
    course.outputs.suppress(false);
    back.comparison = compare(course, &progress);
    Ok((progress, back))
}

/// Applies one entry again; returns how many records it took.
fn replay<L: Log, J: Judge>(
    log: &mut L,
    course: &mut Course<J>,
    batch: &mut Batch,
    entry: &Entry,
) -> Result<u64, LogError> {
    let Entry::Batch { at_ms, runs } = entry else {
        course.enter(entry);
        return Ok(0);
    };
    batch.clear();
    course.name_inputs(runs, |input| log.input_name(input));
    let mut records = 0;
    for &run in runs {
        let mut rest = run;
        while rest.from < rest.to {
            rest.from = log.read_again(rest, batch)?;
            if rest.from < rest.to || batch.room() == 0 {
                records += batch.len() as u64;
                course.records(batch, *at_ms);
                batch.clear();
            }
        }
    }
    if !batch.is_empty() {
        records += batch.len() as u64;
        course.records(batch, *at_ms);
    }
    course.end_batch(runs, |input| log.input_name(input));
    batch.clear();
    Ok(records)
}

fn compare<J: Judge>(course: &Course<J>, progress: &Progress) -> Comparison {
    if course.judge.references() != progress.references {
        Comparison::ReferenceChanged
    } else if course.outputs.digest() == progress.digest {
        Comparison::Equal
    } else {
        Comparison::Differs
    }
}
