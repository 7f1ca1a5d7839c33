//! Small blocking HTTP requests for tests.

use std::{sync::LazyLock, time::Duration};

use reqwest::{Client, Method, header::HeaderMap, redirect::Policy};
use tokio::runtime::Runtime;

/// One runtime for what the test process itself asks and serves.
pub static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("a tokio runtime can be made"));

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let client = Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(10)).no_proxy();
    client.build().expect("a client can be made")
});

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }

    /// A header's value, if it was sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Asks with GET; fails the test if nobody answers.
#[track_caller]
pub fn get(url: &str, headers: &[(&str, &str)]) -> Answer {
    request(Method::GET, url, headers, "").unwrap_or_else(|error| panic!("GET {url}: {error:?}"))
}

/// Whether GET is answered with 200.
pub fn answers_ok(url: &str) -> bool {
    request(Method::GET, url, &[], "").is_ok_and(|answer| answer.status == 200)
}

/// Sends any request.
pub fn request(method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> reqwest::Result<Answer> {
    RUNTIME.block_on(async {
        let mut request = CLIENT.request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.text().await? })
    })
}
