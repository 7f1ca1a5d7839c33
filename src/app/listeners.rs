//! The two listeners: that of operators is open from the start, that of gateways from when its table is filled.
//!
//! An answer from an empty table would let a revoked key pass, even where a gateway refuses whatever it has no answer
//! for. A refused connection is no answer, and each gateway does then what it is configured to.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

use super::life::DRAIN;
use crate::{
    config::Config,
    serve::listener::{self, BindError, Limits, Reserved},
    telemetry::{Metrics, faults::Fault},
};

/// Connections of operators.
pub const OPERATORS_MAX: usize = 128;
/// Operators and Prometheus, which asks at least every few minutes.
const OF_OPERATORS: Limits =
    Limits { connections_max: OPERATORS_MAX, idle_within: Duration::from_mins(5), for_gateways: false };
/// A gateway may be silent for longer than the hour after which Envoy closes a connection itself: one that is closed
/// under it fails a check.
const GATEWAY_IDLE_WITHIN: Duration = Duration::from_mins(65);

/// The address for gateways, and what is to be served there.
struct Closed {
    /// Taken, unless listening on it has failed.
    reserved: Option<Reserved>,
    address: SocketAddr,
    router: Router,
    limits: Limits,
}

/// Both listeners of a daemon.
pub struct Listeners {
    closed: Mutex<Option<Closed>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stopping: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

impl Listeners {
    /// Opens the one for operators, and takes the address of the one for gateways. Called within a runtime.
    pub fn open_for_operators(
        config: &Config,
        operators: Router,
        gateways: Router,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BindError> {
        let bound = listener::bind("listen", config.listen)?;
        let reserved = listener::reserve("gateways_listen", config.gateways_listen)?;
        let connections_max = config.serve.connections_max as usize;
        let limits = Limits { connections_max, idle_within: GATEWAY_IDLE_WITHIN, for_gateways: true };
        let (reserved, address) = (Some(reserved), config.gateways_listen);
        let closed = Mutex::new(Some(Closed { reserved, address, router: gateways, limits }));
        let listeners =
            Self { closed, tasks: Mutex::default(), stopping: watch::Sender::new(false), metrics };
        listeners.say_closed("the table for gateways is not filled yet");
        listeners.spawn(bound, operators, OF_OPERATORS);
        Ok(listeners)
    }

    /// Opens the one for gateways, unless it is open. Called within a runtime, once the table is filled.
    pub fn open_for_gateways(&self) -> Result<(), BindError> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Closed { reserved, address, .. }) = closed.as_mut() else { return Ok(()) };
        let reserved = match reserved.take() {
            Some(reserved) => reserved,
            None => listener::reserve("gateways_listen", *address)?,
        };
        // Where this fails, it stays closed, and the next life tries again.
        let bound = reserved.listen()?;
        if let Some(Closed { router, limits, .. }) = closed.take() {
            self.spawn(bound, router, limits);
            self.metrics.faults.gateways_listening.set(1);
            self.metrics.faults.clear(Fault::GatewaysClosed);
        }
        Ok(())
    }

    /// Whether gateways are answered.
    pub fn is_open_for_gateways(&self) -> bool {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Says in `/readyz` why the one for gateways is closed.
    pub fn say_closed(&self, why: &str) {
        self.metrics
            .faults
            .set(Fault::GatewaysClosed, format!("gateways_listen is closed, gateways get no answer: {why}"));
    }

    /// Lets requests that have begun end.
    pub fn close(&self, runtime: &Runtime) {
        let _ = self.stopping.send(true);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        runtime.block_on(async {
            for task in tasks {
                let _ = tokio::time::timeout(DRAIN, task).await;
            }
        });
    }

    fn spawn(&self, bound: listener::Bound, router: Router, limits: Limits) {
        tracing::info!(event = "listening", listener = bound.field, address = %bound.address, "listening");
        let mut stopping = self.stopping.subscribe();
        let stop: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        let task = tokio::spawn(listener::serve(bound, router, limits, self.metrics.clone(), stop));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}
