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
    store::{EmbeddedLog, Outbox, StoreError, SystemClock},
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
    /// Comes with the first signal.
    pub interrupted: oneshot::Receiver<()>,
}

impl Lives<'_> {
    /// Lives until a signal, until no record will ever come again, or until an error before state was ever restored:
    /// that is for whoever started the process to see. Any later error leaves gateways answered, and is tried again.
    pub fn live(mut self, log: EmbeddedLog) -> anyhow::Result<End> {
        let mut has_run = false;
        let mut opened = Ok(log);
        loop {
            let ended = opened.and_then(|log| self.live_once(log));
            has_run |= self.shared.status.is_restored();
            let error = match ended {
                Err(error) if has_run && !is_final(&error) => error,
                ended => return ended,
            };
            self.shared.status.went_away();
            self.shared.metrics.engine_failures.inc();
            let error = logs::with_causes(&error);
            tracing::error!(
                error,
                "the engine stopped; decisions that were made are served on, and it starts again in {} s",
                PAUSE.as_secs()
            );
            // A signal ends the process at once: nothing has been begun.
            thread::sleep(PAUSE);
            opened = open(self.config, self.pepper);
        }
    }

    fn live_once(&mut self, log: EmbeddedLog) -> anyhow::Result<End> {
        let Self { runtime, config, pepper, shared, .. } = self;
        let outbox = log.outbox();
        shared.status.tells_of(outbox.clone());
        let stop = Arc::new(Stop::default());
        let delivery = deliver(runtime, config, shared, &outbox, &stop)?;
        let (asks, asked) = sync_channel(ASKS_MAX);
        shared.asks.store(Some(Arc::new(asks)));

        let (reference, geo) = shared.in_force.load_full().as_ref().clone();
        let reading = Reading::new(
            parts::decoders(config, pepper)?,
            geo,
            parts::engines(config, pepper),
            reference,
            parts::settings_version(config),
            pepper,
        );
        let halt = Arc::new(AtomicBool::new(false));
        let (ended, end) = oneshot::channel();
        let slot = spawn_slot(log, reading, asked, shared, halt.clone(), ended)?;
        runtime.block_on(async {
            tokio::select! {
                _ = &mut self.interrupted => tracing::info!("stopping on a signal"),
                _ = end => {}
            }
        });
        halt.store(true, Relaxed);
        let outcome = slot.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the slot's thread panicked")));
        // Nobody else is told "busy" by a queue that is not read any more.
        shared.asks.store(None);
        delivery.drain(runtime, &outbox, &stop);
        outcome
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
                input,
                from,
                to,
                reason,
                "input is gone that had to be replayed; state is without it"
            );
        }
        tracing::info!(comparison = ?back.comparison, entries = back.entries, records = back.records, "restored");
        Ok(slot.run(&halt)?)
    };
    Ok(thread::Builder::new().name("keyhound-slot".to_owned()).spawn(body)?)
}

/// What delivers, to be drained at the end.
struct Delivery {
    notifier: Arc<Notifier>,
    threads: Vec<JoinHandle<()>>,
}

impl Delivery {
    /// Lets what was committed leave.
    fn drain(self, runtime: &Runtime, outbox: &Outbox, stop: &Stop) {
        stop.stop();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a dispatcher panicked");
            }
        }
        // The slot's last commit came before these were delivered; without this, the next start would deliver them
        // again.
        if let Err(error) = outbox.write_last() {
            tracing::warn!(%error, "what was delivered at the end is not written down; it will be delivered again");
        }
        if let Some(notifier) = Arc::into_inner(self.notifier) {
            runtime.block_on(notifier.shutdown(DRAIN));
        }
    }
}

fn deliver(
    runtime: &Runtime,
    config: &Config,
    shared: &Arc<Shared>,
    outbox: &Outbox,
    stop: &Arc<Stop>,
) -> anyhow::Result<Delivery> {
    let open: Vec<Incident> = outbox
        .open_incidents()?
        .iter()
        .filter_map(|record| serde_json::from_slice(&record.value).ok())
        .collect();
    let notifier = {
        let _in_runtime = runtime.enter();
        let clock = shared.clock.clone();
        Notifier::start(&config.alertmanagers, config.links.clone(), clock, shared.metrics.clone(), &open)?
    };
    let notifier = Arc::new(notifier);
    let to_serve = ToServe::new(
        shared.decisions.clone(),
        shared.board.clone(),
        shared.clock.clone(),
        shared.metrics.clone(),
    );
    let current = outbox.current_decisions()?;
    let current = current
        .iter()
        .filter_map(|(record, at)| Some((serde_json::from_slice(&record.value).ok()?, WallTime(*at))));
    to_serve.restore(current.collect(), open);
    let mut threads = vec![
        spawn_dispatcher(outbox, ToAlertmanagers(notifier.clone()), stop)?,
        spawn_dispatcher(outbox, to_serve, stop)?,
    ];
    if let Some(brokers) = parts::brokers(config)? {
        runtime
            .block_on(topics::ensure(&brokers, &config.topic_prefix, config.partitions))
            .context("Keyhound's own topics")?;
        let publisher = ToTopics::new(&brokers, &config.topic_prefix, shared.metrics.clone())?;
        threads.push(spawn_dispatcher(outbox, publisher, stop)?);
    }
    let (newest, ring) = (outbox.newest(), stop.clone());
    runtime.spawn(async move { ring.ring_with(newest).await });
    Ok(Delivery { notifier, threads })
}

fn spawn_dispatcher<D: Deliver + 'static>(
    outbox: &Outbox,
    destination: D,
    stop: &Arc<Stop>,
) -> anyhow::Result<JoinHandle<()>> {
    let dispatcher = Dispatcher::new(Arc::new(outbox.clone()), destination)?;
    let stop = stop.clone();
    let name = format!("keyhound-{}", D::NAME);
    Ok(thread::Builder::new().name(name).spawn(move || dispatcher.run(&stop))?)
}
