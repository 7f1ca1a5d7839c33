//! A step in force: what it refused, when it ends, and how it is extended.
//!
//! Steps end by the event time of the newest request ([`Context::at`](super::Context)), and not by the watermark: an
//! input that is slow or silent holds up no other key's step. What a step refused may still come from such an input, so
//! one that has ended is known until the watermark has passed its end, or for [`KNOWN_FOR_MS`].

use serde::{Deserialize, Serialize};

use super::{
    enforce::{Draft, is_from_a_new_place, proposal, reason_of},
    engine::Engine,
    groups::second_of,
    seam::Effect,
};
use crate::{
    event::{EventTime, KeyId},
    incident::{Doing, Outcome},
    profile::panes::Panes,
    respond::{Decision, Guardrail, Mode, rails},
};

/// A step is extended while at least so many requests were refused by it in the last five minutes.
const PRESSURE_BAR: u32 = 20;
/// It is extended so long before it would end, or a quarter of its length, and never beyond so long after it began.
const EXTEND_BEFORE_MS: u64 = 60_000;
const EXTEND_MAX_MS: u64 = 24 * 3_600_000;
/// For how long after its end a step is known at most. The watermark waits for no input that is further behind.
const KNOWN_FOR_MS: u64 = 15 * 60_000;

/// A step on a key that is in force, or was until a moment ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Force {
    pub decision: Decision,
    since_ms: u64,
    until_ms: u64,
    pressure: [u32; 10],
    pressure_second: u32,
    /// It is being extended: one proposal at a time.
    asked: bool,
    /// Its time is over.
    #[serde(default)]
    pub(super) ended: bool,
    /// From when to when the step before it was served.
    #[serde(default)]
    before: Option<(u64, u64)>,
}

impl Force {
    fn new(decision: Decision, at: EventTime) -> Self {
        let until_ms = decision.expires().0;
        Self {
            decision,
            since_ms: at.0,
            until_ms,
            pressure: [0; 10],
            pressure_second: 0,
            asked: false,
            ended: false,
            before: None,
        }
    }

    /// One that is granted at this time, in the place of one that was known.
    pub(super) fn granted(decision: Decision, at: EventTime, before: Option<&Self>) -> Self {
        let mut force = Self::new(decision, at);
        let Some(before) = before else { return force };
        let extends = force.decision.cause == "policy" && force.decision.mode == before.decision.mode;
        if extends && before.is_in_force_at(at) {
            (force.since_ms, force.before) = (before.since_ms, before.before);
            (force.pressure, force.pressure_second) = (before.pressure, before.pressure_second);
        } else if before.decision.mode == Mode::Enforce {
            force.before = Some((before.since_ms, before.until_ms.min(at.0)));
        }
        force
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

    /// Whether it stands in the way of another one for evidence of this time. One whose time is over never does.
    pub(super) const fn is_in_force_at(&self, at: EventTime) -> bool {
        !self.ended && self.until_ms > at.0
    }

    /// Whether gateways were told at an event's time to refuse.
    pub(super) fn was_served_at(&self, at: EventTime) -> bool {
        let before = self.before.is_some_and(|(since_ms, until_ms)| (since_ms..until_ms).contains(&at.0));
        before || self.decision.mode == Mode::Enforce && (self.since_ms..self.until_ms).contains(&at.0)
    }

    /// Counts a request that it refused.
    pub(super) fn press(&mut self, second: u32) {
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
            && self.is_in_force_at(at)
            && self.decision.cause == "policy"
            && at.0 + EXTEND_BEFORE_MS.min(self.length_ms() / 4) >= self.until_ms
            && self.until_ms + 1_000 <= self.end_at_most_ms()
            && self.pressure_at(second_of(at)) >= PRESSURE_BAR
    }

    /// Gateways were not told of it after all.
    const fn end_at(&mut self, at: EventTime) {
        self.ended = true;
        if at.0 < self.until_ms {
            self.until_ms = at.0;
        }
    }

    /// An extension was not granted: another one may be asked for.
    pub(super) const fn stays(&mut self) {
        self.asked = false;
    }
}

impl Engine {
    /// Ends the steps whose time is over at `at`, and forgets those of which nothing more can come.
    pub(super) fn end_forces(&mut self, at: EventTime, effects: &mut Vec<Effect>) {
        let is_over = |force: &Force| !force.ended && force.until_ms <= at.0;
        let over: Vec<KeyId> =
            self.forces.iter().filter(|(_, force)| is_over(force)).map(|(key, _)| *key).collect();
        for key in over {
            let Some(force) = self.forces.get_mut(&key) else { continue };
            force.ended = true;
            self.changed_cases.insert(key);
            if let Some(case) = self.cases.get_mut(&key) {
                let (step, by) = (force.decision.step, force.decision.cause.clone());
                let ended = EventTime(force.until_ms).rfc3339();
                case.did(Doing { step, at: ended, until: None, by, outcome: Outcome::Ended });
                self.tell(&key, at, effects);
            }
        }
        let watermark = self.watermark;
        let is_gone = |_: &KeyId, force: &mut Force| {
            force.ended && (force.until_ms <= watermark.0 || force.until_ms + KNOWN_FOR_MS <= at.0)
        };
        self.changed_cases.extend(self.forces.extract_if(.., is_gone).map(|(key, _)| key));
    }

    /// The decision of this epoch is not served: the next evidence proposes the step anew. Gives whether it was in force.
    pub(super) fn not_served(
        &mut self,
        key: KeyId,
        epoch: u64,
        by: Guardrail,
        at: EventTime,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let is_meant = |force: &&mut Force| force.decision.epoch == epoch && !force.ended;
        let Some(force) = self.forces.get_mut(&key).filter(is_meant) else { return false };
        force.end_at(at);
        let step = force.decision.step;
        self.changed_cases.insert(key);
        if let Some(case) = self.cases.get_mut(&key) {
            case.undo(step, by);
        }
        self.tell(&key, at, effects);
        true
    }

    /// Proposes to extend the steps that are still under pressure at `at`.
    pub(super) fn extend_forces(&mut self, at: EventTime, effects: &mut Vec<Effect>) {
        if self.is_late(at) {
            return;
        }
        // One of another mode than now ends by itself: what came after it would not be the same step any more.
        let mode = self.now.reference.mode;
        let wants = |force: &Force| force.decision.mode == mode && force.wants_extension(at);
        let wanting: Vec<KeyId> =
            self.forces.iter().filter(|(_, force)| wants(force)).map(|(key, _)| *key).collect();
        for key in wanting {
            let reference = self.now.reference.clone();
            let entry = self.entry(&reference.catalogue, &key, "");
            if entry.is_some_and(|entry| entry.protected) {
                // It became protected meanwhile: what is in force ends by itself.
                continue;
            }
            let case = self.cases.get(&key);
            if case.is_some_and(|case| case.is_settled(at)) {
                continue;
            }
            let is_stranger = case.is_some_and(|case| is_from_a_new_place(case, entry));
            if rails::may_be_public(entry) && !is_stranger {
                // Whose requests are refused is not known: one client could keep all of them out for a day.
                continue;
            }
            let evidence = case.map(reason_of).unwrap_or_default();
            let Some(force) = self.forces.get_mut(&key) else { continue };
            force.asked = true;
            let refused = force.pressure_at(second_of(at));
            let before = force.decision.clone();
            let seconds = self.settings.throttle_for.as_secs();
            let draft = Draft {
                key,
                step: before.step,
                at,
                seconds: seconds.min(force.end_at_most_ms().saturating_sub(at.0) / 1_000),
                cause: "policy",
                rule: before.rule,
                rule_version: before.rule_version,
                incident: before.incident,
                // Made anew of the evidence, not of the reason before it: that would grow with each extension.
                reason: format!("Extended: {refused} requests refused in 5 min. {evidence}")
                    .trim_end()
                    .to_owned(),
                handles: before.handles,
                entry,
            };
            let decision = self.draft(&draft);
            effects.push(proposal(key, at, decision, false));
        }
    }
}

#[cfg(test)]
#[path = "force_tests.rs"]
mod tests;
