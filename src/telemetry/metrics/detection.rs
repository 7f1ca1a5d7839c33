//! What is found and decided: counted from committed outputs, so that a replay counts nothing twice.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::family::Families;

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
}

impl DetectionMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
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
        }
    }
}
