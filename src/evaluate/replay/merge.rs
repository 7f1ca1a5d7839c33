//! Several logs as one, in the order in which their records came.
//!
//! Runs in a thread of its own, ahead of the judgement, and gives it turns: what came within ten seconds, at the same ten
//! seconds of the minute whatever the logs are, so that the watermark follows as it does in the daemon. A turn ends
//! early where something is to happen after so many lines.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::mpsc::{Receiver, SyncSender},
};

use super::{BacktestError, reader::LogReader};
use crate::{
    event::EventTime,
    slot::OUT_OF_ORDER,
    source::{Batch, TimeOf},
};

/// How long a turn is, in milliseconds of the time at which records came.
const TURN_MS: u64 = 10_000;
/// Records of a turn at most: a batch of the daemon.
const TURN_RECORDS: usize = 4096;
/// So many files stay open from the beginning; more are opened when it is their turn.
pub(super) const OPEN_MAX: usize = 64;

/// What is judged at a time.
pub(super) struct Turn {
    pub batch: Batch,
    /// When the last of its records came.
    pub at: EventTime,
    /// Lines up to its end, of all logs.
    pub lines: u64,
    /// Logs that go on soon; all others hold nothing for now.
    pub busy: Vec<u32>,
}

/// What the judgement hears of the logs.
pub(super) enum Heard {
    Turn(Turn),
    Failed(BacktestError),
    End,
}

/// All logs, and what comes next of each.
pub(super) struct Merge {
    readers: Vec<LogReader>,
    time_of: TimeOf,
    heads: BinaryHeap<Reverse<(EventTime, usize)>>,
    lines: u64,
    /// Numbers of lines after which a turn ends, the next one last.
    ends: Vec<u64>,
    /// A log cannot be read any more. What was read before is given first.
    failed: Option<BacktestError>,
}

impl Merge {
    /// Of these logs. A turn ends after each of these numbers of lines.
    pub fn new(readers: Vec<LogReader>, time_of: TimeOf, mut ends: Vec<u64>) -> Self {
        ends.sort_unstable_by_key(|lines| Reverse(*lines));
        let heads = BinaryHeap::with_capacity(readers.len());
        Self { readers, time_of, heads, lines: 0, ends, failed: None }
    }

    /// Gives turns until the end, or until nobody takes them. Batches come back by `spare`.
    pub fn run(mut self, turns: &SyncSender<Heard>, spare: &Receiver<Batch>) {
        self.failed = self.look().err();
        loop {
            let mut batch = spare.try_recv().unwrap_or_else(|_| Batch::new(TURN_RECORDS));
            batch.clear();
            let turn = self.turn(batch);
            let goes_on = !turn.batch.is_empty();
            let heard = if goes_on {
                Heard::Turn(turn)
            } else {
                self.failed.take().map_or(Heard::End, Heard::Failed)
            };
            if turns.send(heard).is_err() || !goes_on {
                return;
            }
        }
    }

    /// Looks at the first record of each log.
    fn look(&mut self) -> Result<(), BacktestError> {
        for (at, reader) in self.readers.iter_mut().enumerate() {
            reader.wake(&mut self.time_of)?;
            if let Some(arrival) = reader.arrival(&mut self.time_of)? {
                self.heads.push(Reverse((arrival, at)));
            }
            if at >= OPEN_MAX {
                reader.rest();
            }
        }
        Ok(())
    }

    /// What comes next; nothing at the end, and after a failure.
    fn turn(&mut self, mut batch: Batch) -> Turn {
        let end = loop {
            match self.ends.last() {
                Some(end) if *end <= self.lines => drop(self.ends.pop()),
                end => break end.copied().unwrap_or(u64::MAX),
            }
        };
        let (mut at, mut window) = (EventTime::default(), None);
        while self.failed.is_none()
            && batch.room() > 0
            && self.lines < end
            && let Some(&Reverse((arrival, index))) = self.heads.peek()
            && arrival.0 / TURN_MS == *window.get_or_insert(arrival.0 / TURN_MS)
        {
            self.failed = self.take(index, &mut batch).err();
            at = arrival;
        }
        let soon = at.after(OUT_OF_ORDER);
        let is_soon = |Reverse((arrival, _)): &&Reverse<(EventTime, usize)>| *arrival <= soon;
        let busy = self.heads.iter().filter(is_soon).map(|Reverse((_, index))| input(*index)).collect();
        Turn { batch, at, lines: self.lines, busy }
    }

    /// Takes the next record of the log that is first in the heap, and puts it in its place again.
    fn take(&mut self, index: usize, batch: &mut Batch) -> Result<(), BacktestError> {
        self.heads.pop();
        let reader = &mut self.readers[index];
        // One that rested has to be opened first.
        reader.wake(&mut self.time_of)?;
        reader.take_into(batch);
        self.lines += 1;
        if let Some(arrival) = reader.arrival(&mut self.time_of)? {
            self.heads.push(Reverse((arrival, index)));
        }
        Ok(())
    }
}

/// The number of a log among the inputs.
#[allow(clippy::cast_possible_truncation)] // fewer logs than fit on a command line
pub(super) const fn input(index: usize) -> u32 {
    index as u32
}
