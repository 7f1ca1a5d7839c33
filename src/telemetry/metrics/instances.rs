//! Other Keyhounds that write to the same topics, and what was taken in from them.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGauge};

use super::family::Families;

/// `keyhound_other_instances`, with what `/readyz` says of them, and what came of each decision that was read back.
pub struct Instances {
    others: IntGauge,
    warning: Mutex<Option<String>>,
    /// `keyhound_operator_decisions_read_total{outcome}`: operators' decisions on the topic, by what came of them.
    pub decisions_read: IntCounterVec,
}

impl Instances {
    pub(super) fn new(f: &Families<'_>) -> Self {
        Self {
            others: f.gauge(
                "keyhound_other_instances",
                "Other Keyhounds that have written to the same topics within the last 3 minutes.",
            ),
            warning: Mutex::default(),
            decisions_read: f.counters(
                "keyhound_operator_decisions_read_total",
                "Operator decisions of other instances that were read from the topic of decisions, by outcome.",
                &["outcome"],
            ),
        }
    }

    /// So many others are there now, and what to say of them.
    pub fn set_others(&self, count: usize, warning: Option<String>) {
        self.others.set(i64::try_from(count).unwrap_or(i64::MAX));
        *self.warning.lock().unwrap_or_else(PoisonError::into_inner) = warning;
    }

    /// What to say of the others in `/readyz`.
    pub fn warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
