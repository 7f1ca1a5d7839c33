//! Canary keys through a real listener, with every log written: not a byte of them may come back anywhere.

use std::{fmt::Write as _, sync::Arc};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Checks, Decisions, ServeSettings, ext_authz, listener};
use crate::{
    decode::{Pepper, fingerprint},
    deliver::{WallClock, WallTime},
    respond::{Rate, Step},
    serve::table::tests::{NOW, decision},
    telemetry::{
        Metrics,
        logs::{self, testing::Written},
    },
};

const CANARIES: usize = 1_000;

fn pepper() -> Pepper {
    Pepper::new(b"0123456789abcdef0123456789abcdef").unwrap()
}

/// One request with the key in every place that a caller can put it.
fn request(number: usize) -> String {
    let key = canary(number);
    let path = ["/check", "/envoy", "/traefik", "/caddy", "/nginx", "/nowhere"][number % 6];
    format!(
        "GET {path}/{key}?api_key={key} HTTP/1.1\r\nHost: {key}.example\r\nX-Api-Key: {key}\r\n\
         Authorization: Bearer {key}\r\nX-Forwarded-Uri: /v1/{key}?api_key={key}\r\nReferer: http://a/{key}\r\n\
         User-Agent: {key}\r\nCookie: key={key}\r\nX-Broken: \u{1f511}{key}\r\n\r\n"
    )
}

fn canary(number: usize) -> String {
    format!("sk_live_CANARY{number:06}")
}

async fn answers(address: std::net::SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let asking = async {
        for number in 0..CANARIES {
            writing.write_all(request(number).as_bytes()).await.unwrap();
        }
        // What is no HTTP at all ends the connection.
        writing.write_all(canary(0).as_bytes()).await.unwrap();
        writing.write_all(b"\r\n\r\n").await.unwrap();
    };
    let mut answers = Vec::new();
    let (read, ()) = tokio::join!(reading.read_to_end(&mut answers), asking);
    read.unwrap();
    answers
}

/// The same over HTTP/2, in a question of Envoy's and in one of another gateway; what came back.
async fn answers_over_http2(address: std::net::SocketAddr) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.unwrap();
    let connection = tokio::spawn(connection);
    let mut answers = String::new();
    for number in 0..CANARIES {
        let key = canary(number);
        let headers = [("x-api-key", key.clone()), ("authorization", format!("Bearer {key}"))];
        let (uri, body) = if number % 4 < 2 {
            let question = ext_authz::tests::question(&headers, &format!("/v1/{key}?api_key={key}"));
            (ext_authz::PATH.to_owned(), question)
        } else {
            // A gRPC call that is none, with a key in it.
            (format!("/check/{key}?api_key={key}"), key.clone().into_bytes())
        };
        let mut request = axum::http::Request::post(format!("http://localhost{uri}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("content-type", "application/grpc").body(Full::new(Bytes::from(body)));
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap();
        let _ = writeln!(answers, "{parts:?} {}", String::from_utf8_lossy(&body.to_bytes()));
    }
    connection.abort();
    answers
}

/// A request over HTTP/2 whose path no URI can have, by hand: the library writes such a path into its log.
async fn malformed_over_http2(address: std::net::SocketAddr) {
    let key = canary(0);
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", &format!("/v1 {key}"))]
    {
        // Literal without indexing, not Huffman coded (RFC 7541, section 6.2.2); lengths are below 127.
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    // SETTINGS without any, then HEADERS of stream 1 with END_STREAM and END_HEADERS (RFC 9113, section 6).
    let length = u8::try_from(block.len()).unwrap();
    let frames = [&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, length, 1, 5, 0, 0, 0, 1][..], &block].concat();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frames).await.unwrap();
    // A frame of RST_STREAM says that it was taken for what it is.
    let mut answer = Vec::new();
    while !answer.windows(9).any(|frame| frame[..4] == [0, 0, 4, 3]) {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{answer:?}");
    }
}

#[tokio::test]
async fn no_byte_of_a_raw_key_comes_back() {
    let logged = Written::default();
    let lines =
        tracing_subscriber::fmt().with_env_filter(logs::filter("trace").unwrap()).with_writer(logged.clone());
    // The test's runtime has one thread: what is logged on it is all that is logged.
    let _guard = tracing::subscriber::set_default(lines.finish());

    let decisions = Arc::new(Decisions::new(CANARIES));
    for number in (0..CANARIES).step_by(2) {
        let mut refused = decision(1, 1, if number % 4 == 0 { Step::Revoke } else { Step::Throttle });
        refused.subject.id = fingerprint(&pepper(), canary(number).as_bytes()).to_string();
        refused.rate = Some(Rate { known: 0.0, unknown: 0.0 });
        decisions.apply(&refused, NOW, NOW);
    }
    let metrics = Arc::new(Metrics::new("test", ""));
    let checks = Checks {
        decisions,
        settings: ServeSettings::default().checks,
        pepper: Arc::new(pepper()),
        clock: WallClock::from_fn(|| WallTime(NOW.0 + 1)),
        metrics: metrics.clone(),
    };
    let bound = listener::bind("gateways_listen", "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.address;
    let limits = listener::Limits {
        connections_max: CANARIES,
        idle_within: std::time::Duration::from_mins(5),
        for_gateways: true,
    };
    tokio::spawn(listener::serve(bound, checks.router(), limits, metrics.clone(), std::future::pending()));

    malformed_over_http2(address).await;
    let http2 = answers_over_http2(address).await;
    // Every second key has a decision.
    assert_eq!(http2.matches("dec_1_1").count(), CANARIES, "its id stands in a header and in the body");
    let answers = String::from_utf8(answers(address).await).unwrap();
    let count = |words: &str| answers.matches(words).count();
    assert_eq!(count("HTTP/1.1 404"), CANARIES / 6, "the paths that are no check");
    // Every second key has a decision, and of the six paths the first five are checks.
    assert!(count("x-keyhound-decision-id") > CANARIES / 3, "{}", count("x-keyhound-decision-id"));
    assert_eq!(count("HTTP/1.1 "), CANARIES + 1);
    let logged = logged.text();
    for (place, text) in
        [("answers", &answers), ("HTTP/2", &http2), ("logs", &logged), ("metrics", &metrics.render())]
    {
        assert!(!text.contains("CANARY"), "in {place}: {text}");
    }
}
