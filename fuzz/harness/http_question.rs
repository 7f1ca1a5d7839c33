//! A gateway's questions over HTTP, as bytes of a connection, through the listener and the table of decisions.
//!
//! The first byte chooses what the rest is: all that the connection sends, or a part of a question about a revoked key.
//! Every answer has a status that is known and none of ours is 5xx, which gateways take for no answer; nothing that
//! stands beside a revoked key gets it served; the connection ends; the key is in no answer.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::Router;
use keyhound::{
    decode::{Pepper, fingerprint},
    deliver::{WallClock, WallTime},
    respond::{Decision, DecisionId, Mode, Step, SubjectRef, decision::Versions},
    serve::{Checks, Decisions, ServeSettings, listener},
    telemetry::Metrics,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    runtime::Runtime,
    time::{sleep, timeout},
};

use super::{CANARY, contains};

const NOW: WallTime = WallTime(1_795_317_100_000);
/// Statuses that a gateway may get.
const KNOWN: [&str; 10] = ["200", "400", "401", "403", "404", "405", "408", "413", "414", "431"];
/// Longer than any answer takes that comes at all: a head has ten seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Longer than any connection may last that sends nothing, in the time of the runtime, which passes at once.
const ENDS_WITHIN: Duration = Duration::from_mins(2);

thread_local! {
    /// Its time passes at once when all wait.
    pub static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
}

/// The routes of gateways, with [`CANARY`] revoked.
pub fn router() -> Router {
    static ROUTER: LazyLock<Router> = LazyLock::new(|| {
        let pepper = Pepper::new(&[7; 32]).expect("32 bytes");
        let decisions = Decisions::new(10);
        decisions.apply(&revocation(&pepper), NOW, NOW);
        let checks = Checks {
            decisions: Arc::new(decisions),
            settings: ServeSettings::default().checks,
            pepper: Arc::new(pepper),
            clock: WallClock::from_fn(|| NOW),
            metrics: Arc::new(Metrics::new("fuzz", "")),
        };
        checks.router()
    });
    ROUTER.clone()
}

fn revocation(pepper: &Pepper) -> Decision {
    let id = fingerprint(pepper, CANARY.as_bytes()).to_string();
    Decision {
        schema: Decision::SCHEMA.to_owned(),
        id: DecisionId("dec_1".to_owned()),
        epoch: 1,
        subject: SubjectRef { kind: "key".to_owned(), id, ..SubjectRef::default() },
        handles: Vec::new(),
        step: Step::Revoke,
        mode: Mode::Enforce,
        only: None,
        rate: None,
        as_of: NOW.rfc3339(),
        expires_at: NOW.after(Duration::from_hours(1)).rfc3339(),
        incident: String::new(),
        cause: "operator".to_owned(),
        rule: "command".to_owned(),
        rule_version: String::new(),
        reason: "fuzzed".to_owned(),
        versions: Versions::default(),
        instance: String::new(),
    }
}

/// Questions of each kind, good and odd.
pub fn seeds() -> Vec<Vec<u8>> {
    let questions = [
        format!("GET /check HTTP/1.1\r\nHost: k\r\nX-Api-Key: {CANARY}\r\n\r\n"),
        format!("GET /nginx HTTP/1.0\r\nAuthorization: Bearer {CANARY}\r\nConnection: keep-alive\r\n\r\n"),
        format!("POST /envoy/v1/a?api_key={CANARY} HTTP/1.1\r\nHost: k\r\nContent-Length: 3\r\n\r\nabc"),
        "GET /traefik HTTP/1.1\r\nHost: k\r\nX-Forwarded-Uri: /a?b=c\r\n\r\nGET /healthz HTTP/1.1\r\nHost: k\r\n\r\n".to_owned(),
        "POST /check HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned(),
        "GET http://a/\x01?x=<> HTTP/1.1\r\nHost: k\r\nX-A: \x07\x7f\r\nX-B:\r\n folded\r\n\r\n".to_owned(),
    ];
    let parts = [
        "X-A: 1\r\nX-Forwarded-Uri: /a?api_key=b&c=%41\r\n",
        "Authorization: Bearer x\r\nX-Api-Key: a, b\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Connection: upgrade, x-api-key\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n",
        "/v1/orders/42?x=1&y=%zz;z#f",
        " folded\r\n\tand again: \x01\x7f\r\n",
    ];
    let of = |mode: u8, text: &str| [&[mode], text.as_bytes()].concat();
    let mut seeds: Vec<Vec<u8>> = questions.iter().map(|text| of(0, text)).collect();
    seeds.extend((1..4).flat_map(|mode| parts.map(|text| of(mode, text))));
    seeds
}

pub fn run(input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else { return };
    let (question, is_revoked) = match mode % 4 {
        0 => (rest.to_vec(), false),
        1 => (question(b"/check", &lines(rest), b""), true),
        2 => (question(b"/check", b"", &lines(rest)), true),
        _ => (question(&[b"/envoy", &line(rest)[..]].concat(), b"", b""), true),
    };
    let answer = RUNTIME.with(|runtime| runtime.block_on(answer(&question)));
    assert!(!contains(&answer, CANARY), "{}", answer.escape_ascii());
    // Frames of HTTP/2 have their statuses packed.
    let is_http1 = answer.starts_with(b"HTTP/1.");
    let statuses = if is_http1 { statuses(&answer) } else { Vec::new() };
    for status in &statuses {
        assert!(KNOWN.contains(&status.as_str()), "{status}: {}", question.escape_ascii());
    }
    if is_revoked {
        let first = statuses.first().map_or("none", String::as_str);
        assert!(first.starts_with('4'), "{first}: {}", question.escape_ascii());
    }
}

/// A question that shows the revoked key, with other lines before and behind it.
fn question(target: &[u8], before: &[u8], behind: &[u8]) -> Vec<u8> {
    let key = format!("X-Api-Key: {CANARY}\r\n");
    [b"GET ", target, b" HTTP/1.1\r\nHost: k\r\n", before, key.as_bytes(), behind, b"\r\n"].concat()
}

/// Lines of a head: what stands between line breaks, but no empty one, since that would end it.
fn lines(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty());
    // More than the largest head that is taken is refused for that, which is answered like anything that is no head.
    lines.flat_map(|line| [line, b"\r\n"].concat()).collect()
}

/// A part of the first line: without line breaks and blanks, which no gateway hands on there.
fn line(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | b' ')).collect()
}

/// All that a connection answers to these bytes until it ends.
async fn answer(question: &[u8]) -> Vec<u8> {
    let (client, server) = duplex(1 << 20);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let limits =
        listener::Limits { connections_max: 1, idle_within: Duration::from_secs(5), for_gateways: true };
    let served = listener::serve_one(server, peer, router(), limits);
    let (answer, _) = timeout(ENDS_WITHIN, async { tokio::join!(ask(client, question), served) })
        .await
        .unwrap_or_else(|_| panic!("it does not end: {}", question.escape_ascii()));
    answer
}

async fn ask(client: DuplexStream, question: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(client);
    let mut answer = Vec::new();
    let send = async {
        // A head in two pieces. The listener may have ended before it has taken all.
        let (first, last) = question.split_at(question.len() / 2);
        let _ = to.write_all(first).await;
        tokio::task::yield_now().await;
        let _ = to.write_all(last).await;
        // A client that ends before it has its answer gets none.
        sleep(ANSWERED_WITHIN).await;
        let _ = to.shutdown().await;
    };
    let _ = tokio::join!(send, from.read_to_end(&mut answer));
    answer
}

/// The status of each answer of a connection.
fn statuses(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let after = text.split("HTTP/1.").skip(1);
    after.map(|rest| rest.split(' ').nth(1).unwrap_or_default().chars().take(3).collect()).collect()
}
