//! Envoy's questions over gRPC.
//!
//! The first byte chooses what the rest is: the body of a call, the message in it, or what stands behind a revoked
//! key or is a header before it. Every call is answered with a status that is known; nothing that stands beside a revoked
//! key gets it served; the key is in no answer.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use tower::ServiceExt as _;

use super::{
    CANARY, contains,
    http_question::{RUNTIME, router},
};

const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Of the listener, which a router alone does not have.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A field of a message: its number, and bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).expect("seven bits"));
    [&field, bytes].concat()
}

/// The request that is asked about, within its message: `attributes.request.http`.
fn asked(http: &[u8]) -> Vec<u8> {
    field(1, &field(4, &field(2, http)))
}

fn header(name: &str, value: &str) -> Vec<u8> {
    field(3, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
}

fn raw_header(name: &str, value: &str) -> Vec<u8> {
    field(13, &field(1, &[field(1, name.as_bytes()), field(3, value.as_bytes())].concat()))
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("an input is small").to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// Calls, messages, and parts of them.
pub fn seeds() -> Vec<Vec<u8>> {
    let https = [
        header("x-api-key", CANARY),
        [header(":path", "/v1"), header("authorization", &format!("Bearer {CANARY}"))].concat(),
        [raw_header("x-api-key", CANARY), field(4, b"/v1/orders?api_key=a")].concat(),
        field(4, format!("/v1?api_key={CANARY}").as_bytes()),
        [header("x-api-key", "a,b"), raw_header("X-A", "\u{1}"), field(11, b"body")].concat(),
        Vec::new(),
    ];
    let mut seeds = Vec::new();
    for http in https {
        let message = asked(&http);
        seeds.push([&[0], &framed(&message)[..]].concat());
        for mode in 1..4 {
            seeds.push([&[mode], &message[..]].concat());
        }
    }
    seeds
}

pub fn run(input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else { return };
    let revoked = asked(&header("x-api-key", CANARY));
    let (body, is_revoked) = match mode % 4 {
        0 => (rest.to_vec(), false),
        1 => (framed(rest), false),
        2 => (framed(&[&revoked, rest].concat()), true),
        // As a header of its own: what says that it is longer than it is would take the key in.
        _ => (framed(&asked(&[field(3, rest), header("x-api-key", CANARY)].concat())), true),
    };
    let (status, grpc_status, message) = RUNTIME.with(|runtime| runtime.block_on(call(body)));
    assert_eq!(status, 200, "what gRPC answers over HTTP");
    // OK, and those of a call that failed before its question had come: Unknown, Cancelled, DeadlineExceeded, Unavailable.
    assert!(matches!(grpc_status.as_str(), "" | "0" | "1" | "2" | "4" | "14"), "grpc-status {grpc_status}");
    assert!(!contains(&message, CANARY), "{}", message.escape_ascii());
    match code(&message) {
        // Allowed, denied, throttled.
        Some(code) => assert!(matches!(code, 0 | 7 | 8) && !(is_revoked && code == 0), "code {code}"),
        None => assert!(!grpc_status.is_empty() && grpc_status != "0", "no answer and no error"),
    }
}

async fn call(body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let request = Request::post(PATH).header("content-type", "application/grpc").body(Body::from(body));
    let response = router().oneshot(request.expect("a request")).await.expect("it never fails");
    let (parts, body) = response.into_parts();
    let grpc_status = parts.headers.get("grpc-status").map_or("", |value| value.to_str().expect("a number"));
    let body = to_bytes(body, BODY_BYTES_MAX).await.expect("a small body");
    (parts.status.as_u16(), grpc_status.to_owned(), body.to_vec())
}

/// The code in an answer's status, its first field; `None` = there is no answer.
fn code(body: &[u8]) -> Option<u8> {
    match body.get(5..)? {
        // The status is empty, so that its code is 0.
        [0x0a, 0, ..] => Some(0),
        [0x0a, 2, 0x08, code, ..] => Some(*code),
        other => panic!("no status: {}", other.escape_ascii()),
    }
}
