//! From a verdict to a decision: proposed here, granted for the fleet, in force until a time.

use std::time::Duration;

use super::{
    engine::Engine,
    force::Force,
    seam::{Action, Command, Effect, Grant, Proposal},
};
use crate::{
    catalogue::Entry,
    detect,
    event::{EventTime, KeyId},
    incident::{Case, Doing, MATURE, Outcome},
    respond::{Decision, DecisionId, Guardrail, Handle, Mode, Rate, Step, rails},
};

/// What a decision is made from.
pub(super) struct Draft<'a> {
    pub key: KeyId,
    pub step: Step,
    pub at: EventTime,
    pub seconds: u64,
    pub cause: &'static str,
    pub rule: String,
    pub rule_version: String,
    pub incident: String,
    pub reason: String,
    pub handles: Vec<Handle>,
    pub entry: Option<&'a Entry>,
}

impl Engine {
    /// Proposes the step that a verdict asks for, within the key's own rails.
    pub(super) fn propose(
        &mut self,
        index: u32,
        at: EventTime,
        wanted: Step,
        entry: Option<&Entry>,
        effects: &mut Vec<Effect>,
    ) {
        let hot = self.table.hot(index);
        let (key, mature) = (hot.key, hot.maturity() >= MATURE);
        // A step made in shadow mode stops nobody: it does not stand in the way of one that would.
        let mode = self.now.reference.mode;
        let stands = |force: &&Force| force.decision.mode >= mode && force.is_in_force_at(at);
        let in_force = self.forces.get(&key).filter(stands);
        let in_force = in_force.map_or(Step::Observe, |force| force.decision.step);
        let late = self.is_late(at);
        let Some(case) = self.cases.get_mut(&key).filter(|case| !case.is_settled(at)) else { return };
        let tells_a_stranger = is_from_a_new_place(case, entry) || case.origins.are_many();
        let (step, rail) = rails::within_rails(wanted, mature, tells_a_stranger, entry);
        if let Some(rail) = rail {
            case.hold(wanted, rail);
        }
        if !step.is_enforced() || step <= in_force || case.asked.is_some() {
            return;
        }
        if late {
            return case.hold(step, Guardrail::Late);
        }
        case.asked = Some(step);
        let leading = case.causes.iter().max_by(|a, b| a.score.total_cmp(&b.score));
        let rule = leading.map(|cause| cause.rule.clone()).unwrap_or_default();
        let known = self.now.reference.rules.rule(&rule);
        let draft = Draft {
            key,
            step,
            at,
            seconds: self.settings.throttle_for.as_secs(),
            cause: "policy",
            rule_version: known.map(|rule| rule.version.clone()).unwrap_or_default(),
            rule,
            incident: case.record.id.0.clone(),
            reason: reason_of(case),
            handles: case.handles.clone(),
            entry,
        };
        let decision = self.draft(&draft);
        effects.push(proposal(key, at, decision, false));
    }

    /// Whether what happened at this time was read so late that it is history: it teaches, and nothing is done about it.
    pub(super) fn is_late(&self, at: EventTime) -> bool {
        self.read_at.since(at) > self.settings.fresh_within
    }

    pub(super) fn draft(&self, draft: &Draft<'_>) -> Decision {
        let hot = self.table.find(&draft.key).map(|index| self.table.hot(index));
        let epoch = self.known_epoch(&draft.key).saturating_add(1).max(draft.at.0);
        let rate = hot.filter(|_| draft.step == Step::Throttle).map(|hot| {
            let usual = detect::volume::usual_rate(hot);
            Rate { known: usual, unknown: usual }
        });
        let step = draft.step.as_str().as_bytes();
        let parts: [&[u8]; 6] = [
            &draft.key.hash,
            draft.rule.as_bytes(),
            draft.rule_version.as_bytes(),
            draft.incident.as_bytes(),
            step,
            &epoch.to_be_bytes(),
        ];
        Decision {
            schema: Decision::SCHEMA.to_owned(),
            id: DecisionId(self.settings.ids.id("dec_", &parts)),
            epoch,
            subject: self.subject(&draft.key, draft.entry),
            handles: draft.handles.clone(),
            step: draft.step,
            mode: self.now.reference.mode,
            only: None,
            rate,
            as_of: draft.at.rfc3339_millis(),
            expires_at: draft.at.after(Duration::from_secs(draft.seconds)).rfc3339_millis(),
            incident: draft.incident.clone(),
            cause: draft.cause.to_owned(),
            rule: draft.rule.clone(),
            rule_version: draft.rule_version.clone(),
            reason: draft.reason.clone(),
            versions: self.versions(),
            instance: String::new(),
        }
    }

    /// Takes in the fleet's answer: the step is in force, or a rail held it.
    pub(super) fn granted(&mut self, grant: &Grant, effects: &mut Vec<Effect>) {
        let key = grant.key;
        let by = match &grant.outcome {
            Ok(decision) => decision.cause.clone(),
            Err(_) => String::new(),
        };
        if let Some(case) = self.cases.get_mut(&key) {
            case.asked = None;
            match &grant.outcome {
                Ok(decision) => case.did(Doing {
                    step: grant.step,
                    at: grant.at.rfc3339(),
                    until: decision.step.is_enforced().then(|| decision.expires().rfc3339()),
                    by,
                    outcome: outcome_of(decision),
                }),
                Err(rail) => case.hold(grant.step, *rail),
            }
        }
        if let Ok(decision) = &grant.outcome {
            if let Some(index) = self.table.find(&key) {
                self.table.hot_mut(index).epoch = decision.epoch;
            }
            if decision.step.is_enforced() {
                let force = Force::granted((**decision).clone(), grant.at, self.forces.get(&key));
                self.forces.insert(key, force);
                self.lifted.remove(&key);
            } else {
                self.forces.remove(&key);
                self.lifted.insert(key, decision.epoch);
            }
        } else if let Some(force) = self.forces.get_mut(&key) {
            force.stays();
        }
        self.changed_cases.insert(key);
        self.tell(&key, grant.at, effects);
    }

    /// Does what an operator asked for on a key of this partition, whatever id he called it by.
    pub(super) fn command(&mut self, command: &Command, key: KeyId, effects: &mut Vec<Effect>) {
        let (step, seconds) = match &command.action {
            Action::Take { step, for_seconds, .. } => (*step, *for_seconds),
            Action::Lift { .. } => (Step::Observe, 0),
            Action::Pause | Action::Resume | Action::TakeIn { .. } | Action::NotServed { .. } => return,
        };
        let reference = self.now.reference.clone();
        let entry = self.entry(&reference.catalogue, &key, "");
        let at = EventTime(command.at_ms);
        if let Some(rail) = rails::refusal(step, self.table.find(&key).is_some(), entry) {
            effects.push(Effect::Grant(Box::new(Grant { key, step, at, outcome: Err(rail) })));
            return;
        }
        let force = self.forces.get(&key).map(|force| &force.decision.handles);
        let handles = self.cases.get(&key).map(|case| &case.handles).or(force);
        let draft = Draft {
            key,
            step,
            at,
            seconds,
            cause: "operator",
            rule: format!("command {} by {}", command.sequence, command.by),
            rule_version: String::new(),
            incident: self.cases.get(&key).map(|case| case.record.id.0.clone()).unwrap_or_default(),
            reason: command.reason.clone(),
            handles: handles.cloned().unwrap_or_default(),
            entry,
        };
        let decision = self.draft(&draft);
        effects.push(proposal(key, at, decision, true));
    }
}

/// Whether a place tells a stranger from the key's users.
pub(super) fn is_from_a_new_place(case: &Case, entry: Option<&Entry>) -> bool {
    case.has_new_place() && !rails::is_in_apps(entry)
}

pub(super) fn proposal(key: KeyId, at: EventTime, decision: Decision, by_operator: bool) -> Effect {
    Effect::Proposal(Box::new(Proposal {
        key,
        step: decision.step,
        at,
        epoch: decision.epoch,
        decision: Box::new(decision),
        by_operator,
    }))
}

const fn outcome_of(decision: &Decision) -> Outcome {
    match decision.mode {
        _ if matches!(decision.step, Step::Observe) => Outcome::Lifted,
        Mode::Shadow => Outcome::Shadow,
        Mode::Enforce => Outcome::Granted,
    }
}

/// One sentence: what was seen, most surprising first.
pub(super) fn reason_of(case: &Case) -> String {
    let mut order: Vec<usize> = (0..case.causes.len()).collect();
    order.sort_by(|a, b| case.causes[*b].score.total_cmp(&case.causes[*a].score));
    let parts: Vec<String> = order
        .iter()
        .take(3)
        .map(|i| {
            let reason = &case.record.reasons[*i];
            format!("{} ({})", reason.observed, reason.expected)
        })
        .collect();
    format!("{}.", parts.join("; "))
}

#[cfg(test)]
#[path = "enforce_tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "guardrail_tests.rs"]
mod guardrail_tests;
