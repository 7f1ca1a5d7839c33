//! What operators see: incidents that are open or closed lately, and current decisions. Bounded, in memory.
//!
//! Filled from committed outputs and, at the start, from the store. Records may come twice and in any order: the
//! later one stays.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;

use super::table::Applied;
use crate::{
    incident::{Incident, IncidentId, Severity},
    respond::{Decision, DecisionId},
};

/// Closed incidents that are kept.
const CLOSED: usize = 1_000;
/// Open incidents that are kept.
const OPEN: usize = 10_000;
/// Subjects whose current decision is kept.
const DECISIONS: usize = 100_000;

/// The state of affairs, for reading.
pub struct Board {
    state: RwLock<State>,
    /// Counts the decisions taken, for those who wait for one.
    decided: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self { state: RwLock::default(), decided: watch::Sender::new(0) }
    }
}

#[derive(Default)]
struct State {
    incidents: HashMap<IncidentId, Arc<Incident>>,
    /// Open and closed ones apart, by when they were last changed, so that the oldest of each is found.
    open: BTreeSet<(String, IncidentId)>,
    closed: BTreeSet<(String, IncidentId)>,
    /// By subject.
    decisions: BTreeMap<String, Shown>,
    by_id: HashMap<DecisionId, String>,
}

/// A decision with what the table for gateways made of it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub decision: Arc<Decision>,
    pub applied: Applied,
}

impl Board {
    /// Takes an incident's current record.
    pub fn take_incident(&self, incident: Incident) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.incidents.get(&incident.id).cloned() {
            let older = (&incident.updated_at, !incident.is_open()) < (&known.updated_at, !known.is_open());
            if older {
                return;
            }
            state.forget(&known);
        }
        let place = (incident.updated_at.clone(), incident.id.clone());
        let open = incident.is_open();
        state.incidents.insert(incident.id.clone(), Arc::new(incident));
        let (list, limit) = if open { (&mut state.open, OPEN) } else { (&mut state.closed, CLOSED) };
        list.insert(place);
        if list.len() > limit
            && let Some((_, oldest)) = list.pop_first()
        {
            state.incidents.remove(&oldest);
        }
    }

    /// Takes a decision and what the table made of it. One that was superseded is not shown.
    pub fn take_decision(&self, decision: Decision, applied: Applied) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let subject = decision.subject.id.clone();
        let known = state.decisions.get(&subject).map(|shown| shown.decision.clone());
        if known.as_ref().is_some_and(|known| known.epoch >= decision.epoch) {
            return;
        }
        if let Some(known) = known {
            state.by_id.remove(&known.id);
        } else if state.decisions.len() >= DECISIONS {
            state.make_room();
        }
        state.by_id.insert(decision.id.clone(), subject.clone());
        state.decisions.insert(subject, Shown { decision: Arc::new(decision), applied });
        drop(state);
        self.decided.send_modify(|count| *count += 1);
    }

    /// One incident.
    pub fn incident(&self, id: &IncidentId) -> Option<Arc<Incident>> {
        self.read(|state| state.incidents.get(id).cloned())
    }

    /// At most `limit` incidents that pass `wanted`, the latest first, open ones before closed ones.
    pub fn incidents(&self, limit: usize, wanted: impl Fn(&Incident) -> bool) -> Vec<Arc<Incident>> {
        self.read(|state| {
            let latest_first = state.open.iter().rev().chain(state.closed.iter().rev());
            let found = latest_first.filter_map(|(_, id)| state.incidents.get(id));
            found.filter(|incident| wanted(incident)).take(limit).cloned().collect()
        })
    }

    /// At most `limit` current decisions that pass `wanted`, the latest first.
    pub fn decisions(&self, limit: usize, wanted: impl Fn(&Shown) -> bool) -> Vec<Shown> {
        let mut found: Vec<Shown> =
            self.read(|state| state.decisions.values().filter(|shown| wanted(shown)).cloned().collect());
        found.sort_by(|a, b| {
            b.decision.epoch.cmp(&a.decision.epoch).then_with(|| a.decision.id.cmp(&b.decision.id))
        });
        found.truncate(limit);
        found
    }

    /// The current decision with this id.
    pub fn decision(&self, id: &DecisionId) -> Option<Shown> {
        self.read(|state| state.decisions.get(state.by_id.get(id)?).cloned())
    }

    /// The current decision on a subject, under this very id.
    pub fn current(&self, subject: &str) -> Option<Arc<Decision>> {
        self.read(|state| state.decisions.get(subject).map(|shown| shown.decision.clone()))
    }

    /// The current decision on a key, by its id.
    pub fn decision_on(&self, key: &str) -> Option<Shown> {
        let calls_it_so = |shown: &&Shown| shown.decision.subject.aliases.iter().any(|alias| alias == key);
        self.read(|state| {
            state.decisions.get(key).or_else(|| state.decisions.values().find(calls_it_so)).cloned()
        })
    }

    /// Waits until the current decision on a key has an epoch above `epoch`. For as long as the caller has patience.
    pub async fn decided_on(&self, key: &str, epoch: u64) -> Shown {
        let mut decided = self.decided.subscribe();
        loop {
            if let Some(shown) = self.decision_on(key).filter(|shown| shown.decision.epoch > epoch) {
                return shown;
            }
            // The sender lives as long as the board does.
            let _ = decided.changed().await;
        }
    }

    /// How many of each kind are kept, and at most.
    pub fn sizes(&self) -> [(&'static str, usize, usize); 3] {
        self.read(|state| {
            [
                ("open_incidents", state.open.len(), OPEN),
                ("closed_incidents", state.closed.len(), CLOSED),
                ("decisions", state.decisions.len(), DECISIONS),
            ]
        })
    }

    /// How many incidents of each severity are open.
    pub fn open_by_severity(&self) -> BTreeMap<Severity, i64> {
        self.read(|state| {
            let mut counts = BTreeMap::new();
            for (_, id) in &state.open {
                if let Some(incident) = state.incidents.get(id) {
                    *counts.entry(incident.severity).or_default() += 1;
                }
            }
            counts
        })
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn forget(&mut self, incident: &Incident) {
        let place = (incident.updated_at.clone(), incident.id.clone());
        if incident.is_open() {
            self.open.remove(&place)
        } else {
            self.closed.remove(&place)
        };
        self.incidents.remove(&incident.id);
    }

    /// Drops the decision that ends first: it is over, or will be before the others.
    fn make_room(&mut self) {
        let first = self.decisions.iter().min_by_key(|(_, shown)| shown.decision.expires());
        if let Some(subject) = first.map(|(subject, _)| subject.clone())
            && let Some(shown) = self.decisions.remove(&subject)
        {
            self.by_id.remove(&shown.decision.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        respond::Step,
        serve::table::tests::{at, decision},
    };

    fn incident(number: usize, second: i64, closed: bool) -> Incident {
        Incident {
            id: IncidentId(format!("inc_{number}")),
            updated_at: at(second).rfc3339(),
            closed_at: closed.then(|| at(second).rfc3339()),
            ..Incident::default()
        }
    }

    fn ids(board: &Board) -> Vec<String> {
        board.incidents(5, |_| true).iter().map(|incident| incident.id.0.clone()).collect()
    }

    #[test]
    fn open_incidents_come_first_and_the_latest_of_them_at_the_top() {
        let board = Board::default();
        for (number, second, closed) in [(1, 1, false), (2, 9, true), (3, 5, false), (1, 6, false)] {
            board.take_incident(incident(number, second, closed));
        }
        assert_eq!(ids(&board), ["inc_1", "inc_3", "inc_2"]);
    }

    #[test]
    fn a_record_delivered_late_changes_nothing() {
        let board = Board::default();
        board.take_incident(incident(1, 5, true));
        board.take_incident(incident(1, 5, false));
        board.take_incident(incident(1, 4, false));
        assert!(!board.incident(&IncidentId("inc_1".to_owned())).unwrap().is_open());
        assert_eq!(ids(&board), ["inc_1"]);
    }

    #[test]
    fn only_the_latest_closed_incidents_are_kept() {
        let board = Board::default();
        for number in 0..CLOSED + 3 {
            board.take_incident(incident(number, i64::try_from(number).unwrap(), true));
        }
        assert_eq!(board.incidents(usize::MAX, |_| true).len(), CLOSED);
        assert!(board.incident(&IncidentId("inc_2".to_owned())).is_none());
        assert!(board.incident(&IncidentId("inc_3".to_owned())).is_some());
    }

    #[test]
    fn one_current_decision_is_shown_for_each_key() {
        let board = Board::default();
        board.take_decision(decision(1, 2, Step::Throttle), Applied::Served);
        board.take_decision(decision(1, 1, Step::Revoke), Applied::Superseded);
        board.take_decision(decision(2, 5, Step::Revoke), Applied::Served);
        let shown: Vec<_> =
            board.decisions(9, |_| true).iter().map(|shown| shown.decision.id.0.clone()).collect();
        assert_eq!(shown, ["dec_2_5", "dec_1_2"]);
        assert!(board.decision(&DecisionId("dec_1_1".to_owned())).is_none());
    }
}
