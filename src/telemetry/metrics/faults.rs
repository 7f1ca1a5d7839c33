//! What is wrong right now with what the daemon stands on: its state directory, its database, its listeners.
//!
//! A fault has a gauge, so that somebody is paged, and a text for `/readyz` that names path and remedy.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prometheus::{Gauge, IntGauge, IntGaugeVec};

use super::family::Families;

/// What can be wrong. In the order in which `/readyz` gives the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody listens on `gateways_listen`: the table for gateways is not filled.
    GatewaysClosed,
    /// The engine ended with an error and has not come back.
    EngineStopped,
    /// The files of the state directory are not those that are open, or cannot be written.
    StateFiles,
    /// The decisions file cannot be written, or lacks decisions.
    DecisionsFile,
    /// There was no database though there had been one. It goes on, with an empty state.
    StateLost,
    /// The engine panicked at something more than once, and leaves it out for a time.
    Excluded,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::GatewaysClosed,
        Self::EngineStopped,
        Self::StateFiles,
        Self::DecisionsFile,
        Self::StateLost,
        Self::Excluded,
    ];

    /// Whether it leaves the process unready. With one that does not, another start would do no better.
    const fn is_unready(self) -> bool {
        !matches!(self, Self::StateLost | Self::Excluded)
    }

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GatewaysClosed => "gateways_closed",
            Self::EngineStopped => "engine_stopped",
            Self::StateFiles => "state_files",
            Self::DecisionsFile => "decisions_file",
            Self::StateLost => "state_lost",
            Self::Excluded => "excluded",
        }
    }
}

/// The faults that are there now.
pub struct Faults {
    now: Mutex<BTreeMap<Fault, String>>,
    gauges: IntGaugeVec,
    /// `keyhound_gateways_listening`: 1 once the table for gateways is filled.
    pub gateways_listening: IntGauge,
    /// `keyhound_decisions_file_timestamp_seconds`.
    pub decisions_file_seconds: Gauge,
}

impl Faults {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let gauges = f.gauges(
            "keyhound_fault",
            "1 while this fault of the state directory, the database, the engine or the listener for gateways is there, else 0.",
            &["fault"],
        );
        for fault in Fault::ALL {
            gauges.with_label_values(&[fault.as_str()]).set(0);
        }
        Self {
            now: Mutex::default(),
            gauges,
            gateways_listening: f.gauge(
                "keyhound_gateways_listening",
                "Whether gateways_listen is open (1) or closed, since the decision table is not filled (0).",
            ),
            decisions_file_seconds: f.real_gauge(
                "keyhound_decisions_file_timestamp_seconds",
                "Time of the last write of the decisions file, in seconds since the Unix epoch; 0 = none yet.",
            ),
        }
    }

    /// The fault is there, with what to say of it. Gives whether that is new.
    pub fn set(&self, fault: Fault, text: impl Into<String>) -> bool {
        self.gauges.with_label_values(&[fault.as_str()]).set(1);
        let text = text.into();
        self.now().insert(fault, text.clone()).is_none_or(|before| before != text)
    }

    /// The fault is not there any more. Gives whether it was.
    pub fn clear(&self, fault: Fault) -> bool {
        self.gauges.with_label_values(&[fault.as_str()]).set(0);
        self.now().remove(&fault).is_some()
    }

    /// Why the process is not ready: a reason for each fault.
    pub fn reasons(&self) -> Vec<String> {
        self.now().iter().filter(|(fault, _)| fault.is_unready()).map(|(_, text)| text.clone()).collect()
    }

    /// What else there is to say.
    pub fn warnings(&self) -> Vec<String> {
        self.now().iter().filter(|(fault, _)| !fault.is_unready()).map(|(_, text)| text.clone()).collect()
    }

    fn now(&self) -> MutexGuard<'_, BTreeMap<Fault, String>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
