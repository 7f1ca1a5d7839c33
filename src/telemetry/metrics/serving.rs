//! What is served: checks of gateways, the decision table, connections, and the API for operators.

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::Families;

/// Upper bounds of the check latency's buckets, in seconds: from 10 µs to 100 ms.
const CHECK_SECONDS: [f64; 11] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.1];

/// Checks, connections, the decision table, operators' commands.
pub struct ServingMetrics {
    /// `keyhound_checks_total{gateway,outcome}`.
    pub checks: IntCounterVec,
    /// `keyhound_check_duration_seconds`.
    pub check_seconds: Histogram,
    /// `keyhound_connections{listener}` of `keyhound_connections_limit{listener}`.
    pub connections: IntGaugeVec,
    pub connections_limit: IntGaugeVec,
    /// `keyhound_connections_refused_total{listener}`.
    pub connections_refused: IntCounterVec,
    /// `keyhound_decision_table_updates_total{outcome}`.
    pub table_updates: IntCounterVec,
    /// `keyhound_decision_table_entries` of `keyhound_decision_table_limit`.
    pub table_entries: IntGauge,
    pub table_limit: IntGauge,
    /// `keyhound_operator_api_entries{kind}` of `keyhound_operator_api_entries_limit{kind}`: what operators can list.
    pub listed: IntGaugeVec,
    pub listed_limit: IntGaugeVec,
    /// `keyhound_commands_total{action,outcome}`.
    pub commands: IntCounterVec,
    /// `keyhound_operator_requests_total{outcome}`: ok, refused or failed.
    pub operator_requests: IntCounterVec,
}

impl ServingMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let by_listener = &["listener"];
        let by_kind = &["kind"];
        Self {
            checks: f.counters(
                "keyhound_checks_total",
                "Gateway checks by kind of gateway and outcome.",
                &["gateway", "outcome"],
            ),
            check_seconds: f.histogram(
                "keyhound_check_duration_seconds",
                "Time to answer a gateway check, without the network.",
                &CHECK_SECONDS,
            ),
            connections: f.gauges("keyhound_connections", "Open connections by listener.", by_listener),
            connections_limit: f.gauges(
                "keyhound_connections_limit",
                "Maximum number of open connections by listener.",
                by_listener,
            ),
            connections_refused: f.counters(
                "keyhound_connections_refused_total",
                "Connections closed immediately because the limit was reached, by listener.",
                by_listener,
            ),
            table_updates: f.counters(
                "keyhound_decision_table_updates_total",
                "Updates of the decision table by outcome.",
                &["outcome"],
            ),
            table_entries: f.gauge(
                "keyhound_decision_table_entries",
                "Decisions in the decision table, recently ended ones included.",
            ),
            table_limit: f.gauge(
                "keyhound_decision_table_limit",
                "Maximum number of decisions in the decision table.",
            ),
            listed: f.gauges(
                "keyhound_operator_api_entries",
                "Entries that the operator API can list, by kind.",
                by_kind,
            ),
            listed_limit: f.gauges(
                "keyhound_operator_api_entries_limit",
                "Maximum number of entries that the operator API keeps, by kind; beyond it the oldest are evicted.",
                by_kind,
            ),
            commands: f.counters(
                "keyhound_commands_total",
                "Operator commands by action and outcome.",
                &["action", "outcome"],
            ),
            operator_requests: f.counters(
                "keyhound_operator_requests_total",
                "Requests to the operator API by outcome.",
                &["outcome"],
            ),
        }
    }
}
