//! How long a client may take: for a request's head, between two requests, and to take an answer.
//!
//! hyper has one time for heads and for the wait between requests. Those differ by far: a head comes at once, and a
//! gateway keeps connections for an hour, so that closing one under it would fail a question.
//!
//! Over HTTP/2, requests overlap and frames come that belong to none. There a connection ends when its client does not
//! answer a PING, which hyper sees to, or when it has become too old; only its preface is timed here.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::heads::Heads;

/// From the first byte of a head, or from accepting, to its end.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A client that takes nothing of an answer for so long is given up.
pub const TAKE_WITHIN: Duration = Duration::from_secs(30);

/// Once all is answered, whatever still comes is thrown away until the client ends too, for so long and so much at most:
/// a connection that is closed with bytes that nobody has read is reset, and the answer with it.
const LINGER_WITHIN: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a connection is. Set to answering and back by the service, read where bytes come in.
#[derive(Clone, Debug)]
pub struct Phase(Arc<AtomicU8>);

const HEAD: u8 = 0;
const ANSWERING: u8 = 1;
const IDLE: u8 = 2;
/// HTTP/2, for good.
const MULTIPLEXED: u8 = 3;

impl Phase {
    /// A head has been read, and is being answered.
    pub fn answering(&self) {
        self.0.store(ANSWERING, Relaxed);
    }

    /// The next request may come, or not.
    pub fn idle(&self) {
        self.0.store(IDLE, Relaxed);
    }

    /// Requests overlap from here on.
    pub fn multiplexed(&self) {
        self.0.store(MULTIPLEXED, Relaxed);
    }

    /// Whether requests overlap.
    pub fn is_multiplexed(&self) -> bool {
        self.now() == MULTIPLEXED
    }

    fn now(&self) -> u8 {
        self.0.load(Relaxed)
    }
}

/// A connection that fails when its client is too slow.
pub struct Guarded<S> {
    stream: S,
    phase: Phase,
    /// Between two requests. A head that comes in one piece with the request before it has this time too.
    idle_within: Duration,
    reading: Pin<Box<Sleep>>,
    /// The phase that `reading` was set for.
    set_for: u8,
    /// Set while the client takes nothing.
    writing: Option<Pin<Box<Sleep>>>,
    heads: Heads,
    /// Whether gateways ask here: they may speak HTTP/2, and bytes that HTTP/1.1 does not allow are replaced.
    repairs: bool,
    /// Set once all is answered.
    lingering: Option<Lingering>,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<S> Guarded<S> {
    /// A connection that was just accepted: its first head is awaited. `for_gateways`: it may speak HTTP/2, and what
    /// HTTP/1.1 does not allow in a head is replaced, see [`Heads`].
    pub fn new(stream: S, idle_within: Duration, for_gateways: bool) -> (Self, Phase) {
        let phase = Phase(Arc::new(AtomicU8::new(HEAD)));
        let reading = Box::pin(sleep(HEAD_WITHIN));
        let set_for = HEAD;
        let guarded = Self {
            stream,
            phase: phase.clone(),
            idle_within,
            reading,
            set_for,
            writing: None,
            heads: Heads::new(),
            repairs: for_gateways,
            lingering: None,
        };
        (guarded, phase)
    }

    /// Some clients speak HTTP/2, and connect ahead of their first request.
    fn read_heads(&mut self, came: &mut [u8]) {
        if !self.repairs || self.heads.is_multiplexed() {
            return;
        }
        self.heads.repair(came);
        if self.heads.is_multiplexed() {
            self.phase.multiplexed();
        }
    }

    fn set(&mut self, phase: u8) {
        if self.set_for != phase {
            self.set_for = phase;
            let within = if phase == IDLE { self.idle_within } else { HEAD_WITHIN };
            self.reading.as_mut().reset(Instant::now() + within);
        }
    }

    /// Gives what `polled` says, or an error when the client has taken nothing for too long.
    fn taken<T>(
        writing: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            *writing = None;
            return polled;
        }
        let deadline = writing.get_or_insert_with(|| Box::pin(sleep(TAKE_WITHIN)));
        deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let phase = this.phase.now();
        this.set(phase);
        if polled.is_ready() {
            let came = &mut buf.filled_mut()[before..];
            this.read_heads(came);
            if phase == IDLE && !came.is_empty() {
                this.phase.0.store(HEAD, Relaxed);
                this.set(HEAD);
            }
            return polled;
        }
        if matches!(phase, HEAD | IDLE) && this.reading.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        Self::taken(&mut this.writing, cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        Self::taken(&mut this.writing, cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let until = || Box::pin(sleep(LINGER_WITHIN));
        let lingering = this.lingering.get_or_insert_with(|| Lingering { until: until(), bytes: 0 });
        let mut piece = [0; 8 * 1024];
        while lingering.bytes < LINGER_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Pending => return lingering.until.as_mut().poll(cx).map(Ok),
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => lingering.bytes += buf.filled().len(),
                // The client has ended, in whatever way.
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::{super::heads::PREFACE, *};

    const IDLE_WITHIN: Duration = Duration::from_mins(65);

    /// Reads one byte; how long that took and whether it came.
    async fn read(guarded: &mut (impl AsyncRead + Unpin)) -> (Duration, bool) {
        let started = Instant::now();
        let read = guarded.read_u8().await;
        (started.elapsed(), read.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_drop_by_drop_is_cut_off() {
        let (mut client, server) = duplex(64);
        let (mut guarded, _phase) = Guarded::new(server, IDLE_WITHIN, true);
        let started = Instant::now();
        while read(&mut guarded).await.1 {
            assert!(started.elapsed() <= HEAD_WITHIN, "{:?}", started.elapsed());
            let _ = client.write_u8(b'x').await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_lives_longer_than_a_head_and_an_answer_takes_its_time() {
        let (mut client, server) = duplex(64);
        let (mut guarded, phase) = Guarded::new(server, IDLE_WITHIN, true);
        phase.idle();
        assert_eq!(read(&mut guarded).await, (IDLE_WITHIN, false));
        phase.answering();
        let late = async {
            tokio::time::sleep(IDLE_WITHIN * 2).await;
            client.write_u8(b'x').await.unwrap();
        };
        let (read, ()) = tokio::join!(read(&mut guarded), late);
        assert_eq!(read, (IDLE_WITHIN * 2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_made_ahead_of_its_first_request_waits() {
        let (mut client, server) = duplex(64);
        let (mut guarded, phase) = Guarded::new(server, IDLE_WITHIN, true);
        client.write_all(PREFACE).await.unwrap();
        let mut preface = [0; 24];
        guarded.read_exact(&mut preface).await.unwrap();
        assert!(phase.is_multiplexed());
        // Half of one is a head like any other.
        let (mut client, server) = duplex(64);
        let (mut guarded, phase) = Guarded::new(server, IDLE_WITHIN, true);
        client.write_all(&PREFACE[..20]).await.unwrap();
        guarded.read_exact(&mut preface[..20]).await.unwrap();
        assert!(!phase.is_multiplexed());
        assert_eq!(read(&mut guarded).await, (HEAD_WITHIN, false));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_between_requests_begin_no_head() {
        let (mut client, server) = duplex(64);
        let (mut guarded, phase) = Guarded::new(server, IDLE_WITHIN, true);
        phase.multiplexed();
        client.write_u8(b'F').await.unwrap();
        assert!(read(&mut guarded).await.1);
        let late = async {
            tokio::time::sleep(IDLE_WITHIN * 2).await;
            client.write_u8(b'F').await.unwrap();
        };
        let (read, ()) = tokio::join!(read(&mut guarded), late);
        assert_eq!(read, (IDLE_WITHIN * 2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_after_a_wait_begins_a_head() {
        let (mut client, server) = duplex(64);
        let (mut guarded, phase) = Guarded::new(server, IDLE_WITHIN, true);
        phase.idle();
        client.write_u8(b'G').await.unwrap();
        assert!(read(&mut guarded).await.1);
        assert_eq!(read(&mut guarded).await, (HEAD_WITHIN, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (_client, server) = duplex(8);
        let (mut guarded, _phase) = Guarded::new(server, IDLE_WITHIN, true);
        let started = Instant::now();
        guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(started.elapsed(), TAKE_WITHIN);
    }
}
