//! Posts batches of alerts to one Alertmanager.

use std::{fs, future::Future, path::PathBuf, time::Duration};

use reqwest::{Certificate, Client, RequestBuilder, StatusCode, redirect};

use super::{
    Alert,
    settings::{Auth, Peer},
};
use crate::telemetry::logs::root_cause;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer's text goes to the log.
const EXCERPT: usize = 300;

/// Whoever can hand a batch to an Alertmanager.
pub(super) trait Post: Send + Sync + 'static {
    fn post(&self, alerts: &[Alert]) -> impl Future<Output = Result<(), PostError>> + Send;

    /// Whether a batch would be taken now.
    fn reach(&self) -> impl Future<Output = Result<(), PostError>> + Send;
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{what} {path} cannot be read: {source}", path = path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("ca_file {path} is not a PEM file of certificates: {source}", path = path.display())]
    Certificate { path: PathBuf, source: reqwest::Error },
    #[error("no HTTP client: {0}")]
    Client(reqwest::Error),
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("{what} {path} cannot be read: {source}", path = path.display())]
    Secret { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("no answer: {}", root_cause(.0))]
    Http(reqwest::Error),
    /// The valid alerts of the batch were stored: it must not be sent again.
    #[error("400, some alerts of the batch are not valid: {excerpt}")]
    Partial { excerpt: String },
    #[error("{status}: {excerpt}")]
    Refused { status: StatusCode, excerpt: String },
}

/// One Alertmanager over HTTP.
pub(super) struct HttpPeer {
    client: Client,
    url: String,
    auth: Option<Auth>,
}

impl HttpPeer {
    /// A client of its own: a peer's slow connections are nobody else's.
    pub fn new(peer: &Peer) -> Result<Self, ClientError> {
        let mut builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("keyhound/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &peer.ca_file {
            let pem = fs::read(path).map_err(|source| ClientError::File {
                what: "ca_file",
                path: path.clone(),
                source,
            })?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|source| ClientError::Certificate { path: path.clone(), source })?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(ClientError::Client)?;
        Ok(Self { client, url: peer.alerts_url(), auth: peer.auth.clone() })
    }

    async fn send(&self, request: RequestBuilder) -> Result<(), PostError> {
        let request = match &self.auth {
            None => request,
            Some(Auth::Basic { username, password_file }) => {
                request.basic_auth(username, Some(secret("password_file", password_file)?))
            }
            Some(Auth::Bearer { token_file }) => {
                request.bearer_auth(secret("bearer_token_file", token_file)?)
            }
        };
        let answer = request.send().await.map_err(PostError::Http)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        let excerpt: String = text.chars().take(EXCERPT).collect();
        Err(match status {
            StatusCode::BAD_REQUEST => PostError::Partial { excerpt },
            status => PostError::Refused { status, excerpt },
        })
    }
}

impl Post for HttpPeer {
    async fn post(&self, alerts: &[Alert]) -> Result<(), PostError> {
        self.send(self.client.post(&self.url).json(alerts)).await
    }

    /// By a batch of none: that goes the same way, with the same rights.
    async fn reach(&self) -> Result<(), PostError> {
        self.post(&[]).await
    }
}

/// Why an Alertmanager could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Post(#[from] PostError),
}

/// Whether an Alertmanager takes alerts now.
pub async fn reach(peer: &Peer) -> Result<(), TrialError> {
    Ok(HttpPeer::new(peer)?.reach().await?)
}

/// Posts alerts once, as the notifier does.
pub async fn post_once(peer: &Peer, alerts: &[Alert]) -> Result<(), TrialError> {
    Ok(HttpPeer::new(peer)?.post(alerts).await?)
}

fn secret(what: &'static str, path: &PathBuf) -> Result<String, PostError> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| PostError::Secret { what, path: path.clone(), source })?;
    Ok(text.trim().to_owned())
}
