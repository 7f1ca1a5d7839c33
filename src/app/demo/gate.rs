//! The gateway's side: Keyhound's check endpoint on a loopback port, and the real HTTP calls that ask it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::clock::StageClock;
use crate::{
    decode::{DECISION_HEADER, Pepper},
    deliver::alertmanager::{Links, PageLinks},
    generate::SyntheticKey,
    incident::Incident,
    respond::Decision,
    serve::{
        Applied, Board, Checks, Commander, Decisions, Operators, ServeSettings, listener, operators::Access,
    },
    telemetry::{Metrics, build},
};

/// The listeners, what they answer from, and a client.
pub(super) struct Gate {
    runtime: tokio::runtime::Runtime,
    decisions: Arc<Decisions>,
    pub board: Arc<Board>,
    metrics: Arc<Metrics>,
    clock: StageClock,
    client: reqwest::Client,
    pub checks_at: SocketAddr,
}

/// What the check endpoint said to one request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    /// `X-Keyhound-Decision`; empty where there is none.
    pub decision: String,
    pub retry_after: String,
}

/// Whoever looks at a demonstration needs few.
const LIMITS: listener::Limits = listener::Limits {
    connections_max: 100,
    idle_within: std::time::Duration::from_mins(5),
    for_gateways: false,
};

impl Answer {
    pub fn is_refused(&self) -> bool {
        self.status == 429 && self.decision == "throttle"
    }
}

impl Gate {
    /// Binds the check endpoint.
    pub fn open(pepper: Arc<Pepper>, clock: &StageClock) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let settings = ServeSettings::default();
        let decisions = Arc::new(Decisions::new(settings.table_limit as usize));
        let metrics = Arc::new(Metrics::new(build::VERSION, build::REVISION));
        let router = Checks {
            decisions: decisions.clone(),
            settings: settings.checks,
            pepper,
            clock: clock.as_wall_clock(),
            metrics: metrics.clone(),
        }
        .router();
        let checks_at = listen(&runtime, |_| router, &metrics)?;
        Ok(Self {
            runtime,
            decisions,
            board: Arc::default(),
            metrics,
            clock: clock.clone(),
            client: reqwest::Client::builder().no_proxy().build()?,
            checks_at,
        })
    }

    /// Tells gateways and operators of a decision.
    pub fn take_decision(&self, decision: &Decision) -> Applied {
        let now = self.clock.now();
        let applied = self.decisions.apply(decision, now, now);
        self.metrics.serving.table_updates.with_label_values(&[applied.as_str()]).inc();
        self.metrics.serving.table_entries.set(i64::try_from(self.decisions.len()).unwrap_or(i64::MAX));
        self.board.take_decision(decision.clone(), applied);
        applied
    }

    /// Tells operators of an incident.
    pub fn take_incident(&self, incident: &Incident) {
        self.board.take_incident(incident.clone());
    }

    /// Asks as a gateway does, with the client's key.
    pub fn ask(&self, key: &SyntheticKey) -> anyhow::Result<Answer> {
        let url = format!("http://{}/check/v1/orders", self.checks_at);
        let request = self.client.get(url).header("x-api-key", key.reveal());
        let response = self.runtime.block_on(request.send()).map_err(reqwest::Error::without_url)?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok(Answer {
            status: response.status().as_u16(),
            decision: header(DECISION_HEADER),
            retry_after: header("retry-after"),
        })
    }

    /// Binds the operators' API; commands go to `commands`.
    pub fn open_operators(&self, commands: Commander) -> anyhow::Result<SocketAddr> {
        let router = |address| {
            let links = PageLinks::new(&Links::default(), address, "localhost", None);
            Operators {
                board: self.board.clone(),
                commands,
                access: Access::local(Vec::new()),
                catalogue: Arc::default(),
                links: Arc::new(links),
                clock: self.clock.as_wall_clock(),
                metrics: self.metrics.clone(),
                ready_lag_seconds_max: 0,
            }
            .router()
        };
        listen(&self.runtime, router, &self.metrics)
    }

    /// Resolves to a flag that is set by Ctrl-C.
    pub fn interrupted(&self) -> Arc<std::sync::atomic::AtomicBool> {
        let flag = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let set = flag.clone();
        self.runtime.spawn(async move {
            // Where signals cannot be had, the program is ended some other way.
            if tokio::signal::ctrl_c().await.is_ok() {
                set.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        flag
    }
}

/// Any free port of this machine alone.
fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Serves a router on a port of its own; its address.
fn listen(
    runtime: &tokio::runtime::Runtime,
    router: impl FnOnce(SocketAddr) -> axum::Router,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<SocketAddr> {
    let bound = {
        let _in_runtime = runtime.enter();
        listener::bind("demo", loopback())?
    };
    let address = bound.address;
    let forever = std::future::pending();
    let router = router(address);
    runtime.spawn(listener::serve(bound, router, LIMITS, metrics.clone(), forever));
    Ok(address)
}
