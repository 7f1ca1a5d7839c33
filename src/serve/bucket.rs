//! A token bucket without a lock, as the generic cell rate algorithm (ITU-T I.371): it keeps one number, the time at
//! which the next request would conform.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::deliver::WallTime;

/// How much of its rate a bucket may let through at once.
const BURST: f64 = 1.0;
/// What a caller is told to wait where nothing is ever let through.
const NEVER: Duration = Duration::from_mins(1);

/// Lets through at most a rate, and at once what a second's worth of it is, but at least one request.
#[derive(Debug)]
#[allow(clippy::struct_field_names)] // the postfix is the unit
pub(super) struct Bucket {
    /// Time between two requests at the full rate; `None` = nothing is let through.
    interval_ns: Option<u64>,
    tolerance_ns: u64,
    next_ns: AtomicU64,
}

impl Bucket {
    /// `rate` is in requests a second; what is not positive lets nothing through.
    pub fn new(rate: f64) -> Self {
        let nanos = 1e9 / rate;
        // Slower than one request in eleven days is never, as is a rate that is no number.
        let interval_ns = (nanos.is_finite() && (1.0..1e15).contains(&nanos)).then(|| to_ns(nanos));
        let burst = (rate * BURST).max(1.0);
        let tolerance_ns = interval_ns.map_or(0, |_| to_ns((burst - 1.0) * nanos));
        Self { interval_ns, tolerance_ns, next_ns: AtomicU64::new(0) }
    }

    /// A bucket at `rate` that is as empty as `before`, so that a renewed decision gives no new burst.
    pub fn renewed(rate: f64, before: &Self) -> Self {
        let bucket = Self::new(rate);
        bucket.next_ns.store(before.next_ns.load(Ordering::Relaxed), Ordering::Relaxed);
        bucket
    }

    /// Takes a token, or says how long to wait for one.
    pub fn take(&self, now: WallTime) -> Result<(), Duration> {
        let Some(interval) = self.interval_ns else { return Err(NEVER) };
        let now = now.0.saturating_mul(1_000_000);
        let mut next = self.next_ns.load(Ordering::Relaxed);
        loop {
            // Further ahead than this it can only be if the clock was set back: then it starts afresh.
            let furthest = now.saturating_add(self.tolerance_ns).saturating_add(interval);
            let from = if next > furthest { now } else { next.max(now) };
            let ahead = from - now;
            if ahead > self.tolerance_ns {
                return Err(Duration::from_nanos(ahead - self.tolerance_ns));
            }
            let taken = from.saturating_add(interval);
            match self.next_ns.compare_exchange_weak(next, taken, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => next = changed,
            }
        }
    }
}

/// Both signs and sizes are checked where this is used.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn to_ns(nanos: f64) -> u64 {
    nanos.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: WallTime = WallTime(1_795_317_100_000);

    fn let_through(bucket: &Bucket, requests_a_second: u64, seconds: u64) -> usize {
        let step = 1_000 / requests_a_second;
        (0..requests_a_second * seconds).filter(|n| bucket.take(WallTime(START.0 + n * step)).is_ok()).count()
    }

    #[test]
    fn the_rate_is_kept_after_one_burst() {
        assert_eq!(let_through(&Bucket::new(10.0), 100, 10), 109);
        assert_eq!(let_through(&Bucket::new(0.5), 10, 10), 5);
        assert_eq!(let_through(&Bucket::new(200.0), 100, 10), 1_000);
    }

    #[test]
    fn a_caller_is_told_how_long_to_wait() {
        let bucket = Bucket::new(0.5);
        bucket.take(START).unwrap();
        assert_eq!(bucket.take(START), Err(Duration::from_secs(2)));
        bucket.take(START.after(Duration::from_secs(2))).unwrap();
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_through() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300] {
            assert_eq!(Bucket::new(rate).take(START), Err(NEVER), "{rate}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_blocks_nobody() {
        let bucket = Bucket::new(1.0);
        bucket.take(START).unwrap();
        bucket.take(WallTime(START.0 - 3_600_000)).unwrap();
    }
}
