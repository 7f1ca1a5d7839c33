//! The threads that deliver what one life of the engine commits, and the one that keeps watch over its state.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use tokio::{
    runtime::Runtime,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{
    daemon::{Shared, commander},
    life::DRAIN,
    listeners::Listeners,
    parts,
    read_back::ReadBack,
    state_keeper::StateKeeper,
};
use crate::{
    config::Config,
    deliver::{
        Deliver, Dispatcher, Stop, WallTime,
        alertmanager::{Notifier, ToAlertmanagers},
        topics::{self, Heartbeat, ToTopics},
    },
    incident::Incident,
    respond::Decision,
    serve::ToServe,
    store::{DecisionsFile, Instance, Outbox, Presence},
};

/// What delivers, to be drained at the end.
pub struct Delivery {
    notifier: Arc<Notifier>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
    /// Ends after the others, so that the file has what they delivered.
    keeper: Option<(JoinHandle<()>, Arc<Stop>)>,
    failed: UnboundedSender<anyhow::Error>,
}

/// What a delivery is made from.
pub struct Plan<'a> {
    pub runtime: &'a Runtime,
    pub config: &'a Config,
    pub shared: &'a Arc<Shared>,
    pub listeners: &'a Listeners,
    pub outbox: &'a Outbox,
    pub instance: Instance,
    pub presence: Presence,
    pub file: DecisionsFile,
}

impl Delivery {
    /// Fills the table for gateways, opens their listener and starts the threads. The first error that ends one of
    /// them comes through the channel: what cannot read the database is of no use any more.
    pub fn start(plan: Plan<'_>) -> anyhow::Result<(Self, UnboundedReceiver<anyhow::Error>)> {
        let Plan { runtime, config, shared, outbox, .. } = &plan;
        let open: Vec<Incident> = outbox
            .open_incidents()?
            .iter()
            .filter_map(|record| serde_json::from_slice(&record.value).ok())
            .collect();
        let notifier = {
            let _in_runtime = runtime.enter();
            let (clock, metrics) = (shared.clock.clone(), shared.metrics.clone());
            Notifier::start(&config.alertmanagers, &shared.links, clock, metrics, &open)?
        };
        let (failed, failures) = unbounded_channel();
        let mut delivery = Self {
            notifier: Arc::new(notifier),
            stop: Arc::default(),
            threads: Vec::new(),
            keeper: None,
            failed,
        };
        let (newest, ring) = (outbox.newest(), delivery.stop.clone());
        let runtime = *runtime;
        if let Err(error) = delivery.spawn(plan, open) {
            // What was begun ends with the life that began it.
            delivery.drain(runtime);
            return Err(error);
        }
        runtime.spawn(async move { ring.ring_with(newest).await });
        Ok((delivery, failures))
    }

    fn spawn(&mut self, plan: Plan<'_>, open: Vec<Incident>) -> anyhow::Result<()> {
        let Plan { runtime, config, shared, listeners, outbox, instance, presence, file } = plan;
        let to_serve = fill_table(shared, outbox, open)?;
        {
            let _in_runtime = runtime.enter();
            listeners.open_for_gateways()?;
        }
        self.spawn_dispatcher(outbox, ToAlertmanagers(self.notifier.clone()))?;
        self.spawn_dispatcher(outbox, to_serve)?;
        self.spawn_keeper(StateKeeper {
            file,
            presence,
            outbox: outbox.clone(),
            decisions: shared.decisions.clone(),
            clock: shared.clock.clone(),
            metrics: shared.metrics.clone(),
            status: shared.status.clone(),
            written: None,
            seen: None,
        })?;
        if let Some(brokers) = parts::brokers(config)? {
            runtime
                .block_on(topics::ensure(&brokers, &config.topic_prefix, config.partitions))
                .context("Keyhound's own topics")?;
            let heartbeat = Arc::new(Heartbeat::new(instance));
            let (prefix, metrics) = (&config.topic_prefix, shared.metrics.clone());
            self.spawn_dispatcher(outbox, ToTopics::new(&brokers, prefix, heartbeat.clone(), metrics)?)?;
            if let Some(reader) = parts::decisions_reader(config) {
                self.spawn_read_back(ReadBack::new(reader, heartbeat, shared.clone()))?;
            }
        }
        Ok(())
    }

    fn spawn_read_back(&mut self, read_back: ReadBack) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        let body = move || read_back.run_whatever_happens(&stop);
        self.threads.push(thread::Builder::new().name("keyhound-read-back".to_owned()).spawn(body)?);
        Ok(())
    }

    fn spawn_dispatcher<D: Deliver + 'static>(
        &mut self,
        outbox: &Outbox,
        destination: D,
    ) -> anyhow::Result<()> {
        let dispatcher = Dispatcher::new(Arc::new(outbox.clone()), destination)?;
        let (stop, failed) = (self.stop.clone(), self.failed.clone());
        let body = move || report(|| dispatcher.run(&stop), D::NAME, &failed);
        self.threads.push(thread::Builder::new().name(format!("keyhound-{}", D::NAME)).spawn(body)?);
        Ok(())
    }

    fn spawn_keeper(&mut self, keeper: StateKeeper) -> anyhow::Result<()> {
        let (stop, failed) = (Arc::<Stop>::default(), self.failed.clone());
        let stopped = stop.clone();
        let body = move || report(|| keeper.run(&stopped), "state", &failed);
        let thread = thread::Builder::new().name("keyhound-state".to_owned()).spawn(body)?;
        self.keeper = Some((thread, stop));
        Ok(())
    }

    /// Lets what was committed leave.
    pub fn drain(self, runtime: &Runtime) {
        self.stop.stop();
        for thread in self.threads {
            join(thread);
        }
        if let Some((thread, stop)) = self.keeper {
            stop.stop();
            join(thread);
        }
        if let Some(notifier) = Arc::into_inner(self.notifier) {
            runtime.block_on(notifier.shutdown(DRAIN));
        }
    }
}

/// Adds what the database says to the table for gateways, by greater epoch. What was read from the decisions file before
/// stays: the database has taken it over.
fn fill_table(shared: &Arc<Shared>, outbox: &Outbox, open: Vec<Incident>) -> anyhow::Result<ToServe> {
    let (decisions, board) = (shared.decisions.clone(), shared.board.clone());
    let to_serve = ToServe::new(decisions, board, shared.clock.clone(), shared.metrics.clone());
    let mut to_serve = to_serve.tells(commander(shared.clone()));
    let current = outbox.current_decisions()?;
    let current: Vec<(Decision, WallTime)> = current
        .iter()
        .filter_map(|(record, at)| Some((serde_json::from_slice(&record.value).ok()?, WallTime(*at))))
        .collect();
    to_serve.restore(current, open);
    Ok(to_serve)
}

/// Works until it ends, and sends the error that ends it, be it a panic: without it, nobody would deliver, and nobody
/// would know.
fn report<E: Into<anyhow::Error>>(
    work: impl FnOnce() -> Result<(), E>,
    name: &'static str,
    failed: &UnboundedSender<anyhow::Error>,
) {
    let error = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.into(),
        // What it said is in the log, from the panic hook.
        Err(_) => anyhow::anyhow!("it panicked"),
    };
    // Nobody listens any more once the life has ended.
    let _ = failed.send(error.context(format!("the thread keyhound-{name}")));
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!(event = "dispatcher_panicked", "a dispatcher panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_an_error_that_ends_the_life() {
        let (failed, mut failures) = unbounded_channel();
        report(|| Ok::<(), anyhow::Error>(()), "quiet", &failed);
        assert!(failures.try_recv().is_err());
        report(|| -> anyhow::Result<()> { panic!("planted") }, "topics", &failed);
        let error = format!("{:#}", failures.try_recv().unwrap());
        assert_eq!(error, "the thread keyhound-topics: it panicked");
    }
}
