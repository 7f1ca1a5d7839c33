//! A small API behind the gateways, in the test process: it answers every path and remembers what it was asked.
//!
//! `/status/NNN/…` answers that status, `/slow/…` takes [`SLOW`], `/ours/…` refuses as a throttle of Keyhound
//! does, `/revoked/…` as a revocation. `/auth` is a stand-in for a site's own authentication: 200 and the credential's
//! id for the keys it was told, else 401.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::http::RUNTIME;

/// The header that carries the API key in all these tests.
pub const KEY_HEADER: &str = "x-api-key";

/// The header in which `/auth` names the credential.
const CREDENTIAL_HEADER: &str = "x-credential-id";

/// How long `/slow/…` takes: more than anything else in these tests, and in all units a number of its own.
pub const SLOW: Duration = Duration::from_millis(80);

/// The running API.
pub struct Upstream {
    pub port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    credentials: Vec<(String, String)>,
    served: Mutex<Vec<String>>,
}

impl Upstream {
    /// Starts it; `credentials` are the keys that `/auth` lets pass, each with its id.
    pub fn start(credentials: &[(&str, &str)]) -> Self {
        let credentials = credentials.iter().map(|(key, id)| ((*key).to_owned(), (*id).to_owned())).collect();
        let shared = Arc::new(Shared { credentials, served: Mutex::default() });
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let serving = RUNTIME.spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Self { port, shared, serving }
    }

    /// The paths (with query) that reached the API, `/auth` left out, in the order of arrival.
    pub fn served(&self) -> Vec<String> {
        self.shared.served.lock().expect("no handler panics").clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let uri = request.uri();
    // Some gateways keep the original path behind the prefix when they ask.
    if uri.path() == "/auth" || uri.path().starts_with("/auth/") {
        return authenticate(&shared, request.headers());
    }
    if uri.path().starts_with("/slow/") {
        tokio::time::sleep(SLOW).await;
    }
    let path = uri.path_and_query().map_or_else(String::new, ToString::to_string);
    shared.served.lock().expect("no handler panics").push(path);
    if uri.path().starts_with("/ours/") {
        return (StatusCode::TOO_MANY_REQUESTS, [("x-keyhound-decision", "throttle")]).into_response();
    }
    if uri.path().starts_with("/revoked/") {
        return (StatusCode::FORBIDDEN, [("x-keyhound-decision", "revoke")]).into_response();
    }
    (status(uri), "{\"ok\":true}").into_response()
}

fn authenticate(shared: &Shared, headers: &HeaderMap) -> Response {
    let key = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok());
    match shared.credentials.iter().find(|(valid, _)| Some(valid.as_str()) == key) {
        Some((_, id)) => [(CREDENTIAL_HEADER, id.clone())].into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn status(uri: &Uri) -> StatusCode {
    let wanted = uri.path().strip_prefix("/status/").and_then(|rest| rest.split('/').next());
    wanted.and_then(|status| status.parse().ok()).unwrap_or(StatusCode::OK)
}
