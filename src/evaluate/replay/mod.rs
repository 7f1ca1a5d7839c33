//! History through the daemon's own slot and engines, in event time: every user's backtest.
//!
//! The slot is the daemon's; its log is one in memory, and its clock is the time at which the records came. There is no
//! state on a disk, no network and no output but the incidents' lines. The same lines give the same bytes.

mod arrival;
mod incidents;
mod log;
mod merge;
mod reader;
mod summary;

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

pub use self::{incidents::IncidentCounts, summary::BacktestSummary};
use self::{
    incidents::IncidentLines,
    log::HistoryLog,
    merge::{Heard, Merge, OPEN_MAX, Turn, input},
    reader::LogReader,
};
use crate::{
    event::EventTime,
    slot::{Ask, CadenceSettings, Change, Reading, Slot, SlotSettings, Status},
    source::{Batch, TimeOf},
    store::LogError,
    telemetry,
};

/// Turns that wait for the judgement, at most.
const TURNS_AHEAD: usize = 8;
/// How soon a stop is seen.
const STOPS_WITHIN: Duration = Duration::from_millis(100);

/// Why a replay ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    #[error("{path} cannot be read past byte {position}", path = .path.display())]
    Read { path: PathBuf, position: u64, source: io::Error },
    #[error(transparent)]
    Slot(#[from] LogError),
    #[error("the incidents cannot be written")]
    Write(#[source] io::Error),
    #[error("the thread that reads cannot be started")]
    Thread(#[source] io::Error),
    #[error("the thread that reads panicked; this is a bug in Keyhound")]
    Panicked,
}

/// What to replay.
pub struct History {
    /// Files, plain or gzip; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The name of the source that they are of.
    pub source: String,
    /// Of a record that is longer so many bytes are taken.
    pub record_bytes_max: usize,
    /// Tells the times of records.
    pub time_of: TimeOf,
    /// So many lines teach, and what they would open is not written.
    pub past_lines: u64,
    /// Other reference data, each with the number of lines after which it comes into force.
    pub exchanges: Vec<(u64, Change)>,
    pub fresh_within: Duration,
}

/// How far a replay has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacktestProgress {
    pub lines: u64,
    /// As they lie on the disk.
    pub bytes: u64,
    /// `None` = how much there is cannot be known.
    pub bytes_total: Option<u64>,
    pub at: EventTime,
}

/// A replay that can begin: its logs are open.
pub struct Backtest {
    slot: Slot<HistoryLog, Reading, HistoryLog>,
    log: HistoryLog,
    status: Arc<Status>,
    asks: SyncSender<Ask<Change>>,
    turns: Receiver<Heard>,
    spare: SyncSender<Batch>,
    reader: JoinHandle<()>,
    read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
    past_lines: u64,
    /// The next one last.
    exchanges: Vec<(u64, Change)>,
    from: Option<EventTime>,
    progress: BacktestProgress,
}

impl Backtest {
    /// Opens the logs, and begins to read them. `reading` has seen nothing.
    pub fn open(history: History, reading: Reading) -> Result<Self, BacktestError> {
        let History { files, source, record_bytes_max, time_of, past_lines, mut exchanges, fresh_within } =
            history;
        let (read, mut readers) = (Arc::new(AtomicU64::new(0)), Vec::new());
        for (index, file) in files.iter().enumerate() {
            let mut reader = LogReader::open(input(index), file, record_bytes_max, read.clone())?;
            if index >= OPEN_MAX {
                reader.rest();
            }
            readers.push(reader);
        }
        let bytes_total = readers.iter().map(LogReader::size).sum();
        exchanges.sort_by_key(|(lines, _)| std::cmp::Reverse(*lines));
        let ends = exchanges.iter().map(|(lines, _)| *lines).chain([past_lines]).collect();
        let merge = Merge::new(readers, time_of, ends);
        let ((send, turns), (spare, spares)) = (sync_channel(TURNS_AHEAD), sync_channel(2 * TURNS_AHEAD));
        let reader = thread::Builder::new()
            .name("keyhound-history".to_owned())
            .spawn(move || merge.run(&send, &spares))
            .map_err(BacktestError::Thread)?;

        let log = HistoryLog::new(files.iter().map(|file| file.display().to_string()).collect());
        let status = Arc::new(Status::new(&[source]));
        let (asks, asked) = sync_channel(1);
        let settings = SlotSettings {
            // What a turn led to is there after it, and there is nothing to come back to.
            cadence: CadenceSettings {
                commit_every: Duration::ZERO,
                checkpoint_every: Duration::MAX,
                ..CadenceSettings::default()
            },
            fresh_within,
            ..SlotSettings::default()
        };
        let slot = Slot::start(log.clone(), reading, log.clone(), settings, asked, status.clone())?;
        let progress = BacktestProgress { bytes_total, ..BacktestProgress::default() };
        Ok(Self {
            slot,
            log,
            status,
            asks,
            turns,
            spare,
            reader,
            read,
            bytes_total,
            past_lines,
            exchanges,
            from: None,
            progress,
        })
    }

    /// Judges all of it, or as much as comes before `stop`, and writes a line to `out` each time that an incident opens
    /// or changes. What was found is written whole, however it ends.
    pub fn run(
        mut self,
        out: impl Write,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(BacktestProgress),
    ) -> Result<BacktestSummary, BacktestError> {
        let mut lines = IncidentLines::new(out);
        let ended = self.judge(&mut lines, stop, watch);
        let written = lines.flush().map_err(BacktestError::Write);
        // A thread that waits for a turn to be taken sees that nobody takes it.
        drop((self.turns, self.spare));
        if ended.is_ok() && !stop.load(Relaxed) {
            let _ = self.reader.join();
        }
        ended?;
        written?;
        Ok(BacktestSummary {
            lines: self.progress.lines,
            from: self.from.unwrap_or_default(),
            to: self.progress.at,
            is_interrupted: stop.load(Relaxed),
            exchanges_left: self.exchanges.iter().rev().map(|(lines, _)| *lines).collect(),
            incidents: lines.counts(),
            reading: telemetry::Status::read(&*self.status),
        })
    }

    fn judge(
        &mut self,
        lines: &mut IncidentLines<impl Write>,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(BacktestProgress),
    ) -> Result<(), BacktestError> {
        while !stop.load(Relaxed) {
            self.exchange(lines)?;
            // A pipe may bring nothing for long, and whoever waits must be able to stop it.
            match self.turns.recv_timeout(STOPS_WITHIN) {
                Ok(Heard::Turn(turn)) => self.take(turn, lines)?,
                Ok(Heard::Failed(error)) => return Err(error),
                Ok(Heard::End) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(BacktestError::Panicked),
            }
            self.progress.bytes = self.read.load(Relaxed).min(self.bytes_total.unwrap_or(u64::MAX));
            watch(self.progress);
        }
        self.log.finish();
        self.slot.step()?;
        if !stop.load(Relaxed) {
            self.slot.end_of_log();
            self.slot.step()?;
        }
        self.write(lines)
    }

    /// Judges a turn.
    fn take(&mut self, turn: Turn, lines: &mut IncidentLines<impl Write>) -> Result<(), BacktestError> {
        // Nothing in it had a time yet.
        if turn.at > EventTime::default() {
            self.from.get_or_insert(turn.at);
        }
        self.progress.at = turn.at;
        let read = turn.lines;
        self.log.lay_out(turn);
        self.slot.step()?;
        self.write(lines)?;
        self.progress.lines = read;
        Ok(())
    }

    /// Puts other reference data into force where it is time, the way that the daemon does it.
    fn exchange(&mut self, lines: &mut IncidentLines<impl Write>) -> Result<(), BacktestError> {
        while let Some((_, change)) = self.exchanges.pop_if(|(after, _)| *after <= self.progress.lines) {
            let (done, mut is_done) = oneshot::channel();
            // The queue holds one, and is empty.
            let _ = self.asks.send(Ask::Change { change, done });
            while is_done.try_recv().is_err() {
                self.slot.step()?;
            }
            self.write(lines)?;
        }
        Ok(())
    }

    fn write(&mut self, lines: &mut IncidentLines<impl Write>) -> Result<(), BacktestError> {
        let (outputs, batch) = self.log.take();
        if let Some(batch) = batch {
            // One that nobody needs is let go.
            let _ = self.spare.try_send(batch);
        }
        // Turns end where the past does.
        let is_past = self.progress.lines < self.past_lines;
        lines.take(outputs, is_past).map_err(BacktestError::Write)
    }
}
