//! What the slot takes for its log: turns of history, a clock that goes with them, and outputs that are kept in memory
//! until somebody takes them.
//!
//! Nothing is written to a disk and nothing is read from one: there is no state to come back to.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::merge::Turn;
use crate::{
    event::EventTime,
    source::{Batch, Contact, InputLag, Notice},
    store::{
        Clock, Committed, Entry, InputPosition, Log, LogError, Mark, Output, Progress, ReadEntry, Resume,
        Run, Topic,
    },
};

/// What the slot and whoever drives it share.
#[derive(Default)]
struct Desk {
    turn: Option<Turn>,
    now: EventTime,
    busy: Vec<u32>,
    is_finished: bool,
    outputs: Vec<Output>,
    spare: Option<Batch>,
}

/// The log. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct HistoryLog {
    desk: Arc<Mutex<Desk>>,
    names: Arc<[String]>,
}

impl HistoryLog {
    /// Of inputs with these names.
    pub fn new(names: Vec<String>) -> Self {
        Self { desk: Arc::default(), names: names.into() }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays out what the slot reads next.
    pub fn lay_out(&self, turn: Turn) {
        let mut desk = self.desk();
        desk.now = desk.now.max(turn.at);
        desk.turn = Some(turn);
    }

    /// There will be no other turn.
    pub fn finish(&self) {
        let mut desk = self.desk();
        desk.is_finished = true;
        desk.busy.clear();
    }

    /// Takes what was committed since the last call, and a batch that is empty again.
    pub fn take(&self) -> (Vec<Output>, Option<Batch>) {
        let mut desk = self.desk();
        (std::mem::take(&mut desk.outputs), desk.spare.take())
    }
}

/// The time of history: that of the turn which is judged.
impl Clock for HistoryLog {
    fn now(&self) -> Duration {
        Duration::from_millis(self.wall_ms())
    }

    fn wall_ms(&self) -> u64 {
        self.desk().now.0
    }
}

impl Log for HistoryLog {
    fn assign(&mut self) -> Result<Resume, LogError> {
        Ok(Resume { mark: None, progress: None, sequence: Vec::new() })
    }

    fn restore(&mut self, _entry: &mut ReadEntry<'_>) -> Result<u64, LogError> {
        Ok(0)
    }

    fn told(&mut self, _topic: Topic) -> Result<Vec<Vec<u8>>, LogError> {
        Ok(Vec::new())
    }

    fn read_again(&mut self, run: Run, _batch: &mut Batch) -> Result<u64, LogError> {
        Err(LogError::UnknownInput { input: run.input })
    }

    fn poll_batch(&mut self, batch: &mut Batch, _now: Duration, _wait: Duration) -> Result<(), LogError> {
        let mut desk = self.desk();
        if let Some(mut turn) = desk.turn.take() {
            std::mem::swap(batch, &mut turn.batch);
            desk.spare = Some(turn.batch);
            desk.busy = turn.busy;
        }
        Ok(())
    }

    fn opened(&mut self, _into: &mut Vec<u32>) {}

    fn ended(&mut self, _into: &mut Vec<u32>) {}

    fn idle(&self, input: u32) -> bool {
        !self.desk().busy.contains(&input)
    }

    fn finished(&self) -> bool {
        self.desk().is_finished
    }

    /// Nobody comes back to it, so that no commit has to carry a checkpoint.
    fn rewindable(&self) -> bool {
        true
    }

    fn lag(&self) -> Vec<(u16, InputLag)> {
        Vec::new()
    }

    fn contacts(&self, _now: Duration) -> Vec<Contact> {
        Vec::new()
    }

    fn input_name(&self, input: u32) -> Option<String> {
        self.names.get(input as usize).cloned()
    }

    fn notices(&mut self, _into: &mut Vec<Notice>) {}

    fn wants_commit(&self) -> bool {
        false
    }

    fn begin(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn produce(&mut self, output: Output) -> Result<(), LogError> {
        self.desk().outputs.push(output);
        Ok(())
    }

    fn begin_checkpoint(&mut self) {}

    fn is_moving(&self) -> bool {
        false
    }

    fn keep(&mut self, _key: &[u8], _value: Option<&[u8]>) -> Result<(), LogError> {
        Ok(())
    }

    fn in_flight(&mut self) -> Result<usize, LogError> {
        Ok(0)
    }

    fn send_positions(
        &mut self,
        _progress: &Progress,
        _positions: &[InputPosition],
        _sequence: &[Entry],
    ) -> Result<(), LogError> {
        Ok(())
    }

    fn checkpoint(&mut self, _mark: &Mark) -> Result<(), LogError> {
        Ok(())
    }

    fn commit(&mut self, _wall_ms: u64) -> Result<Committed, LogError> {
        Ok(Committed::default())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}
