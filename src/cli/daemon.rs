//! Speaks a running daemon's HTTP API, for the sub-commands that ask it.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail};
use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde::{Serialize, de::DeserializeOwned};

use super::output::Output;
use crate::{serve::operators::Problem, telemetry::logs::root_cause};

/// Longer than the daemon waits for a command to be applied.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Where the daemon is, and how to show who is asking.
#[derive(Clone, Debug, clap::Args)]
pub struct DaemonArgs {
    /// The daemon's `listen` address
    #[arg(long, global = true, env = "KEYHOUND_URL", default_value = "http://127.0.0.1:9464")]
    url: String,
    /// A file with the token of the daemon's `serve.token_file`.
    #[arg(long, global = true, env = "KEYHOUND_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How to print the answer.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// A daemon that can be asked.
pub struct Daemon {
    runtime: tokio::runtime::Runtime,
    client: Client,
    base: Url,
    token: Option<String>,
}

impl Daemon {
    /// Checks the arguments; speaks to nobody yet.
    pub fn new(args: &DaemonArgs) -> anyhow::Result<Self> {
        let base = Url::parse(&args.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
        let Some(base) = base else {
            bail!("--url is not an http(s) URL; expected something like http://127.0.0.1:9464");
        };
        if !base.username().is_empty() || base.password().is_some() {
            bail!("--url holds credentials; give --token-file instead");
        }
        let token = args.token_file.as_ref().map(|path| {
            let text =
                fs::read_to_string(path).with_context(|| format!("--token-file {}", path.display()))?;
            anyhow::Ok(text.trim().to_owned())
        });
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("keyhound/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client, base, token: token.transpose()? })
    }

    /// `GET /api/v1/{path}`.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<T> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let (status, body) = self.ask(Method::GET, url, None)?;
        read(status, &body)
    }

    /// `GET /api/v1/{path}`, where the answer is text for people.
    pub fn text(&self, path: &str) -> anyhow::Result<String> {
        let (status, body) = self.ask(Method::GET, self.url(path), None)?;
        if !status.is_success() {
            return read(status, &body);
        }
        String::from_utf8(body).context("the answer is not text")
    }

    /// `POST /api/v1/{path}`; gives the status too, since 409 is an answer and no failure.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<(StatusCode, T)> {
        let body = serde_json::to_vec(body)?;
        let (status, body) = self.ask(Method::POST, self.url(path), Some(body))?;
        Ok((status, read(status, &body)?))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// One line: the last cause is the one that a person can do something about.
    fn no_answer(&self, error: &reqwest::Error) -> anyhow::Error {
        anyhow!(
            "no answer from Keyhound at {} ({}); is it running? --url (KEYHOUND_URL) says where it listens",
            self.base,
            root_cause(error)
        )
    }

    fn ask(&self, method: Method, url: Url, body: Option<Vec<u8>>) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let mut request = self.client.request(method, url).header("x-keyhound-request", "1");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|error| self.no_answer(&error))?;
            let status = answer.status();
            Ok((status, answer.bytes().await?.to_vec()))
        })
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> anyhow::Result<T> {
    if status.is_success() || status == StatusCode::CONFLICT {
        return serde_json::from_slice(body)
            .context("the answer is not what this version of keyhound expects");
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => bail!("{} {}: {}", problem.status, problem.title, problem.detail),
        Err(_) => bail!("{status}, and no explanation"),
    }
}
