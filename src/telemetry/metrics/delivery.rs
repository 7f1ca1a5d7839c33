//! What leaves: notifications to Alertmanagers, records to Keyhound's own topics.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::Families;

/// Deliveries by destination.
pub struct DeliveryMetrics {
    /// `keyhound_alertmanager_notifications_{sent,errors,dropped}_total{alertmanager}`.
    pub notifications_sent: IntCounterVec,
    pub notifications_errors: IntCounterVec,
    pub notifications_dropped: IntCounterVec,
    /// `keyhound_alertmanager_notifications_queue_length{alertmanager}` of `…_queue_capacity`.
    pub notifications_queue_length: IntGaugeVec,
    pub notifications_queue_capacity: IntGauge,
    /// `keyhound_alertmanager_notification_duration_seconds`.
    pub notification_seconds: Histogram,
    /// `keyhound_alerts_evicted_total`.
    pub alerts_evicted: IntCounter,
    /// `keyhound_published_records_total{topic,outcome}`.
    pub published_records: IntCounterVec,
}

impl DeliveryMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let by_peer = &["alertmanager"];
        Self {
            notifications_sent: f.counters(
                "keyhound_alertmanager_notifications_sent_total",
                "Alerts sent, by Alertmanager.",
                by_peer,
            ),
            notifications_errors: f.counters(
                "keyhound_alertmanager_notifications_errors_total",
                "Alerts that an Alertmanager did not accept, by Alertmanager.",
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
                "Maximum number of alerts that wait for one Alertmanager.",
            ),
            notification_seconds: f.histogram(
                "keyhound_alertmanager_notification_duration_seconds",
                "Time to send one batch of alerts to an Alertmanager.",
                &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0],
            ),
            alerts_evicted: f.counter(
                "keyhound_alerts_evicted_total",
                "Alerts evicted to stay within 10,000 firing and 10,000 ended ones: they end without a notification.",
            ),
            published_records: f.counters(
                "keyhound_published_records_total",
                "Records for Keyhound's own topics by topic and outcome.",
                &["topic", "outcome"],
            ),
        }
    }
}
