//! Every metric that Keyhound has: the name, what it means, and its labels. Those that are counted where the thing
//! happens are public fields of the groups; those that are read from the slot and the kernel at each scrape are in `slot`,
//! `source`, `engine` and `process`.
//!
//! Names follow Prometheus: `keyhound_` first, base units, `_total` for counters and for nothing else. Each label
//! takes its values from a closed list or from the settings.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, IntCounter, IntGauge, Registry, TextEncoder};

use self::{
    delivery::DeliveryMetrics, detection::DetectionMetrics, family::Families, faults::Faults,
    instances::Instances, outputs::OutputMetrics, process::ProcessMetrics, serving::ServingMetrics,
    slot::SlotMetrics,
};
use super::reading::{Reading, Status};

mod delivery;
mod detection;
mod engine;
pub mod faults;
mod family;
mod instances;
mod outputs;
mod process;
mod serving;
mod slot;
mod source;

pub use family::start_at_zero;
pub use slot::SlotTimers;

/// All metrics. Those with public fields are counted where the thing happens; the rest are read from the slot.
pub struct Metrics {
    registry: Registry,
    status: Mutex<Option<Arc<dyn Status>>>,
    slot: SlotMetrics,
    process: ProcessMetrics,

    pub detection: DetectionMetrics,
    pub serving: ServingMetrics,
    pub delivery: DeliveryMetrics,
    pub outputs: OutputMetrics,
    pub instances: Instances,
    /// `keyhound_fault{fault}`, with what `/readyz` says of each.
    pub faults: Faults,
    /// `keyhound_engine_failures_total`.
    pub engine_failures: IntCounter,
    /// `keyhound_config_last_reload_successful`: 1 or 0.
    pub config_reload_successful: IntGauge,
    /// `keyhound_config_last_reload_success_timestamp_seconds`.
    pub config_reload_success_seconds: Gauge,
}

impl Metrics {
    /// Makes and registers all metrics. `version` and `revision` go to `keyhound_build_info`.
    pub fn new(version: &str, revision: &str) -> Self {
        let registry = Registry::new();
        let f = Families(&registry);
        let build =
            f.gauges("keyhound_build_info", "Always 1; the labels name the build.", &["version", "revision"]);
        build.with_label_values(&[version, revision]).set(1);
        Self {
            status: Mutex::new(None),
            slot: SlotMetrics::new(&f),
            process: ProcessMetrics::new(&f),
            detection: DetectionMetrics::new(&f),
            serving: ServingMetrics::new(&f),
            delivery: DeliveryMetrics::new(&f),
            outputs: OutputMetrics::new(&f),
            instances: Instances::new(&f),
            faults: Faults::new(&f),
            engine_failures: f.counter(
                "keyhound_engine_failures_total",
                "Times that the engine stopped with an error and started again; decisions were served meanwhile.",
            ),
            config_reload_successful: f.gauge(
                "keyhound_config_last_reload_successful",
                "Whether the last reload of the settings succeeded (1) or the previous settings stay active (0).",
            ),
            config_reload_success_seconds: f.real_gauge(
                "keyhound_config_last_reload_success_timestamp_seconds",
                "Time of the last successful load of the settings, in seconds since the Unix epoch.",
            ),
            registry,
        }
    }

    /// Sets whom to ask for the slot's counters from now on. Called once.
    pub fn watch(&self, status: Arc<dyn Status>) {
        status.timers().register(&self.registry);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// What the slot says of itself now; `None` before [`Metrics::watch`].
    pub fn reading(&self) -> Option<Reading> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.map(|status| status.read())
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        if let Some(reading) = self.reading() {
            self.slot.set(&reading);
        }
        self.process.read();
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(event = "metrics_not_rendered", %error, "metrics could not be written");
            String::new()
        })
    }
}

#[cfg(test)]
impl Metrics {
    /// How many series a counter has.
    pub fn series(&self, name: &str) -> usize {
        self.render().lines().filter(|line| line.starts_with(&format!("{name}{{"))).count()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::{CatchUp, EngineCounts, PartitionReading, SourceReading, TableReading, Waiting};

    struct Fixed(std::sync::Mutex<Reading>, SlotTimers);

    impl Status for Fixed {
        fn read(&self) -> Reading {
            self.0.lock().unwrap().clone()
        }

        fn timers(&self) -> &SlotTimers {
            &self.1
        }
    }

    fn full() -> (Metrics, Arc<Fixed>) {
        let metrics = Metrics::new("0.1.0", "abc");
        let reading = Reading {
            restored: true,
            heartbeat_ms: 1_500,
            sources: vec![SourceReading {
                source: "0:kong-logs".to_owned(),
                records: 10,
                rejected: vec![("syntax", 2)],
                lag_records: Some(7),
                lag_bytes: Some(900),
                lag_seconds: Some(0.25),
                catch_up: Some(CatchUp {
                    waiting: Waiting::Records(7),
                    per_second: Some(2.0),
                    within: Some(Duration::from_secs(4)),
                }),
                ..SourceReading::default()
            }],
            partitions: vec![PartitionReading { partition: 3, watermark_ms: 9_000, keys: 4 }],
            engine: EngineCounts {
                evictions: vec![[0; 4], [0; 4], [0; 4], [0, 1, 0, 0]],
                ..EngineCounts::default()
            },
            tables: vec![TableReading { table: "keys", entries: 4, limit: 100 }],
            outbox: vec![("alerts".to_owned(), 5)],
            ..Reading::default()
        };
        let status = Arc::new(Fixed(std::sync::Mutex::new(reading), SlotTimers::default()));
        status.1.commit.observe(0.004);
        metrics.watch(status.clone());
        metrics.detection.findings.with_label_values(&["key-volume-spike", "volume.spike"]).inc();
        metrics.serving.checks.with_label_values(&["nginx", "allowed"]).inc();
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
            "keyhound_source_catch_up_seconds{source=\"0:kong-logs\"} 4",
            "keyhound_watermark_timestamp_seconds{partition=\"3\"} 9",
            "keyhound_outbox_records{dispatcher=\"alerts\"} 5",
            "keyhound_commit_duration_seconds_bucket{le=\"0.0025\"} 0",
            "keyhound_commit_duration_seconds_bucket{le=\"0.005\"} 1",
            "keyhound_checkpoint_duration_seconds_count 0",
            "keyhound_build_info{revision=\"abc\",version=\"0.1.0\"} 1",
        ] {
            // Twice: a counter that was read again has not grown.
            for text in [metrics.render(), metrics.render()] {
                assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
            }
        }
    }

    #[test]
    fn each_series_of_known_labels_is_zero_before_anything_happens() {
        let text = full().0.render();
        for series in [
            "keyhound_incidents_total{severity=\"critical\",verdict=\"KeyStolen\"}",
            "keyhound_incidents_open{severity=\"high\"}",
            "keyhound_decisions_total{mode=\"enforce\",step=\"throttle\"}",
            "keyhound_proposals_withheld_total{guardrail=\"maturity\"}",
            "keyhound_records_rejected_total{reason=\"bad_time\",source=\"0:kong-logs\"}",
            "keyhound_records_rejected_total{reason=\"panicked\",source=\"0:kong-logs\"}",
            "keyhound_detection_delay_seconds_count",
        ] {
            assert!(text.contains(&format!("\n{series} 0\n")), "{series} is not 0 in\n{text}");
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
    fn a_source_that_is_not_behind_has_nothing_to_catch_up_with() {
        let (metrics, status) = full();
        let told = |within: Option<Option<u64>>| {
            let catch_up = within.map(|within| CatchUp {
                waiting: Waiting::Records(7),
                per_second: Some(2.0),
                within: within.map(Duration::from_secs),
            });
            status.0.lock().unwrap().sources[0].catch_up = catch_up;
            let text = metrics.render();
            let line = text.lines().find(|line| line.starts_with("keyhound_source_catch_up_seconds"));
            line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
        };
        assert_eq!(told(Some(Some(90))).as_deref(), Some("90"));
        assert_eq!(told(Some(None)), None, "it is behind, and nobody knows for how long");
        assert_eq!(told(None).as_deref(), Some("0"));
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
