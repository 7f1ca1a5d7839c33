//! The time of the outside: when to commit, and what a record without a time of its log's is compared with.
//!
//! No judgement ever reads it; what reaches the engine of it is recorded in the sequence first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// What time it is outside.
pub trait Clock: Send {
    /// Time since some fixed moment. Never goes back.
    fn now(&self) -> Duration;

    /// The wall clock, in milliseconds since the Unix epoch. May jump.
    fn wall_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::now`] starts at zero.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until somebody moves it. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock {
    ms: Arc<AtomicU64>,
    epoch_ms: u64,
}

impl VirtualClock {
    /// A clock that shows `epoch_ms` on the wall and has run for no time at all.
    pub fn new(epoch_ms: u64) -> Self {
        Self { ms: Arc::default(), epoch_ms }
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ms.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.ms.load(Ordering::Relaxed))
    }

    fn wall_ms(&self) -> u64 {
        self.epoch_ms + self.ms.load(Ordering::Relaxed)
    }
}
