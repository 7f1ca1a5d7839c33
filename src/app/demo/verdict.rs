//! What the demonstration comes to: whether the leaked key, and it alone, was stopped.

use std::collections::BTreeMap;

use super::cast::{Cast, Part};
use crate::{
    incident::{Incident, Severity},
    respond::{Decision, Mode},
    serve::Applied,
};

/// What the check endpoint said about one key's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Served from the stranger's first request to the first step.
    pub served_before: u64,
    pub served: u64,
    pub refused: u64,
    /// Anything that is neither 200 nor a throttle's 429.
    pub odd: u64,
}

/// An incident of a key that is not the leaked one, at its greatest severity.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// What the key plays in the story, or `bystander`.
    pub part: &'static str,
    pub key: String,
    pub verdict: String,
    pub severity: Severity,
    pub at: String,
    /// `place key-new-network 3.4: AS… (first time in 13 days)`.
    pub reasons: Vec<String>,
    /// Whether it was while the two weeks were learnt.
    pub in_history: bool,
}

/// What came of it all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub requests: u64,
    pub rejected: u64,
    /// Seconds of event time from the leaked key's first request by a stranger to its first decision.
    pub stopped_after_seconds: Option<u64>,
    pub stolen: Asked,
    pub neighbour: Asked,
    /// Decisions on other keys, each in words.
    pub decisions_on_others: Vec<String>,
    /// Incidents of other keys, those that ended before the live part included.
    pub alarms: Vec<Alarm>,
}

impl Verdict {
    /// What went wrong; nothing if the leaked key, and it alone, was stopped.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.stopped_after_seconds.is_none() {
            faults.push("no decision on the leaked key was served to the gateway".to_owned());
        }
        if self.stolen.refused == 0 {
            faults.push("the check endpoint never refused the leaked key".to_owned());
        }
        faults.extend(
            self.decisions_on_others.iter().map(|what| format!("a decision on an honest key: {what}")),
        );
        if self.neighbour.served == 0 || self.neighbour.refused > 0 {
            let Asked { served, refused, .. } = self.neighbour;
            faults.push(format!("the neighbour was served {served} times and refused {refused} times"));
        }
        let odd = self.stolen.odd + self.neighbour.odd;
        if odd > 0 {
            faults.push(format!("{odd} answers of the check endpoint were neither 200 nor 429"));
        }
        if self.rejected > 0 {
            faults.push(format!("{} log lines could not be decoded", self.rejected));
        }
        faults
    }

    /// Alarms of medium severity and above in the live part.
    pub fn false_alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter().filter(|alarm| !alarm.in_history && alarm.severity >= Severity::Medium)
    }
}

/// Keeps what the engines said, for the verdict.
#[derive(Default)]
pub(super) struct Record {
    alarms: BTreeMap<String, Alarm>,
    pub decisions_on_others: Vec<String>,
    /// The leaked key's incident, as it was told last.
    pub incident: Option<Incident>,
    /// The leaked key's first enforced decision.
    pub decision: Option<Decision>,
}

impl Record {
    pub fn note_incident(&mut self, cast: &Cast, incident: &Incident, live: bool) {
        if incident.subject.id == cast.ids[cast.leaked].to_string() && live {
            self.incident = Some(incident.clone());
            return;
        }
        let mut reasons: Vec<_> = incident.reasons.iter().collect();
        reasons.sort_by(|a, b| b.score.total_cmp(&a.score));
        let alarm = Alarm {
            part: cast.part_of_id(&incident.subject.id).map_or("bystander", Part::as_str),
            key: format!("{} / {}", incident.subject.tenant, incident.subject.name),
            verdict: incident.verdict.clone(),
            severity: incident.severity,
            at: incident.detected_at.clone(),
            reasons: reasons
                .into_iter()
                .map(|r| format!("{} {} {:.1}: {} ({})", r.family, r.rule, r.score, r.observed, r.expected))
                .collect(),
            in_history: !live,
        };
        let known = self.alarms.entry(incident.id.0.clone()).or_insert_with(|| alarm.clone());
        if alarm.severity >= known.severity {
            *known = alarm;
        }
    }

    pub fn note_decision(&mut self, cast: &Cast, decision: &Decision, applied: Applied, live: bool) {
        if !decision.step.is_enforced() || decision.mode != Mode::Enforce {
            return;
        }
        if decision.subject.id != cast.ids[cast.leaked].to_string() || !live {
            let part = cast.part_of_id(&decision.subject.id).map_or("bystander", Part::as_str);
            let (tenant, name) = (&decision.subject.tenant, &decision.subject.name);
            let (step, at) = (decision.step.as_str(), &decision.as_of);
            let what = format!("{part} {tenant} / {name}: {step} at {at}: {}", decision.reason);
            self.decisions_on_others.push(what);
        } else if self.decision.is_none() && applied == Applied::Served {
            self.decision = Some(decision.clone());
        }
    }

    pub fn into_alarms(self) -> Vec<Alarm> {
        self.alarms.into_values().collect()
    }
}
