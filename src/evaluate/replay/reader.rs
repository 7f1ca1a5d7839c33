//! One log: its records in order, each with the time at which it came.

use std::{
    collections::VecDeque,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use super::{
    BacktestError,
    arrival::{ArrivalClock, LOOK_AHEAD},
};
use crate::{
    event::EventTime,
    source::{Batch, Line, LogLines, Record, Step, TimeOf, WholeLog},
};

/// So much is read at a time, in records and in bytes.
const AHEAD_RECORDS: usize = 256;
const AHEAD_BYTES: usize = 1 << 20;
/// A buffer that long records have made larger is made small again.
const BYTES_KEPT: usize = 4 << 20;

/// A record that was read and not judged yet.
struct Ahead {
    offset: u64,
    next: u64,
    start: usize,
    len: usize,
    cut: bool,
    time: Option<EventTime>,
}

/// One log on its way from its beginning to its end.
pub(super) struct LogReader {
    input: u32,
    path: PathBuf,
    record_bytes_max: usize,
    /// Bytes read so far, of all logs.
    read: Arc<AtomicU64>,
    lines: Option<LogLines<Box<dyn Read + Send>>>,
    size: Option<u64>,
    /// A file of which nothing is open until it is its turn.
    is_resting: bool,
    bytes: Vec<u8>,
    ahead: VecDeque<Ahead>,
    /// It cannot be read any further than `ahead`.
    failed: Option<BacktestError>,
    clock: ArrivalClock,
    /// When the first of `ahead` came.
    arrival: EventTime,
}

impl LogReader {
    /// Opens a log. Nothing of it is read yet.
    pub fn open(
        input: u32,
        path: &Path,
        record_bytes_max: usize,
        read: Arc<AtomicU64>,
    ) -> Result<Self, BacktestError> {
        let mut reader = Self {
            input,
            path: path.to_owned(),
            record_bytes_max,
            read,
            lines: None,
            size: None,
            is_resting: false,
            bytes: Vec::new(),
            ahead: VecDeque::new(),
            failed: None,
            clock: ArrivalClock::default(),
            arrival: EventTime::default(),
        };
        reader.begin()?;
        Ok(reader)
    }

    fn begin(&mut self) -> Result<(), BacktestError> {
        let log = WholeLog::open(&self.path, self.read.clone()).map_err(|error| self.unreadable(0, error))?;
        self.lines = Some(LogLines::new(log.content, 0, self.record_bytes_max));
        self.size = log.size;
        Ok(())
    }

    /// Bytes on the disk, of a file that can be opened again.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Gives back what it holds until it is its turn, if it can be opened again. Nothing of it has been taken.
    pub fn rest(&mut self) {
        if self.size.is_none() {
            return;
        }
        (self.bytes, self.ahead, self.lines) = (Vec::new(), VecDeque::new(), None);
        self.clock = ArrivalClock::default();
        self.is_resting = true;
    }

    /// When the next record came; `None` = there is none.
    pub fn arrival(&mut self, time_of: &mut TimeOf) -> Result<Option<EventTime>, BacktestError> {
        self.fill(time_of);
        let Some(first) = self.ahead.front() else { return self.failed.take().map_or(Ok(None), Err) };
        let following = self.ahead.iter().skip(1).map(|ahead| ahead.time);
        self.arrival = self.clock.arrival(first.time, following);
        Ok(Some(self.arrival))
    }

    /// Opens it again, if it rests.
    pub fn wake(&mut self, time_of: &mut TimeOf) -> Result<(), BacktestError> {
        if std::mem::take(&mut self.is_resting) {
            self.begin()?;
            self.arrival(time_of)?;
        }
        Ok(())
    }

    /// Moves the record whose arrival was asked for into a batch.
    pub fn take_into(&mut self, batch: &mut Batch) {
        let Some(Ahead { offset, next, start, len, cut, .. }) = self.ahead.pop_front() else { return };
        batch.push(Record {
            source: 0,
            input: self.input,
            offset,
            next,
            log_time_ms: Some(self.arrival.0),
            bytes: &self.bytes[start..start + len],
            cut,
        });
    }

    fn fill(&mut self, time_of: &mut TimeOf) {
        if self.ahead.len() > LOOK_AHEAD {
            return;
        }
        let Some(mut lines) = self.lines.take() else { return };
        let taken = self.ahead.front().map_or(self.bytes.len(), |first| first.start);
        self.bytes.drain(..taken);
        self.bytes.shrink_to(BYTES_KEPT);
        self.ahead.iter_mut().for_each(|ahead| ahead.start -= taken);
        let has_room = |ahead: usize, bytes: usize| {
            ahead <= LOOK_AHEAD || (ahead < AHEAD_RECORDS && bytes < AHEAD_BYTES)
        };
        while has_room(self.ahead.len(), self.bytes.len()) {
            let position = lines.position();
            match lines.step() {
                Ok(Step::Line(line)) => self.keep(line, time_of),
                // Standard input that somebody has set not to block.
                Ok(Step::Pending) => std::thread::sleep(std::time::Duration::from_millis(1)),
                Ok(Step::End) => {
                    while let Some(line) = lines.remainder() {
                        self.keep(line, time_of);
                    }
                    return;
                }
                Err(error) => {
                    self.failed = Some(self.unreadable(position, error));
                    return;
                }
            }
        }
        self.lines = Some(lines);
    }

    fn keep(&mut self, line: Line<'_>, time_of: &mut TimeOf) {
        let (start, time) = (self.bytes.len(), time_of(line.bytes).map(EventTime));
        self.bytes.extend_from_slice(line.bytes);
        let Line { offset, next, bytes, cut_from } = line;
        self.ahead.push_back(Ahead { offset, next, start, len: bytes.len(), cut: cut_from.is_some(), time });
    }

    fn unreadable(&self, position: u64, source: io::Error) -> BacktestError {
        BacktestError::Read { path: self.path.clone(), position, source }
    }
}
