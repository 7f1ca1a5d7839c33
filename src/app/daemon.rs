//! `keyhound run`: starts everything, waits for a signal or the end of the input, drains.

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

use super::{
    parts::{self, Named},
    reload::{Reloader, reload_on_hangup, tell_loaded},
    signals::obey_signals,
};
use crate::{
    catalogue::Catalogue,
    config::{Config, Overrides},
    decode::Pepper,
    deliver::{
        Deliver, Dispatcher, Stop, WallClock, WallTime,
        alertmanager::{Notifier, ToAlertmanagers},
        topics::{self, ToTopics},
    },
    incident::Incident,
    serve::{
        Asked, Board, Checks, Commander, Decisions, Operators, ToServe,
        commands::CommandError,
        listener::{self, Limits},
        operators::Access,
    },
    slot::{Ask, Change, End, Gap, Reading, Slot, SlotSettings, Status},
    store::{EmbeddedLog, Outbox, SystemClock},
    telemetry::Metrics,
};

/// Commands and changes that may wait for the slot.
const ASKS_MAX: usize = 64;
/// Operators and Prometheus, which asks at least every few minutes.
const OF_OPERATORS: Limits =
    Limits { connections_max: 128, idle_within: Duration::from_mins(5), http2: false };
/// A gateway may be silent for longer than the hour after which Envoy closes a connection itself: one that is closed
/// under it fails a question.
const GATEWAY_IDLE_WITHIN: Duration = Duration::from_mins(65);
/// How long alerts may take to leave at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// Ended decisions are swept, and notices logged, so often.
const SWEEP: Duration = Duration::from_secs(1);

/// How much later than it was read a decision may be committed and still be served: the engines have judged how fresh
/// its evidence was when it was read.
const COMMITTED_WITHIN: Duration = Duration::from_secs(30);

type Asks = SyncSender<Ask<Change>>;

/// What the tasks share.
pub(super) struct Shared {
    pub metrics: Arc<Metrics>,
    pub decisions: Arc<Decisions>,
    pub board: Arc<Board>,
    /// What operators are told of a key's owner.
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    pub status: Arc<Status>,
    pub clock: WallClock,
    pub asks: Asks,
}

impl Shared {
    fn new(
        config: &Config,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        clock: WallClock,
        asks: Asks,
    ) -> Self {
        let fresh_within = Duration::from_secs(config.response.fresh_within.seconds());
        let decisions = Decisions::new(config.serve.table_limit as usize);
        Self {
            metrics,
            decisions: Arc::new(decisions.fresh_for(fresh_within + COMMITTED_WITHIN)),
            board: Arc::new(Board::default()),
            catalogue: Arc::default(),
            status,
            clock,
            asks,
        }
    }
}

/// Runs until a signal, or until no record will ever come again. `named` is what the settings name; `path` and
/// `overrides` are read again on SIGHUP.
#[allow(clippy::needless_pass_by_value)] // these settings end with the daemon; a reload reads its own
pub fn run(config: Config, named: Named, path: PathBuf, overrides: Overrides) -> anyhow::Result<()> {
    let Named { pepper, geo, reference, access } = named;
    let (pepper, geo) = (Arc::new(pepper), Arc::new(geo));
    let runtime =
        Builder::new_multi_thread().worker_threads(2).thread_name("keyhound-io").enable_all().build()?;
    let is_running = Arc::new(AtomicBool::new(false));
    let interrupted = obey_signals(&runtime, is_running.clone())?;
    // One that would end it by default waits until it can be obeyed.
    let hangups = {
        let _in_runtime = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let brokers = parts::brokers(&config)?;
    let mut dispatchers = vec![ToAlertmanagers::NAME.to_owned(), ToServe::NAME.to_owned()];
    if brokers.is_some() {
        dispatchers.push(ToTopics::NAME.to_owned());
    }
    let sources = parts::sources(&config)?;
    let log = EmbeddedLog::open(
        config.state_dir.clone(),
        &parts::identity(&config, &pepper),
        sources,
        &dispatchers,
    )?;
    let outbox = log.outbox();

    let (asks, asked) = sync_channel(ASKS_MAX);
    let clock = WallClock::system();
    let status = Arc::new(Status::new(&parts::source_names(&config), outbox.clone()));
    let metrics =
        Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), option_env!("KEYHOUND_REVISION").unwrap_or("")));
    metrics.watch(status.clone());
    tell_loaded(&metrics, &clock);
    let shared = Arc::new(Shared::new(&config, metrics, status.clone(), clock, asks));

    // Listeners first: whoever probes sees a process that is alive and not ready while state is restored.
    let stopping = watch::Sender::new(false);
    let servers = serve(&runtime, &config, &shared, access, &pepper, &stopping)?;
    let stop = Arc::new(Stop::default());
    let delivery = deliver(&runtime, &config, &shared, &outbox, &stop, brokers)?;

    shared.catalogue.store(reference.catalogue.clone());
    tracing::info!(
        rules = reference.rules.rules.len(),
        catalogue = reference.catalogue.len(),
        geo = reference.geo_version,
        mode = reference.mode.as_str(),
        "starting"
    );
    let decoders = parts::decoders(&config, &pepper)?;
    let engines = parts::engines(&config, &pepper);
    let settings = parts::settings_version(&config);
    let reading = Reading::new(decoders, geo.current(), engines, reference, settings, &pepper);
    let halt = Arc::new(AtomicBool::new(false));
    let (ended, end) = oneshot::channel();
    let slot = spawn_slot(log, reading, asked, status, is_running, halt.clone(), ended)?;

    runtime.spawn(housekeeping(shared.clone()));
    let reloader = Reloader { path, overrides, geo, pepper, shared: shared.clone() };
    runtime.spawn(reload_on_hangup(reloader, hangups));
    runtime.block_on(async {
        tokio::select! {
            _ = interrupted => tracing::info!("stopping on a signal"),
            _ = end => {}
        }
    });
    halt.store(true, Relaxed);
    let outcome = slot.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the slot's thread panicked")));
    drain(&runtime, delivery, &outbox, &stop, &stopping, servers);
    let end = outcome?;
    tracing::info!(end = ?end, "stopped");
    Ok(())
}

/// The slot on its own thread. Restoring is part of it, so that the listeners answer meanwhile.
fn spawn_slot(
    log: EmbeddedLog,
    reading: Reading,
    asked: std::sync::mpsc::Receiver<Ask<Change>>,
    status: Arc<Status>,
    is_running: Arc<AtomicBool>,
    halt: Arc<AtomicBool>,
    ended: oneshot::Sender<()>,
) -> anyhow::Result<JoinHandle<anyhow::Result<End>>> {
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
        is_running.store(true, Relaxed);
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

fn deliver(
    runtime: &Runtime,
    config: &Config,
    shared: &Arc<Shared>,
    outbox: &Outbox,
    stop: &Arc<Stop>,
    brokers: Option<rdkafka::ClientConfig>,
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
    if let Some(brokers) = brokers {
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

/// Both listeners, served until `stopping` says so.
fn serve(
    runtime: &Runtime,
    config: &Config,
    shared: &Arc<Shared>,
    access: Access,
    pepper: &Arc<Pepper>,
    stopping: &watch::Sender<bool>,
) -> anyhow::Result<Vec<tokio::task::JoinHandle<()>>> {
    let operators = Operators {
        board: shared.board.clone(),
        commands: commander(shared.clone()),
        access,
        catalogue: shared.catalogue.clone(),
        clock: shared.clock.clone(),
        metrics: shared.metrics.clone(),
        ready_lag_seconds_max: config.serve.ready_lag_seconds_max,
    };
    let checks = Checks {
        decisions: shared.decisions.clone(),
        settings: config.serve.checks.clone(),
        pepper: pepper.clone(),
        clock: shared.clock.clone(),
        metrics: shared.metrics.clone(),
    };
    let stopped = |mut watched: watch::Receiver<bool>| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _ = watched.wait_for(|stop| *stop).await;
        })
    };
    let mut tasks = Vec::new();
    let connections_max = config.serve.connections_max as usize;
    let of_gateways = Limits { connections_max, idle_within: GATEWAY_IDLE_WITHIN, http2: true };
    for (field, address, router, limits) in [
        ("listen", config.listen, operators.router(), OF_OPERATORS),
        ("gateways_listen", config.gateways_listen, checks.router(), of_gateways),
    ] {
        let bound = runtime.block_on(listener::bind(field, address))?;
        tracing::info!(address = %bound.address, "{field}");
        let (metrics, stop) = (shared.metrics.clone(), stopped(stopping.subscribe()));
        tasks.push(runtime.spawn(listener::serve(bound, router, limits, metrics, stop)));
    }
    Ok(tasks)
}

/// Hands operators' commands to the slot.
fn commander(shared: Arc<Shared>) -> Commander {
    Commander::new(move |Asked { command, reply }| {
        // As `/readyz` says it: whoever was told that it is ready may command.
        if !shared.status.is_restored() {
            return Err(CommandError::Starting);
        }
        shared.asks.try_send(Ask::Command { command, done: reply }).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Disconnected(_) => CommandError::Gone,
        })
    })
}

/// Sweeps what ended, and logs what sources had to say.
async fn housekeeping(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        shared.decisions.sweep(shared.clock.now());
        for notice in shared.status.take_notices() {
            if notice.is_only_information() {
                tracing::info!(kind = notice.label(), notice = ?notice, "a source has something to say");
            } else {
                tracing::warn!(kind = notice.label(), notice = ?notice, "a source has something to say");
            }
        }
    }
}

/// Lets what was committed leave, then closes the doors.
fn drain(
    runtime: &Runtime,
    delivery: Delivery,
    outbox: &Outbox,
    stop: &Stop,
    stopping: &watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<()>>,
) {
    stop.stop();
    for thread in delivery.threads {
        if thread.join().is_err() {
            tracing::error!("a dispatcher panicked");
        }
    }
    // The slot's last commit came before these were delivered; without this, the next start would deliver them again.
    if let Err(error) = outbox.write_last() {
        tracing::warn!(%error, "what was delivered at the end is not written down; it will be delivered again");
    }
    runtime.block_on(async {
        if let Some(notifier) = Arc::into_inner(delivery.notifier) {
            notifier.shutdown(DRAIN).await;
        }
        let _ = stopping.send(true);
        for server in servers {
            let _ = tokio::time::timeout(DRAIN, server).await;
        }
    });
}
