//! The listener that gateways ask, before they serve a request.
//!
//! | Path | For | Serve | Slow down | Refuse |
//! |---|---|---|---|---|
//! | `/check`, `/check/…` | any gateway that passes 4xx through | 200 | 429 | 403 |
//! | `/envoy/…`, `/traefik`, `/caddy` | the same, told apart in metrics | 200 | 429 | 403 |
//! | `/nginx` | nginx' `auth_request`, which knows 2xx, 401 and 403 only | 200 | 401 | 403 |
//! | `/envoy.service.auth.v3.Authorization/Check` | Envoy over gRPC, see [`super::ext_authz`] | OK | 429 | 403 |
//!
//! A refusal names the decision's id and step, and when to come back; not why: the caller may be the thief. No body
//! is read, no lock is held across an answer, and whatever cannot be understood is served: a gateway's own checks
//! come before and after this one.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing::{any, post},
};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::{CheckSettings, Decisions, Verdict, ext_authz, identity::key_ids, table::InForce};
use crate::{
    decode::{DECISION_HEADER, Pepper},
    deliver::{WallClock, WallTime},
    respond::Mode,
    telemetry::{Metrics, start_at_zero},
};

/// Says in a refusal that it is ours, and which step. Log it at the gateway, and ours are told from others.
const DECISION: HeaderName = HeaderName::from_static(DECISION_HEADER);
const DECISION_ID: HeaderName = HeaderName::from_static("x-keyhound-decision-id");

/// What the answers are made from.
pub struct Checks {
    pub decisions: Arc<Decisions>,
    pub settings: CheckSettings,
    /// What raw keys become key ids under.
    pub pepper: Arc<Pepper>,
    pub clock: WallClock,
    pub metrics: Arc<Metrics>,
}

/// How a gateway asks, and so what it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    Generic,
    Envoy,
    EnvoyGrpc,
    Traefik,
    Caddy,
    Nginx,
}

impl Gateway {
    const ALL: [Self; 6] =
        [Self::Generic, Self::Envoy, Self::EnvoyGrpc, Self::Traefik, Self::Caddy, Self::Nginx];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Envoy => "envoy",
            Self::EnvoyGrpc => "envoy_grpc",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Nginx => "nginx",
        }
    }

    /// nginx turns every status but 2xx, 401 and 403 into a 500.
    const fn slow_down(self) -> StatusCode {
        match self {
            Self::Nginx => StatusCode::UNAUTHORIZED,
            _ => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// What can come of a check.
const OUTCOMES: [&str; 10] = [
    "allowed",
    "no_key",
    "within_rate",
    "throttled",
    "refused",
    "unjudged",
    "shadow_served",
    "shadow_throttled",
    "shadow_refused",
    "failed",
];

/// The body of a refusal.
#[derive(Serialize)]
struct Body<'a> {
    decision: &'static str,
    id: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    until: String,
}

/// What a caller that is not served is told.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// JSON.
    pub body: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

impl Checks {
    /// The routes of `gateways_listen`.
    pub fn router(self) -> Router {
        let checks = Arc::new(self);
        let gateways = Gateway::ALL.map(Gateway::as_str);
        start_at_zero(&checks.metrics.serving.checks, &[&gateways, &OUTCOMES]);
        let mut router = Router::new().route("/healthz", any(|| async { "ok\n" }));
        for (path, gateway) in [
            ("/check", Gateway::Generic),
            ("/envoy", Gateway::Envoy),
            ("/traefik", Gateway::Traefik),
            ("/caddy", Gateway::Caddy),
            ("/nginx", Gateway::Nginx),
        ] {
            let answer = move |State(checks): State<Arc<Checks>>, request: Request| async move {
                let query = request.uri().query().unwrap_or_default();
                match checks.answer(gateway, request.headers(), query) {
                    Some(refusal) => refusal.into_response(),
                    None => StatusCode::OK.into_response(),
                }
            };
            // The path that was asked for follows: Envoy appends it, with whatever it holds.
            let below = format!("{path}/{{*rest}}");
            let slash = format!("{path}/");
            router = router.route(path, any(answer)).route(&slash, any(answer)).route(&below, any(answer));
        }
        let places = Arc::new(Semaphore::new(ext_authz::QUESTIONS_MAX));
        let call = move |State(checks): State<Arc<Checks>>, request: Request| {
            ext_authz::check(checks, places.clone(), request)
        };
        router.route(ext_authz::PATH, post(call)).with_state(checks)
    }

    /// Counts a question that could not be answered.
    pub(super) fn failed(&self, gateway: Gateway) {
        self.metrics.serving.checks.with_label_values(&[gateway.as_str(), "failed"]).inc();
    }

    /// The refusal of a request with these headers and this query; `None` = it is served.
    pub(super) fn answer(&self, gateway: Gateway, headers: &HeaderMap, query: &str) -> Option<Refusal> {
        let timer = self.metrics.serving.check_seconds.start_timer();
        let now = self.clock.now();
        let keys = key_ids(&self.settings, &self.pepper, headers, query);
        let verdicts = keys.iter().map(|key| self.decisions.check(key, now));
        let hardest = verdicts.max_by_key(hardness);
        let (outcome, refusal) = match hardest {
            None => ("no_key", None),
            Some(verdict) => reply(gateway, &verdict, now),
        };
        self.metrics.serving.checks.with_label_values(&[gateway.as_str(), outcome]).inc();
        timer.observe_duration();
        refusal
    }
}

/// What is only shadowed never hides what is enforced.
fn hardness(verdict: &Verdict) -> (bool, u8) {
    let enforced = |found: &InForce| found.mode == Mode::Enforce;
    match verdict {
        Verdict::Allowed => (false, 0),
        Verdict::WithinRate(found) => (enforced(found), 1),
        Verdict::Unjudged(found) => (enforced(found), 2),
        Verdict::Throttled(found, _) => (enforced(found), 3),
        Verdict::Refused(found) => (enforced(found), 4),
    }
}

fn reply(gateway: Gateway, verdict: &Verdict, now: WallTime) -> (&'static str, Option<Refusal>) {
    match verdict {
        Verdict::Allowed => ("allowed", None),
        Verdict::Throttled(found, _) if found.mode == Mode::Shadow => ("shadow_throttled", None),
        Verdict::Refused(found) if found.mode == Mode::Shadow => ("shadow_refused", None),
        Verdict::WithinRate(found) | Verdict::Unjudged(found) if found.mode == Mode::Shadow => {
            ("shadow_served", None)
        }
        Verdict::WithinRate(_) => ("within_rate", None),
        Verdict::Unjudged(_) => ("unjudged", None),
        Verdict::Throttled(found, wait) => {
            // Never beyond the decision's end, and at least a second: that is Retry-After's unit.
            let wait = (*wait).min(found.expires_at.since(now)).max(Duration::from_secs(1));
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let reason =
                "this API key is limited to a rate for now; quote the id to the operator of this API";
            ("throttled", Some(refusal(gateway.slow_down(), found, reason, Some(seconds))))
        }
        Verdict::Refused(found) => {
            let reason = "this API key is not served; quote the id to the operator of this API";
            ("refused", Some(refusal(StatusCode::FORBIDDEN, found, reason, None)))
        }
    }
}

fn refusal(status: StatusCode, found: &InForce, reason: &'static str, retry_after: Option<u64>) -> Refusal {
    let body = Body {
        decision: found.step.as_str(),
        id: &found.id.0,
        reason,
        retry_after_seconds: retry_after,
        until: found.expires_at.rfc3339(),
    };
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(DECISION, HeaderValue::from_static(found.step.as_str()));
    if let Ok(id) = HeaderValue::from_str(&found.id.0) {
        headers.insert(DECISION_ID, id);
    }
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    // Texts and a number: it cannot fail to serialize.
    Refusal { status, headers, body: serde_json::to_string(&body).unwrap_or_default() }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
pub(super) mod tests;
