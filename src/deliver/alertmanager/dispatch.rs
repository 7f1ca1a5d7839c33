//! The dispatcher that hands incidents from the outbox to the notifier.

use std::sync::Arc;

use super::Notifier;
use crate::{
    deliver::{Deliver, DeliverError},
    incident::Incident,
    store::{OutRecord, Topic},
};

/// Hands each incident record to the notifier. It is acknowledged once it is queued: what is lost with the process
/// is made good at the next start, when open incidents are told again.
pub struct ToAlertmanagers(pub Arc<Notifier>);

impl Deliver for ToAlertmanagers {
    const NAME: &'static str = "alerts";

    fn deliver(&mut self, records: &[OutRecord]) -> Result<u64, DeliverError> {
        for record in
            records.iter().filter(|record| record.topic == Topic::Incidents && !record.value.is_empty())
        {
            match serde_json::from_slice::<Incident>(&record.value) {
                Ok(incident) => self.0.observe(&incident),
                Err(error) => {
                    tracing::error!(event = "record_unreadable", record = record.seq, %error, "an incident record cannot be read; skipped");
                }
            }
        }
        Ok(records.last().map_or(0, |record| record.seq))
    }
}
