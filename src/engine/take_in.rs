//! What operators decided at another instance, taken in under the same id and epoch.
//!
//! Both instances judge the same input, so that automatic decisions are made by each. Only what people decide has to be
//! handed on.

use super::{
    engine::Engine,
    seam::{Command, Effect, Grant},
};
use crate::{
    event::{EventTime, KeyId},
    respond::{Decision, Guardrail},
};

impl Engine {
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
