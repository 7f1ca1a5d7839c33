//! The listener for operators and for Prometheus: metrics, health, and the HTTP API that the command line speaks.
//!
//! | Path | Method | What |
//! |---|---|---|
//! | `/metrics` | GET | Prometheus' text format |
//! | `/healthz`, `/readyz` | GET | alive; ready, with the reasons |
//! | `/api/v1/incidents`, `/api/v1/incidents/{id}` | GET | open ones and those closed lately |
//! | `/api/v1/incidents/{id}/page` | GET | one incident for people, in plain text |
//! | `/api/v1/decisions` | GET | the current decision of each key |
//! | `/api/v1/decisions/{revoke,throttle,lift,pause,resume}` | POST | commands |
//!
//! Every answer that is no success is a problem document (RFC 9457). Every command that reaches
//! the slot leaves a record in the topic `audit`, in the commit that applies it.

pub mod access;

mod decisions;
pub(super) mod free_text;
mod health;
mod incidents;
mod pages;
mod problem;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Router,
    http::header::CONTENT_TYPE,
    middleware,
    response::IntoResponse,
    routing::{get, post},
};

pub use access::Access;
pub use decisions::{CommandAnswer, CommandRequest, DecisionList, ShownDecision};
pub use health::{ReadyReport, ReadySource, ready_report};
pub use incidents::{IncidentList, LinkedIncident};
pub use problem::Problem;

use super::{Board, Commander};
use crate::{
    catalogue::Catalogue,
    deliver::{WallClock, alertmanager::PageLinks},
    telemetry::{Metrics, start_at_zero},
};

/// What the operators' API is made from.
pub struct Operators {
    pub board: Arc<Board>,
    pub commands: Commander,
    pub access: Access,
    /// Who owns a key, as last loaded.
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    /// Where alerts and pages point people to.
    pub links: Arc<PageLinks>,
    pub clock: WallClock,
    pub metrics: Arc<Metrics>,
    /// Lag in event time above which `/readyz` says no, in seconds; 0 = lag never counts.
    pub ready_lag_seconds_max: u32,
}

impl Operators {
    /// The routes of `listen`.
    pub fn router(self) -> Router {
        let operators = Arc::new(self);
        let counters = &operators.metrics.serving;
        start_at_zero(&counters.commands, &[&decisions::ACTIONS, &decisions::OUTCOMES]);
        start_at_zero(&counters.operator_requests, &[&access::OUTCOMES]);
        let api = Router::new()
            .route("/incidents", get(incidents::list))
            .route("/incidents/{id}", get(incidents::show))
            .route("/incidents/{id}/page", get(incidents::page))
            .route("/decisions", get(decisions::list))
            .route("/decisions/{action}", post(decisions::command))
            .layer(middleware::from_fn_with_state(operators.clone(), access::guard));
        let guarded = Router::new()
            .route("/incidents", get(pages::list))
            .route("/incidents/{id}", get(pages::show))
            .layer(middleware::from_fn_with_state(operators.clone(), pages::guard));
        Router::new()
            .merge(guarded)
            .route("/", get(pages::index))
            .route("/runbooks", get(pages::runbooks))
            .route("/runbooks/{name}", get(pages::runbook))
            .nest("/api/v1", api)
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(health::ready))
            .fallback(|| async { Problem::not_found("no such path; see docs/http-api.md") })
            .with_state(operators)
    }
}

async fn metrics(operators: axum::extract::State<Arc<Operators>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], operators.metrics.render())
}

#[cfg(test)]
pub(in crate::serve) mod tests;
