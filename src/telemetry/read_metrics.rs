//! The metrics that are read at each scrape: from the slot's counters, and from the kernel.

use prometheus::{Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::{family::Families, process::Process};

/// Set from a [`super::Reading`] at each scrape.
pub(super) struct SlotMetrics {
    up: IntGauge,
    heartbeat: Gauge,
    records: IntCounterVec,
    record_bytes: IntCounterVec,
    events: IntCounterVec,
    anonymous: IntCounterVec,
    clamped: IntCounterVec,
    rejected: IntCounterVec,
    clear_keys: IntCounterVec,
    gaps: IntCounterVec,
    lost_records: IntCounterVec,
    short_retention: IntGaugeVec,
    lag_records: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    lag_seconds: GaugeVec,
    late: IntCounter,
    repeated: IntCounter,
    watermark: GaugeVec,
    keys: IntGaugeVec,
    evictions: IntCounterVec,
    state_bytes: IntGauge,
    pressure: IntCounter,
    waiting: IntCounter,
    unjudged_routes: IntCounter,
    counter_bytes: IntGauge,
    counter_bytes_max: IntGauge,
    counters_evicted: IntCounter,
    condition_errors: IntCounter,
    commits: IntCounter,
    commit_seconds: Counter,
    checkpoints: IntCounter,
    checkpoint_seconds: Counter,
    checkpoint_at: Gauge,
    mismatches: IntCounter,
    replay_gaps: IntCounter,
    outbox: IntGaugeVec,
    outbox_dropped: IntCounter,
    table_entries: IntGaugeVec,
    table_limit: IntGaugeVec,
}

/// Set from what the kernel says of this process.
pub(super) struct ProcessMetrics {
    resident_bytes: IntGauge,
    cpu_seconds: Counter,
    open_files: IntGauge,
}

impl SlotMetrics {
    #[allow(clippy::too_many_lines)] // a list of names and meanings: cutting it would hide it
    pub fn new(f: &Families<'_>) -> Self {
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
            anonymous: f.counters(
                "keyhound_requests_anonymous_total",
                "Requests without the key or credential that the source's policy asks for, by source.",
                by_source,
            ),
            clamped: f.counters(
                "keyhound_events_clamped_total",
                "Events more than a minute ahead of their log, set back to its time, by source.",
                by_source,
            ),
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
            gaps: f.counters(
                "keyhound_source_gaps_total",
                "Times that the log no longer had the position to read on at, by source.",
                by_source,
            ),
            lost_records: f.counters(
                "keyhound_source_lost_records_total",
                "Records deleted at the source before they were read, as far as that can be known.",
                by_source,
            ),
            short_retention: f.gauges(
                "keyhound_source_topics_with_short_retention",
                "Topics that keep records for too short a time to survive a restart, as found at the start.",
                by_source,
            ),
            lag_records: f.gauges("keyhound_source_lag_records", "Records that wait at a source.", by_source),
            lag_bytes: f.gauges(
                "keyhound_source_lag_bytes",
                "Bytes of plain files that wait at a source.",
                by_source,
            ),
            lag_seconds: f.real_gauges(
                "keyhound_source_lag_seconds",
                "How far the newest event read of a source is behind the wall clock, in event time; 0 where nothing waits.",
                by_source,
            ),
            late: f.counter("keyhound_events_late_total", "Events that came beyond a window's lateness."),
            repeated: f.counter("keyhound_events_repeated_total", "Events whose record had come before, within the last 16,000 or so of their partition."),
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
            pressure: f.counter(
                "keyhound_requests_refused_by_decisions_total",
                "Requests that our own decisions refused.",
            ),
            waiting: f.counter(
                "keyhound_requests_of_waiting_keys_total",
                "Requests of keys without a profile yet, since they were never served.",
            ),
            unjudged_routes: f.counter(
                "keyhound_requests_on_unjudged_routes_total",
                "Requests on routes beyond the table of routes, whose latency and size are not judged.",
            ),
            counter_bytes: f
                .gauge("keyhound_rule_state_bytes", "Bytes that the counters of counting rules take."),
            counter_bytes_max: f.gauge(
                "keyhound_rule_state_limit_bytes",
                "Bytes that the counters of counting rules may take.",
            ),
            counters_evicted: f.counter(
                "keyhound_rule_counters_evicted_total",
                "Keys whose counters of counting rules were dropped within their windows to stay within the limit.",
            ),
            condition_errors: f.counter(
                "keyhound_rule_condition_errors_total",
                "Conditions of rules that could not be answered; the rule kept silent.",
            ),
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
            replay_gaps: f.counter(
                "keyhound_replay_gaps_total",
                "Ranges of input that were gone when they had to be replayed.",
            ),
            outbox: f.gauges(
                "keyhound_outbox_records",
                "Committed outputs that a dispatcher has not delivered yet, by dispatcher.",
                &["dispatcher"],
            ),
            outbox_dropped: f.counter(
                "keyhound_outbox_dropped_total",
                "Committed outputs that left a full outbox before every dispatcher had delivered them.",
            ),
            table_entries: f.gauges("keyhound_table_entries", "Entries in a bounded table.", &["table"]),
            table_limit: f.gauges("keyhound_table_limit", "The most entries of a bounded table.", &["table"]),
        }
    }

    pub fn set(&self, reading: &super::Reading) {
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
        }
        for table in &reading.tables {
            self.table_entries.with_label_values(&[table.table]).set(signed(table.entries));
            self.table_limit.with_label_values(&[table.table]).set(signed(table.limit));
        }
        for (dispatcher, records) in &reading.outbox {
            self.outbox.with_label_values(&[dispatcher.as_str()]).set(signed(*records));
        }
        self.set_engine(&reading.engine);
        raise(&self.commits, reading.commits);
        raise(&self.checkpoints, reading.checkpoints);
        raise(&self.mismatches, reading.digest_mismatches);
        raise(&self.replay_gaps, reading.replay_gaps);
        raise_real(&self.commit_seconds, reading.commit_seconds);
        raise_real(&self.checkpoint_seconds, reading.checkpoint_seconds);
        self.checkpoint_at.set(seconds(reading.checkpoint_at_ms));
        self.state_bytes.set(signed(reading.state_bytes));
        self.counter_bytes.set(signed(reading.counter_bytes));
        self.counter_bytes_max.set(signed(reading.counter_bytes_max));
    }

    fn set_engine(&self, counts: &super::EngineCounts) {
        raise(&self.late, counts.events_late);
        raise(&self.repeated, counts.events_repeated);
        raise(&self.pressure, counts.pressure);
        raise(&self.waiting, counts.waiting);
        raise(&self.unjudged_routes, counts.unjudged_routes);
        raise(&self.counters_evicted, counts.counters_evicted);
        raise(&self.condition_errors, counts.condition_errors);
        raise(&self.outbox_dropped, counts.outbox_dropped);
        for (partition, evictions) in counts.evictions.iter().enumerate() {
            raise(&self.evictions.with_label_values(&[&partition.to_string()]), *evictions);
        }
    }

    fn set_source(&self, source: &super::SourceReading) {
        let label = &[source.source.as_str()];
        raise(&self.records.with_label_values(label), source.records);
        raise(&self.record_bytes.with_label_values(label), source.bytes);
        raise(&self.events.with_label_values(label), source.events);
        raise(&self.anonymous.with_label_values(label), source.anonymous);
        raise(&self.clamped.with_label_values(label), source.clamped);
        raise(&self.clear_keys.with_label_values(label), source.clear_keys);
        raise(&self.gaps.with_label_values(label), source.gaps);
        raise(&self.lost_records.with_label_values(label), source.lost_records);
        self.short_retention.with_label_values(label).set(signed(source.short_retention));
        for (reason, count) in &source.rejected {
            raise(&self.rejected.with_label_values(&[source.source.as_str(), reason]), *count);
        }
        // What is not known any more, as of files that are gone, must not stay at what it was. That there is nothing to
        // remove is no error.
        match source.lag_records {
            Some(records) => self.lag_records.with_label_values(label).set(signed(records)),
            None => drop(self.lag_records.remove_label_values(label)),
        }
        match source.lag_bytes {
            Some(bytes) => self.lag_bytes.with_label_values(label).set(signed(bytes)),
            None => drop(self.lag_bytes.remove_label_values(label)),
        }
        match source.lag_seconds {
            Some(seconds) => self.lag_seconds.with_label_values(label).set(seconds),
            None => drop(self.lag_seconds.remove_label_values(label)),
        }
    }
}

impl ProcessMetrics {
    pub fn new(f: &Families<'_>) -> Self {
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

    pub fn set(&self, process: Process) {
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
