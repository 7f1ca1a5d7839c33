//! What traffic to make.

use crate::event::EventTime;

/// The form of a log line, as `decode`'s presets of the same names read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON by `log_format … escape=json`, with the raw key.
    Nginx,
    /// The serializer of http-log, file-log and kafka-log, with the credential id and the raw `apikey` header.
    Kong,
    /// JSON by `json_format`, with the raw key.
    Envoy,
}

/// Which forms the lines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    /// All the same.
    One(Format),
    /// Each tenant is behind one gateway: nginx, Kong and Envoy in turn.
    Mixed,
}

/// What traffic to make. All rates are means over a week.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    /// Cut to the minute.
    pub start: EventTime,
    /// From 1 to 366.
    pub days: u16,
    /// From 1 to 1,000,000. Key number `i` is the `i`-th busiest, from 0.
    pub keys: usize,
    /// From 1 to 12.
    pub tenants: usize,
    pub formats: Formats,
    /// Requests a minute of the key in the middle.
    pub median_per_minute: f64,
    /// Requests a minute of the busiest key; with the median it sets the exponent of the Zipf law.
    pub top_per_minute: f64,
    /// All rates are scaled down so that about this many lines are expected at most.
    pub lines_max: u64,
}

/// A plan out of its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("\"{field}\" is {value}; it must be from {least} to {most}")]
pub struct PlanError {
    pub field: &'static str,
    pub value: f64,
    pub least: f64,
    pub most: f64,
}

/// 2026-11-02T00:00:00Z, a Monday.
const START: EventTime = EventTime(1_793_577_600_000);

/// How many tenants there are names for.
pub(super) const TENANTS_MAX: usize = 12;

impl Default for Plan {
    /// Two weeks of 300 keys of 8 tenants behind nginx: about three million lines.
    fn default() -> Self {
        Self {
            seed: 1,
            start: START,
            days: 14,
            keys: 300,
            tenants: 8,
            formats: Formats::One(Format::Nginx),
            median_per_minute: 0.2,
            top_per_minute: 30.0,
            lines_max: 3_000_000,
        }
    }
}

impl Plan {
    /// The first moment after the traffic.
    pub fn end(&self) -> EventTime {
        EventTime(self.start_minute() * 60_000)
            .after(std::time::Duration::from_secs(u64::from(self.days) * 86_400))
    }

    #[allow(clippy::cast_precision_loss)] // for a message
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let check = |field, value: f64, least, most| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(PlanError { field, value, least, most })
            }
        };
        check("days", f64::from(self.days), 1.0, 366.0)?;
        check("keys", self.keys as f64, 1.0, 1_000_000.0)?;
        check("tenants", self.tenants as f64, 1.0, TENANTS_MAX as f64)?;
        check("median_per_minute", self.median_per_minute, 1e-4, 1_000.0)?;
        check("top_per_minute", self.top_per_minute, self.median_per_minute, 100_000.0)?;
        check("lines_max", self.lines_max as f64, 1.0, 1e12)
    }

    pub(super) fn start_minute(&self) -> u64 {
        self.start.0 / 60_000
    }

    /// Mean rate of each key, the busiest first: Zipf, scaled to `lines_max`.
    pub(super) fn rates(&self) -> Vec<f64> {
        #[allow(clippy::cast_precision_loss)] // at most a million
        let (middle, keys) = ((self.keys as f64 / 2.0).max(2.0), self.keys);
        let exponent = (self.top_per_minute / self.median_per_minute).ln() / middle.ln();
        #[allow(clippy::cast_precision_loss)]
        let mut rates: Vec<f64> =
            (0..keys).map(|rank| self.top_per_minute / (rank as f64 + 1.0).powf(exponent)).collect();
        let lines = rates.iter().sum::<f64>() * f64::from(self.days) * 1_440.0;
        #[allow(clippy::cast_precision_loss)]
        let scale = (self.lines_max as f64 / lines).min(1.0);
        for rate in &mut rates {
            *rate *= scale;
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_zipf_and_stay_under_the_limit() {
        let plan = Plan { lines_max: 1_000_000_000, ..Plan::default() };
        let rates = plan.rates();
        assert!((rates[0] - 30.0).abs() < 1e-9);
        assert!((0.19..0.21).contains(&rates[149]), "{}", rates[149]);
        let total = Plan::default().rates().iter().sum::<f64>() * 14.0 * 1_440.0;
        assert!(total <= 3_000_001.0, "{total}");
    }

    #[test]
    fn a_plan_out_of_range_is_refused_with_the_range() {
        let error = Plan { days: 0, ..Plan::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "\"days\" is 0; it must be from 1 to 366");
        assert!(Plan { median_per_minute: f64::NAN, ..Plan::default() }.check().is_err());
    }
}
