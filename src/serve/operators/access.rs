//! Who may use the operators' API.
//!
//! With a token: whoever shows it, from wherever. Without one, the listener is on loopback, and what has to be kept
//! out is a web page in the operator's own browser: a foreign `Host` (DNS rebinding) is refused, and a POST must have
//! a header that no page can send across sites without being asked first, which is never allowed. The pages for people
//! only read, and take the token as the password of HTTP Basic too: a browser has no other way to show it.

use std::{fs, io, net::IpAddr, path::Path, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, Method, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, HOST},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Operators, Problem};

/// The least length of a token, in bytes.
const TOKEN_BYTES_MIN: usize = 16;
/// Says that a POST comes from a program.
const BY_PROGRAM: &str = "x-keyhound-request";

/// Who is let in. Holds the hash of the token, not the token.
#[derive(Clone)]
pub struct Access {
    token: Option<[u8; 32]>,
    hosts: Vec<String>,
}

/// Why the token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("serve.token_file {path} cannot be read: {source}", path = path.display())]
    Read { path: std::path::PathBuf, source: io::Error },
    #[error(
        "serve.token_file {path} holds {bytes} bytes, at least {TOKEN_BYTES_MIN} are needed \
         (head -c 32 /dev/urandom | base64)", path = path.display()
    )]
    Short { path: std::path::PathBuf, bytes: usize },
}

impl Access {
    /// Without a token, for a loopback listener. `hosts` are names by which it may be called, besides loopback's.
    pub fn local(hosts: Vec<String>) -> Self {
        Self { token: None, hosts }
    }

    /// For whoever shows the token in `file`.
    pub fn token_file(file: &Path) -> Result<Self, TokenError> {
        let path = || file.to_owned();
        let text = fs::read_to_string(file).map_err(|source| TokenError::Read { path: path(), source })?;
        let token = zeroize::Zeroizing::new(text);
        let trimmed = token.trim();
        if trimmed.len() < TOKEN_BYTES_MIN {
            return Err(TokenError::Short { path: path(), bytes: trimmed.len() });
        }
        Ok(Self { token: Some(Sha256::digest(trimmed).into()), hosts: Vec::new() })
    }

    /// The hash of the token, where there is one.
    pub const fn token_hash(&self) -> Option<&[u8; 32]> {
        self.token.as_ref()
    }

    /// Whether a browser may read the pages for people.
    pub(super) fn check_page(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return self.check_host(headers) };
        let shown = bearer(headers).map(<[u8]>::to_vec).or_else(|| password(headers)).unwrap_or_default();
        check_token(
            token,
            &shown,
            "open the link of an alert (it opens its page for a week), or give any user name with the token of \
             serve.token_file as password",
        )
    }

    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        match &self.token {
            Some(token) => check_token(
                token,
                bearer(headers).unwrap_or_default(),
                "show the token of serve.token_file as Authorization: Bearer (keyhound … --token-file FILE)",
            )?,
            None => self.check_host(headers)?,
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if reads || is_program(headers) {
            return Ok(());
        }
        let detail = "send Content-Type: application/json, or the header X-Keyhound-Request: 1";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(without_port);
        let known = host.as_ref().is_some_and(|host| {
            host == "localhost"
                || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
                || self.hosts.contains(host)
        });
        if known {
            return Ok(());
        }
        let detail = "the Host header names neither loopback nor one of serve.allowed_hosts";
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
    }
}

/// Compares hashes in constant time, so that neither length nor content of the token shows.
fn check_token(token: &[u8; 32], shown: &[u8], detail: &str) -> Result<(), Problem> {
    let hash: [u8; 32] = Sha256::digest(shown).into();
    if bool::from(hash.ct_eq(token)) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    of_scheme(headers, b"bearer ")
}

/// The password of HTTP Basic (RFC 7617).
fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let shown = STANDARD.decode(of_scheme(headers, b"basic ")?).ok()?;
    let colon = shown.iter().position(|byte| *byte == b':')?;
    Some(shown[colon + 1..].to_vec())
}

fn of_scheme<'h>(headers: &'h HeaderMap, scheme: &[u8]) -> Option<&'h [u8]> {
    let (shown, rest) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(scheme.len())?;
    shown.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}

fn is_program(headers: &HeaderMap) -> bool {
    let is_json = |value: &axum::http::HeaderValue| {
        let media = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        media.trim_ascii().eq_ignore_ascii_case(b"application/json")
    };
    headers.get(BY_PROGRAM).is_some_and(|value| value == "1")
        || headers.get(CONTENT_TYPE).is_some_and(is_json)
}

/// The name of a `Host` header in lower case: without a port, and without the brackets of an IPv6 address.
fn without_port(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.to_ascii_lowercase()
}

/// What can come of a request, as metrics name it.
pub(super) const OUTCOMES: [&str; 4] = ["ok", "refused", "failed", "denied"];

/// Lets a request through, or answers it.
pub(super) async fn guard(State(operators): State<Arc<Operators>>, request: Request, next: Next) -> Response {
    let may = operators.access.check(request.method(), request.headers());
    answered(&operators, may, request, next, IntoResponse::into_response).await
}

/// The answer to a request that may be served, or to one that may not: counted.
pub(super) async fn answered(
    operators: &Operators,
    may: Result<(), Problem>,
    request: Request,
    next: Next,
    refuse: impl FnOnce(Problem) -> Response,
) -> Response {
    let outcome = &operators.metrics.serving.operator_requests;
    if let Err(problem) = may {
        outcome.with_label_values(&["denied"]).inc();
        tracing::warn!(event = "api_request_denied", method = %request.method(), status = problem.status, "operator API request denied");
        return refuse(problem);
    }
    let response = next.run(request).await;
    let label = match response.status() {
        status if status.is_success() => "ok",
        status if status.is_client_error() => "refused",
        _ => "failed",
    };
    outcome.with_label_values(&[label]).inc();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(access: &Access, method: &Method, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        access.check(method, &map).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn a_web_page_cannot_drive_a_local_daemon() {
        let access = Access::local(vec!["keyhound.internal".to_owned()]);
        let get = |host: &str| status(&access, &Method::GET, &[("host", host)]);
        for host in ["localhost:9464", "127.0.0.1:9464", "[::1]:9464", "LOCALHOST", "keyhound.internal:80"] {
            assert_eq!(get(host), 200, "{host}");
        }
        for host in ["evil.example:9464", "10.0.0.1", "localhost.evil.example", ""] {
            assert_eq!(get(host), 421, "{host}");
        }
        let post =
            |header: (&'static str, &str)| status(&access, &Method::POST, &[("host", "localhost"), header]);
        assert_eq!(post(("content-type", "text/plain")), 415);
        assert_eq!(post(("content-type", "application/x-www-form-urlencoded")), 415);
        assert_eq!(post(("content-type", "application/json; charset=utf-8")), 200);
        assert_eq!(post(("x-keyhound-request", "1")), 200);
    }

    #[test]
    fn with_a_token_only_the_token_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let access = Access::token_file(file.path()).unwrap();
        let get =
            |token: &str| status(&access, &Method::GET, &[("host", "any.example"), ("authorization", token)]);
        assert_eq!(get("Bearer 0123456789abcdef"), 200);
        assert_eq!(get("bearer  0123456789abcdef "), 200);
        for wrong in ["Bearer 0123456789abcdeg", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef"] {
            assert_eq!(get(wrong), 401, "{wrong}");
        }
    }

    #[test]
    fn a_short_token_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "secret\n").unwrap();
        let error = Access::token_file(file.path()).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains("holds 6 bytes, at least 16 are needed") && !error.contains("secret"),
            "{error}"
        );
    }
}
