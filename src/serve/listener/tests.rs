//! Clients that are slow or many, against real sockets on loopback.

use axum::routing::{get, post};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
};

use super::*;

struct Served {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

fn served(connections_max: usize, metrics: Arc<Metrics>) -> Served {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/never", get(std::future::pending::<()>))
        .route("/body", post(|body: axum::body::Bytes| async move { body.len().to_string() }));
    serving(connections_max, metrics, router)
}

fn serving(connections_max: usize, metrics: Arc<Metrics>, router: Router) -> Served {
    let bound = bind("gateways_listen", "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.address;
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { drop(stopped.await) };
    let limits = Limits { connections_max, idle_within: Duration::from_mins(5), for_gateways: true };
    let ended = tokio::spawn(serve(bound, router, limits, metrics.clone(), stopped));
    Served { address, metrics, stop, ended }
}

async fn connect(served: &Served, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything until the server closes; an abrupt end is one, too.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

async fn first_line(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 512];
    let length = stream.read(&mut bytes).await.unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned()
}

/// Waits, by the real clock, until so many connections are counted that `is_so`.
async fn until_connections(served: &Served, is_so: impl Fn(i64) -> bool) {
    let started = std::time::Instant::now();
    loop {
        let count = served.metrics.serving.connections.with_label_values(&["gateways_listen"]).get();
        if is_so(count) {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{count} connections after {LIMIT:?}");
        tokio::task::yield_now().await;
    }
}

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("test", ""))
}

#[tokio::test]
async fn a_client_that_sends_half_a_head_is_cut_off() {
    let served = served(10, metrics());
    let slow = connect(&served, "GET /healthz HTTP/1.1\r\nHo").await;
    let quick = connect(&served, LAST).await;
    assert!(rest(quick).await.starts_with("HTTP/1.1 200"));
    // From here on nothing but the deadline can happen, so time may leap to it.
    time::pause();
    assert_eq!(rest(slow).await, "");
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_the_other_listener_answers() {
    let metrics = metrics();
    let (full, other) = (served(1, metrics.clone()), served(1, metrics));
    let mut held = connect(&full, ASK).await;
    assert_eq!(first_line(&mut held).await, "HTTP/1.1 200 OK");
    assert_eq!(rest(TcpStream::connect(full.address).await.unwrap()).await, "");
    assert_eq!(full.metrics.serving.connections_refused.with_label_values(&["gateways_listen"]).get(), 1);
    assert!(rest(connect(&other, LAST).await).await.starts_with("HTTP/1.1 200"));
    // The one that is held goes on, and its place is free once it is closed.
    held.write_all(LAST.as_bytes()).await.unwrap();
    assert!(rest(held).await.starts_with("HTTP/1.1 200"));
    let mut answer = String::new();
    let started = std::time::Instant::now();
    while !answer.starts_with("HTTP/1.1 200") {
        assert!(started.elapsed() < LIMIT, "its place is not free: {answer}");
        let Ok(mut next) = TcpStream::connect(full.address).await else { continue };
        // Until the place is free, it is refused as the one before.
        if next.write_all(LAST.as_bytes()).await.is_ok() {
            answer = rest(next).await;
        }
    }
}

#[tokio::test]
async fn a_large_body_and_a_large_head_are_refused() {
    let served = served(10, metrics());
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    let head = "POST /body HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length";
    let mut large = connect(&served, &format!("{head}: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!(first_line(&mut large).await, "HTTP/1.1 413 Payload Too Large");
    let right = connect(&served, &format!("{head}: 3\r\n\r\nabc")).await;
    assert!(rest(right).await.ends_with("\r\n\r\n3"));
    let head = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: {}",
        "x".repeat(HEAD_BYTES_MAX as usize)
    );
    let mut large = connect(&served, &head).await;
    assert!(first_line(&mut large).await.starts_with("HTTP/1.1 431"));
}

/// A listener whose `/shown` answers with the values of `x-key`, and whose `/count` with the number of headers.
fn showing() -> Served {
    let shown = |headers: axum::http::HeaderMap| async move {
        headers.get_all("x-key").iter().flat_map(|value| value.as_bytes().to_vec()).collect::<Vec<u8>>()
    };
    let count = |headers: axum::http::HeaderMap| async move { headers.len().to_string() };
    serving(10, metrics(), Router::new().route("/shown", get(shown)).route("/count", get(count)))
}

/// Sends a whole head and gives all that is answered.
async fn answer_to(served: &Served, head: &[u8]) -> String {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    // The server may have answered before it took all.
    let _ = stream.write_all(head).await;
    rest(stream).await
}

/// Waits until so many questions were counted as malformed: that is done once a connection has ended.
async fn until_malformed(served: &Served, wanted: u64) {
    let started = std::time::Instant::now();
    loop {
        let count = served.metrics.serving.checks.with_label_values(&["unknown", "malformed"]).get();
        if count == wanted {
            return;
        }
        assert!(count < wanted && started.elapsed() < LIMIT, "{count} malformed, and not {wanted}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_byte_of_another_header_hides_a_key() {
    let served = showing();
    for byte in (0..=u8::MAX).filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        let mut head =
            b"GET /shown HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Key: key\r\nX-A: a".to_vec();
        head.extend([byte, b'b']);
        head.extend(b"\r\n\r\n");
        let answer = answer_to(&served, &head).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("key"), "{byte:#04x}: {answer}");
    }
    until_malformed(&served, 0).await;
}

#[tokio::test]
async fn a_thousand_headers_hide_no_key() {
    let served = showing();
    let many = (0..1_000).map(|n| format!("X-{n}: a\r\n")).collect::<Vec<_>>().concat();
    let head = format!("GET /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{many}\r\n");
    assert!(answer_to(&served, head.as_bytes()).await.ends_with("1002"));
}

#[tokio::test]
async fn what_cannot_be_understood_is_answered_whatever_follows_and_counted() {
    let served = showing();
    let much = "x".repeat(1024 * 1024);
    for (count, (head, status)) in (1..).zip([
        ("GET /shown HTTP/1.1\r\nX A: b\r\n\r\n".to_owned(), "400"),
        (format!("GET /shown HTTP/1.1\r\nno header\r\nX-A: {much}\r\n\r\n"), "400"),
        (format!("GET /shown HTTP/1.1\r\nHost: a\r\nX-A: {much}\r\n\r\n"), "431"),
        (format!("GET /shown?{much} HTTP/1.1\r\nHost: a\r\n\r\n"), "4"),
        (format!("GET /shown HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(2_000)), "431"),
    ]) {
        let answer = answer_to(&served, head.as_bytes()).await;
        let head = &head[..head.len().min(80)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
        until_malformed(&served, count).await;
    }
}

#[tokio::test]
async fn the_end_comes_in_time_whoever_is_connected() {
    let served = served(10, metrics());
    let mut idle = connect(&served, ASK).await;
    assert_eq!(first_line(&mut idle).await, "HTTP/1.1 200 OK");
    let stuck = connect(&served, "GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    until_connections(&served, |count| count == 2).await;
    let _ = served.stop.send(());
    assert_eq!(rest(idle).await, "", "an idle connection is closed at once");
    time::pause();
    served.ended.await.unwrap();
    assert_eq!(rest(stuck).await, "");
    assert_eq!(served.metrics.serving.connections.with_label_values(&["gateways_listen"]).get(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_without_end() {
    let served = served(10, metrics());
    let slow =
        connect(&served, "POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc").await;
    assert!(rest(connect(&served, LAST).await).await.starts_with("HTTP/1.1 200"));
    time::pause();
    assert!(rest(slow).await.starts_with("HTTP/1.1 408"));
}

/// One request over HTTP/2, with the connection that bore it.
type Sender = hyper::client::conn::http2::SendRequest<http_body_util::Empty<axum::body::Bytes>>;

async fn http2(served: &Served) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(served.address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn ask_over(sender: &mut Sender) -> hyper::Result<StatusCode> {
    let request = axum::http::Request::get("http://localhost/healthz");
    let answer = sender.send_request(request.body(http_body_util::Empty::new()).unwrap()).await?;
    Ok(answer.status())
}

#[tokio::test]
async fn http2_is_spoken_and_its_connections_wait_as_long_as_their_client_answers_pings() {
    let served = served(10, metrics());
    let (mut sender, _connection) = http2(&served).await;
    assert_eq!(ask_over(&mut sender).await.unwrap(), StatusCode::OK);
    // Pings go to and fro on a real socket: time may not leap over them, but may pass fast.
    time::pause();
    for _ in 0..40 {
        time::advance(Duration::from_secs(10)).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    time::resume();
    assert_eq!(ask_over(&mut sender).await.unwrap(), StatusCode::OK, "after more than the idle time");
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn callers_that_hang_up_do_not_end_the_checks_of_others() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let served = served(10, metrics());
    // GET http://a/healthz (RFC 7541), whole: END_STREAM and END_HEADERS.
    let question = [&[0x82, 0x86, 0x41, 1, b'a', 0x44, 8][..], b"/healthz"].concat();
    let mut bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..]].concat();
    let last = 2 * 2_000 + 1;
    for stream in (1..last).step_by(2) {
        bytes.extend(frame(HEADERS, 5, stream, &question));
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    bytes.extend(frame(HEADERS, 5, last, &question));
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        assert_ne!(head[3], GOAWAY, "{}", payload.escape_ascii());
        if head[3] == HEADERS && head[5..] == last.to_be_bytes() {
            assert_eq!(payload[0], 0x88, "200");
            break;
        }
    }
}

#[tokio::test]
async fn an_http2_connection_that_is_old_is_told_to_end_and_its_place_is_free() {
    let served = served(10, metrics());
    let (mut sender, connection) = http2(&served).await;
    assert_eq!(ask_over(&mut sender).await.unwrap(), StatusCode::OK);
    // One that wants an answer and never takes it does not keep it.
    let never =
        axum::http::Request::get("http://localhost/never").body(http_body_util::Empty::new()).unwrap();
    let waiting = sender.send_request(never);
    time::pause();
    let begun = time::Instant::now();
    while begun.elapsed() < AGE_MAX + ANSWER_WITHIN + Duration::from_secs(10) {
        time::advance(Duration::from_secs(10)).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    time::resume();
    drop(waiting);
    let _ = connection.await.unwrap();
    assert!(ask_over(&mut sender).await.is_err());
    until_connections(&served, |count| count == 0).await;
}

#[tokio::test]
async fn an_http2_connection_is_told_of_the_end() {
    let served = served(10, metrics());
    let (mut sender, connection) = http2(&served).await;
    assert_eq!(ask_over(&mut sender).await.unwrap(), StatusCode::OK);
    let _ = served.stop.send(());
    connection.await.unwrap().unwrap();
    served.ended.await.unwrap();
}

#[test]
fn only_a_process_without_descriptors_or_memory_rests_from_accepting() {
    let of = |code| lacks_resources(&io::Error::from_raw_os_error(code));
    assert!(of(libc::EMFILE) && of(libc::ENFILE) && of(libc::ENOMEM));
    assert!(!of(libc::ECONNABORTED) && !of(libc::EPROTO), "one caller must not hold up all others");
}
