//! Tests of the answers over gRPC, through the real router.

use axum::body::{Body, to_bytes};
use prost::Message as _;
use tower::ServiceExt as _;

use super::*;
use crate::{
    respond::{Decision, Mode, Rate, Step},
    serve::{checks::tests::checks_of, table::tests::decision},
    telemetry::Metrics,
};

/// A raw key whose appearance anywhere is a failure.
const CANARY: &str = "sk_live_CANARY_0815";

/// What came back: the message if there was one, the gRPC status, and the metrics.
struct Answered {
    message: Option<CheckResponse>,
    grpc_status: String,
    metrics: Arc<Metrics>,
}

/// Sends these bytes as a call of the method, with `decision` in force on the canary key.
async fn call(decision: Option<Decision>, bytes: Vec<u8>) -> Answered {
    let checks = checks_of(decision, CANARY);
    let metrics = checks.metrics.clone();
    let request = axum::http::Request::post(PATH).header("content-type", "application/grpc");
    let response = checks.router().oneshot(request.body(Body::from(framed(&bytes))).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let collected = to_bytes(body, 1 << 20).await.unwrap();
    let shown = format!("{parts:?} {} {}", String::from_utf8_lossy(&collected), metrics.render());
    assert!(!shown.contains(CANARY), "{shown}");
    let grpc_status = parts.headers.get("grpc-status").map_or("", |value| value.to_str().unwrap());
    let message = collected.get(5..).map(|bytes| CheckResponse::decode(bytes).unwrap());
    Answered { message, grpc_status: grpc_status.to_owned(), metrics }
}

/// A message of gRPC: not compressed, its length, itself.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0][..], &length, bytes].concat()
}

fn joined(name: &str, value: &str) -> JoinedHeader {
    JoinedHeader { name: name.into(), value: value.into() }
}

fn encoded(http: HttpRequest) -> Vec<u8> {
    let request = CheckRequest { attributes: Some(Attributes { request: Some(Asked { http: Some(http) }) }) };
    request.encode_to_vec()
}

/// The body of a call that asks about a request with these headers.
pub(in crate::serve) fn question(headers: &[(&str, String)], path: &str) -> Vec<u8> {
    let headers = headers.iter().map(|(name, value)| joined(name, value)).collect();
    framed(&encoded(HttpRequest { headers, path: path.into(), header_map: None }))
}

async fn ask(decision: Option<Decision>, http: HttpRequest) -> Answered {
    call(decision, encoded(http)).await
}

fn with_header(value: &str) -> HttpRequest {
    let headers = vec![joined(":path", "/v1"), joined("x-api-key", value)];
    HttpRequest { headers, ..HttpRequest::default() }
}

/// The code of the call, the status that the caller gets, and how often each outcome was counted.
fn said(answered: &Answered) -> (i32, Option<i32>) {
    let message = answered.message.as_ref().expect("a message");
    let code = message.status.as_ref().expect("a status").code;
    (
        code,
        message.denied_response.as_ref().and_then(|denied| denied.status.as_ref()).map(|status| status.code),
    )
}

fn throttle() -> Decision {
    let mut throttle = decision(1, 1, Step::Throttle);
    throttle.rate = Some(Rate { known: 0.0, unknown: 0.0 });
    throttle
}

#[tokio::test]
async fn a_key_without_a_decision_and_a_request_without_a_key_are_served() {
    let answered = ask(None, with_header(CANARY)).await;
    assert_eq!(said(&answered), (OK, None));
    assert_eq!(answered.metrics.serving.checks.with_label_values(&["envoy_grpc", "allowed"]).get(), 1);
    let answered = ask(Some(throttle()), HttpRequest::default()).await;
    assert_eq!(said(&answered), (OK, None));
    assert_eq!(answered.metrics.serving.checks.with_label_values(&["envoy_grpc", "no_key"]).get(), 1);
    assert_eq!(said(&call(Some(throttle()), Vec::new()).await), (OK, None), "a question without any field");
}

#[tokio::test]
async fn a_throttled_key_is_told_when_to_come_back_and_a_revoked_one_is_not() {
    let answered = ask(Some(throttle()), with_header(CANARY)).await;
    assert_eq!(said(&answered), (RESOURCE_EXHAUSTED, Some(429)));
    let denied = answered.message.unwrap().denied_response.unwrap();
    let header = |name: &str| {
        let mut headers = denied.headers.iter().filter_map(|option| option.header.as_ref());
        let found = headers.find(|header| header.key == name.as_bytes());
        found.map(|header| String::from_utf8(header.value.clone()).unwrap())
    };
    assert_eq!(header("x-keyhound-decision").as_deref(), Some("throttle"));
    assert_eq!(header("x-keyhound-decision-id").as_deref(), Some("dec_1_1"));
    assert_eq!(header("retry-after").as_deref(), Some("60"));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
    assert_eq!(body["retry_after_seconds"], 60);

    let answered = ask(Some(decision(1, 1, Step::Revoke)), with_header(CANARY)).await;
    assert_eq!(said(&answered), (PERMISSION_DENIED, Some(403)));
    assert_eq!(answered.metrics.serving.checks.with_label_values(&["envoy_grpc", "refused"]).get(), 1);
}

#[tokio::test]
async fn shadow_mode_is_counted_and_never_seen() {
    let shadow = Decision { mode: Mode::Shadow, ..decision(1, 1, Step::Revoke) };
    let answered = ask(Some(shadow), with_header(CANARY)).await;
    assert_eq!(said(&answered), (OK, None));
    assert_eq!(answered.metrics.serving.checks.with_label_values(&["envoy_grpc", "shadow_refused"]).get(), 1);
}

#[tokio::test]
async fn the_key_is_found_wherever_envoy_puts_it() {
    let revoke = || Some(decision(1, 1, Step::Revoke));
    let raw = |key: &str, value: &str, raw_value: &str| Header {
        key: key.into(),
        value: value.into(),
        raw_value: raw_value.into(),
    };
    let raw_headers = |header| HttpRequest {
        header_map: Some(RawHeaders { headers: vec![raw(":path", "", "/v1"), header] }),
        ..HttpRequest::default()
    };
    let in_query =
        HttpRequest { path: format!("/v1/o?x=1&api_key={CANARY}").into(), ..HttpRequest::default() };
    for http in [
        with_header(&format!("Bearer {CANARY}")),
        // A second key, before or after, does not hide the first.
        with_header(&format!("another,{CANARY}")),
        with_header(&format!("{CANARY}, another")),
        in_query,
        raw_headers(raw("x-api-key", "", CANARY)),
        raw_headers(raw("x-api-key", CANARY, "")),
    ] {
        let shown = format!("{:?}", http.encode_to_vec().escape_ascii().to_string());
        assert_eq!(said(&ask(revoke(), http).await), (PERMISSION_DENIED, Some(403)), "{shown}");
    }
    assert_eq!(said(&ask(revoke(), with_header("another")).await), (OK, None));
}

#[tokio::test]
async fn no_number_of_other_keys_hides_one_that_an_upstream_may_take() {
    let revoke = || Some(decision(1, 1, Step::Revoke));
    let commas = ",".repeat(5_000);
    let others: Vec<String> = (0..3_000).map(|n| format!("other{n}")).collect();
    let others = others.join(",");
    for value in [format!("{commas}{CANARY}"), format!("{CANARY}{commas}")] {
        let answered = ask(revoke(), with_header(&value)).await;
        assert_eq!(said(&answered), (PERMISSION_DENIED, Some(403)), "nothing between commas is no value");
    }
    for value in [format!("{others},{CANARY}"), format!("{CANARY},{others}")] {
        let answered = ask(revoke(), with_header(&value)).await;
        assert_eq!(said(&answered), (PERMISSION_DENIED, Some(400)), "too many to look at");
    }
    // Of another name as many as there may be, before and after.
    let header =
        |key: &str, value: String| Header { key: key.into(), value: value.into(), raw_value: Vec::new() };
    let junk = || (0..500).map(|n| header("authorization", format!("other{n}")));
    let asked = junk().chain([header("x-api-key", CANARY.to_owned())]).chain(junk()).collect();
    let http = HttpRequest { header_map: Some(RawHeaders { headers: asked }), ..HttpRequest::default() };
    assert_eq!(said(&ask(revoke(), http).await), (PERMISSION_DENIED, Some(403)));
}

#[tokio::test]
async fn a_question_that_does_not_end_is_given_up_and_too_many_at_once_are_turned_away() {
    let (checks, places) = (Arc::new(checks_of(None, CANARY)), Arc::new(Semaphore::new(1)));
    tokio::time::pause();
    let endless = || {
        let request = Request::post(PATH).header("content-type", "application/grpc");
        let body = Body::new(Endless);
        check(checks.clone(), places.clone(), request.body(body).unwrap())
    };
    let status = |response: &Response| response.headers()["grpc-status"].to_str().unwrap().to_owned();
    let started = time::Instant::now();
    let (first, second) = tokio::join!(endless(), endless());
    assert_eq!((status(&first), status(&second)), ("4".to_owned(), "14".to_owned()));
    assert!(started.elapsed() >= QUESTION_WITHIN && started.elapsed() < QUESTION_WITHIN * 2);
    assert_eq!(checks.metrics.serving.checks.with_label_values(&["envoy_grpc", "failed"]).get(), 2);
    assert_eq!(places.available_permits(), 1);
}

/// A body of which nothing ever comes.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_byte_that_is_in_no_text_hides_no_key_behind_it() {
    let revoke = || Some(decision(1, 1, Step::Revoke));
    let junk: Vec<u8> = (0..=u8::MAX).collect();
    let with_key = [&junk[..], b"?api_key=", CANARY.as_bytes(), b"&x=", &junk].concat();
    let in_path = HttpRequest { path: with_key, ..HttpRequest::default() };
    let header = |name: &[u8], value: &[u8]| JoinedHeader { name: name.into(), value: value.into() };
    let headers =
        vec![header(b"x-api-key", CANARY.as_bytes()), header(b"user-agent", &junk), header(&junk, &junk)];
    let in_headers = HttpRequest { headers, ..HttpRequest::default() };
    for http in [in_path, in_headers] {
        assert_eq!(said(&ask(revoke(), http).await), (PERMISSION_DENIED, Some(403)));
    }
    for byte in 0..=u8::MAX {
        let value = [&[byte][..], CANARY.as_bytes(), &[byte]].concat();
        let http = HttpRequest { headers: vec![header(b"x-api-key", &value)], ..HttpRequest::default() };
        let is_of_a_key = byte.is_ascii_graphic() && byte != b',';
        let expected = if is_of_a_key { (OK, None) } else { (PERMISSION_DENIED, Some(403)) };
        assert_eq!(said(&ask(revoke(), http).await), expected, "{byte:#04x}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_a_large_one_too_and_both_are_counted() {
    let large = HttpRequest { path: vec![b'/'; QUESTION_BYTES_MAX + 1], ..HttpRequest::default() };
    for answered in [call(None, b"\x0a\xffnot a message".to_vec()).await, ask(None, large).await] {
        assert_eq!(said(&answered), (PERMISSION_DENIED, Some(400)));
        assert_eq!(answered.grpc_status, "", "Envoy serves what fails with an error of gRPC");
        assert_eq!(answered.metrics.serving.checks.with_label_values(&["envoy_grpc", MALFORMED]).get(), 1);
    }
}
