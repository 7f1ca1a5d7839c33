//! Every metric that Keyhound has: the name, what it means, and its labels. Those that are counted where the thing
//! happens are here; those that are read from the slot and the kernel at each scrape are in `read_metrics`.
//!
//! Names follow Prometheus: `keyhound_` first, base units, `_total` for counters and for nothing else. Each label
//! takes its values from a closed list or from the settings.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use super::{
    family::Families,
    process::Process,
    read_metrics::{ProcessMetrics, SlotMetrics},
    reading::Status,
};

/// Upper bounds of the check latency's buckets, in seconds: from 10 µs to 100 ms.
const CHECK_SECONDS: [f64; 11] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.1];

/// All metrics. Those with public fields are counted where the thing happens; the rest are read from the slot.
pub struct Metrics {
    registry: Registry,
    status: Mutex<Option<Arc<dyn Status>>>,
    slot: SlotMetrics,
    process: ProcessMetrics,

    /// `keyhound_config_last_reload_successful`: 1 or 0.
    pub config_reload_successful: IntGauge,
    /// `keyhound_config_last_reload_success_timestamp_seconds`.
    pub config_reload_success_seconds: Gauge,

    /// `keyhound_findings_total{rule,detector}`.
    pub findings: IntCounterVec,
    /// `keyhound_incidents_total{severity,verdict}`: opened, or raised to this severity.
    pub incidents: IntCounterVec,
    /// `keyhound_incidents_stale_total`: found in a backlog.
    pub incidents_stale: IntCounter,
    /// `keyhound_incidents_open{severity}`.
    pub incidents_open: IntGaugeVec,
    /// `keyhound_api_entries{kind}` of `keyhound_api_entries_limit{kind}`: what operators can list.
    pub shown: IntGaugeVec,
    pub shown_limit: IntGaugeVec,
    /// `keyhound_decisions_total{step,mode}`.
    pub decisions: IntCounterVec,
    /// `keyhound_proposals_held_total{rail}`.
    pub held: IntCounterVec,

    /// `keyhound_checks_total{gateway,outcome}`.
    pub checks: IntCounterVec,
    /// `keyhound_check_duration_seconds`.
    pub check_seconds: Histogram,
    /// `keyhound_connections{listener}` of `keyhound_connections_limit{listener}`.
    pub connections: IntGaugeVec,
    pub connections_limit: IntGaugeVec,
    /// `keyhound_connections_refused_total{listener}`: closed at once, since there were as many as may be.
    pub connections_refused: IntCounterVec,
    /// `keyhound_decisions_received_total{outcome}`: what the table for gateways made of each decision.
    pub decisions_received: IntCounterVec,
    /// `keyhound_decisions_in_table` of `keyhound_decisions_table_limit`.
    pub decisions_in_table: IntGauge,
    pub decisions_table_limit: IntGauge,

    /// `keyhound_alertmanager_notifications_{sent,errors,dropped}_total{alertmanager}`.
    pub notifications_sent: IntCounterVec,
    pub notifications_errors: IntCounterVec,
    pub alerts_forgotten: IntCounter,
    pub engine_failures: IntCounter,
    pub notifications_dropped: IntCounterVec,
    /// `keyhound_alertmanager_notifications_queue_length{alertmanager}` of `…_queue_capacity`.
    pub notifications_queue_length: IntGaugeVec,
    pub notifications_queue_capacity: IntGauge,
    /// `keyhound_alertmanager_notification_latency_seconds`.
    pub notification_seconds: Histogram,

    /// `keyhound_topic_records_total{topic,outcome}`: records published to Keyhound's own topics.
    pub topic_records: IntCounterVec,

    /// `keyhound_commands_total{action,outcome}`.
    pub commands: IntCounterVec,
    /// `keyhound_operator_requests_total{outcome}`: ok, refused or failed.
    pub operator_requests: IntCounterVec,
}

impl Metrics {
    /// Makes and registers all metrics. `version` and `revision` go to `keyhound_build_info`.
    #[allow(clippy::too_many_lines)] // a list of names and meanings: cutting it would hide it
    pub fn new(version: &str, revision: &str) -> Self {
        let registry = Registry::new();
        let f = Families(&registry);
        let build = f.gauges(
            "keyhound_build_info",
            "Always 1; the labels say which build runs.",
            &["version", "revision"],
        );
        build.with_label_values(&[version, revision]).set(1);
        let by_peer = &["alertmanager"];
        Self {
            status: Mutex::new(None),
            slot: SlotMetrics::new(&f),
            process: ProcessMetrics::new(&f),
            config_reload_successful: f.gauge(
                "keyhound_config_last_reload_successful",
                "Whether the last load of the settings succeeded (1) or the ones before stayed in force (0).",
            ),
            config_reload_success_seconds: f.real_gauge(
                "keyhound_config_last_reload_success_timestamp_seconds",
                "When settings were last loaded with success, in seconds since the Unix epoch.",
            ),
            findings: f.counters(
                "keyhound_findings_total",
                "Findings, by rule and detector.",
                &["rule", "detector"],
            ),
            incidents: f.counters(
                "keyhound_incidents_total",
                "Incidents that opened or changed to a severity, by severity and verdict.",
                &["severity", "verdict"],
            ),
            incidents_stale: f.counter(
                "keyhound_incidents_stale_total",
                "Incidents that were found in a backlog: listed, not sent to Alertmanager.",
            ),
            incidents_open: f.gauges(
                "keyhound_incidents_open",
                "Incidents that are open now, by severity.",
                &["severity"],
            ),
            shown: f.gauges(
                "keyhound_api_entries",
                "What the API for operators can list, by kind.",
                &["kind"],
            ),
            shown_limit: f.gauges(
                "keyhound_api_entries_limit",
                "The most that the API for operators keeps, by kind; beyond, the oldest go.",
                &["kind"],
            ),
            decisions: f.counters(
                "keyhound_decisions_total",
                "Decisions made, by step and mode.",
                &["step", "mode"],
            ),
            held: f.counters(
                "keyhound_proposals_held_total",
                "Steps that evidence asked for and a rail held back, by rail.",
                &["rail"],
            ),
            checks: f.counters(
                "keyhound_checks_total",
                "Questions of gateways, by kind of gateway and outcome.",
                &["gateway", "outcome"],
            ),
            check_seconds: f.histogram(
                "keyhound_check_duration_seconds",
                "Time to answer a gateway's question, without the network.",
                &CHECK_SECONDS,
            ),
            connections: f.gauges("keyhound_connections", "Open connections, by listener.", &["listener"]),
            connections_limit: f.gauges(
                "keyhound_connections_limit",
                "Connections that may be open at once, by listener.",
                &["listener"],
            ),
            connections_refused: f.counters(
                "keyhound_connections_refused_total",
                "Connections that were closed at once, since as many were open as may be, by listener.",
                &["listener"],
            ),
            decisions_received: f.counters(
                "keyhound_decisions_received_total",
                "Decisions that reached the table for gateways, by what was made of them.",
                &["outcome"],
            ),
            decisions_in_table: f.gauge(
                "keyhound_decisions_table_entries",
                "Decisions in the table for gateways, those that ended lately included.",
            ),
            decisions_table_limit: f.gauge(
                "keyhound_decisions_table_limit",
                "The most decisions that the table for gateways takes.",
            ),
            notifications_sent: f.counters(
                "keyhound_alertmanager_notifications_sent_total",
                "Alerts sent, by Alertmanager.",
                by_peer,
            ),
            notifications_errors: f.counters(
                "keyhound_alertmanager_notifications_errors_total",
                "Alerts that an Alertmanager did not take, by Alertmanager.",
                by_peer,
            ),
            engine_failures: f.counter(
                "keyhound_engine_failures_total",
                "Times that the engine ended with an error and started again, while decisions were served on.",
            ),
            alerts_forgotten: f.counter(
                "keyhound_alerts_forgotten_total",
                "Alerts that were forgotten, to stay within 10,000 firing and 10,000 ended: they end by themselves.",
            ),
            notifications_dropped: f.counters(
                "keyhound_alertmanager_notifications_dropped_total",
                "Alerts dropped because a queue was full or the process ended, by Alertmanager.",
                by_peer,
            ),
            notifications_queue_length: f.gauges(
                "keyhound_alertmanager_notifications_queue_length",
                "Alerts that wait to be sent, by Alertmanager.",
                by_peer,
            ),
            notifications_queue_capacity: f.gauge(
                "keyhound_alertmanager_notifications_queue_capacity",
                "The most alerts that wait for one Alertmanager.",
            ),
            notification_seconds: f.histogram(
                "keyhound_alertmanager_notification_duration_seconds",
                "Time to hand one batch of alerts to an Alertmanager.",
                &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0],
            ),
            topic_records: f.counters(
                "keyhound_topic_records_total",
                "Records for Keyhound's own topics, by topic and outcome.",
                &["topic", "outcome"],
            ),
            commands: f.counters(
                "keyhound_commands_total",
                "Operators' commands, by action and outcome.",
                &["action", "outcome"],
            ),
            operator_requests: f.counters(
                "keyhound_operator_requests_total",
                "Requests to the operators' API, by outcome.",
                &["outcome"],
            ),
            registry,
        }
    }

    /// Says whom to ask for the slot's counters from now on.
    pub fn watch(&self, status: Arc<dyn Status>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// What the slot says of itself now; `None` before [`Metrics::watch`].
    pub fn reading(&self) -> Option<super::Reading> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.map(|status| status.read())
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        if let Some(reading) = self.reading() {
            self.slot.set(&reading);
        }
        self.process.set(Process::read());
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics could not be written");
            String::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{EngineCounts, PartitionReading, Reading, SourceReading, TableReading};

    struct Fixed(std::sync::Mutex<Reading>);

    impl Status for Fixed {
        fn read(&self) -> Reading {
            self.0.lock().unwrap().clone()
        }
    }

    fn full() -> (Metrics, Arc<Fixed>) {
        let metrics = Metrics::new("0.1.0", "abc");
        let status = Arc::new(Fixed(std::sync::Mutex::new(Reading {
            restored: true,
            heartbeat_ms: 1_500,
            sources: vec![SourceReading {
                source: "0:kong-logs".to_owned(),
                records: 10,
                rejected: vec![("syntax", 2)],
                lag_records: Some(7),
                lag_bytes: Some(900),
                lag_seconds: Some(0.25),
                ..SourceReading::default()
            }],
            partitions: vec![PartitionReading { partition: 3, watermark_ms: 9_000, keys: 4 }],
            engine: EngineCounts { evictions: vec![0, 0, 0, 1], ..EngineCounts::default() },
            tables: vec![TableReading { table: "keys", entries: 4, limit: 100 }],
            outbox: vec![("alerts".to_owned(), 5)],
            commit_seconds: 0.5,
            ..Reading::default()
        })));
        metrics.watch(status.clone());
        metrics.findings.with_label_values(&["key-volume-spike", "volume.spike"]).inc();
        metrics.checks.with_label_values(&["nginx", "allowed"]).inc();
        (metrics, status)
    }

    #[test]
    fn the_slots_counters_are_read_at_each_scrape() {
        let (metrics, _) = full();
        for line in [
            "keyhound_records_total{source=\"0:kong-logs\"} 10",
            "keyhound_records_rejected_total{reason=\"syntax\",source=\"0:kong-logs\"} 2",
            "keyhound_source_lag_records{source=\"0:kong-logs\"} 7",
            "keyhound_source_lag_bytes{source=\"0:kong-logs\"} 900",
            "keyhound_source_lag_seconds{source=\"0:kong-logs\"} 0.25",
            "keyhound_watermark_timestamp_seconds{partition=\"3\"} 9",
            "keyhound_outbox_records{dispatcher=\"alerts\"} 5",
            "keyhound_build_info{revision=\"abc\",version=\"0.1.0\"} 1",
        ] {
            // Twice: a counter that was read again has not grown.
            for text in [metrics.render(), metrics.render()] {
                assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
            }
        }
    }

    #[test]
    fn a_lag_that_is_not_known_any_more_is_not_told() {
        let (metrics, status) = full();
        let told =
            || metrics.render().lines().filter(|line| line.starts_with("keyhound_source_lag_")).count();
        assert_eq!(told(), 3);
        {
            let sources = &mut status.0.lock().unwrap().sources;
            sources[0] = SourceReading { source: sources[0].source.clone(), ..SourceReading::default() };
        }
        assert_eq!(told(), 0);
    }

    #[test]
    fn names_follow_the_conventions_that_promtool_checks() {
        let text = full().0.render();
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, kind) = (words[2], words[3]);
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(name.starts_with("keyhound_") || name.starts_with("process_"), "{line}");
            assert!(text.contains(&format!("# HELP {name} ")), "{line}");
            // promtool takes these for abbreviated units, wherever they stand.
            assert!(
                name.split('_').all(|word| !["us", "ms", "ns", "s", "b", "kb", "mb"].contains(&word)),
                "{line}"
            );
        }
    }
}
