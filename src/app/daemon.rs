//! `keyhound run`: starts everything, waits for a signal or the end of the input, drains.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use super::{
    descriptors,
    life::{self, Lives},
    listeners::Listeners,
    memory::MemoryWatch,
    parts::{self, Named},
    reload::{Reloader, reload_on_hangup, tell_loaded},
    signals::obey_signals,
};
use crate::{
    catalogue::Catalogue,
    config::{Config, Overrides},
    decode::Pepper,
    deliver::{WallClock, alertmanager::PageLinks},
    engine::Reference,
    enrich::Geo,
    serve::{
        Asked, Board, Checks, Commander, Decisions, Operators,
        commands::CommandError,
        operators::{Access, ready_report},
    },
    slot::{Ask, Change, Status},
    telemetry::{self, Metrics, build},
};

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
    /// What is in force, for the next life of the engine.
    pub in_force: ArcSwap<(Reference, Arc<Geo>)>,
    /// What operators are told of a key's owner.
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    pub status: Arc<Status>,
    pub clock: WallClock,
    /// Where alerts and pages point people to.
    pub links: Arc<PageLinks>,
    /// The way to the slot, while there is one.
    pub asks: ArcSwapOption<Asks>,
}

impl Shared {
    fn new(
        config: &Config,
        (reference, geo): (Reference, Arc<Geo>),
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        clock: WallClock,
        links: PageLinks,
    ) -> Self {
        let fresh_within = Duration::from_secs(config.response.fresh_within.seconds());
        let decisions = Decisions::new(config.serve.table_limit as usize);
        Self {
            metrics,
            decisions: Arc::new(decisions.fresh_for(fresh_within + COMMITTED_WITHIN)),
            board: Arc::new(Board::default()),
            catalogue: Arc::new(ArcSwap::new(reference.catalogue.clone())),
            in_force: ArcSwap::from_pointee((reference, geo)),
            status,
            clock,
            links: Arc::new(links),
            asks: ArcSwapOption::empty(),
        }
    }
}

/// Runs until a signal, or until no record will ever come again. `named` is what the settings name; `path` and
/// `overrides` are read again on SIGHUP.
#[allow(clippy::needless_pass_by_value)] // these settings end with the daemon; a reload reads its own
pub fn run(config: Config, named: Named, path: PathBuf, overrides: Overrides) -> anyhow::Result<()> {
    let Named { pepper, geo, reference, access } = named;
    let pepper = Arc::new(pepper);
    let runtime =
        Builder::new_multi_thread().worker_threads(2).thread_name("keyhound-io").enable_all().build()?;
    let status = Arc::new(Status::new(&parts::source_names(&config)));
    let interrupted = obey_signals(&runtime, status.clone())?;
    // One that would end it by default waits until it can be obeyed.
    let hangups = {
        let _in_runtime = runtime.enter();
        signal(SignalKind::hangup())?
    };
    descriptors::check(&config);
    // Before anything listens: a state that is another's is no business of this process.
    let opened = match life::open(&config, &pepper) {
        Err(error) if life::is_final(&error) => return Err(error),
        opened => opened,
    };
    let clock = WallClock::system();
    let metrics = Arc::new(Metrics::new(build::VERSION, build::REVISION));
    metrics.watch(status.clone());
    tell_loaded(&metrics, &clock, &reference.rules);
    tracing::info!(
        event = "started",
        version = build::VERSION,
        revision = build::REVISION,
        platform = build::TARGET,
        rules = reference.rules.rules.len(),
        catalogue = reference.catalogue.len(),
        geo = reference.geo_version,
        mode = reference.mode.as_str(),
        "started"
    );
    if let Some(warning) = parts::wrong_links(&config) {
        tracing::warn!(event = "links_unreachable", "{warning}");
    }
    let links = parts::page_links(&config, parts::link_signer(&access, &pepper));
    let shared = Arc::new(Shared::new(&config, (reference, geo), metrics, status, clock, links));

    // The listener for operators first: whoever probes sees a process that is alive and not ready while state is
    // restored.
    let listeners = listeners(&runtime, &config, &shared, access, &pepper)?;
    runtime.spawn(housekeeping(shared.clone(), config.serve.ready_lag_seconds_max));
    let reloader = Reloader { path, overrides, pepper: pepper.clone(), shared: shared.clone() };
    runtime.spawn(reload_on_hangup(reloader, hangups));
    let lives = Lives {
        runtime: &runtime,
        config: &config,
        pepper: &pepper,
        shared: &shared,
        listeners: &listeners,
        interrupted: Some(interrupted),
        looks_for_a_record: false,
    };
    let end = lives.live(opened)?;
    listeners.close(&runtime);
    tracing::info!(event = "stopped", end = ?end, "stopped");
    Ok(())
}

/// Opens the listener for operators, and takes the address for gateways.
fn listeners(
    runtime: &Runtime,
    config: &Config,
    shared: &Arc<Shared>,
    access: Access,
    pepper: &Arc<Pepper>,
) -> anyhow::Result<Listeners> {
    let operators = Operators {
        board: shared.board.clone(),
        commands: commander(shared.clone()),
        access,
        catalogue: shared.catalogue.clone(),
        links: shared.links.clone(),
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
    let _in_runtime = runtime.enter();
    let (operators, gateways) = (operators.router(), checks.router());
    Ok(Listeners::open_for_operators(config, operators, gateways, shared.metrics.clone())?)
}

/// Hands commands to the slot: operators', and what the table for gateways did not take.
pub(super) fn commander(shared: Arc<Shared>) -> Commander {
    Commander::new(move |Asked { command, reply }| {
        // As `/readyz` says it: whoever was told that it is ready may command.
        let asks = shared.asks.load_full().filter(|_| shared.status.is_restored());
        let Some(asks) = asks else { return Err(CommandError::Starting) };
        asks.try_send(Ask::Command { command, done: reply }).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Disconnected(_) => CommandError::Gone,
        })
    })
}

/// Sweeps what ended, and logs source events, changes of readiness, and that memory fills up.
async fn housekeeping(shared: Arc<Shared>, ready_lag_seconds_max: u32) {
    let mut ticks = tokio::time::interval(SWEEP);
    let mut is_ready = false;
    let mut memory = MemoryWatch::default();
    loop {
        ticks.tick().await;
        let reading = telemetry::Status::read(&*shared.status);
        if memory.is_newly_full(&reading) {
            tracing::warn!(
                event = "memory_nearly_full",
                bytes = reading.memory_bytes,
                limit_bytes = reading.memory_limit_bytes,
                "the table of keys is nearly full; at the limit the keys that are known least are evicted; raise \
                 state.memory_max, or see what makes so many keys"
            );
        }
        let report = ready_report(&shared.metrics, shared.clock.now(), ready_lag_seconds_max);
        match (is_ready, report.ready) {
            (false, true) => tracing::info!(event = "ready", "ready"),
            (true, false) => {
                tracing::warn!(event = "not_ready", reasons = report.reasons.join("; "), "not ready");
            }
            _ => {}
        }
        is_ready = report.ready;
        shared.decisions.sweep(shared.clock.now());
        for (source, notice) in shared.status.take_notices() {
            let kind = notice.label();
            if notice.is_only_information() {
                tracing::info!(event = "source_event", source, kind, %notice, "source event");
            } else {
                tracing::warn!(event = "source_event", source, kind, %notice, "source event");
            }
        }
    }
}
