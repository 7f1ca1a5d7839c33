//! One life of the engine: the store, the slot on its thread, and who delivers what it commits.
//!
//! Gateways are answered from a table that outlives it: a full disk or a broker that went away must not take down what
//! stands before every API. So after an error, there is another life.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{runtime::Runtime, sync::oneshot};

use super::{daemon::Shared, parts};
use crate::{
    config::Config,
    decode::Pepper,
    deliver::{
        Deliver, Dispatcher, Stop, WallTime,
        alertmanager::{Notifier, ToAlertmanagers},
        topics::{self, ToTopics},
    },
    incident::Incident,
    serve::ToServe,
    slot::{Ask, Change, End, Gap, Reading, Slot, SlotSettings},
    store::{EmbeddedLog, Log as _, Outbox, StoreError, SystemClock},
    telemetry::logs,
};

/// Commands and changes that may wait for the slot.
const ASKS_MAX: usize = 64;
/// How long alerts may take to leave at the end.
pub const DRAIN: Duration = Duration::from_secs(5);
/// Between an error and the next life.
const PAUSE: Duration = Duration::from_secs(5);

/// What every life is made from.
pub struct Lives<'a> {
    pub runtime: &'a Runtime,
    pub config: &'a Config,
    pub pepper: &'a Pepper,
    pub shared: &'a Arc<Shared>,
    /// Comes with the first signal; `None` = it has come.
    pub interrupted: Option<oneshot::Receiver<()>>,
}

impl Lives<'_> {
    /// Lives until a signal, until no record will ever come again, or until an error before state was ever restored:
    /// that is for whoever started the process to see. Any later error leaves gateways answered, and is tried again.
    pub fn live(mut self, log: EmbeddedLog) -> anyhow::Result<End> {
        let mut has_run = false;
        // What a reader of standard input held goes with it: whoever writes there has to know.
        let reads_again = log.rewindable();
        let mut opened = Ok(log);
        loop {
            let ended = opened.and_then(|log| self.live_once(log));
            has_run |= self.shared.status.is_restored();
            let error = match ended {
                Err(error) if has_run && reads_again && !self.is_interrupted() && !is_final(&error) => error,
                ended => return ended,
            };
            self.shared.status.went_away();
            self.shared.metrics.engine_failures.inc();
            let error = logs::with_causes(&error);
            tracing::error!(
                event = "engine_stopped",
                error,
                "the engine stopped; decisions that were made are served on, and it starts again in {} s",
                PAUSE.as_secs()
            );
            // A signal ends the process at once from here on: nothing has been begun.
            thread::sleep(PAUSE);
            opened = open(self.config, self.pepper);
        }
    }

    /// Whether the signal has come, be it while something was being ended.
    fn is_interrupted(&mut self) -> bool {
        self.interrupted.as_mut().is_none_or(|interrupted| interrupted.try_recv().is_ok())
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
        let Self { runtime, config, pepper, shared, .. } = self;
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
        let delivery = Delivery::start(runtime, config, shared, &outbox)?;
        let outcome = self.run_slot(log, reading, asked);
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

    /// Lets the slot run until its end or a signal.
    fn run_slot(
        &mut self,
        log: EmbeddedLog,
        reading: Reading,
        asked: Receiver<Ask<Change>>,
    ) -> anyhow::Result<End> {
        let halt = Arc::new(AtomicBool::new(false));
        let (ended, end) = oneshot::channel();
        let slot = spawn_slot(log, reading, asked, self.shared, halt.clone(), ended)?;
        let interrupted = &mut self.interrupted;
        self.runtime.block_on(async {
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
                }
                _ = end => {}
            }
        });
        halt.store(true, Relaxed);
        slot.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the slot's thread panicked")))
    }
}

/// Takes the state directory, and makes the sources that its log reads.
pub fn open(config: &Config, pepper: &Pepper) -> anyhow::Result<EmbeddedLog> {
    let mut dispatchers = vec![ToAlertmanagers::NAME.to_owned(), ToServe::NAME.to_owned()];
    if parts::brokers(config)?.is_some() {
        dispatchers.push(ToTopics::NAME.to_owned());
    }
    let (dir, identity) = (config.state_dir.clone(), parts::identity(config, pepper));
    Ok(EmbeddedLog::open(dir, &identity, parts::sources(config)?, &dispatchers)?)
}

/// Whether it would be the same next time: the state is another's, or not for these settings.
fn is_final(error: &anyhow::Error) -> bool {
    use StoreError::{Codec, InUse, Partitions, Pepper, TopicPrefix};
    let store = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>());
    store.is_some_and(|store| {
        matches!(store, InUse { .. } | Codec { .. } | Partitions { .. } | TopicPrefix { .. } | Pepper { .. })
    })
}

/// The slot on its own thread. Restoring is part of it, so that the listeners answer meanwhile.
fn spawn_slot(
    log: EmbeddedLog,
    reading: Reading,
    asked: Receiver<Ask<Change>>,
    shared: &Arc<Shared>,
    halt: Arc<AtomicBool>,
    ended: oneshot::Sender<()>,
) -> anyhow::Result<JoinHandle<anyhow::Result<End>>> {
    let status = shared.status.clone();
    let body = move || -> anyhow::Result<End> {
        // Dropped at the end of the thread, however it ends: that is what the main thread waits for.
        let _ended = ended;
        let mut slot =
            Slot::start(log, reading, SystemClock::new(), SlotSettings::default(), asked, status.clone())?;
        let back = status.returned();
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

/// What delivers, to be drained at the end.
struct Delivery {
    notifier: Arc<Notifier>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Delivery {
    fn start(runtime: &Runtime, config: &Config, shared: &Shared, outbox: &Outbox) -> anyhow::Result<Self> {
        let open: Vec<Incident> = outbox
            .open_incidents()?
            .iter()
            .filter_map(|record| serde_json::from_slice(&record.value).ok())
            .collect();
        let notifier = {
            let _in_runtime = runtime.enter();
            let (clock, metrics) = (shared.clock.clone(), shared.metrics.clone());
            Notifier::start(&config.alertmanagers, config.links.clone(), clock, metrics, &open)?
        };
        let mut delivery = Self { notifier: Arc::new(notifier), stop: Arc::default(), threads: Vec::new() };
        if let Err(error) = delivery.spawn(runtime, config, shared, outbox, open) {
            // What was begun ends with the life that began it.
            delivery.drain(runtime);
            return Err(error);
        }
        let (newest, ring) = (outbox.newest(), delivery.stop.clone());
        runtime.spawn(async move { ring.ring_with(newest).await });
        Ok(delivery)
    }

    fn spawn(
        &mut self,
        runtime: &Runtime,
        config: &Config,
        shared: &Shared,
        outbox: &Outbox,
        open: Vec<Incident>,
    ) -> anyhow::Result<()> {
        let (decisions, board) = (shared.decisions.clone(), shared.board.clone());
        let mut to_serve = ToServe::new(decisions, board, shared.clock.clone(), shared.metrics.clone());
        let current = outbox.current_decisions()?;
        let current = current
            .iter()
            .filter_map(|(record, at)| Some((serde_json::from_slice(&record.value).ok()?, WallTime(*at))));
        to_serve.restore(current.collect(), open);
        self.spawn_dispatcher(outbox, ToAlertmanagers(self.notifier.clone()))?;
        self.spawn_dispatcher(outbox, to_serve)?;
        if let Some(brokers) = parts::brokers(config)? {
            runtime
                .block_on(topics::ensure(&brokers, &config.topic_prefix, config.partitions))
                .context("Keyhound's own topics")?;
            let publisher = ToTopics::new(&brokers, &config.topic_prefix, shared.metrics.clone())?;
            self.spawn_dispatcher(outbox, publisher)?;
        }
        Ok(())
    }

    fn spawn_dispatcher<D: Deliver + 'static>(
        &mut self,
        outbox: &Outbox,
        destination: D,
    ) -> anyhow::Result<()> {
        let dispatcher = Dispatcher::new(Arc::new(outbox.clone()), destination)?;
        let stop = self.stop.clone();
        let name = format!("keyhound-{}", D::NAME);
        self.threads.push(thread::Builder::new().name(name).spawn(move || dispatcher.run(&stop))?);
        Ok(())
    }

    /// Lets what was committed leave.
    fn drain(self, runtime: &Runtime) {
        self.stop.stop();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!(event = "dispatcher_panicked", "a dispatcher panicked");
            }
        }
        if let Some(notifier) = Arc::into_inner(self.notifier) {
            runtime.block_on(notifier.shutdown(DRAIN));
        }
    }
}
