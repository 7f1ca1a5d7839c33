//! How the daemon is stopped from outside.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::slot::Status;

/// A signal that comes so soon after the first one is the same.
const SAME_WITHIN: Duration = Duration::from_secs(1);

/// Obeys SIGTERM and SIGINT from now on. The answer comes with the first of them, so that what was begun can be ended;
/// a second one, a second later or more, ends the process at once. So does the first while nothing has been begun: a
/// start changes nothing, and whoever waits for a long replay must be able to stop it.
pub fn obey_signals(runtime: &Runtime, status: Arc<Status>) -> std::io::Result<oneshot::Receiver<()>> {
    let _in_runtime = runtime.enter();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (first, interrupted) = oneshot::channel();
    runtime.spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        next().await;
        if !status.is_restored() {
            tracing::info!(
                event = "stopped_before_restore",
                "stopped by a signal before state was restored; nothing was changed"
            );
            leave(0);
        }
        let _ = first.send(());
        let came = Instant::now();
        // A service manager and a terminal may each send one for the same stop.
        while came.elapsed() < SAME_WITHIN {
            next().await;
        }
        tracing::warn!(
            event = "forced_exit",
            "exit on a second signal; records that are not committed are read again at the next start"
        );
        leave(1);
    });
    Ok(interrupted)
}

/// Ends the process without the exit handlers of C libraries: they tear OpenSSL down while librdkafka's threads use it.
fn leave(code: i32) -> ! {
    // SAFETY: it takes no pointer and never returns, so that nothing of ours can see what it leaves.
    unsafe { libc::_exit(code) }
}
