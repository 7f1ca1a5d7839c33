//! What is found and decided: counted from committed outputs, so that a replay counts nothing twice.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGaugeVec};

use super::family::{Families, start_at_zero};
use crate::{
    incident::{Severity, VERDICTS},
    respond::{Guardrail, Mode, Step},
};

/// Upper bounds of the buckets of the delays, in seconds: from a quarter of a second to an hour.
const DELAY_SECONDS: [f64; 13] =
    [0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0];

/// Findings, incidents and decisions.
pub struct DetectionMetrics {
    /// `keyhound_findings_total{rule,detector}`.
    pub findings: IntCounterVec,
    /// `keyhound_incidents_total{severity,verdict}`: opened, or raised to this severity.
    pub incidents: IntCounterVec,
    /// `keyhound_incidents_backlog_total`: found in a backlog.
    pub incidents_backlog: IntCounter,
    /// `keyhound_incidents_open{severity}`.
    pub incidents_open: IntGaugeVec,
    /// `keyhound_decisions_total{step,mode}`.
    pub decisions: IntCounterVec,
    /// `keyhound_proposals_withheld_total{guardrail}`.
    pub withheld: IntCounterVec,
    /// `keyhound_detection_delay_seconds`.
    pub detection_delay: Histogram,
    /// `keyhound_decision_delay_seconds`.
    pub decision_delay: Histogram,
}

impl DetectionMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let metrics = Self::register(f);
        let severities = Severity::ALL.map(Severity::as_str);
        start_at_zero(&metrics.incidents, &[&severities, &VERDICTS]);
        start_at_zero(&metrics.decisions, &[&Step::ALL.map(Step::as_str), &Mode::ALL.map(Mode::as_str)]);
        start_at_zero(&metrics.withheld, &[&Guardrail::ALL.map(Guardrail::as_str)]);
        for severity in severities {
            metrics.incidents_open.with_label_values(&[severity]);
        }
        metrics
    }

    fn register(f: &Families<'_>) -> Self {
        Self {
            findings: f.counters(
                "keyhound_findings_total",
                "Findings by rule and detector.",
                &["rule", "detector"],
            ),
            incidents: f.counters(
                "keyhound_incidents_total",
                "Incidents that opened with a severity or changed to it, by severity and verdict.",
                &["severity", "verdict"],
            ),
            incidents_backlog: f.counter(
                "keyhound_incidents_backlog_total",
                "Incidents found in a backlog: listed, not sent to Alertmanager.",
            ),
            incidents_open: f.gauges("keyhound_incidents_open", "Open incidents by severity.", &["severity"]),
            decisions: f.counters(
                "keyhound_decisions_total",
                "Committed decisions by step and mode.",
                &["step", "mode"],
            ),
            withheld: f.counters(
                "keyhound_proposals_withheld_total",
                "Proposed steps withheld by a guardrail.",
                &["guardrail"],
            ),
            detection_delay: f.histogram(
                "keyhound_detection_delay_seconds",
                "Time from the request, in event time, to its committed finding.",
                &DELAY_SECONDS,
            ),
            decision_delay: f.histogram(
                "keyhound_decision_delay_seconds",
                "Time from the last evidence, in event time, to its automatic decision in the decision table.",
                &DELAY_SECONDS,
            ),
        }
    }
}
