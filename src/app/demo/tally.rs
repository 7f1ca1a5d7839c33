//! Requests a minute of those who play a part: what is seen, and what is usual.

use super::cast::Part;
use crate::event::EventTime;

const MINUTE_MS: u64 = 60_000;
/// Usual is what was seen at this time of day, half an hour either way, on the days before.
const AROUND_MS: u64 = 30 * MINUTE_MS;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// Counts by part.
#[derive(Debug)]
pub(super) struct Tally {
    live_from: EventTime,
    days: u64,
    usual: [u64; 4],
    minute: [u64; 4],
}

impl Tally {
    pub fn new(live_from: EventTime, days: u16) -> Self {
        Self { live_from, days: u64::from(days).saturating_sub(1).max(1), usual: [0; 4], minute: [0; 4] }
    }

    /// Counts a request.
    pub fn count(&mut self, part: Part, at: EventTime) {
        let before = self.live_from.0.saturating_sub(at.0);
        if at >= self.live_from {
            self.minute[part as usize] += 1;
        } else if (before + AROUND_MS) % DAY_MS < 2 * AROUND_MS && before > AROUND_MS {
            self.usual[part as usize] += 1;
        }
    }

    /// Requests a minute that are usual at this time of day.
    pub fn usual(&self, part: Part) -> f64 {
        #[allow(clippy::cast_precision_loss)] // small counts
        {
            self.usual[part as usize] as f64 / (self.days * 2 * AROUND_MS / MINUTE_MS) as f64
        }
    }

    /// What the live part's minute came to; the next one begins.
    pub fn turn_minute(&mut self) -> [u64; 4] {
        std::mem::take(&mut self.minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_is_the_same_hour_of_the_days_before() {
        let live_from = EventTime(20 * DAY_MS);
        let mut tally = Tally::new(live_from, 3);
        for minutes_before in [10, 24 * 60 - 20, 24 * 60 + 20, 48 * 60, 12 * 60] {
            tally.count(Part::Crowd, EventTime(live_from.0 - minutes_before * MINUTE_MS));
        }
        tally.count(Part::Crowd, live_from);
        assert!((tally.usual(Part::Crowd) - 3.0 / 120.0).abs() < 1e-9);
        assert_eq!(tally.turn_minute(), [0, 1, 0, 0]);
        assert_eq!(tally.turn_minute(), [0; 4]);
    }
}
