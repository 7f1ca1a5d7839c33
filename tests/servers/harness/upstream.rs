//! A small API behind the gateways, in the test process: it answers every path and remembers what it was asked.
//!
//! `/status/NNN/…` answers that status. `/auth` is a stand-in for a site's own authentication: 200 for the keys it
//! was told, else 401.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::http::RUNTIME;

/// The header that carries the API key in all these tests.
pub const KEY_HEADER: &str = "x-api-key";

/// The running API.
pub struct Upstream {
    pub port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    valid_keys: Vec<String>,
    served: Mutex<Vec<String>>,
}

impl Upstream {
    /// Starts it; `valid_keys` are those that `/auth` lets pass.
    pub fn start(valid_keys: &[&str]) -> Self {
        let valid_keys = valid_keys.iter().map(ToString::to_string).collect();
        let shared = Arc::new(Shared { valid_keys, served: Mutex::default() });
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

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> (StatusCode, String) {
    let uri = request.uri();
    // Some gateways keep the original path behind the prefix when they ask.
    if uri.path() == "/auth" || uri.path().starts_with("/auth/") {
        return (authenticate(&shared, request.headers()), String::new());
    }
    let path = uri.path_and_query().map_or_else(String::new, ToString::to_string);
    shared.served.lock().expect("no handler panics").push(path);
    (status(uri), "{\"ok\":true}".to_owned())
}

fn authenticate(shared: &Shared, headers: &HeaderMap) -> StatusCode {
    let key = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok());
    if key.is_some_and(|key| shared.valid_keys.iter().any(|valid| valid == key)) {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}

fn status(uri: &Uri) -> StatusCode {
    let wanted = uri.path().strip_prefix("/status/").and_then(|rest| rest.split('/').next());
    wanted.and_then(|status| status.parse().ok()).unwrap_or(StatusCode::OK)
}
