//! The metrics of the slot, which are set from its counters at each scrape: the main loop, commits, the outbox; and, in
//! groups of their own, the sources and the engines.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Registry};

use super::{
    engine::EngineMetrics,
    family::{Families, raise, seconds, signed},
    source::SourceMetrics,
};
use crate::telemetry::reading::Reading;

/// Set from a [`Reading`] at each scrape.
pub(super) struct SlotMetrics {
    sources: SourceMetrics,
    engine: EngineMetrics,
    state_restored: IntGauge,
    heartbeat: Gauge,
    paused: IntGauge,
    loop_pause: Gauge,
    commits: IntCounter,
    checkpoints: IntCounter,
    checkpoint_at: Gauge,
    mismatches: IntCounter,
    replay_gaps: IntCounter,
    outbox: IntGaugeVec,
    outbox_dropped: IntCounter,
}

impl SlotMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        Self {
            sources: SourceMetrics::new(f),
            engine: EngineMetrics::new(f),
            state_restored: f.gauge(
                "keyhound_state_restored",
                "Whether the state is restored and new input is read (1) or not yet (0).",
            ),
            heartbeat: f.real_gauge(
                "keyhound_heartbeat_timestamp_seconds",
                "Time of the last main-loop iteration, in seconds since the Unix epoch.",
            ),
            paused: f.gauge(
                "keyhound_automation_paused",
                "Whether an operator has paused automatic steps (1) or not (0).",
            ),
            loop_pause: f.real_gauge(
                "keyhound_loop_pause_seconds_max",
                "Longest main-loop iteration of the last one to two minutes, without the wait for records.",
            ),
            commits: f.counter("keyhound_commits_total", "Commits of positions and outputs."),
            checkpoints: f.counter("keyhound_checkpoints_total", "Checkpoints of the state."),
            checkpoint_at: f.real_gauge(
                "keyhound_checkpoint_timestamp_seconds",
                "Time of the last checkpoint, in seconds since the Unix epoch.",
            ),
            mismatches: f.counter(
                "keyhound_digest_mismatches_total",
                "Replays whose effects differed from the committed ones.",
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
        }
    }

    pub(super) fn set(&self, reading: &Reading) {
        for source in &reading.sources {
            self.sources.set(source);
        }
        self.engine.set(reading);
        self.state_restored.set(i64::from(reading.restored));
        self.loop_pause.set(reading.loop_pause_seconds);
        self.heartbeat.set(seconds(reading.heartbeat_ms));
        self.paused.set(i64::from(reading.paused));
        for (dispatcher, records) in &reading.outbox {
            self.outbox.with_label_values(&[dispatcher.as_str()]).set(signed(*records));
        }
        raise(&self.outbox_dropped, reading.engine.outbox_dropped);
        raise(&self.commits, reading.commits);
        raise(&self.checkpoints, reading.checkpoints);
        self.checkpoint_at.set(seconds(reading.checkpoint_at_ms));
        raise(&self.mismatches, reading.digest_mismatches);
        raise(&self.replay_gaps, reading.replay_gaps);
    }
}

/// Upper bounds of the buckets for commits and checkpoints, in seconds: from 1 ms to 10 s.
const COMMIT_SECONDS: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Durations that the slot measures itself. They are in `/metrics` once the slot's status is watched.
#[derive(Clone, Debug)]
pub struct SlotTimers {
    /// `keyhound_commit_duration_seconds`, of commits with a checkpoint too.
    pub commit: Histogram,
    /// `keyhound_checkpoint_duration_seconds`, of commits with a checkpoint or a part of one.
    pub checkpoint: Histogram,
}

impl Default for SlotTimers {
    fn default() -> Self {
        let timer = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(COMMIT_SECONDS.to_vec());
            Histogram::with_opts(options)
                .unwrap_or_else(|error| unreachable!("a histogram's name or buckets are wrong: {error}"))
        };
        Self {
            commit: timer(
                "keyhound_commit_duration_seconds",
                "Duration of commits of positions and outputs, those with a checkpoint included.",
            ),
            checkpoint: timer(
                "keyhound_checkpoint_duration_seconds",
                "Duration of commits with a checkpoint of the state, or a part of one.",
            ),
        }
    }
}

impl SlotTimers {
    pub(super) fn register(&self, registry: &Registry) {
        for timer in [&self.commit, &self.checkpoint] {
            if let Err(error) = registry.register(Box::new(timer.clone())) {
                unreachable!("a histogram is registered twice: {error}");
            }
        }
    }
}
