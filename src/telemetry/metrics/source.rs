//! What is read and understood, by source: set from the slot's counters at each scrape.

use std::time::Duration;

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::family::{Families, raise, seconds, set_or_remove, signed, start_at_zero};
use crate::{decode::Reject, telemetry::reading::SourceReading};

/// What can be odd about what a source brings; `slot/arrivals.rs` has the same.
const WARNINGS: [&str; 5] = ["nothing_there", "no_request", "no_key", "clock", "late"];

/// The reason of records at which the engine panicked, beside those of the decoder; `slot/judge.rs` has the same.
const PANICKED: &str = "panicked";

/// Records, events, rejects, losses and lag of each source.
pub(super) struct SourceMetrics {
    records: IntCounterVec,
    record_bytes: IntCounterVec,
    events: IntCounterVec,
    without_key: IntCounterVec,
    clamped: IntCounterVec,
    late: IntCounterVec,
    behind_watermark: IntCounterVec,
    rejected: IntCounterVec,
    clear_text_keys: IntCounterVec,
    several_keys: IntCounterVec,
    keys_left_out: IntCounterVec,
    offset_resets: IntCounterVec,
    lost_records: IntCounterVec,
    short_retention: IntGaugeVec,
    connected: IntGaugeVec,
    contact_at: GaugeVec,
    blocked_seconds: GaugeVec,
    warning: IntGaugeVec,
    clock_offset: GaugeVec,
    lag_records: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    lag_seconds: GaugeVec,
    catch_up_seconds: GaugeVec,
}

impl SourceMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let counters = |name: &str, help: &str| f.counters(name, help, &["source"]);
        let gauges = |name: &str, help: &str| f.gauges(name, help, &["source"]);
        Self {
            records: counters("keyhound_records_total", "Records read, by source."),
            record_bytes: counters("keyhound_record_bytes_total", "Bytes of records read, by source."),
            events: counters("keyhound_events_total", "Events decoded from records, by source."),
            without_key: counters(
                "keyhound_requests_without_key_total",
                "Requests without the key or credential that the source's policy requires, by source.",
            ),
            clamped: counters(
                "keyhound_events_clamped_total",
                "Events more than a minute ahead of their log, set back to its time, by source.",
            ),
            late: counters(
                "keyhound_events_late_total",
                "Events that came when their minute was closed, and were not learnt, by source.",
            ),
            behind_watermark: counters(
                "keyhound_events_behind_watermark_total",
                "Events that were older than the watermark when they were read, by source.",
            ),
            rejected: f.counters(
                "keyhound_records_rejected_total",
                "Records that could not be used, by source and reason.",
                &["source", "reason"],
            ),
            clear_text_keys: counters(
                "keyhound_records_clear_text_key_total",
                "Records that contain an API key in clear text, by source.",
            ),
            several_keys: counters(
                "keyhound_requests_several_keys_total",
                "Requests with more than one API key, by source. Each key is counted.",
            ),
            keys_left_out: counters(
                "keyhound_requests_keys_left_out_total",
                "Requests with more than 16 API keys, of which only 16 are counted, by source.",
            ),
            offset_resets: counters(
                "keyhound_source_offset_resets_total",
                "Times that the log no longer had the position to continue from, by source.",
            ),
            lost_records: counters(
                "keyhound_source_lost_records_total",
                "Records deleted at the source before they were read, as far as that is known.",
            ),
            short_retention: gauges(
                "keyhound_source_short_retention_topics",
                "Topics that keep records for too short a time to survive a restart, as found at the start.",
            ),
            connected: gauges(
                "keyhound_source_connected",
                "Whether everything that a source reads is in reach (1) or has not been for 15 s (0), by source.",
            ),
            contact_at: f.real_gauges(
                "keyhound_source_contact_timestamp_seconds",
                "When everything that a source reads was last in reach, in seconds since the Unix epoch.",
                &["source"],
            ),
            blocked_seconds: f.real_gauges(
                "keyhound_source_open_transaction_seconds",
                "For how long the same open transaction has kept the records behind it from being read; 0 = none.",
                &["source"],
            ),
            warning: f.gauges(
                "keyhound_source_warning",
                "Whether what a source brings is odd (1) or not (0), by source and kind.",
                &["source", "kind"],
            ),
            clock_offset: f.real_gauges(
                "keyhound_source_clock_offset_seconds",
                "Least age of the newest record when it was read and nothing waited, over five minutes; negative = ahead.",
                &["source"],
            ),
            lag_records: gauges("keyhound_source_lag_records", "Records that wait at a source."),
            lag_bytes: gauges("keyhound_source_lag_bytes", "Bytes of files that wait at a source; of gzip files, compressed bytes."),
            lag_seconds: f.real_gauges(
                "keyhound_source_lag_seconds",
                "Age of the newest event read of a source, in event time; 0 where nothing waits, negative where its clock is ahead.",
                &["source"],
            ),
            catch_up_seconds: f.real_gauges(
                "keyhound_source_catch_up_seconds",
                "How long a source that is behind will take to catch up, at the last minute's rate; 0 = it is not behind.",
                &["source"],
            ),
        }
    }

    pub(super) fn set(&self, source: &SourceReading) {
        let label = &[source.source.as_str()];
        raise(&self.records.with_label_values(label), source.records);
        raise(&self.record_bytes.with_label_values(label), source.bytes);
        raise(&self.events.with_label_values(label), source.events);
        raise(&self.without_key.with_label_values(label), source.anonymous);
        raise(&self.clamped.with_label_values(label), source.clamped);
        raise(&self.late.with_label_values(label), source.late);
        raise(&self.behind_watermark.with_label_values(label), source.behind_watermark);
        raise(&self.clear_text_keys.with_label_values(label), source.clear_keys);
        raise(&self.several_keys.with_label_values(label), source.several_keys);
        raise(&self.keys_left_out.with_label_values(label), source.keys_left_out);
        raise(&self.offset_resets.with_label_values(label), source.gaps);
        raise(&self.lost_records.with_label_values(label), source.lost_records);
        self.short_retention.with_label_values(label).set(signed(source.short_retention));
        start_at_zero(&self.rejected, &[label, &Reject::ALL.map(Reject::as_str)]);
        start_at_zero(&self.rejected, &[label, &[PANICKED]]);
        for (reason, count) in &source.rejected {
            raise(&self.rejected.with_label_values(&[source.source.as_str(), reason]), *count);
        }
        if let Some(connected) = source.connected {
            self.connected.with_label_values(label).set(i64::from(connected));
            self.contact_at.with_label_values(label).set(seconds(source.contact_at_ms));
            self.blocked_seconds.with_label_values(label).set(source.blocked_seconds);
        }
        for kind in WARNINGS {
            let is_so = source.warnings.iter().any(|(found, _)| *found == kind);
            self.warning.with_label_values(&[source.source.as_str(), kind]).set(i64::from(is_so));
        }
        set_or_remove(&self.clock_offset, label, source.clock_offset_seconds);
        set_or_remove(&self.lag_records, label, source.lag_records.map(signed));
        set_or_remove(&self.lag_bytes, label, source.lag_bytes.map(signed));
        set_or_remove(&self.lag_seconds, label, source.lag_seconds);
        let catch_up = source.catch_up.map_or(Some(Duration::ZERO), |catch_up| catch_up.within);
        set_or_remove(&self.catch_up_seconds, label, catch_up.map(|within| within.as_secs_f64()));
    }
}
