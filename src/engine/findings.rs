//! From a detector's signal to a finding of a rule, and from findings to the key's incident.

use super::{engine::Engine, groups::second_of, seam::Effect, shown::Shown};
use crate::{
    catalogue::{Catalogue, Entry},
    detect::{Family, Finding, Signal},
    event::{EventTime, KeyId},
    incident::{Case, Cause, Incident, IncidentId, MATURE, Reason},
    profile::{Known, key::UNRESOLVED},
    respond::{SubjectRef, decision::Versions},
    rules::{Rule, condition::FindingView},
};

impl Engine {
    /// Turns signals into findings of their rules, and weighs the key's incident anew.
    pub(super) fn take_in(
        &mut self,
        index: u32,
        at: EventTime,
        shown: &Shown,
        signals: &mut Vec<Signal>,
        effects: &mut Vec<Effect>,
    ) {
        if signals.is_empty() {
            return;
        }
        let key = self.table.hot(index).key;
        let maturity = self.table.hot(index).maturity();
        let reference = self.now.reference.clone();
        let entry = self.entry(&reference.catalogue, &key, &shown.handle.credential);
        let late = self.is_late(at);
        let mut any = false;
        for signal in signals.drain(..) {
            let Some(rule) = reference.rules.rules.get(usize::from(signal.rule)) else { continue };
            if !self.holds(rule, &key, entry, &signal, maturity) {
                continue;
            }
            let finding = finding_of(rule, at, signal);
            if self.is_full_of_cases(&key, maturity) {
                self.counts.without_incident += 1;
                effects.push(Effect::Finding(key, Box::new(finding)));
                continue;
            }
            let case = self.case(&key, entry, at, shown);
            let (by, reason) = cause_of(rule, &finding);
            if let Some(case) = self.cases.get_mut(&case) {
                case.learn_handle(&shown.handle, shown.at_ms);
                // Only an error is evidence by itself. A spike is judged at whichever request comes next, and that may be
                // one of an honest user.
                if by.family == Family::Errors {
                    case.origins.count(shown.origin);
                }
                case.add(at, by, reason, &shown.sample);
                if !late {
                    case.is_seen_in_time();
                }
                any = true;
            }
            effects.push(Effect::Finding(key, Box::new(finding)));
        }
        if any {
            self.weigh(index, at, entry, effects);
        }
    }

    /// What the catalogue says of a key: by its id, by the credential that a request shows (empty if there is none), or by
    /// its other id.
    pub(super) fn entry<'c>(
        &self,
        catalogue: &'c Catalogue,
        key: &KeyId,
        credential: &str,
    ) -> Option<&'c Entry> {
        let by_alias = || self.aliases.get(key).and_then(|alias| catalogue.get(alias, ""));
        catalogue.get(key, credential).or_else(by_alias)
    }

    /// The number of the key's tenant; 0 if it has none.
    pub(super) fn group_in_catalogue(&self, key: &KeyId, credential: &str) -> u16 {
        let entry = self.entry(&self.now.reference.catalogue, key, credential);
        entry.map_or(0, |entry| self.now.tenants.number_of(&entry.tenant))
    }

    fn holds(
        &mut self,
        rule: &Rule,
        key: &KeyId,
        entry: Option<&Entry>,
        signal: &Signal,
        maturity: f64,
    ) -> bool {
        let Some(condition) = &rule.condition else { return true };
        let view = FindingView {
            key: *key,
            entry,
            detector: rule.detector.name(),
            family: rule.detector.family(),
            score: signal.score,
            maturity,
        };
        condition.holds(&view).unwrap_or_else(|_| {
            self.counts.condition_errors += 1;
            false
        })
    }

    /// Whether there are as many incidents as memory is for, so that a key that is not mature gets no new one: invented
    /// keys must not take the place of real ones' incidents.
    fn is_full_of_cases(&self, key: &KeyId, maturity: f64) -> bool {
        self.cases.len() >= self.settings.limits.incidents
            && maturity < MATURE
            && !self.cases.contains_key(key)
    }

    /// The key's open incident; a new one if there is none.
    fn case(&mut self, key: &KeyId, entry: Option<&Entry>, at: EventTime, shown: &Shown) -> KeyId {
        if !self.cases.contains_key(key) {
            let (input, offset) = shown.position;
            let position = offset ^ u64::from(input) << 48;
            let id = self.settings.ids.id("inc_", &[&key.hash, &position.to_be_bytes(), &at.0.to_be_bytes()]);
            let subject = self.subject(key, entry);
            let mode = self.now.reference.mode;
            let record = Incident {
                schema: Incident::SCHEMA.to_owned(),
                id: IncidentId(id),
                subject,
                opened_at: at.rfc3339(),
                mode,
                versions: self.versions(),
                stale: true,
                ..Incident::default()
            };
            self.cases.insert(*key, Case::new(record, at));
        }
        self.changed_cases.insert(*key);
        *key
    }

    pub(super) fn subject(&self, key: &KeyId, entry: Option<&Entry>) -> SubjectRef {
        SubjectRef {
            kind: "key".to_owned(),
            id: key.to_string(),
            aliases: self.aliases.get(key).map(ToString::to_string).into_iter().collect(),
            tenant: entry.map(|entry| entry.tenant.clone()).unwrap_or_default(),
            name: entry.map(|entry| entry.name.clone()).unwrap_or_default(),
            owner: entry.map(|entry| entry.owner.clone()).unwrap_or_default(),
            contact: entry.map(|entry| entry.contact.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn versions(&self) -> Versions {
        Versions {
            keyhound: env!("CARGO_PKG_VERSION").to_owned(),
            rules: self.now.reference.rules.version.clone(),
            geo: self.now.reference.geo_version.clone(),
        }
    }

    fn weigh(&mut self, index: u32, at: EventTime, entry: Option<&Entry>, effects: &mut Vec<Effect>) {
        let hot = self.table.hot(index);
        let (key, maturity, days) = (hot.key, hot.maturity(), hot.age_days());
        let Some(case) = self.cases.get_mut(&key) else { return };
        let verdict = case.weigh(at, maturity);
        case.record.doubts.clear();
        if maturity < MATURE {
            case.record.doubts.push(format!("The key has been known for {days:.1} days only."));
        }
        if !case.is_corroborated() {
            case.record.doubts.push("Volume alone: place, errors and breadth are as usual.".to_owned());
        }
        let freezes = case.freezes();
        self.set_frozen(index, freezes, second_of(at));
        self.propose(index, at, verdict.step, entry, effects);
        self.tell(&key, at, effects);
    }

    /// An incident is open on the key from now on, or ends at `second`. What closes by that may make its profile mature.
    pub(super) fn set_frozen(&mut self, index: u32, frozen: bool, second: u32) {
        let was_in_groups = self.table.hot(index).is_in_groups();
        let known = Known { watermark: second_of(self.watermark), gaps: &self.gaps };
        self.table.set_frozen(index, frozen, known, second);
        let hot = self.table.hot(index);
        if hot.is_in_groups() && !was_in_groups {
            let group =
                if hot.group == UNRESOLVED { self.group_in_catalogue(&hot.key, "") } else { hot.group };
            self.announce(index, group);
        }
    }

    /// Emits the incident's record, if it is time.
    pub(super) fn tell(&mut self, key: &KeyId, at: EventTime, effects: &mut Vec<Effect>) {
        if let Some(record) = self.cases.get_mut(key).and_then(|case| case.telling(at)) {
            self.changed_cases.insert(*key);
            effects.push(Effect::Incident(Box::new(record)));
        }
    }

    /// Closes what has been quiet, unless a step is in force.
    pub(super) fn close_cases(&mut self, effects: &mut Vec<Effect>) {
        let watermark = self.watermark;
        let forces = &self.forces;
        let over = |(key, case): (&KeyId, &Case)| {
            let is_over = case.is_over(watermark) || case.is_settled(watermark);
            (is_over && !forces.contains_key(key)).then_some(*key)
        };
        let over: Vec<KeyId> = self.cases.iter().filter_map(over).collect();
        for key in over {
            let Some(case) = self.cases.remove(&key) else { continue };
            self.changed_cases.insert(key);
            if let Some(index) = self.table.find(&key) {
                let second = second_of(watermark);
                self.set_frozen(index, false, second);
                let (hot, mut warm) = self.table.parts_mut(index);
                if let Some(warm) = warm.as_deref_mut().filter(|_| case.is_settled(watermark)) {
                    hot.accept_use(warm);
                }
                // A note must not: whoever gives cause for some would never be seen to drain a key.
                if case.freezes() {
                    hot.forget_excess(warm.as_deref_mut());
                }
                if let (Some(peak), Some(warm)) = (case.lone_peak(), warm) {
                    warm.remember_peak(second / 3600, peak);
                }
            }
            if let Some(record) = case.close(watermark) {
                effects.push(Effect::Incident(Box::new(record)));
            }
        }
    }
}

fn finding_of(rule: &Rule, at: EventTime, signal: Signal) -> Finding {
    Finding {
        at,
        rule: signal.rule,
        family: rule.detector.family(),
        detector: rule.detector.name(),
        score: crate::incident::case::rounded(signal.score),
        observed: signal.observed,
        expected: signal.expected,
    }
}

fn cause_of(rule: &Rule, finding: &Finding) -> (Cause, Reason) {
    let cause = Cause {
        rule: rule.id.clone(),
        family: finding.family,
        score: finding.score,
        severity: rule.severity,
        respond: rule.respond,
    };
    let reason = Reason {
        family: finding.family.as_str().to_owned(),
        detector: finding.detector.to_owned(),
        rule: rule.id.clone(),
        observed: finding.observed.clone(),
        expected: finding.expected.clone(),
        score: finding.score,
        text: format!("{}: {}, {}", rule.title, finding.observed, finding.expected),
        runbook: rule.runbook.clone(),
    };
    (cause, reason)
}

#[cfg(test)]
#[path = "closing_tests.rs"]
mod tests;
