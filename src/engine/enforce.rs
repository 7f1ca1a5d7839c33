//! From a verdict to a decision: proposed here, granted for the fleet, in force until a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    engine::Engine,
    groups::second_of,
    seam::{Action, Command, Effect, Grant, Proposal},
};
use crate::{
    catalogue::Entry,
    detect,
    event::{EventTime, KeyId},
    incident::{Case, Doing, MATURE, Outcome},
    profile::panes::Panes,
    respond::{Decision, DecisionId, Guardrail, Handle, Mode, Rate, Step, rails},
};

/// A step is extended while at least so many requests were refused by it in the last five minutes.
const PRESSURE_BAR: u32 = 20;
/// It is extended so long before it would end, or a quarter of its length, and never beyond so long after it began.
const EXTEND_BEFORE_MS: u64 = 60_000;
const EXTEND_MAX_MS: u64 = 24 * 3_600_000;

/// A step in force on a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Force {
    pub decision: Decision,
    since_ms: u64,
    until_ms: u64,
    pressure: [u32; 10],
    pressure_second: u32,
    /// It is being extended: one proposal at a time.
    asked: bool,
}

impl Force {
    fn new(decision: Decision, at: EventTime) -> Self {
        let until_ms = decision.expires().0;
        Self { decision, since_ms: at.0, until_ms, pressure: [0; 10], pressure_second: 0, asked: false }
    }

    /// One that is out, and of which the state knows at most what was before it.
    pub(super) fn resumed(decision: &Decision, before: Option<&Self>) -> Self {
        let mut force = Self::new(decision.clone(), decision.as_of());
        if decision.cause == "policy" {
            let before = before.filter(|before| before.decision.mode == decision.mode);
            force.since_ms = before.map_or(force.since_ms, |before| before.since_ms);
        }
        force
    }

    /// Whether it held at an event's time.
    pub fn holds_at(&self, at: EventTime) -> bool {
        (self.since_ms..self.until_ms).contains(&at.0)
    }

    /// Counts a request that it refused.
    pub fn press(&mut self, second: u32) {
        let mut panes = Panes::<u32, 10, 30>::from_raw(self.pressure.into_iter());
        panes.advance(self.pressure_second, second);
        self.pressure_second = self.pressure_second.max(second);
        panes.add(self.pressure_second, second, 1);
        for (slot, count) in self.pressure.iter_mut().zip(panes.raw()) {
            *slot = count;
        }
    }

    fn pressure_at(&self, second: u32) -> u32 {
        let mut panes = Panes::<u32, 10, 30>::from_raw(self.pressure.into_iter());
        panes.advance(self.pressure_second, second);
        panes.sum()
    }

    /// From its newest decision to its end.
    fn length_ms(&self) -> u64 {
        self.until_ms.saturating_sub(self.decision.as_of().0)
    }

    const fn end_at_most_ms(&self) -> u64 {
        self.since_ms + EXTEND_MAX_MS
    }

    fn wants_extension(&self, at: EventTime) -> bool {
        !self.asked
            && self.decision.cause == "policy"
            && at.0 + EXTEND_BEFORE_MS.min(self.length_ms() / 4) >= self.until_ms
            && self.until_ms + 1_000 <= self.end_at_most_ms()
            && self.pressure_at(second_of(at)) >= PRESSURE_BAR
    }
}

/// What a decision is made from.
struct Draft<'a> {
    key: KeyId,
    step: Step,
    at: EventTime,
    seconds: u64,
    cause: &'static str,
    rule: String,
    rule_version: String,
    incident: String,
    reason: String,
    handles: Vec<Handle>,
    entry: Option<&'a Entry>,
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
        let in_force = self.forces.get(&key).filter(|force| force.decision.mode >= mode);
        let in_force = in_force.map_or(Step::Observe, |force| force.decision.step);
        let late = self.is_late(at);
        let Some(case) = self.cases.get_mut(&key) else { return };
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

    fn draft(&self, draft: &Draft<'_>) -> Decision {
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
                let extends =
                    |force: &&Force| decision.cause == "policy" && force.decision.mode == decision.mode;
                let since = self.forces.get(&key).filter(extends).map(|force| force.since_ms);
                let mut force = Force::new((**decision).clone(), grant.at);
                force.since_ms = since.unwrap_or(force.since_ms);
                self.forces.insert(key, force);
                self.lifted.remove(&key);
            } else {
                self.forces.remove(&key);
                self.lifted.insert(key, decision.epoch);
            }
        } else if let Some(force) = self.forces.get_mut(&key) {
            force.asked = false;
        }
        self.changed_cases.insert(key);
        self.tell(&key, grant.at, effects);
    }

    /// Ends the steps whose time is over, and extends those that are still under pressure.
    pub(super) fn end_forces(&mut self, effects: &mut Vec<Effect>) {
        let now = self.watermark;
        let ended: Vec<KeyId> =
            self.forces.iter().filter(|(_, force)| force.until_ms <= now.0).map(|(key, _)| *key).collect();
        for key in ended {
            let Some(force) = self.forces.remove(&key) else { continue };
            self.changed_cases.insert(key);
            if let Some(case) = self.cases.get_mut(&key) {
                let (step, at) = (force.decision.step, EventTime(force.until_ms).rfc3339());
                case.did(Doing { step, at, until: None, by: force.decision.cause, outcome: Outcome::Ended });
                self.tell(&key, now, effects);
            }
        }
        if self.is_late(now) {
            return;
        }
        // One of another mode than now ends by itself: what came after it would not be the same step any more.
        let mode = self.now.reference.mode;
        let wants = |force: &Force| force.decision.mode == mode && force.wants_extension(now);
        let wanting: Vec<KeyId> =
            self.forces.iter().filter(|(_, force)| wants(force)).map(|(key, _)| *key).collect();
        for key in wanting {
            let reference = self.now.reference.clone();
            let entry = self.entry(&reference.catalogue, &key, "");
            let Some(force) = self.forces.get_mut(&key) else { continue };
            if entry.is_some_and(|entry| entry.protected) {
                // It became protected meanwhile: what is in force ends by itself.
                continue;
            }
            let is_stranger = self.cases.get(&key).is_some_and(|case| is_from_a_new_place(case, entry));
            if rails::may_be_public(entry) && !is_stranger {
                // Whose requests are refused is not known: one client could keep all of them out for a day.
                continue;
            }
            force.asked = true;
            let before = force.decision.clone();
            let seconds = self.settings.throttle_for.as_secs();
            let seconds = seconds.min(force.end_at_most_ms().saturating_sub(now.0) / 1_000);
            let draft = Draft {
                key,
                step: before.step,
                at: now,
                seconds,
                cause: "policy",
                rule: before.rule,
                rule_version: before.rule_version,
                incident: before.incident,
                reason: format!("Extended: still refused {} times in 5 min. {}", PRESSURE_BAR, before.reason),
                handles: before.handles,
                entry,
            };
            let decision = self.draft(&draft);
            effects.push(proposal(key, now, decision, false));
        }
    }

    /// Does what an operator asked for on a key of this partition, whatever id he called it by.
    pub(super) fn command(&mut self, command: &Command, key: KeyId, effects: &mut Vec<Effect>) {
        let (step, seconds) = match &command.action {
            Action::Take { step, for_seconds, .. } => (*step, *for_seconds),
            Action::Lift { .. } => (Step::Observe, 0),
            Action::Pause | Action::Resume | Action::TakeIn { .. } => return,
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
fn is_from_a_new_place(case: &Case, entry: Option<&Entry>) -> bool {
    case.has_new_place() && !rails::is_in_apps(entry)
}

fn proposal(key: KeyId, at: EventTime, decision: Decision, by_operator: bool) -> Effect {
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
fn reason_of(case: &Case) -> String {
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
mod tests;

#[cfg(test)]
#[path = "guardrail_tests.rs"]
mod guardrail_tests;
