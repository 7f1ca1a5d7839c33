//! What a slot's counters say at one moment, as plain numbers.
//!
//! The slot counts in atomics of its own, since a labelled counter per event would cost more than the event. At a
//! scrape, [`Status::read`] copies them here, and `metrics` sets what Prometheus sees. Counts only ever grow while
//! the process lives; gauges are as they are.

use super::{CatchUp, SlotTimers};

/// Whoever can say where a slot stands. Called at each scrape and each readiness probe; must not block.
pub trait Status: Send + Sync {
    /// Copies the counters.
    fn read(&self) -> Reading;

    /// The durations that it measures itself.
    fn timers(&self) -> &SlotTimers;
}

/// Where a slot stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// State was loaded and replayed, and new input is being read.
    pub restored: bool,
    /// Wall-clock time of the slot loop's last turn, in milliseconds since the Unix epoch; 0 = none yet.
    pub heartbeat_ms: u64,
    /// An operator has paused what is automatic.
    pub paused: bool,
    /// The longest iteration of the main loop in the last one to two minutes.
    pub loop_pause_seconds: f64,
    pub sources: Vec<SourceReading>,
    pub partitions: Vec<PartitionReading>,
    /// Bounded tables (caches, profiles, outbox), by name.
    pub tables: Vec<TableReading>,
    pub engine: EngineCounts,
    /// Bytes that the counters of counting rules take, and may take.
    pub counter_bytes: u64,
    pub counter_bytes_max: u64,
    /// What is accounted of the memory that the settings allow, and that, in bytes.
    pub memory_bytes: u64,
    pub memory_limit_bytes: u64,
    /// Bytes that the state of all keys takes, as the engines count them.
    pub state_bytes: u64,
    pub commits: u64,
    pub checkpoints: u64,
    /// Wall-clock time of the last checkpoint, in milliseconds since the Unix epoch; 0 = none yet.
    pub checkpoint_at_ms: u64,
    /// Replays whose digest of effects was not the one that was committed.
    pub digest_mismatches: u64,
    /// Ranges of input that could not be read again in a replay, so that the state is without them.
    pub replay_gaps: u64,
    /// Records in the outbox that a dispatcher has not acknowledged, by dispatcher.
    pub outbox: Vec<(String, u64)>,
}

/// What a profile was that went to make room, in the order of `profile::Worth`.
pub const EVICTED: [&str; 4] = ["unused", "new", "immature", "mature"];

/// What an engine and its outbox count, each from 0 on when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineCounts {
    /// Events whose record had come before, within the window of that filter.
    pub events_repeated: u64,
    /// Requests that our own decisions refused.
    pub pressure: u64,
    /// Requests of keys that have no profile yet, since they were never served.
    pub waiting: u64,
    /// Requests on routes beyond the table of routes.
    pub unjudged_routes: u64,
    /// Gaps in the logs: stretches without requests where many are usual.
    pub log_gaps: u64,
    /// Keys whose counters of counting rules went before their windows were over.
    pub counters_evicted: u64,
    /// Findings of keys that are not mature that got no incident, since there were as many as memory is for.
    pub without_incident: u64,
    /// Spikes that were not looked at in their time, since as many waited as may.
    pub postponed: u64,
    /// Conditions of rules that could not be answered.
    pub condition_errors: u64,
    /// Records that left a full outbox undelivered.
    pub outbox_dropped: u64,
    /// Profiles that went to make room: by partition, and by what they were, in the order of [`EVICTED`].
    pub evictions: Vec<[u64; 4]>,
}

impl EngineCounts {
    /// Adds what engines before this one counted.
    pub fn add(&mut self, earlier: &Self) {
        self.events_repeated += earlier.events_repeated;
        self.pressure += earlier.pressure;
        self.waiting += earlier.waiting;
        self.unjudged_routes += earlier.unjudged_routes;
        self.log_gaps += earlier.log_gaps;
        self.counters_evicted += earlier.counters_evicted;
        self.without_incident += earlier.without_incident;
        self.postponed += earlier.postponed;
        self.condition_errors += earlier.condition_errors;
        self.outbox_dropped += earlier.outbox_dropped;
        self.evictions.resize(self.evictions.len().max(earlier.evictions.len()), [0; 4]);
        let earlier = earlier.evictions.iter().flatten();
        for (count, earlier) in self.evictions.iter_mut().flatten().zip(earlier) {
            *count += earlier;
        }
    }
}

/// Where one source stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceReading {
    /// The source's index and name in the settings: `0:kong-logs`.
    pub source: String,
    pub records: u64,
    pub bytes: u64,
    pub events: u64,
    /// Requests without the key, or the credential, that the source's policy asks for.
    pub anonymous: u64,
    /// Events whose time was more than a minute ahead of their log's, and was set back to it.
    pub clamped: u64,
    /// Events that were dropped since they were a day older than their key's newest.
    pub late: u64,
    /// Events that were older than the watermark when they were read.
    pub behind_watermark: u64,
    /// Records that were not understood, by the reason's fixed label.
    pub rejected: Vec<(&'static str, u64)>,
    /// Records that showed a raw key in clear.
    pub clear_keys: u64,
    /// Requests that showed several keys.
    pub several_keys: u64,
    /// Requests that showed more keys than have an event.
    pub keys_left_out: u64,
    /// Times that reading could not go on where it had stopped, since the log no longer had that position.
    pub gaps: u64,
    /// Records that were deleted before they were read, as far as that can be known.
    pub lost_records: u64,
    /// Topics that keep their records for too short a time to survive a restart.
    pub short_retention: u64,
    /// Whether it reaches what it reads; `None` = not known yet.
    pub connected: Option<bool>,
    /// Wall-clock time when it last did, in milliseconds since the Unix epoch; 0 = not known yet.
    pub contact_at_ms: u64,
    /// What is out of reach, and why.
    pub fault: Option<String>,
    /// What is odd about what it brings: the kind, and a text for people.
    pub warnings: Vec<(&'static str, String)>,
    /// How far its clock, or its shipper, is behind; negative = ahead. `None` = not known.
    pub clock_offset_seconds: Option<f64>,
    /// For how long the same open transaction has held records back.
    pub blocked_seconds: f64,
    /// Records that wait at the source; `None` = the source cannot say.
    pub lag_records: Option<u64>,
    /// Bytes that wait at the source; `None` = the source cannot say.
    pub lag_bytes: Option<u64>,
    /// How far the newest event read is behind the wall clock, in seconds of event time; 0 where nothing waits, so that
    /// a quiet source is not a slow one; negative where its clock is ahead. `None` = not known yet.
    pub lag_seconds: Option<f64>,
    /// What is known of how long it will take; `None` = it is not behind.
    pub catch_up: Option<CatchUp>,
}

/// Where one partition's engine stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionReading {
    pub partition: u16,
    /// Event time up to which everything was seen, in milliseconds since the Unix epoch; 0 = none yet.
    pub watermark_ms: u64,
    pub keys: u64,
}

/// How full a bounded table is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableReading {
    pub table: &'static str,
    pub entries: u64,
    pub limit: u64,
}

impl Reading {
    /// Records that wait at all sources that can say.
    pub fn lag_records(&self) -> u64 {
        self.sources.iter().filter_map(|source| source.lag_records).sum()
    }

    /// The largest lag in event time among the sources, in seconds; 0 where no event was read yet.
    pub fn lag_seconds(&self) -> f64 {
        self.sources.iter().filter_map(|source| source.lag_seconds).fold(0.0, f64::max)
    }
}
