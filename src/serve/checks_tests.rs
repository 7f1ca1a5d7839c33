//! Tests of the answers to gateways, through the real router.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method},
};
use tower::ServiceExt;

use super::*;
use crate::{
    respond::{Decision, Step},
    serve::{
        ServeSettings,
        identity::tests::pepper,
        table::tests::{NOW, decision},
    },
};

/// A raw key whose appearance anywhere is a failure.
const CANARY: &str = "sk_live_CANARY_4711";

struct Asked {
    status: u16,
    headers: HeaderMap,
    body: String,
    metrics: Arc<Metrics>,
}

/// Checks at [`NOW`], with `decision` in force on this raw key.
pub(in crate::serve) fn checks_of(decision: Option<Decision>, key: &str) -> Checks {
    let decisions = Arc::new(Decisions::new(10));
    let settings = ServeSettings::default().checks;
    if let Some(mut decision) = decision {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", key.parse().unwrap());
        decision.subject.id = key_ids(&settings, &pepper(), &headers, "").unwrap()[0].to_string();
        decisions.apply(&decision, NOW, NOW);
    }
    let clock = WallClock::from_fn(|| NOW);
    let metrics = Arc::new(Metrics::new("test", ""));
    Checks { decisions, settings, pepper: Arc::new(pepper()), clock, metrics }
}

/// Asks `path` with the canary key, while `decision` is in force on it.
async fn ask(decision: Option<Decision>, method: Method, path: &str) -> Asked {
    let checks = checks_of(decision, CANARY);
    let metrics = checks.metrics.clone();
    let request = axum::http::Request::builder().method(method).uri(path).header("X-Api-Key", CANARY);
    let router = checks.router();
    let series = metrics.series("keyhound_checks_total");
    let response = router.oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
    assert_eq!(metrics.series("keyhound_checks_total"), series, "an outcome that did not start at 0");
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let shown = format!("{:?} {body} {}", parts.headers, metrics.render());
    assert!(!shown.contains(CANARY), "{shown}");
    Asked { status: parts.status.as_u16(), headers: parts.headers, body, metrics }
}

fn throttle_to(rate: f64) -> Decision {
    let mut throttle = decision(1, 1, Step::Throttle);
    throttle.rate = Some(crate::respond::Rate { known: rate, unknown: rate });
    throttle
}

#[tokio::test]
async fn a_key_without_a_decision_is_served_on_every_path_and_method() {
    for path in ["/check", "/check/", "/check/v1/orders/42?x=1", "/envoy/v1", "/traefik", "/caddy", "/nginx"]
    {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS] {
            assert_eq!(ask(None, method.clone(), path).await.status, 200, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_throttled_key_is_told_when_to_come_back() {
    let asked = ask(Some(throttle_to(0.0)), Method::GET, "/check/v1/orders").await;
    assert_eq!(asked.status, 429);
    assert_eq!(asked.headers["x-keyhound-decision"], "throttle");
    assert_eq!(asked.headers["x-keyhound-decision-id"], "dec_1_1");
    assert_eq!(asked.headers["retry-after"], "60");
    let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!((&body["decision"], &body["id"]), (&"throttle".into(), &"dec_1_1".into()));
    assert!(!asked.body.contains("Used far more"), "the evidence is not for the caller: {}", asked.body);
    assert_eq!(asked.metrics.serving.checks.with_label_values(&["generic", "throttled"]).get(), 1);
}

#[tokio::test]
async fn nginx_is_answered_in_the_three_statuses_that_it_knows() {
    let asked = ask(Some(throttle_to(0.0)), Method::GET, "/nginx").await;
    assert_eq!(
        (asked.status, &asked.headers["x-keyhound-decision"]),
        (401, &HeaderValue::from_static("throttle"))
    );
    assert_eq!(asked.headers["retry-after"], "60");
    assert_eq!(ask(Some(decision(1, 1, Step::Revoke)), Method::GET, "/nginx").await.status, 403);
    assert_eq!(ask(Some(throttle_to(5.0)), Method::GET, "/nginx").await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_is_refused_without_a_time_to_come_back() {
    let asked = ask(Some(decision(1, 1, Step::Revoke)), Method::POST, "/envoy/v1/orders").await;
    assert_eq!(asked.status, 403);
    assert_eq!(asked.headers["x-keyhound-decision"], "revoke");
    assert!(!asked.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn shadow_mode_is_counted_and_never_seen() {
    for step in [Step::Revoke, Step::Throttle] {
        let mut shadow = decision(1, 1, step);
        shadow.mode = Mode::Shadow;
        shadow.rate = Some(crate::respond::Rate { known: 0.0, unknown: 0.0 });
        let asked = ask(Some(shadow), Method::GET, "/check").await;
        assert_eq!((asked.status, asked.body.as_str()), (200, ""));
        assert!(!asked.headers.keys().any(|name| name.as_str().starts_with("x-keyhound")));
        let outcome = if step == Step::Revoke { "shadow_refused" } else { "shadow_throttled" };
        assert_eq!(asked.metrics.serving.checks.with_label_values(&["generic", outcome]).get(), 1);
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_a_check() {
    assert_eq!(ask(None, Method::GET, "/checks").await.status, 404);
}

#[tokio::test]
async fn a_throttle_is_kept_by_a_gateway_that_shows_the_key_and_its_id() {
    let mut throttle = throttle_to(5.0);
    let credential = crate::decode::credential_fingerprint(&pepper(), "edge", "cred-1");
    throttle.subject.aliases = vec![credential.to_string()];
    let mut checks = checks_of(Some(throttle), CANARY);
    checks.settings.credential_headers =
        vec![(HeaderName::from_static("x-credential-id"), "edge".to_owned())];
    let served = |a_second: u64| {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", CANARY.parse().unwrap());
        headers.insert("x-credential-id", "cred-1".parse().unwrap());
        let answers = (0..a_second * 60).map(|n| {
            let now = WallTime(NOW.0 + 20_000 * a_second + n * 1_000 / a_second);
            checks.answer_at(Gateway::Nginx, &headers, "", now).is_none()
        });
        answers.filter(|served| *served).count()
    };
    assert_eq!(served(5), 300, "the rate that is allowed");
    assert_eq!(served(50), 304, "ten times of it, with one burst");
}

#[tokio::test]
async fn what_is_no_check_is_counted() {
    let asked = ask(None, Method::GET, "/checks").await;
    assert_eq!(asked.metrics.serving.checks.with_label_values(&["unknown", "malformed"]).get(), 1);
}

#[tokio::test]
async fn several_keys_are_refused_without_a_decision_where_that_is_wanted() {
    let mut checks = checks_of(None, CANARY);
    checks.settings.duplicate_keys = crate::serve::settings::DuplicateKeys::Refuse;
    let mut headers = HeaderMap::new();
    headers.append("x-api-key", CANARY.parse().unwrap());
    assert!(checks.answer(Gateway::Nginx, &headers, "").is_none());
    headers.append("x-api-key", "another".parse().unwrap());
    for (gateway, status) in [(Gateway::Nginx, 403), (Gateway::Caddy, 400)] {
        let refusal = checks.answer(gateway, &headers, "").unwrap();
        assert_eq!(refusal.status.as_u16(), status);
        assert!(!refusal.headers.contains_key("x-keyhound-decision"), "no decision made it");
        assert_eq!(
            checks.metrics.serving.checks.with_label_values(&[gateway.as_str(), "ambiguous"]).get(),
            1
        );
    }
}
