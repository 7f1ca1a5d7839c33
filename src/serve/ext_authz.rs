//! Envoy's external authorization over gRPC: the same answers as over HTTP, in the messages of
//! `envoy.service.auth.v3.Authorization/Check`.
//!
//! Of Envoy's messages (`envoy/service/auth/v3/external_auth.proto`, `attribute_context.proto`) only the fields that
//! are used are written out here; whatever else comes is passed over.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{self, HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use tokio::{sync::Semaphore, time};
use tonic::{Code, Status, server::UnaryService};
use tonic_prost::ProstCodec;

use super::{
    CheckSettings,
    checks::{Checks, Gateway, MALFORMED, Refusal},
    identity::{is_looked_at, text},
};

/// Where gRPC puts the one method of the service.
pub const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The largest question, in bytes: Envoy's heads of requests have at most 60 KiB unless it is told otherwise, and
/// bodies are not wanted.
const QUESTION_BYTES_MAX: usize = 128 * 1024;
/// How long a question may take to come in: gateways wait for a fraction of it.
const QUESTION_WITHIN: Duration = Duration::from_secs(2);
/// Questions that are coming in at once, so that those that never end take 64 MiB at most.
pub const QUESTIONS_MAX: usize = 512;

/// `google.rpc.Code`.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
/// `HeaderValueOption.HeaderAppendAction`: it takes the place of one that is there.
const OVERWRITE: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Attributes {
    #[prost(message, optional, tag = "4")]
    pub request: Option<Asked>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Asked {
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// The request that Envoy asks about. It holds raw keys, so that it has no form for logs. Envoy's texts are bytes here:
/// what a caller writes need be no UTF-8, and a question must not fail for it.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct HttpRequest {
    /// Values of one name are joined by commas. In Envoy's messages this is a map, which looks the same on the wire.
    #[prost(message, repeated, tag = "3")]
    pub headers: Vec<JoinedHeader>,
    /// With its query.
    #[prost(bytes = "vec", tag = "4")]
    pub path: Vec<u8>,
    /// With `encode_raw_headers`, instead of `headers`.
    #[prost(message, optional, tag = "13")]
    pub header_map: Option<RawHeaders>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct JoinedHeader {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct RawHeaders {
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<Header>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Header {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<RpcStatus>,
    #[prost(message, optional, tag = "2")]
    pub denied_response: Option<Denied>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Denied {
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderOption>,
    #[prost(string, tag = "3")]
    pub body: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct HeaderOption {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(int32, tag = "3")]
    pub append_action: i32,
}

/// Answers a call of [`PATH`]. A question that is too slow, or one too many, is an error, which Envoy takes as it is
/// configured to when nobody answers. One that cannot be understood is refused: whoever asks so is not served for it.
/// `places` are those for questions that are coming in.
pub(super) async fn check(checks: Arc<Checks>, places: Arc<Semaphore>, request: Request) -> Response {
    let response = match answer(&checks, &places, request).await {
        Ok(response) => response,
        Err(status) => {
            checks.unanswered(Gateway::EnvoyGrpc, "failed");
            status.into_http()
        }
    };
    // An answer has its status at its end, behind the message.
    if response.headers().get(Status::GRPC_STATUS).is_none_or(is_of_transport) {
        return response.map(Body::new);
    }
    checks.unanswered(Gateway::EnvoyGrpc, MALFORMED);
    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
    grpc.unary(Malformed, Request::new(Body::from(EMPTY_CALL))).await.map(Body::new)
}

/// Whether a call failed before its question had come.
fn is_of_transport(status: &HeaderValue) -> bool {
    let code = Code::from_bytes(status.as_bytes());
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
}

async fn answer(
    checks: &Arc<Checks>,
    places: &Semaphore,
    request: Request,
) -> Result<http::Response<tonic::body::Body>, Status> {
    let _place = places.try_acquire().map_err(|_| Status::unavailable("too many questions at once"))?;
    let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
        .apply_max_message_size_config(Some(QUESTION_BYTES_MAX), None);
    let answered = time::timeout(QUESTION_WITHIN, grpc.unary(Authorization(checks.clone()), request)).await;
    answered.map_err(|_| Status::deadline_exceeded("the question did not come in time"))
}

/// A message without a field, as gRPC frames it.
const EMPTY_CALL: &[u8] = &[0; 5];

/// Refuses whatever is asked.
struct Malformed;

impl UnaryService<CheckRequest> for Malformed {
    type Response = CheckResponse;
    type Future = Ready<Result<tonic::Response<CheckResponse>, Status>>;

    fn call(&mut self, _: tonic::Request<CheckRequest>) -> Self::Future {
        let refusal = Refusal {
            status: StatusCode::BAD_REQUEST,
            headers: HeaderMap::new(),
            body: "the request could not be checked\n".to_owned(),
        };
        ready(Ok(tonic::Response::new(refused(refusal))))
    }
}

struct Authorization(Arc<Checks>);

impl UnaryService<CheckRequest> for Authorization {
    type Response = CheckResponse;
    type Future = Ready<Result<tonic::Response<CheckResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let asked = request.into_inner().attributes.and_then(|attributes| attributes.request);
        let http = asked.and_then(|asked| asked.http).unwrap_or_default();
        let path = text(&http.path);
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let refusal = self.0.answer(Gateway::EnvoyGrpc, &headers(&self.0.settings, &http), query);
        ready(Ok(tonic::Response::new(refusal.map_or_else(served, refused))))
    }
}

/// The headers that are looked at.
fn headers(settings: &CheckSettings, http: &HttpRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let joined = http.headers.iter().map(|header| (&header.name, &header.value));
    let raw = http.header_map.iter().flat_map(|map| &map.headers).map(|header| {
        (&header.key, if header.raw_value.is_empty() { &header.value } else { &header.raw_value })
    });
    for (name, value) in joined.chain(raw) {
        let Ok(name) = HeaderName::from_bytes(name) else { continue };
        if !is_looked_at(settings, name.as_str()) {
            continue;
        }
        // As over HTTP/1.1, a byte that no header may have spoils its own place only.
        let allowed = |byte: &u8| if matches!(byte, 0..=0x08 | 0x0a..=0x1f | 0x7f) { 0xff } else { *byte };
        let value: Vec<u8> = value.iter().map(allowed).collect();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            // A question is too small to hold more of them than a map takes.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

fn served() -> CheckResponse {
    CheckResponse { status: Some(RpcStatus { code: OK }), denied_response: None }
}

fn refused(refusal: Refusal) -> CheckResponse {
    let code = match refusal.status {
        StatusCode::TOO_MANY_REQUESTS => RESOURCE_EXHAUSTED,
        _ => PERMISSION_DENIED,
    };
    let option = |(name, value): (&HeaderName, &HeaderValue)| HeaderOption {
        header: Some(Header {
            key: name.as_str().into(),
            value: value.as_bytes().into(),
            raw_value: Vec::new(),
        }),
        append_action: OVERWRITE,
    };
    CheckResponse {
        status: Some(RpcStatus { code }),
        denied_response: Some(Denied {
            status: Some(HttpStatus { code: i32::from(refusal.status.as_u16()) }),
            headers: refusal.headers.iter().map(option).collect(),
            body: refusal.body,
        }),
    }
}

#[cfg(test)]
#[path = "ext_authz_tests.rs"]
pub(super) mod tests;
