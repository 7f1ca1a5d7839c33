//! Whether the process is ready: state restored, the slot's loop alive, and not far behind.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::{Deserialize, Serialize};

use super::Operators;
use crate::{deliver::WallTime, telemetry::Reading};

/// How long the slot's loop may be silent.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What `/readyz` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadyReport {
    pub ready: bool,
    /// Why not; empty if it is.
    pub reasons: Vec<String>,
    pub restored: bool,
    pub heartbeat_age_seconds: Option<f64>,
    pub lag_seconds: f64,
    pub lag_seconds_max: u32,
    pub sources: Vec<ReadySource>,
}

/// How far behind one source is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadySource {
    pub source: String,
    /// Known of topics.
    pub lag_records: Option<u64>,
    /// Known of plain files.
    pub lag_bytes: Option<u64>,
    pub lag_seconds: Option<f64>,
}

pub(super) async fn ready(State(operators): State<Arc<Operators>>) -> impl IntoResponse {
    let report = report(operators.metrics.reading(), operators.clock.now(), operators.ready_lag_seconds_max);
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

/// Whether a slot that gives `reading` is ready, and if not, why.
pub fn report(reading: Option<Reading>, now: WallTime, lag_seconds_max: u32) -> ReadyReport {
    let reading = reading.unwrap_or_default();
    let heartbeat = (reading.heartbeat_ms > 0).then(|| now.since(WallTime(reading.heartbeat_ms)));
    let lag_seconds = reading.lag_seconds();
    let mut reasons = Vec::new();
    if !reading.restored {
        reasons.push("state is not restored yet".to_owned());
    }
    match heartbeat {
        None => reasons.push("the engine's loop has not begun".to_owned()),
        Some(age) if age > HEARTBEAT => {
            let (age, most) = (age.as_secs(), HEARTBEAT.as_secs());
            reasons.push(format!("the engine's loop last turned {age} s ago; at most {most} s are right"));
        }
        Some(_) => {}
    }
    if lag_seconds_max > 0 && lag_seconds > f64::from(lag_seconds_max) {
        reasons.push(format!(
            "the newest event read is {lag_seconds:.0} s old while more wait; serve.ready_lag_seconds_max is {lag_seconds_max}"
        ));
    }
    let sources = reading.sources.into_iter().map(|source| ReadySource {
        source: source.source,
        lag_records: source.lag_records,
        lag_bytes: source.lag_bytes,
        lag_seconds: source.lag_seconds,
    });
    ReadyReport {
        ready: reasons.is_empty(),
        reasons,
        restored: reading.restored,
        heartbeat_age_seconds: heartbeat.map(|age| age.as_secs_f64()),
        lag_seconds,
        lag_seconds_max,
        sources: sources.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::SourceReading;

    fn reading(change: impl FnOnce(&mut Reading)) -> Reading {
        let source = SourceReading { lag_seconds: Some(2.0), ..SourceReading::default() };
        let mut reading =
            Reading { restored: true, heartbeat_ms: 1_000, sources: vec![source], ..Reading::default() };
        change(&mut reading);
        reading
    }

    #[track_caller]
    fn check(reading: impl Into<Option<Reading>>, at_ms: u64, expected: &[&str]) {
        let report = report(reading.into(), WallTime(at_ms), 300);
        assert_eq!(report.ready, expected.is_empty());
        assert_eq!(report.reasons.len(), expected.len(), "{:?}", report.reasons);
        for (reason, words) in report.reasons.iter().zip(expected) {
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn readiness_says_what_is_missing() {
        check(reading(|_| ()), 1_500, &[]);
        check(None, 1_500, &["not restored", "not begun"]);
        check(reading(|reading| reading.restored = false), 1_500, &["not restored"]);
        check(reading(|_| ()), 12_001, &["last turned 11 s ago"]);
        check(reading(|reading| reading.sources[0].lag_seconds = Some(301.0)), 1_500, &["301 s old"]);
    }
}
