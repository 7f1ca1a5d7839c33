//! One life of the engine: the store, the slot on its thread, and who delivers what it commits.
//!
//! Gateways are answered from a table that outlives it: a full disk or a broker that went away must not take down what
//! stands before every API. So after an error, there is another life. Where the database cannot be read at the start,
//! the table is filled from the decisions file beside it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    sync::{mpsc::UnboundedReceiver, oneshot},
};

use super::{
    daemon::Shared,
    delivery::{Delivery, Plan},
    listeners::Listeners,
    parts,
};
use crate::{
    config::Config,
    decode::Pepper,
    deliver::{Deliver as _, WallTime, alertmanager::ToAlertmanagers, topics::ToTopics},
    serve::ToServe,
    slot::{Ask, CadenceSettings, Change, Culprit, End, Gap, Reading, Slot, SlotSettings},
    source::Settings,
    store::{
        DecisionsFile, DecisionsFileError, EmbeddedLog, LogError, Run, StoreError, SystemClock, TakenOver,
    },
    telemetry::{faults::Fault, logs},
};

/// Commands and changes that may wait for the slot.
const ASKS_MAX: usize = 64;
/// How long alerts may take to leave at the end.
pub const DRAIN: Duration = Duration::from_secs(5);
/// Between an error and the next life.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

/// What every life is made from.
pub struct Lives<'a> {
    pub runtime: &'a Runtime,
    pub config: &'a Config,
    pub pepper: &'a Pepper,
    pub shared: &'a Arc<Shared>,
    pub listeners: &'a Listeners,
    /// Comes with the first signal; `None` = it has come.
    pub interrupted: Option<oneshot::Receiver<()>>,
    /// The last life ended at a record that panics.
    pub looks_for_a_record: bool,
}

impl Lives<'_> {
    /// Lives until a signal, until no record will ever come again, or until an error of the first start that leaves
    /// nobody to answer: that is for whoever started the process to see. Any other error is tried again.
    pub fn live(mut self, mut opened: anyhow::Result<EmbeddedLog>) -> anyhow::Result<End> {
        let mut has_run = false;
        // What a reader of standard input held goes with it: whoever writes there has to know.
        let reads_again =
            !self.config.sources.iter().any(|source| matches!(source.source, Settings::Stdin(_)));
        loop {
            let ended = opened.and_then(|log| self.live_once(log));
            has_run |= self.shared.status.is_restored();
            let error = match ended {
                Err(error) if reads_again && !self.is_interrupted() && !is_final(&error) => error,
                ended => return ended.map_err(|error| explained(error, self.config)),
            };
            has_run |= self.looks_for_a_record;
            if !(self.answers_without_engine(&error) || has_run) {
                return Err(explained(error, self.config));
            }
            self.went_away(error);
            // A signal ends the process at once from here on: nothing has been begun.
            thread::sleep(PAUSE);
            opened = open(self.config, self.pepper);
        }
    }

    fn went_away(&self, error: anyhow::Error) {
        self.shared.status.went_away();
        self.shared.metrics.engine_failures.inc();
        let error = logs::with_causes(&explained(error, self.config));
        self.shared.metrics.faults.set(Fault::EngineStopped, format!("the engine stopped: {error}"));
        tracing::error!(
            event = "engine_stopped",
            error,
            "the engine stopped; decisions that were made are served on, and it starts again in {} s",
            PAUSE.as_secs()
        );
    }

    /// Whether the signal has come, be it while something was being ended.
    fn is_interrupted(&mut self) -> bool {
        self.interrupted.as_mut().is_none_or(|interrupted| interrupted.try_recv().is_ok())
    }

    /// Whether gateways are refused something, or would be if something could be read: then the process goes on.
    fn answers_without_engine(&self, error: &anyhow::Error) -> bool {
        if self.listeners.is_open_for_gateways() {
            return !self.shared.decisions.is_empty() || store_error(error).is_some_and(may_be_mended);
        }
        let Some(store) = store_error(error) else { return false };
        match self.fill_from_file() {
            Ok(()) => true,
            Err(file) => {
                let file = logs::with_causes(&file);
                tracing::error!(
                    event = "decisions_file_unreadable",
                    error = file,
                    "no decisions to answer from"
                );
                self.listeners
                    .say_closed(&format!("neither the database nor the decisions file can be read ({file})"));
                may_be_mended(store)
            }
        }
    }

    /// Fills the table for gateways from the decisions file, and opens their listener.
    fn fill_from_file(&self) -> anyhow::Result<()> {
        let Shared { decisions, board, clock, metrics, .. } = self.shared.as_ref();
        let file = decisions_file(self.config, self.pepper);
        let kept = file.read()?;
        let age = clock.now().since(WallTime(kept.written_at_ms));
        let count = kept.decisions.len();
        let read = kept
            .decisions
            .iter()
            .filter_map(|(value, at)| Some((serde_json::from_slice(value).ok()?, WallTime(*at))));
        ToServe::new(decisions.clone(), board.clone(), clock.clone(), metrics.clone())
            .restore(read.collect(), Vec::new());
        tracing::warn!(
            event = "decisions_file_used",
            path = %file.path().display(),
            decisions = count,
            left_out = kept.left_out,
            age_seconds = age.as_secs(),
            "gateways are answered from the decisions file, since the database cannot be read"
        );
        let _in_runtime = self.runtime.enter();
        Ok(self.listeners.open_for_gateways()?)
    }

    fn live_once(&mut self, log: EmbeddedLog) -> anyhow::Result<End> {
        let (asks, asked) = sync_channel(ASKS_MAX);
        // Ahead of all else: from here on, what is put into force goes to this life, and not only to the next.
        self.shared.asks.store(Some(Arc::new(asks)));
        let outcome = self.live_with(log, asked);
        self.shared.asks.store(None);
        outcome
    }

    fn live_with(&mut self, log: EmbeddedLog, asked: Receiver<Ask<Change>>) -> anyhow::Result<End> {
        self.tell_taken_over(&log);
        let Self { runtime, config, pepper, shared, listeners, .. } = self;
        let (reference, geo) = shared.in_force.load_full().as_ref().clone();
        let reading = Reading::new(
            parts::decoders(config, pepper)?,
            geo,
            parts::engines(config, pepper),
            reference,
            parts::settings_version(config),
            pepper,
        );
        let outbox = log.outbox();
        shared.status.tells_of(outbox.clone());
        let (presence, file) = (log.presence(), decisions_file(config, pepper));
        let instance = log.instance().clone();
        let plan = Plan { runtime, config, shared, listeners, outbox: &outbox, instance, presence, file };
        let (delivery, failures) = Delivery::start(plan)?;
        let outcome = self.run_slot(log, reading, asked, failures);
        // What comes while the rest is delivered is for the next life.
        self.shared.asks.store(None);
        delivery.drain(self.runtime);
        // The slot's last commit came before these were delivered; without this, the next start would deliver them
        // again.
        if let Err(error) = outbox.write_last() {
            tracing::warn!(event = "delivery_ack_failed", %error, "acknowledgement of the last delivery failed; it will be redelivered");
        }
        outcome
    }

    /// A database that is new beside a decisions file was lost; one that is behind it is an older one, put back.
    fn tell_taken_over(&self, log: &EmbeddedLog) {
        let TakenOver { decisions, unreadable, .. } = log.taken_over();
        let dir = self.config.state_dir.display();
        if let Some(error) = unreadable {
            tracing::error!(
                event = "decisions_file_unreadable",
                %error,
                "the decisions file is moved aside, and written anew from the database: if that is a backup, decisions \
                 since then are lost"
            );
        }
        let Some(text) = log.taken_over().text() else { return };
        let text = format!("state.dir {dir}: {text}");
        if self.shared.metrics.faults.set(Fault::StateLost, text.as_str()) {
            tracing::error!(event = "state_lost", decisions, "{text}");
        }
    }

    /// Lets the slot run until its end, a signal, or an error of a thread that reads the same database.
    fn run_slot(
        &mut self,
        log: EmbeddedLog,
        reading: Reading,
        asked: Receiver<Ask<Change>>,
        mut failures: UnboundedReceiver<anyhow::Error>,
    ) -> anyhow::Result<End> {
        let halt = Arc::new(AtomicBool::new(false));
        let (ended, end) = oneshot::channel();
        let fresh_within = Duration::from_secs(self.config.response.fresh_within.seconds());
        let cadence =
            CadenceSettings { checkpoint_every: self.config.checkpoint_every, ..CadenceSettings::default() };
        let settings = SlotSettings { cadence, fresh_within, ..SlotSettings::default() };
        let slot = spawn_slot(log, reading, settings, asked, self.shared, halt.clone(), ended)?;
        let interrupted = &mut self.interrupted;
        let failed = self.runtime.block_on(async {
            let signal = async {
                match interrupted {
                    Some(interrupted) => drop(interrupted.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = signal => {
                    tracing::info!(event = "stopping", "stopping on a signal");
                    *interrupted = None;
                    None
                }
                Some(failed) = failures.recv() => Some(failed),
                _ = end => None,
            }
        });
        halt.store(true, Relaxed);
        let outcome = slot.join().unwrap_or_else(|_| Err(self.panicked()));
        failed.map_or(outcome, Err)
    }

    /// Says at which record the slot's thread panicked, as far as that is known. Nobody has to start the process anew
    /// for it: the next life looks for the record, or passes it over.
    fn panicked(&mut self) -> anyhow::Error {
        match self.shared.status.panicked(self.shared.clock.now().0) {
            Culprit::None => anyhow::anyhow!("the slot's thread panicked while no record was being judged"),
            Culprit::Work(work) => {
                self.looks_for_a_record = true;
                anyhow::anyhow!("the slot's thread panicked at {work}")
            }
            Culprit::Among(runs) => {
                self.looks_for_a_record = true;
                let inputs = runs.len();
                anyhow::anyhow!(
                    "the slot's thread panicked at a record of {inputs} inputs; it is looked for one record at a time"
                )
            }
            Culprit::Record(Run { from, .. }, input) => {
                self.looks_for_a_record = true;
                tracing::error!(
                    event = "record_set_aside",
                    input,
                    offset = from,
                    "Keyhound panics at this record; it is passed over. This is a bug: report it with the place above"
                );
                anyhow::anyhow!(
                    "the slot's thread panicked at record {from} of {input}, which is passed over"
                )
            }
        }
    }
}

/// Takes the state directory, and makes the sources that its log reads.
pub fn open(config: &Config, pepper: &Pepper) -> anyhow::Result<EmbeddedLog> {
    let mut dispatchers = vec![ToAlertmanagers::NAME.to_owned(), ToServe::NAME.to_owned()];
    if parts::brokers(config)?.is_some() {
        dispatchers.push(ToTopics::NAME.to_owned());
    }
    let (dir, identity) = (config.state_dir.clone(), parts::identity(config, pepper));
    Ok(EmbeddedLog::open(dir, &identity, parts::sources(config, pepper)?, &dispatchers)?)
}

fn decisions_file(config: &Config, pepper: &Pepper) -> DecisionsFile {
    DecisionsFile::new(&config.state_dir, &parts::identity(config, pepper).pepper_check)
}

fn store_error(error: &anyhow::Error) -> Option<&StoreError> {
    error.chain().find_map(|cause| match cause.downcast_ref::<LogError>() {
        Some(LogError::Store(store)) => Some(store),
        _ => cause.downcast_ref::<StoreError>(),
    })
}

/// Whether there is a state that cannot be read: who mends it may do so while this process waits.
fn may_be_mended(store: &StoreError) -> bool {
    use StoreError::{Changed, Damaged, Database, DecisionsFile, Unreadable};
    matches!(store, Database(_) | Unreadable { .. } | Damaged { .. } | Changed { .. } | DecisionsFile { .. })
}

/// Whether it would be the same next time: the state is another's, or not for these settings.
pub fn is_final(error: &anyhow::Error) -> bool {
    use StoreError::{InUse, Partitions, Pepper, TopicPrefix};
    store_error(error).is_some_and(|store| {
        let is_of_file =
            matches!(store, StoreError::DecisionsFile { source: DecisionsFileError::Pepper { .. }, .. });
        is_of_file || matches!(store, InUse { .. } | Partitions { .. } | TopicPrefix { .. } | Pepper { .. })
    })
}

/// With the path and what to do, where an error of the database says neither.
fn explained(error: anyhow::Error, config: &Config) -> anyhow::Error {
    let dir: &Path = &config.state_dir;
    match store_error(&error).and_then(|store| store.remedy(dir)) {
        Some(remedy) => {
            let told = logs::with_causes(&error);
            anyhow::anyhow!("state.dir {}: {told}: {remedy}", dir.display())
        }
        None => error,
    }
}

fn spawn_slot(
    log: EmbeddedLog,
    reading: Reading,
    settings: SlotSettings,
    asked: Receiver<Ask<Change>>,
    shared: &Arc<Shared>,
    halt: Arc<AtomicBool>,
    ended: oneshot::Sender<()>,
) -> anyhow::Result<JoinHandle<anyhow::Result<End>>> {
    let shared = shared.clone();
    let body = move || -> anyhow::Result<End> {
        // Dropped at the end of the thread, however it ends: that is what the main thread waits for.
        let _ended = ended;
        let status = shared.status.clone();
        let mut slot = Slot::start(log, reading, SystemClock::new(), settings, asked, status.clone())?;
        shared.metrics.faults.clear(Fault::EngineStopped);
        let back = status.returned();
        if back.damaged_entries > 0 {
            let text = format!(
                "{} entries of the state had other bytes than were written, and are left out: what was learnt of so \
                 many keys is lost. The disk, or a program that writes to it, is not to be trusted",
                back.damaged_entries
            );
            shared.metrics.faults.set(Fault::StateLost, text.as_str());
            tracing::error!(event = "state_damaged", entries = back.damaged_entries, "{text}");
        }
        for Gap { input, from, to, reason } in &back.gaps {
            tracing::error!(
                event = "replay_gap",
                input,
                from,
                to,
                reason,
                "input that had to be replayed is gone; the state does not contain it"
            );
        }
        tracing::info!(
            event = "state_restored",
            comparison = ?back.comparison,
            entries = back.entries,
            records = back.records,
            "state restored"
        );
        Ok(slot.run(&halt)?)
    };
    Ok(thread::Builder::new().name("keyhound-slot".to_owned()).spawn(body)?)
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
