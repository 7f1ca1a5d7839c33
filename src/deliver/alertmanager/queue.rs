//! The alerts that wait for one Alertmanager: bounded, the oldest dropped first.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Alert;

/// The most alerts that wait for one peer, as in Prometheus.
pub(super) const CAPACITY: usize = 10_000;

/// A bounded queue with one reader.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    alerts: VecDeque<Alert>,
    closed: bool,
}

impl Queue {
    /// Appends `alerts` and gives how many old ones were dropped for them.
    pub fn push(&self, alerts: &[Alert]) -> usize {
        let mut state = self.state();
        state.alerts.extend(alerts.iter().cloned());
        let surplus = state.alerts.len().saturating_sub(CAPACITY);
        state.alerts.drain(..surplus);
        drop(state);
        self.news.notify_one();
        surplus
    }

    /// Takes at most `limit` alerts, of each the latest state only; waits for the first. `None` once it is closed and
    /// empty.
    pub async fn take(&self, limit: usize) -> Option<Vec<Alert>> {
        loop {
            {
                let mut state = self.state();
                if !state.alerts.is_empty() {
                    let count = limit.min(state.alerts.len());
                    return Some(latest(state.alerts.drain(..count).collect()));
                }
                if state.closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// No more will come: the reader ends once it is empty.
    pub fn close(&self) {
        self.state().closed = true;
        self.news.notify_one();
    }

    /// How many alerts wait.
    pub fn len(&self) -> usize {
        self.state().alerts.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the alerts that a later one of the same labels replaces: an Alertmanager would take both, and may keep
/// either.
fn latest(alerts: Vec<Alert>) -> Vec<Alert> {
    let mut seen = BTreeSet::new();
    let stay: Vec<bool> = alerts.iter().rev().map(|alert| seen.insert(&alert.labels)).collect();
    let stay: Vec<bool> = stay.into_iter().rev().collect();
    alerts.into_iter().zip(stay).filter_map(|(alert, stays)| stays.then_some(alert)).collect()
}
