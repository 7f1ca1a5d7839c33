//! What the engines count and keep: set from the slot's counters at each scrape.

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::{Families, raise, seconds, signed};
use crate::telemetry::reading::{EVICTED, EngineCounts, Reading};

/// Events that were not judged like others, and what the state takes.
pub(super) struct EngineMetrics {
    duplicate: IntCounter,
    blocked: IntCounter,
    unprofiled_keys: IntCounter,
    untracked_routes: IntCounter,
    log_gaps: IntCounter,
    condition_errors: IntCounter,
    counters_evicted: IntCounter,
    without_incident: IntCounter,
    postponed: IntCounter,
    counter_bytes: IntGauge,
    counter_bytes_max: IntGauge,
    state_bytes: IntGauge,
    memory_bytes: IntGauge,
    memory_limit: IntGauge,
    watermark: GaugeVec,
    keys: IntGaugeVec,
    evictions: IntCounterVec,
    table_entries: IntGaugeVec,
    table_limit: IntGaugeVec,
}

impl EngineMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let by_partition = &["partition"];
        Self {
            duplicate: f.counter(
                "keyhound_events_duplicate_total",
                "Events whose record was read before, within about the last 16,000 of their partition.",
            ),
            blocked: f.counter(
                "keyhound_requests_blocked_total",
                "Requests blocked by Keyhound's own decisions, as the gateway's log shows them.",
            ),
            unprofiled_keys: f.counter(
                "keyhound_requests_unprofiled_key_total",
                "Requests of keys without a profile, because these keys were never served.",
            ),
            untracked_routes: f.counter(
                "keyhound_requests_untracked_route_total",
                "Requests on routes beyond the table of routes; their latency and size are not evaluated.",
            ),
            log_gaps: f.counter(
                "keyhound_log_gaps_total",
                "Gaps in the logs: 10 minutes or more with next to no requests of any key where many are usual; not learnt.",
            ),
            condition_errors: f.counter(
                "keyhound_rule_condition_errors_total",
                "Conditions of rules that failed to evaluate; the rule gave no finding.",
            ),
            counters_evicted: f.counter(
                "keyhound_rule_counters_evicted_total",
                "Keys whose counters of counting rules were evicted within their windows to stay within the limit.",
            ),
            without_incident: f.counter(
                "keyhound_findings_without_incident_total",
                "Findings of immature keys without an incident, because memory for incidents is used up.",
            ),
            postponed: f.counter(
                "keyhound_spikes_postponed_total",
                "Spikes in request volume that were not evaluated at once, because the table of spikes was full.",
            ),
            counter_bytes: f.gauge("keyhound_rule_state_bytes", "Bytes of the counters of counting rules."),
            counter_bytes_max: f.gauge(
                "keyhound_rule_state_limit_bytes",
                "Maximum number of bytes of the counters of counting rules.",
            ),
            memory_bytes: f.gauge(
                "keyhound_memory_bytes",
                "Memory accounted to the state, in bytes; state.memory_max bounds it.",
            ),
            memory_limit: f.gauge(
                "keyhound_memory_limit_bytes",
                "Maximum memory of the state, in bytes: state.memory_max.",
            ),
            state_bytes: f.gauge("keyhound_state_bytes", "Bytes of the state of all keys."),
            watermark: f.real_gauges(
                "keyhound_watermark_timestamp_seconds",
                "Event time up to which a partition is complete, in seconds since the Unix epoch.",
                by_partition,
            ),
            keys: f.gauges("keyhound_state_keys", "Keys with a profile, by partition.", by_partition),
            evictions: f.counters(
                "keyhound_state_evictions_total",
                "Profiles evicted to stay within state.memory_max, by partition and by what they were.",
                &["partition", "profile"],
            ),
            table_entries: f.gauges("keyhound_table_entries", "Entries of a bounded table.", &["table"]),
            table_limit: f.gauges(
                "keyhound_table_limit",
                "Maximum number of entries of a bounded table.",
                &["table"],
            ),
        }
    }

    pub(super) fn set(&self, reading: &Reading) {
        for partition in &reading.partitions {
            let label = partition.partition.to_string();
            let label = &[label.as_str()];
            self.watermark.with_label_values(label).set(seconds(partition.watermark_ms));
            self.keys.with_label_values(label).set(signed(partition.keys));
        }
        for table in &reading.tables {
            self.table_entries.with_label_values(&[table.table]).set(signed(table.entries));
            self.table_limit.with_label_values(&[table.table]).set(signed(table.limit));
        }
        self.memory_bytes.set(signed(reading.memory_bytes));
        self.memory_limit.set(signed(reading.memory_limit_bytes));
        self.state_bytes.set(signed(reading.state_bytes));
        self.counter_bytes.set(signed(reading.counter_bytes));
        self.counter_bytes_max.set(signed(reading.counter_bytes_max));
        self.count(&reading.engine);
    }

    fn count(&self, counts: &EngineCounts) {
        raise(&self.duplicate, counts.events_repeated);
        raise(&self.blocked, counts.pressure);
        raise(&self.unprofiled_keys, counts.waiting);
        raise(&self.untracked_routes, counts.unjudged_routes);
        raise(&self.log_gaps, counts.log_gaps);
        raise(&self.counters_evicted, counts.counters_evicted);
        raise(&self.without_incident, counts.without_incident);
        raise(&self.postponed, counts.postponed);
        raise(&self.condition_errors, counts.condition_errors);
        for (partition, evictions) in counts.evictions.iter().enumerate() {
            let partition = partition.to_string();
            for (profile, count) in EVICTED.into_iter().zip(evictions) {
                raise(&self.evictions.with_label_values(&[partition.as_str(), profile]), *count);
            }
        }
    }
}
