//! Times that cannot be right.

use std::time::Duration;

use super::EventTime;

/// How far a record's own time may be ahead of the log's.
pub const AHEAD_MAX: Duration = Duration::from_mins(1);

/// The time to use instead, if an event claims to be further ahead of its log than a clock can be. Such an event is
/// counted and flagged, and moves the watermark only where no better time comes for a while: one wrong clock would make
/// all others late.
pub fn clamped(time: EventTime, log_time: EventTime) -> Option<EventTime> {
    let ahead_ms = time.0.saturating_sub(log_time.0);
    (ahead_ms > AHEAD_MAX.as_secs() * 1000).then_some(log_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_ahead_is_believed_and_no_more() {
        let log = EventTime(1_000_000);
        assert_eq!(clamped(log.after(AHEAD_MAX), log), None);
        assert_eq!(clamped(EventTime(log.0 + 60_001), log), Some(log));
        assert_eq!(clamped(EventTime(5), log), None);
    }
}
