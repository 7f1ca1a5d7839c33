//! What operators decided at another instance, taken in under the same id and epoch.
//!
//! Both instances judge the same input, so that automatic decisions are made by each. Only what people decide has to be
//! handed on.

use std::time::Duration;

use super::{
    engine::Engine,
    seam::{Command, Effect, Grant},
};
use crate::{
    event::{EventTime, KeyId},
    respond::{Decision, Guardrail},
};

/// For how long the epoch of a lift is remembered. A decision that was on its way to the engine meanwhile is there within
/// seconds; a clock that was ahead may have been so by a day.
const LIFT_REMEMBERED_FOR: Duration = Duration::from_hours(24);

impl Engine {
    /// The greatest epoch of a decision on the key, as far as it is known; 0 = none is.
    pub(super) fn known_epoch(&self, key: &KeyId) -> u64 {
        let of_profile = self.table.find(key).map_or(0, |index| self.table.hot(index).epoch);
        let of_force = self.forces.get(key).map_or(0, |force| force.decision.epoch);
        of_profile.max(of_force).max(self.lifted.get(key).copied().unwrap_or(0))
    }

    /// Forgets lifts that are long over. A key without a profile has nothing else that remembers their epochs.
    pub(super) fn forget_lifts(&mut self) {
        let now = self.watermark;
        let is_over = |epoch: u64| EventTime(epoch).after(LIFT_REMEMBERED_FOR) < now;
        for (key, _) in self.lifted.extract_if(.., |_, epoch| is_over(*epoch)) {
            self.changed_cases.insert(key);
        }
    }

    /// Puts the decision into force, or ends what is in force, unless a later one is known. What is only known here (whose
    /// key it is, its handles, its incident) is filled in. Without room for it, that is said. Gives whether it was taken.
    ///
    /// One that takes the place of an automatic decision of a later epoch gets an epoch above it, and is then published
    /// here too: who reads the topic has to see it as the latest, as the key's next decision will be.
    pub(super) fn take_decision_in(
        &mut self,
        command: &Command,
        (given, over): (&Decision, u64),
        key: KeyId,
        has_room: bool,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let known = self.known_epoch(&key);
        if given.epoch <= known && known != over {
            return false;
        }
        let (step, at) = (given.step, EventTime(command.at_ms));
        if step.is_enforced() && !has_room {
            effects.push(Effect::Grant(Box::new(Grant { key, step, at, outcome: Err(Guardrail::Full) })));
            return false;
        }
        let reference = self.now.reference.clone();
        let mut subject = self.subject(&key, self.entry(&reference.catalogue, &key, ""));
        if subject.aliases.is_empty() {
            subject.aliases.clone_from(&given.subject.aliases);
        }
        let (case, force) = (self.cases.get(&key), self.forces.get(&key));
        let handles = case.map(|case| &case.handles).or(force.map(|force| &force.decision.handles));
        let decision = Box::new(Decision {
            subject,
            handles: handles.cloned().unwrap_or_default(),
            incident: case.map(|case| case.record.id.0.clone()).unwrap_or_default(),
            versions: self.versions(),
            epoch: given.epoch.max(known.saturating_add(1)),
            instance: if given.epoch > known { given.instance.clone() } else { String::new() },
            ..given.clone()
        });
        effects.push(Effect::Decision(decision.clone()));
        effects.push(Effect::Grant(Box::new(Grant { key, step, at, outcome: Ok(decision) })));
        true
    }
}

#[cfg(test)]
#[path = "take_in_tests.rs"]
mod tests;
