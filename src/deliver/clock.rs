//! The wall clock, as a value that is passed in: `deliver` and `serve` act by it, and tests turn it by hand.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::event::EventTime;

/// A moment by the wall clock, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

impl WallTime {
    /// This moment plus `after`, saturating.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time since `earlier`, or zero if the clock was set back.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-22T03:11:40.000Z`.
    pub fn rfc3339(self) -> String {
        EventTime(self.0).rfc3339_millis()
    }

    /// Reads RFC 3339; `None` for anything else, and for times before the epoch.
    pub fn parse(text: &str) -> Option<Self> {
        EventTime::parse(text).map(|time| Self(time.0))
    }
}

/// Tells the wall-clock time.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> WallTime + Send + Sync>);

impl WallClock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::from_fn(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            WallTime(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
        })
    }

    /// Any other way to tell the time.
    pub fn from_fn(tell: impl Fn() -> WallTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The time now.
    pub fn now(&self) -> WallTime {
        (self.0)()
    }
}

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WallClock({})", self.now().rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_they_are_written() {
        let time = WallTime(1_795_317_100_042);
        assert_eq!(time.rfc3339(), "2026-11-22T03:11:40.042Z");
        assert_eq!(WallTime::parse(&time.rfc3339()), Some(time));
        assert_eq!(WallTime::parse("yesterday"), None);
    }
}
