//! The clock of the demonstration: event time, that passes faster while the story is played.
//!
//! The check endpoint and the operators' API judge freshness and ends by a wall clock. In the demonstration that clock
//! tells the time of the story: what the traffic has come to, and from the end of the play on as fast as any clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    deliver::{WallClock, WallTime},
    event::EventTime,
};

/// The story's time.
#[derive(Clone, Debug)]
pub(super) struct StageClock {
    now_ms: Arc<AtomicU64>,
    /// When the play ended, by the machine's clock, in milliseconds since `origin`; 0 = it goes on.
    ended_ms: Arc<AtomicU64>,
    origin: Instant,
}

impl StageClock {
    pub fn new() -> Self {
        Self { now_ms: Arc::default(), ended_ms: Arc::default(), origin: Instant::now() }
    }

    /// The traffic has come so far.
    pub fn advance(&self, to: EventTime) {
        self.now_ms.fetch_max(to.0, Ordering::Relaxed);
    }

    /// From now on it goes as any clock does.
    pub fn let_go(&self) {
        self.ended_ms.store(self.since_origin().max(1), Ordering::Relaxed);
    }

    pub fn now(&self) -> WallTime {
        let ended = self.ended_ms.load(Ordering::Relaxed);
        let since = if ended == 0 { 0 } else { self.since_origin().saturating_sub(ended) };
        WallTime(self.now_ms.load(Ordering::Relaxed) + since)
    }

    /// For whoever asks for a wall clock.
    pub fn as_wall_clock(&self) -> WallClock {
        let clock = self.clone();
        WallClock::from_fn(move || clock.now())
    }

    fn since_origin(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Holds the play back to so many seconds of event time in a second.
#[derive(Debug)]
pub(super) struct Pace {
    /// `None` = as fast as it goes.
    speed: Option<f64>,
    from: EventTime,
    begun: Instant,
}

impl Pace {
    pub fn new(speed: Option<f64>, from: EventTime) -> Self {
        Self { speed, from, begun: Instant::now() }
    }

    /// Waits until it is `at`.
    pub fn wait_for(&self, at: EventTime) {
        let Some(speed) = self.speed else { return };
        let due = Duration::from_secs_f64(at.since(self.from).as_secs_f64() / speed);
        if let Some(left) = due.checked_sub(self.begun.elapsed()) {
            std::thread::sleep(left);
        }
    }
}
