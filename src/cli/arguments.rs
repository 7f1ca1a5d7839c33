//! Values that several commands take.

use std::time::Duration;

use crate::{
    deliver::{WallClock, WallTime},
    incident::Severity,
    rules::test_language::duration,
};

/// `low`, `medium`, `high` or `critical`.
pub(super) fn severity(text: &str) -> Result<Severity, String> {
    let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let found = all.into_iter().find(|severity| severity.as_str() == text);
    found.ok_or_else(|| "it must be low, medium, high or critical".to_owned())
}

/// `90m`, `12h`, `7d`.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "it must be a length of time, such as 90m, 12h or 7d".to_owned())
}

/// A time, or how long ago it was.
pub(super) fn since(text: &str) -> Result<WallTime, String> {
    let ago = |length: Duration| {
        let now = WallClock::system().now();
        WallTime(now.0.saturating_sub(WallTime(0).after(length).0))
    };
    WallTime::parse(text)
        .or_else(|| duration(text).map(ago))
        .ok_or_else(|| "it must be a time (2026-11-22T03:00:00Z) or how long ago (90m, 12h, 7d)".to_owned())
}
