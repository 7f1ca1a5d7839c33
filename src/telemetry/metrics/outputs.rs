//! Whether what Keyhound writes to is in reach: its own topics, and each Alertmanager.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use prometheus::IntGaugeVec;

use super::family::Families;

/// `keyhound_output_connected{output}`, and why one is out of reach.
pub struct OutputMetrics {
    connected: IntGaugeVec,
    faults: Mutex<BTreeMap<String, String>>,
}

impl OutputMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let connected = f.gauges(
            "keyhound_output_connected",
            "Whether the last attempt to reach an output succeeded (1) or not (0), by output.",
            &["output"],
        );
        Self { connected, faults: Mutex::default() }
    }

    /// The last attempt to reach `output` ended so.
    pub fn attempted(&self, output: &str, fault: Option<String>) {
        self.connected.with_label_values(&[output]).set(i64::from(fault.is_none()));
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => drop(faults.insert(output.to_owned(), fault)),
            None => drop(faults.remove(output)),
        }
    }

    /// What is out of reach, with the reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().map(|(output, fault)| (output.clone(), fault.clone())).collect()
    }
}
