//! Binds a listener and serves a router on it until it is told to stop.
//!
//! Bounded: so many connections at once, more are closed as soon as they are accepted, so that whoever asked knows at
//! once; a time for a request's head, for its answer and for taking the answer ([`deadlines`]); a size of bodies; and
//! a time in which everything ends. Each listener has its own bounds, so that one that is full leaves the other alone.
//!
//! An HTTP/2 connection, on which requests overlap and answers wait for the client's leave, has an age instead: then it
//! is told to end, by a GOAWAY that costs no request, and soon after it is cut off.

mod deadlines;
mod heads;
#[cfg(test)]
mod tests;

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request},
    http::{StatusCode, Version, header::CONNECTION},
    response::{IntoResponse, Response},
};
use hyper::{
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
    service::TowerToHyperService,
};
use prometheus::IntGauge;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time,
};

use self::deadlines::{Guarded, Phase};
use super::checks::{MALFORMED, UNKNOWN};
use crate::telemetry::Metrics;

/// The largest body that any route reads, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The largest head of a request, in bytes: twice what most gateways take from their callers.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// The most headers of a request. A gateway that passes on all of its caller's must not be refused for their number.
const HEADERS_MAX: usize = 1_024;
/// Longer than a command waits to be applied.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Requests of an HTTP/2 connection at once; clients open another connection for more.
const STREAMS_MAX: u32 = 100;
/// Requests of an HTTP/2 connection that were taken back before we looked at them. Beyond it the connection ends (that is
/// the answer to CVE-2023-44487), and with it every check on it, which a gateway then answers without us. A gateway takes
/// a check back when its caller hangs up, so callers must not be able to come here: 20, which is usual, is reached by a
/// hundred callers and a pause of some milliseconds. What one read of the connection takes in is some thousands.
const TAKEN_BACK_MAX: usize = 16_384;
/// What an HTTP/2 client may send ahead, on a request and on a connection, in bytes.
const REQUEST_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// How old an HTTP/2 connection becomes.
const AGE_MAX: Duration = Duration::from_hours(1);
/// How often an HTTP/2 client is asked whether it is there, and for how long.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(20);
/// How long requests that have begun may take once it is told to stop.
const END_WITHIN: Duration = Duration::from_secs(4);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long accepting rests when the process has no file descriptor or no memory left.
const REST: Duration = Duration::from_millis(200);

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{field} {address}: cannot listen: {source}")]
pub struct BindError {
    field: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// A bound listener.
pub struct Bound {
    pub field: &'static str,
    listener: TcpListener,
    /// The address that it got: the port may have been left to the system.
    pub address: SocketAddr,
}

/// An address that is taken while nobody listens on it yet: whoever connects is refused.
pub struct Reserved {
    field: &'static str,
    socket: TcpSocket,
    address: SocketAddr,
}

/// Takes `address`, which the settings call `field`, without listening on it.
pub fn reserve(field: &'static str, address: SocketAddr) -> Result<Reserved, BindError> {
    let taken = || -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart finds connections of the process before it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    let socket = taken().map_err(|source| BindError { field, address, source })?;
    Ok(Reserved { field, socket, address })
}

impl Reserved {
    /// Listens. Has to be called within a runtime.
    pub fn listen(self) -> Result<Bound, BindError> {
        let Self { field, socket, address } = self;
        let listen = || -> io::Result<_> {
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listen().map_err(|source| BindError { field, address, source })?;
        Ok(Bound { field, listener, address })
    }
}

/// Binds `address`, which the settings call `field`, and listens. Has to be called within a runtime.
pub fn bind(field: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
    reserve(field, address)?.listen()
}

/// What a listener bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// How long an HTTP/1.1 connection may wait for its next request.
    pub idle_within: Duration,
    /// Whether gateways ask here. Then HTTP/2 is spoken too, with prior knowledge, since gRPC needs it; bytes that HTTP
    /// does not allow are replaced and not refused; and what cannot be understood still is counted among the checks.
    pub for_gateways: bool,
}

/// Serves until `stop` resolves; requests that have begun are answered.
pub async fn serve(
    bound: Bound,
    router: Router,
    limits: Limits,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let Bound { field, listener, address } = bound;
    let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let open = metrics.serving.connections.with_label_values(&[field]);
    let refused = metrics.serving.connections_refused.with_label_values(&[field]);
    let limit = metrics.serving.connections_limit.with_label_values(&[field]);
    limit.set(i64::try_from(limits.connections_max).unwrap_or(i64::MAX));
    let malformed =
        limits.for_gateways.then(|| metrics.serving.checks.with_label_values(&[UNKNOWN, MALFORMED]));
    let ending = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(event = "accept_failed", %address, %error, "a connection could not be accepted");
                if lacks_resources(&error) {
                    time::sleep(REST).await;
                }
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            refused.inc();
            continue;
        };
        send_at_once(&stream);
        let (connection, phase) = connection(stream, peer, router.clone(), limits);
        let place = Place::take(open.clone(), permit);
        let (ended, malformed) = (ending.subscribe(), malformed.clone());
        connections.spawn(async move {
            let _place = place;
            if live(connection, phase, ended).await == Ended::Malformed
                && let Some(malformed) = malformed
            {
                malformed.inc();
            }
        });
    }
    drop(listener);
    ending.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if time::timeout(END_WITHIN, all).await.is_err() {
        tracing::warn!(event = "connections_cut_off", %address, open = connections.len(), "connections were cut off at the end");
    }
    connections.shutdown().await;
}

/// Answers are small: Nagle's delay would only hold them up.
fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(event = "nodelay_failed", %error, "TCP_NODELAY could not be set");
    }
}

/// Whether the process, and not one connection, cannot accept: descriptors or memory have to come back first.
fn lacks_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Serves a connection that was accepted elsewhere, and need be no socket, until it ends.
pub async fn serve_one<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
) {
    let ending = watch::Sender::new(false);
    let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let (connection, phase) = connection(stream, peer, router, limits);
    live(connection, phase, ending.subscribe()).await;
}

/// One of the places for connections; free again when dropped, however the connection ended.
struct Place {
    open: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(open: IntGauge, permit: OwnedSemaphorePermit) -> Self {
        open.inc();
        Self { open, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// How a connection ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// By its client, by us, or by its age.
    Usual,
    /// By a request that could not be understood. It was answered 400, or 431 if it was too large.
    Malformed,
}

/// Serves a connection until its client ends it, the listener does, or it has become too old.
async fn live(
    connection: impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>>,
    phase: Phase,
    mut ended: watch::Receiver<bool>,
) -> Ended {
    let mut connection = pin!(connection);
    let end = async {
        let is_old = time::timeout(AGE_MAX, ended.wait_for(|ended| *ended)).await.is_err();
        if is_old && !phase.is_multiplexed() {
            let _ = ended.wait_for(|ended| *ended).await;
        }
    };
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = end => {
            connection.as_mut().graceful_shutdown();
            // When all ends, the listener cuts off sooner.
            time::timeout(ANSWER_WITHIN, connection).await.unwrap_or_else(|late| Err(late.into()))
        }
    };
    let Err(error) = outcome else { return Ended::Usual };
    // A client that went away, or was too slow, is no news.
    tracing::debug!(event = "connection_failed", %error, "a connection ended with an error");
    let malformed = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    if malformed { Ended::Malformed } else { Ended::Usual }
}

/// One connection with its deadlines.
fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
) -> (impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> + Send, Phase) {
    let (guarded, phase) = Guarded::new(stream, limits.idle_within, limits.for_gateways);
    let phase_of_all = phase.clone();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        // For those who write down where a command came from.
        request.extensions_mut().insert(ConnectInfo(peer));
        let multiplexed = request.version() == Version::HTTP_2;
        if multiplexed {
            phase.multiplexed();
        } else {
            phase.answering();
        }
        let (phase, answer) = (phase.clone(), router.call(request));
        async move {
            let answer = time::timeout(ANSWER_WITHIN, answer).await;
            if !multiplexed {
                phase.idle();
            }
            answer.unwrap_or_else(|_| Ok(too_slow(multiplexed)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if !limits.for_gateways {
        builder = builder.http1_only();
    }
    let mut http1 = builder.http1();
    http1.header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX as usize).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING_EVERY))
        .keep_alive_timeout(PING_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(TAKEN_BACK_MAX)
        .initial_stream_window_size(REQUEST_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_BYTES_MAX);
    // The builder has to live as long as the connection.
    (builder.serve_connection(TokioIo::new(guarded), service).into_owned(), phase_of_all)
}

/// The answer to a body that did not come in time. The rest of it may still come, so the connection ends, if it is of
/// this request alone.
fn too_slow(multiplexed: bool) -> Response {
    if multiplexed {
        return StatusCode::REQUEST_TIMEOUT.into_response();
    }
    (StatusCode::REQUEST_TIMEOUT, [(CONNECTION, "close")]).into_response()
}
