//! Keeps watch over the state directory while the engine runs, and the decisions in a file beside the database. Tells
//! of what the engine leaves out.
//!
//! The file is written at most a second after the table for gateways has changed, plus the time of the write, which
//! takes a tenth of the time at most; and once a minute, so that its age says whether it can be trusted.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    deliver::{Stop, WallClock, WallTime},
    event::EventTime,
    serve::Decisions,
    slot::Status,
    store::{DecisionsFile, Exclusion, Outbox, Presence, StoreError},
    telemetry::{Metrics, faults::Fault},
};

/// How often the table and the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the file is written when nothing has changed.
const WRITE_EVERY: Duration = Duration::from_mins(1);
/// How far the wall clock may be corrected backwards without anybody looking.
const SET_BACK: Duration = Duration::from_secs(2);
/// So many things that are left out are named.
const EXCLUSIONS_NAMED: usize = 5;
/// How long to wait after a write, in times that it took.
const REST: u32 = 9;

/// What the thread `keyhound-state` owns.
pub struct StateKeeper {
    pub file: DecisionsFile,
    pub presence: Presence,
    pub outbox: Outbox,
    pub decisions: Arc<Decisions>,
    pub clock: WallClock,
    pub metrics: Arc<Metrics>,
    pub status: Arc<Status>,
    /// The table's changes that the file has, when it was written, and when it may be written again.
    pub written: Option<(u64, Instant, Instant)>,
    /// The wall clock at the last look, and when that was.
    pub seen: Option<(WallTime, Instant)>,
}

impl StateKeeper {
    /// Looks until it is stopped, and once more then. An error is one of the database.
    pub fn run(mut self, stop: &Stop) -> Result<(), StoreError> {
        loop {
            let is_last = stop.is_stopped();
            self.check_presence();
            self.check_exclusions();
            self.bring_again_if_set_back()?;
            self.write_if_changed(is_last)?;
            if is_last {
                return Ok(());
            }
            stop.pause(LOOK_EVERY);
        }
    }

    /// What came while the wall clock was ahead had ended by it, and was forgotten: at a start before the clock was set,
    /// that is every decision.
    fn bring_again_if_set_back(&mut self) -> Result<(), StoreError> {
        let (now, at) = (self.clock.now(), Instant::now());
        let before = self.seen.replace((now, at));
        let Some(back) = before.map(|(wall, seen)| wall.after(at - seen).since(now)) else { return Ok(()) };
        if back <= SET_BACK {
            return Ok(());
        }
        let current = self.outbox.current_decisions()?;
        tracing::warn!(
            event = "clock_set_back",
            seconds = back.as_secs(),
            decisions = current.len(),
            "the wall clock was set back; decisions whose end it had passed are in force again"
        );
        for (record, committed_ms) in current {
            // One that this version cannot read is not in force either.
            let Ok(decision) = serde_json::from_slice(&record.value) else { continue };
            self.decisions.apply(&decision, WallTime(committed_ms), now);
        }
        Ok(())
    }

    fn check_presence(&mut self) {
        match self.presence.check() {
            Ok(()) => {
                if self.metrics.faults.clear(Fault::StateFiles) {
                    tracing::info!(
                        event = "state_files_recovered",
                        "the state directory is as it has to be again"
                    );
                }
            }
            Err(error) => {
                if self.metrics.faults.set(Fault::StateFiles, error.to_string()) {
                    tracing::error!(event = "state_files_lost", %error, "the state directory is not as it has to be");
                }
            }
        }
    }

    fn check_exclusions(&self) {
        let exclusions = self.status.exclusions();
        if exclusions.is_empty() {
            if self.metrics.faults.clear(Fault::Excluded) {
                tracing::info!(event = "exclusion_ended", "nothing is left out any more");
            }
            return;
        }
        let until = |ms| EventTime(ms).rfc3339();
        let mut named: Vec<String> = exclusions
            .iter()
            .take(EXCLUSIONS_NAMED)
            .map(|Exclusion { what, until_ms }| format!("{what}, until {}", until(*until_ms)))
            .collect();
        let more = exclusions.len() - named.len();
        named.extend((more > 0).then(|| format!("{more} more")));
        let text = format!(
            "the engine panicked more than once at something, and leaves it out: {}. Nothing is found there meanwhile. \
             This is a bug in Keyhound: report it with the log lines panicked",
            named.join("; ")
        );
        if self.metrics.faults.set(Fault::Excluded, text.as_str()) {
            tracing::error!(event = "excluded", exclusions = exclusions.len(), "{text}");
        }
    }

    /// The database is read, and not the table, so that the records are whole.
    fn write_if_changed(&mut self, is_last: bool) -> Result<(), StoreError> {
        let (changes, start) = (self.decisions.changes(), Instant::now());
        let is_due = self.written.is_none_or(|(known, at, rested)| {
            let is_changed = changes != known && (start >= rested || is_last);
            is_changed || start.duration_since(at) >= WRITE_EVERY || !self.file.path().exists()
        });
        if !is_due {
            return Ok(());
        }
        let decisions = self.outbox.current_decisions()?;
        let decisions: Vec<_> =
            decisions.into_iter().map(|(record, committed_ms)| (record.value, committed_ms)).collect();
        let now = self.clock.now();
        match self.file.write(&decisions, now.0) {
            Ok(left_out) => {
                let end = Instant::now();
                self.written = Some((changes, end, end + start.elapsed() * REST));
                self.metrics.faults.decisions_file_seconds.set(Duration::from_millis(now.0).as_secs_f64());
                self.say_written(left_out);
            }
            Err(error) => {
                let text =
                    format!("the decisions file cannot be written: {error}; make room, or make it writable");
                if self.metrics.faults.set(Fault::DecisionsFile, text) {
                    tracing::error!(event = "decisions_file_failed", %error, "the decisions file cannot be written");
                }
            }
        }
        Ok(())
    }

    fn say_written(&self, left_out: usize) {
        if left_out == 0 {
            self.metrics.faults.clear(Fault::DecisionsFile);
            return;
        }
        let path: PathBuf = self.file.path();
        let text = format!("{}: {left_out} decisions are left out, since it is full", path.display());
        if self.metrics.faults.set(Fault::DecisionsFile, text) {
            tracing::warn!(event = "decisions_file_full", left_out, "the decisions file is full");
        }
    }
}

#[cfg(test)]
#[path = "state_keeper_tests.rs"]
mod tests;
