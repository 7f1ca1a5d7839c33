//! Binds a listener and serves a router on it until it is told to stop.

use std::{future::Future, net::SocketAddr};

use axum::{Router, extract::DefaultBodyLimit, serve::ListenerExt};
use tokio::net::TcpListener;

/// The largest body that any route reads, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{field} {address}: cannot listen: {source}")]
pub struct BindError {
    field: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

/// A bound listener.
pub struct Bound {
    listener: TcpListener,
    /// The address that it got: the port may have been left to the system.
    pub address: SocketAddr,
}

/// Binds `address`, which the settings call `field`.
pub async fn bind(field: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
    let wrong = |source| BindError { field, address, source };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    Ok(Bound { listener, address })
}

/// Serves until `stop` resolves; requests that have begun are answered.
pub async fn serve(bound: Bound, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
    // Answers are small: Nagle's delay would only hold them up.
    let listener = bound.listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not to be had");
        }
    });
    let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let served = axum::serve(listener, router.into_make_service()).with_graceful_shutdown(stop).await;
    if let Err(error) = served {
        tracing::error!(address = %bound.address, %error, "a listener ended");
    }
}
