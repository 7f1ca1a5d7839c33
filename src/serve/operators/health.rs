//! Whether the process is ready: state restored, the slot's loop alive, and not far behind.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::{Deserialize, Serialize};

use super::Operators;
use crate::{
    deliver::WallTime,
    telemetry::{Metrics, Reading, SourceReading},
};

/// How long the slot's loop may be silent.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What `/readyz` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadyReport {
    pub ready: bool,
    /// Why not; empty if it is.
    pub reasons: Vec<String>,
    /// What is wrong and makes nobody turn to another instance.
    #[serde(default)]
    pub warnings: Vec<String>,
    pub restored: bool,
    /// An operator has paused what is automatic.
    #[serde(default)]
    pub automation_paused: bool,
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
    /// Known of files; of gzip files, compressed bytes.
    pub lag_bytes: Option<u64>,
    pub lag_seconds: Option<f64>,
    /// How far it is behind, how fast it is read and when it will have caught up, in words; absent if it is not behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    /// How long it will take, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_seconds: Option<u64>,
    /// Whether everything that it reads is in reach; unknown until it is read.
    pub connected: Option<bool>,
    /// What is out of reach, and why.
    pub fault: Option<String>,
}

pub(super) async fn ready(State(operators): State<Arc<Operators>>) -> impl IntoResponse {
    let report = ready_report(&operators.metrics, operators.clock.now(), operators.ready_lag_seconds_max);
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

/// Whether the process is ready, and if not, why.
pub fn ready_report(metrics: &Metrics, now: WallTime, lag_seconds_max: u32) -> ReadyReport {
    let mut report = report(metrics.reading(), now, lag_seconds_max);
    report.reasons.extend(metrics.faults.reasons());
    report.warnings.extend(metrics.faults.warnings());
    let outputs = metrics.outputs.faults().into_iter();
    report
        .warnings
        .extend(outputs.map(|(output, fault)| format!("output {output} is out of reach: {fault}")));
    report.warnings.extend(metrics.instances.warning());
    report.ready = report.reasons.is_empty();
    report
}

/// What the slot alone says of it.
fn report(reading: Option<Reading>, now: WallTime, lag_seconds_max: u32) -> ReadyReport {
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
    reasons.extend(reading.sources.iter().filter_map(|source| out_of_reach(source, now)));
    let warnings = reading.sources.iter().flat_map(|source| {
        source.warnings.iter().map(|(_, text)| format!("source {}: {text}", source.source))
    });
    let warnings: Vec<String> = warnings.chain(paused_warning(reading.paused)).collect();
    let sources = reading.sources.into_iter().map(|source| ReadySource {
        source: source.source,
        lag_records: source.lag_records,
        lag_bytes: source.lag_bytes,
        lag_seconds: source.lag_seconds,
        catch_up: source.catch_up.map(|catch_up| catch_up.text(now.0)),
        catch_up_seconds: source.catch_up.and_then(|catch_up| catch_up.within).map(|within| within.as_secs()),
        connected: source.connected,
        fault: source.fault,
    });
    ReadyReport {
        ready: reasons.is_empty(),
        reasons,
        warnings,
        restored: reading.restored,
        automation_paused: reading.paused,
        heartbeat_age_seconds: heartbeat.map(|age| age.as_secs_f64()),
        lag_seconds,
        lag_seconds_max,
        sources: sources.collect(),
    }
}

/// Why a source that does not reach what it reads makes the process unready.
fn out_of_reach(source: &SourceReading, now: WallTime) -> Option<String> {
    if source.connected != Some(false) {
        return None;
    }
    let fault = source.fault.as_deref().unwrap_or("the reason is not known");
    let name = &source.source;
    if source.contact_at_ms == 0 {
        return Some(format!("source {name} is out of reach: {fault}"));
    }
    let age = now.since(WallTime(source.contact_at_ms)).as_secs();
    Some(format!("source {name} has been out of reach for {age} s: {fault}"))
}

fn paused_warning(is_paused: bool) -> Vec<String> {
    let text = "automatic steps are paused by an operator: nothing is throttled by itself until \
                keyhound decisions resume";
    is_paused.then(|| text.to_owned()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_pause_is_said_and_leaves_it_ready() {
        let report = report(Some(reading(|reading| reading.paused = true)), WallTime(1_500), 300);
        assert!(report.ready && report.automation_paused && report.reasons.is_empty());
        assert!(report.warnings[0].contains("paused"), "{:?}", report.warnings);
    }

    #[test]
    fn readiness_says_what_is_missing() {
        check(reading(|_| ()), 1_500, &[]);
        check(None, 1_500, &["not restored", "not begun"]);
        check(reading(|reading| reading.restored = false), 1_500, &["not restored"]);
        check(reading(|_| ()), 12_001, &["last turned 11 s ago"]);
        check(reading(|reading| reading.sources[0].lag_seconds = Some(301.0)), 1_500, &["301 s old"]);
        let away = |reading: &mut Reading| {
            let source = &mut reading.sources[0];
            (source.source, source.connected) = ("0:kong-logs".to_owned(), Some(false));
            (source.contact_at_ms, source.fault) = (1_500, Some("no broker".to_owned()));
        };
        check(reading(away), 9_500, &["source 0:kong-logs has been out of reach for 8 s: no broker"]);
    }
}
