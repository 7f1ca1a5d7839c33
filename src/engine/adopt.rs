//! What was told before and the state does not know, taken in again.
//!
//! A replay sends nothing, since what it leads to is out already. After one that could not be whole, or that came out
//! differently, that is not so: the state may lack decisions that gateways obey and incidents that people see as open,
//! and hold others that nobody was told of. Outputs are the truth then:
//!
//! - A decision that is out stays in force, with its epoch, so that the next one is above it. One that is not out is not
//!   in force: the next evidence proposes it again.
//! - An incident that is out as open is closed by quiet like any other; one that is out as closed is over. One that
//!   nobody was told of is told now.

use std::collections::BTreeMap;

use super::{engine::Engine, force::Force, groups::second_of, seam::Effect};
use crate::{
    event::{EventTime, KeyId},
    incident::{Case, Cause, Incident, IncidentId, fuse},
    respond::{Decision, Guardrail},
};

/// The current records that were committed: the newest decision on each key, and incidents, open or closed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub decisions: Vec<Decision>,
    pub incidents: Vec<Incident>,
}

/// What was told of the keys of one partition.
#[derive(Debug, Default)]
pub(super) struct ToldHere<'a> {
    pub decisions: BTreeMap<KeyId, &'a Decision>,
    pub incidents: Vec<(KeyId, &'a Incident)>,
}

impl Engine {
    /// Makes steps and incidents those that were told. Changes nothing where the state knows them.
    pub(super) fn adopt(&mut self, told: &ToldHere<'_>, effects: &mut Vec<Effect>) {
        self.adopt_decisions(told);
        self.match_cases(told, effects);
        for &(key, incident) in told.incidents.iter().filter(|(_, incident)| incident.is_open()) {
            self.adopt_incident(key, incident, effects);
        }
    }

    fn adopt_decisions(&mut self, told: &ToldHere<'_>) {
        let is_unknown = |key: &KeyId, force: &Force| {
            !force.ended && told.decisions.get(key).is_none_or(|decision| **decision != force.decision)
        };
        let not_out: Vec<KeyId> =
            self.forces.iter().filter(|(key, force)| is_unknown(key, force)).map(|(key, _)| *key).collect();
        let before: BTreeMap<KeyId, Force> =
            not_out.iter().filter_map(|key| Some((*key, self.forces.remove(key)?))).collect();
        self.changed_cases.extend(not_out);
        for (&key, &decision) in &told.decisions {
            if let Some(index) =
                self.table.find(&key).filter(|index| self.table.hot(*index).epoch < decision.epoch)
            {
                self.table.hot_mut(index).epoch = decision.epoch;
            }
            let holds = decision.step.is_enforced() && decision.expires() > self.watermark;
            if holds && !self.forces.contains_key(&key) {
                self.forces.insert(key, Force::resumed(decision, before.get(&key)));
                self.changed_cases.insert(key);
            }
        }
        for (key, force) in &before {
            let holds = self.forces.get(key).is_some_and(|out| out.decision.step >= force.decision.step);
            if let Some(case) = self.cases.get_mut(key).filter(|_| !holds) {
                case.undo(force.decision.step, Guardrail::Restart);
            }
        }
    }

    /// Forgets incidents whose end has been told, and tells those that a replay has told to nobody.
    fn match_cases(&mut self, told: &ToldHere<'_>, effects: &mut Vec<Effect>) {
        let out: BTreeMap<&IncidentId, bool> =
            told.incidents.iter().map(|(_, incident)| (&incident.id, incident.is_open())).collect();
        let known = self.cases.iter().filter(|(_, case)| case.is_told());
        let known: Vec<(KeyId, Option<bool>)> =
            known.map(|(key, case)| (*key, out.get(&case.record.id).copied())).collect();
        for (key, is_open) in known {
            match is_open {
                Some(true) => {}
                Some(false) => {
                    self.cases.remove(&key);
                    self.freeze(&key, false);
                    self.changed_cases.insert(key);
                }
                None => {
                    if let Some(case) = self.cases.get_mut(&key) {
                        case.is_untold();
                    }
                    self.tell(&key, self.watermark, effects);
                }
            }
        }
    }

    fn adopt_incident(&mut self, key: KeyId, told: &Incident, effects: &mut Vec<Effect>) {
        let known = self.cases.get(&key);
        if known.is_some_and(|case| case.record.id == told.id && case.knows(told)) {
            return;
        }
        // One that nobody was told of gives way to what people know.
        if known.is_some_and(|case| case.is_told() && case.record.id != told.id) {
            // The same evidence makes another incident of it now: two would be open for one key.
            let (record, causes) = self.with_causes(told);
            let ended = Case::resumed(record, causes, Vec::new()).close(self.watermark);
            effects.extend(ended.map(|ended| Effect::Incident(Box::new(ended))));
            return;
        }
        let handles = match (known, self.forces.get(&key)) {
            (Some(case), _) => case.handles.clone(),
            (None, Some(force)) => force.decision.handles.clone(),
            (None, None) => Vec::new(),
        };
        let (record, causes) = self.with_causes(told);
        let case = Case::resumed(record, causes, handles);
        self.freeze(&key, case.freezes());
        self.cases.insert(key, case);
        self.changed_cases.insert(key);
    }

    /// The record with a cause for each of its reasons, from the rules in force.
    fn with_causes(&self, told: &Incident) -> (Incident, Vec<Cause>) {
        let mut record = told.clone();
        let mut causes = Vec::new();
        record.reasons.retain(|reason| {
            let Some(family) = fuse::family(&reason.family) else { return false };
            let rule = self.now.reference.rules.rule(&reason.rule);
            causes.push(Cause {
                rule: reason.rule.clone(),
                family,
                score: reason.score,
                severity: rule.map(|rule| rule.severity).unwrap_or_default(),
                respond: rule.map(|rule| rule.respond).unwrap_or_default(),
            });
            true
        });
        (record, causes)
    }

    fn freeze(&mut self, key: &KeyId, frozen: bool) {
        if let Some(index) = self.table.find(key) {
            self.set_frozen(index, frozen, second_of(self.watermark));
        }
    }
}

/// Until when each automatic step holds that is out and has not ended by then.
pub(super) fn in_force(told: &Told, now: EventTime) -> impl Iterator<Item = (KeyId, EventTime)> {
    let automatic = |decision: &&Decision| decision.cause == "policy" && decision.step.is_enforced();
    let out = told.decisions.iter().filter(automatic);
    out.filter_map(|decision| Some((decision.subject.id.parse().ok()?, decision.expires())))
        .filter(move |(_, until)| *until > now)
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
