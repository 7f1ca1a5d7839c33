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
//! is read and no lock is held across an answer. What cannot be understood is refused with 4xx and counted: were it
//! served, whoever asks so would pass. No answer is 5xx, which gateways take for none.

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

use super::{
    CheckSettings, Decisions, Verdict, ext_authz,
    identity::{Unclear, key_ids},
    table::InForce,
};
use crate::{
    decode::{DECISION_HEADER, Pepper},
    deliver::{WallClock, WallTime},
    respond::Mode,
    telemetry::{Metrics, start_at_zero},
};

/// Says in a refusal that it is ours, and which step. Log it at the gateway, and ours are told from others.
const DECISION: HeaderName = HeaderName::from_static(DECISION_HEADER);
const DECISION_ID: HeaderName = HeaderName::from_static("x-keyhound-decision-id");
/// The gateway of a question that does not say, or not so that it can be read.
pub(super) const UNKNOWN: &str = "unknown";
/// The outcome of a question that shows several keys, where that is refused.
const AMBIGUOUS: &str = "ambiguous";
/// The outcome of a question that cannot be understood. It is answered 4xx, so that nobody is served for asking so.
pub(super) const MALFORMED: &str = "malformed";

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
    /// The question does not say, or not so that it can be read.
    Unknown,
}

impl Gateway {
    const ALL: [Self; 7] =
        [Self::Generic, Self::Envoy, Self::EnvoyGrpc, Self::Traefik, Self::Caddy, Self::Nginx, Self::Unknown];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Envoy => "envoy",
            Self::EnvoyGrpc => "envoy_grpc",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Nginx => "nginx",
            Self::Unknown => UNKNOWN,
        }
    }

    /// nginx turns every status but 2xx, 401 and 403 into a 500.
    const fn slow_down(self) -> StatusCode {
        match self {
            Self::Nginx => StatusCode::UNAUTHORIZED,
            _ => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    const fn not_understood(self) -> StatusCode {
        match self {
            Self::Nginx => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What can come of a check.
const OUTCOMES: [&str; 12] = [
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
    AMBIGUOUS,
    MALFORMED,
];

/// The body of a refusal by a decision.
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

impl Refusal {
    /// Of a question that is not answered by a decision, and so has none to name.
    fn of_unclear(gateway: Gateway, unclear: Unclear) -> Self {
        let body = match unclear {
            Unclear::TooMany => r#"{"error":"the request shows too many API keys"}"#,
            Unclear::Ambiguous => r#"{"error":"the request shows more than one API key"}"#,
        };
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status: gateway.not_understood(), headers, body: body.to_owned() }
    }
}

impl Unclear {
    /// The outcome in metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => MALFORMED,
            Self::Ambiguous => AMBIGUOUS,
        }
    }
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
        let unknown = |State(checks): State<Arc<Checks>>| async move {
            checks.unanswered(Gateway::Unknown, MALFORMED);
            StatusCode::NOT_FOUND
        };
        router.route(ext_authz::PATH, post(call)).fallback(unknown).with_state(checks)
    }

    /// Counts a question that could not be answered by a decision.
    pub(super) fn unanswered(&self, gateway: Gateway, outcome: &'static str) {
        self.metrics.serving.checks.with_label_values(&[gateway.as_str(), outcome]).inc();
    }

    /// The refusal of a request with these headers and this query; `None` = it is served.
    pub(super) fn answer(&self, gateway: Gateway, headers: &HeaderMap, query: &str) -> Option<Refusal> {
        let timer = self.metrics.serving.check_seconds.start_timer();
        let refusal = self.answer_at(gateway, headers, query, self.clock.now());
        timer.observe_duration();
        refusal
    }

    fn answer_at(
        &self,
        gateway: Gateway,
        headers: &HeaderMap,
        query: &str,
        now: WallTime,
    ) -> Option<Refusal> {
        let (outcome, refusal) = match key_ids(&self.settings, &self.pepper, headers, query) {
            Err(unclear) => (unclear.as_str(), Some(Refusal::of_unclear(gateway, unclear))),
            Ok(keys) => match self.decisions.check(&keys, now).into_iter().max_by_key(hardness) {
                None if keys.is_empty() => ("no_key", None),
                None => ("allowed", None),
                Some(verdict) => reply(gateway, &verdict, now),
            },
        };
        self.metrics.serving.checks.with_label_values(&[gateway.as_str(), outcome]).inc();
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
