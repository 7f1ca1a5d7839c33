//! Every metric that Keyhound has, in one place: the name, what it means, and its labels.
//!
//! Names follow Prometheus: `keyhound_` first, base units, `_total` for counters and for nothing else. Each label
//! takes its values from a closed list or from the settings.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use super::{family::Families, process::Process, reading::Status};

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
    /// `keyhound_incidents_open{severity}`.
    pub incidents_open: IntGaugeVec,
    /// `keyhound_decisions_total{step,mode}`.
    pub decisions: IntCounterVec,
    /// `keyhound_proposals_held_total{rail}`.
    pub held: IntCounterVec,
    /// `keyhound_rule_condition_errors_total{rule}`: conditions that could not be judged, and kept the rule silent.
    pub rule_condition_errors: IntCounterVec,

    /// `keyhound_checks_total{gateway,outcome}`.
    pub checks: IntCounterVec,
    /// `keyhound_check_duration_seconds`.
    pub check_seconds: Histogram,
    /// `keyhound_decisions_received_total{outcome}`: what the table for gateways made of each decision.
    pub decisions_received: IntCounterVec,
    /// `keyhound_decisions_in_table` of `keyhound_decisions_table_limit`.
    pub decisions_in_table: IntGauge,
    pub decisions_table_limit: IntGauge,

    /// `keyhound_alertmanager_notifications_{sent,errors,dropped}_total{alertmanager}`.
    pub notifications_sent: IntCounterVec,
    pub notifications_errors: IntCounterVec,
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

/// Set from a [`super::Reading`] at each scrape.
struct SlotMetrics {
    up: IntGauge,
    heartbeat: Gauge,
    records: IntCounterVec,
    record_bytes: IntCounterVec,
    events: IntCounterVec,
    rejected: IntCounterVec,
    clear_keys: IntCounterVec,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    late: IntCounter,
    repeated: IntCounter,
    watermark: GaugeVec,
    keys: IntGaugeVec,
    evictions: IntCounterVec,
    state_bytes: IntGauge,
    commits: IntCounter,
    commit_seconds: Counter,
    checkpoints: IntCounter,
    checkpoint_seconds: Counter,
    checkpoint_at: Gauge,
    mismatches: IntCounter,
    outbox: IntGaugeVec,
    table_entries: IntGaugeVec,
    table_limit: IntGaugeVec,
}

struct ProcessMetrics {
    resident_bytes: IntGauge,
    cpu_seconds: Counter,
    open_files: IntGauge,
}

impl Metrics {
    /// Makes and registers all metrics. `version` and `revision` go to `keyhound_build_info`.
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
            incidents_open: f.gauges(
                "keyhound_incidents_open",
                "Incidents that are open now, by severity.",
                &["severity"],
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
            rule_condition_errors: f.counters(
                "keyhound_rule_condition_errors_total",
                "Conditions that could not be judged and kept their rule silent, by rule.",
                &["rule"],
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

impl SlotMetrics {
    #[allow(clippy::too_many_lines)] // a list of names and meanings: cutting it would hide it
    fn new(f: &Families<'_>) -> Self {
        let by_source = &["source"];
        let by_partition = &["partition"];
        Self {
            up: f.gauge(
                "keyhound_restored",
                "Whether state was restored and new input is read (1) or not yet (0).",
            ),
            heartbeat: f.real_gauge(
                "keyhound_heartbeat_timestamp_seconds",
                "Last turn of the slot's loop, in seconds since the Unix epoch.",
            ),
            records: f.counters("keyhound_records_total", "Records read, by source.", by_source),
            record_bytes: f.counters(
                "keyhound_record_bytes_total",
                "Bytes of records read, by source.",
                by_source,
            ),
            events: f.counters("keyhound_events_total", "Events decoded from records, by source.", by_source),
            rejected: f.counters(
                "keyhound_records_rejected_total",
                "Records that could not be used, by source and reason.",
                &["source", "reason"],
            ),
            clear_keys: f.counters(
                "keyhound_records_with_clear_key_total",
                "Records that showed an API key in clear, by source.",
                by_source,
            ),
            lag_records: f.gauges("keyhound_source_lag_records", "Records that wait at a source.", by_source),
            lag_seconds: f.real_gauges(
                "keyhound_source_lag_seconds",
                "How far the newest event read of a source is behind the wall clock, in event time.",
                by_source,
            ),
            late: f.counter("keyhound_events_late_total", "Events that came beyond a window's lateness."),
            repeated: f.counter("keyhound_events_repeated_total", "Events whose request id had been seen."),
            watermark: f.real_gauges(
                "keyhound_watermark_timestamp_seconds",
                "Event time up to which a partition has seen everything, in seconds since the Unix epoch.",
                by_partition,
            ),
            keys: f.gauges("keyhound_state_keys", "Keys with a profile, by partition.", by_partition),
            evictions: f.counters(
                "keyhound_state_evictions_total",
                "Profiles dropped to stay within the limit, by partition.",
                by_partition,
            ),
            state_bytes: f.gauge("keyhound_state_bytes", "Bytes that the state of all keys takes."),
            commits: f.counter("keyhound_commits_total", "Commits of positions and outputs."),
            commit_seconds: f.real_counter("keyhound_commit_seconds_total", "Time spent in commits."),
            checkpoints: f.counter("keyhound_checkpoints_total", "Checkpoints of state."),
            checkpoint_seconds: f
                .real_counter("keyhound_checkpoint_seconds_total", "Time spent in checkpoints."),
            checkpoint_at: f.real_gauge(
                "keyhound_checkpoint_timestamp_seconds",
                "When state was last checkpointed, in seconds since the Unix epoch.",
            ),
            mismatches: f.counter(
                "keyhound_digest_mismatches_total",
                "Replays whose effects differed from those that were committed.",
            ),
            outbox: f.gauges(
                "keyhound_outbox_records",
                "Committed outputs that a dispatcher has not delivered yet, by dispatcher.",
                &["dispatcher"],
            ),
            table_entries: f.gauges("keyhound_table_entries", "Entries in a bounded table.", &["table"]),
            table_limit: f.gauges("keyhound_table_limit", "The most entries of a bounded table.", &["table"]),
        }
    }

    fn set(&self, reading: &super::Reading) {
        self.up.set(i64::from(reading.restored));
        self.heartbeat.set(seconds(reading.heartbeat_ms));
        for source in &reading.sources {
            self.set_source(source);
        }
        for partition in &reading.partitions {
            let label = partition.partition.to_string();
            let label = &[label.as_str()];
            self.watermark.with_label_values(label).set(seconds(partition.watermark_ms));
            self.keys.with_label_values(label).set(signed(partition.keys));
            raise(&self.evictions.with_label_values(label), partition.evictions);
        }
        for table in &reading.tables {
            self.table_entries.with_label_values(&[table.table]).set(signed(table.entries));
            self.table_limit.with_label_values(&[table.table]).set(signed(table.limit));
        }
        for (dispatcher, records) in &reading.outbox {
            self.outbox.with_label_values(&[dispatcher.as_str()]).set(signed(*records));
        }
        raise(&self.late, reading.events_late);
        raise(&self.repeated, reading.events_repeated);
        raise(&self.commits, reading.commits);
        raise(&self.checkpoints, reading.checkpoints);
        raise(&self.mismatches, reading.digest_mismatches);
        raise_real(&self.commit_seconds, reading.commit_seconds);
        raise_real(&self.checkpoint_seconds, reading.checkpoint_seconds);
        self.checkpoint_at.set(seconds(reading.checkpoint_at_ms));
        self.state_bytes.set(signed(reading.state_bytes));
    }

    fn set_source(&self, source: &super::SourceReading) {
        let label = &[source.source.as_str()];
        raise(&self.records.with_label_values(label), source.records);
        raise(&self.record_bytes.with_label_values(label), source.bytes);
        raise(&self.events.with_label_values(label), source.events);
        raise(&self.clear_keys.with_label_values(label), source.clear_keys);
        for (reason, count) in &source.rejected {
            raise(&self.rejected.with_label_values(&[source.source.as_str(), reason]), *count);
        }
        if let Some(records) = source.lag_records {
            self.lag_records.with_label_values(label).set(signed(records));
        }
        if let Some(seconds) = source.lag_seconds {
            self.lag_seconds.with_label_values(label).set(seconds);
        }
    }
}

impl ProcessMetrics {
    fn new(f: &Families<'_>) -> Self {
        let start = f.real_gauge(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch, in seconds.",
        );
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        start.set(since_epoch.map_or(0.0, |since| since.as_secs_f64()));
        Self {
            resident_bytes: f.gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
            cpu_seconds: f.real_counter(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent, in seconds.",
            ),
            open_files: f.gauge("process_open_fds", "Number of open file descriptors."),
        }
    }

    fn set(&self, process: Process) {
        self.resident_bytes.set(process.resident_bytes);
        raise_real(&self.cpu_seconds, process.cpu_seconds);
        self.open_files.set(process.open_files);
    }
}

/// Raises a counter to what was read. Two scrapes at once may read in either order: it never falls.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn raise_real(counter: &Counter, to: f64) {
    counter.inc_by((to - counter.get()).max(0.0));
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[allow(clippy::cast_precision_loss)] // milliseconds of this millennium are exact in a double
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{PartitionReading, Reading, SourceReading, TableReading};

    struct Fixed(Reading);

    impl Status for Fixed {
        fn read(&self) -> Reading {
            self.0.clone()
        }
    }

    fn full() -> Metrics {
        let metrics = Metrics::new("0.1.0", "abc");
        metrics.watch(Arc::new(Fixed(Reading {
            restored: true,
            heartbeat_ms: 1_500,
            sources: vec![SourceReading {
                source: "0:kong-logs".to_owned(),
                records: 10,
                rejected: vec![("syntax", 2)],
                lag_records: Some(7),
                lag_seconds: Some(0.25),
                ..SourceReading::default()
            }],
            partitions: vec![PartitionReading { partition: 3, watermark_ms: 9_000, keys: 4, evictions: 1 }],
            tables: vec![TableReading { table: "profiles", entries: 4, limit: 100 }],
            outbox: vec![("alerts".to_owned(), 5)],
            commit_seconds: 0.5,
            ..Reading::default()
        })));
        metrics.findings.with_label_values(&["key-volume-spike", "volume.spike"]).inc();
        metrics.checks.with_label_values(&["nginx", "allowed"]).inc();
        metrics
    }

    #[test]
    fn the_slots_counters_are_read_at_each_scrape() {
        let metrics = full();
        for line in [
            "keyhound_records_total{source=\"0:kong-logs\"} 10",
            "keyhound_records_rejected_total{reason=\"syntax\",source=\"0:kong-logs\"} 2",
            "keyhound_source_lag_records{source=\"0:kong-logs\"} 7",
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
    fn names_follow_the_conventions_that_promtool_checks() {
        let text = full().render();
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, kind) = (words[2], words[3]);
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(name.starts_with("keyhound_") || name.starts_with("process_"), "{line}");
            assert!(text.contains(&format!("# HELP {name} ")), "{line}");
        }
    }
}
