//! The life of one incident: findings come in, the verdict moves, quiet closes it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Doing, Held, Incident, Origins, Reason, Sample, Severity,
    fuse::{self, Cause, Verdict},
};
use crate::{
    detect::Family,
    event::EventTime,
    respond::{Guardrail, Handle, Step},
};

/// An incident without a finding for so long, and without a step in force, is over.
pub const QUIET: Duration = Duration::from_mins(15);
/// An incident without evidence of a stranger that has gone on for so long and not grown is taken for the key's use.
const SETTLED_AFTER: Duration = Duration::from_hours(24);
/// A finding that only repeats what is known is told no more often than this.
const RETELL: Duration = Duration::from_mins(1);
/// How much more surprising than before a finding is by which an incident grows.
const GROWTH: f64 = 1.25;
/// What the record of such an incident says when it closes.
const SETTLED: &str =
    "It went on for 24 h from places that the key is known from: it is taken for the key's use from now on.";
const SAMPLES_MAX: usize = 6;
const STEPS_MAX: usize = 20;

/// An incident with what is needed to go on with it. It exists from the first finding on, and is told from low
/// severity on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub record: Incident,
    pub causes: Vec<Cause>,
    last_ms: u64,
    /// When the evidence last grew: a rule found something for the first time, or clearly more than was known.
    grew_ms: u64,
    /// The highest score then.
    grew_to: f64,
    told_ms: u64,
    told: bool,
    /// It was told as fresh, so that there is an alert to end.
    #[serde(default)]
    paged: bool,
    changed: bool,
    /// A step that has been proposed and not answered yet.
    pub asked: Option<Step>,
    /// How gateways know the key, from the newest request that was evidence.
    pub handles: Vec<Handle>,
    #[serde(default)]
    handles_ms: u64,
    /// Where the requests came from that were evidence of errors.
    #[serde(default)]
    pub origins: Origins,
}

impl Case {
    /// An incident that has no finding yet.
    pub fn new(record: Incident, at: EventTime) -> Self {
        Self {
            record,
            causes: Vec::new(),
            last_ms: at.0,
            grew_ms: at.0,
            grew_to: 0.0,
            told_ms: 0,
            told: false,
            paged: false,
            changed: false,
            asked: None,
            handles: Vec::new(),
            handles_ms: 0,
            origins: Origins::default(),
        }
    }

    /// One that was told, as it was told last. `causes` are in the order of the record's reasons.
    pub fn resumed(record: Incident, causes: Vec<Cause>, handles: Vec<Handle>) -> Self {
        let told_ms = updated(&record).0;
        Self {
            last_ms: told_ms,
            grew_ms: told_ms,
            grew_to: causes.iter().map(|cause| cause.score).fold(0.0, f64::max),
            told_ms,
            told: true,
            paged: !record.stale,
            changed: false,
            asked: None,
            causes,
            handles,
            handles_ms: 0,
            origins: Origins::default(),
            record: Incident { severity_before: None, ..record },
        }
    }

    /// Whether it was ever told.
    pub const fn is_told(&self) -> bool {
        self.told
    }

    /// Nobody was told of it after all.
    pub fn is_untold(&mut self) {
        (self.told, self.paged, self.changed) = (false, false, true);
    }

    /// A step that it knows as taken is not in force after all.
    pub fn undo(&mut self, step: Step, by: Guardrail) {
        if let Some(last) = self.record.steps.iter().rposition(|doing| doing.step == step) {
            self.record.steps.remove(last);
        }
        self.asked = None;
        self.hold(step, by);
    }

    /// Whether it is what was told, or what became of that.
    pub fn knows(&self, told: &Incident) -> bool {
        self.told
            && (self.paged || told.stale)
            && self.record.severity >= told.severity
            && updated(&self.record) >= updated(told)
    }

    /// Takes a finding in. Of one rule's findings the most surprising stays.
    pub fn add(&mut self, at: EventTime, cause: Cause, reason: Reason, sample: &Sample) {
        self.last_ms = self.last_ms.max(at.0);
        match self.causes.iter().position(|known| known.rule == cause.rule) {
            Some(i) if self.causes[i].score < cause.score => {
                self.grow(at, cause.score, false);
                self.causes[i] = cause;
                self.record.reasons[i] = reason;
            }
            Some(_) => {}
            None => {
                self.grow(at, cause.score, true);
                self.causes.push(cause);
                self.record.reasons.push(reason);
                self.changed = true;
            }
        }
        let samples = &mut self.record.evidence.samples;
        if samples.len() < SAMPLES_MAX && samples.last().is_none_or(|last| last.at != sample.at) {
            samples.push(sample.clone());
        }
    }

    /// Notes that the evidence grew, if it did: slowly or at once.
    fn grow(&mut self, at: EventTime, score: f64, is_new: bool) {
        if is_new || score >= self.grew_to * GROWTH {
            self.grew_ms = self.grew_ms.max(at.0);
            self.grew_to = self.grew_to.max(score);
        }
    }

    /// Notes how a gateway knows the key. A record that was cut or cannot be read says nothing of it, and leaves what is
    /// known.
    pub fn learn_handle(&mut self, handle: &Handle, at_ms: u64) {
        let says_more = !handle.consumer.is_empty() || !handle.credential.is_empty();
        // What waited may be older than what is known.
        if self.handles.is_empty() || (says_more && at_ms >= self.handles_ms) {
            self.handles = vec![handle.clone()];
            self.handles_ms = at_ms;
        }
    }

    /// Evidence came that was fresh when it was read: from now on people are told, however late the rest comes.
    pub fn is_seen_in_time(&mut self) {
        self.changed |= std::mem::take(&mut self.record.stale);
    }

    /// Weighs what there is, and moves severity and verdict. Severity never falls while the incident is open.
    pub fn weigh(&mut self, at: EventTime, maturity: f64) -> Verdict {
        let verdict = fuse::judge(&self.causes, maturity);
        self.record.score = rounded(verdict.score);
        self.record.maturity = rounded(maturity);
        if verdict.severity > self.record.severity || self.record.verdict.is_empty() {
            self.record.severity_before = self.paged.then_some(self.record.severity);
            self.record.severity = verdict.severity.max(self.record.severity);
            self.record.detected_at = at.rfc3339();
            verdict.name.clone_into(&mut self.record.verdict);
            self.changed = true;
        }
        verdict
    }

    /// Notes a step and what became of it. One that is extended goes on; beyond [`STEPS_MAX`], the oldest but the first
    /// are forgotten.
    pub fn did(&mut self, doing: Doing) {
        self.changed = true;
        self.record.held.retain(|held| held.step != doing.step);
        let steps = &mut self.record.steps;
        let same = |last: &&mut Doing| {
            (last.step, last.outcome, last.by.as_str()) == (doing.step, doing.outcome, "policy")
        };
        if let Some(last) = steps.last_mut().filter(same).filter(|_| doing.by == "policy") {
            last.until = doing.until;
            return;
        }
        if steps.len() >= STEPS_MAX {
            steps.remove(1);
        }
        steps.push(doing);
    }

    /// Notes a step that a rail held back, once.
    pub fn hold(&mut self, step: Step, by: Guardrail) {
        let held = Held { step, by: by.to_string() };
        if !self.record.held.contains(&held) {
            self.record.held.push(held);
            self.changed = true;
        }
    }

    /// The record, if it is time to tell it.
    pub fn telling(&mut self, at: EventTime) -> Option<Incident> {
        let due = self.changed || at.since(EventTime(self.told_ms)) >= RETELL;
        if self.record.severity < Severity::Low || !due {
            return None;
        }
        let at = self.not_before_the_last(at);
        self.record.updated_at = at.rfc3339();
        let record = self.record.clone();
        self.record.severity_before = None;
        self.told = true;
        self.paged |= !record.stale;
        self.told_ms = at.0;
        self.changed = false;
        Some(record)
    }

    /// Of two records the later is the newer one; what an operator does comes by the wall clock, ahead of the rest.
    fn not_before_the_last(&self, at: EventTime) -> EventTime {
        at.max(EventTime(self.told_ms))
    }

    /// Whether it has been quiet for so long that it is over.
    pub fn is_over(&self, watermark: EventTime) -> bool {
        watermark.since(EventTime(self.last_ms)) >= QUIET
    }

    /// Whether it has gone on for so long as it is, without evidence of a stranger, that it is taken for the key's use. What
    /// is more than that begins anew: else a spike at the end would be taken for it too.
    pub fn is_settled(&self, at: EventTime) -> bool {
        self.freezes() && self.lone_peak().is_some() && at.since(EventTime(self.grew_ms)) >= SETTLED_AFTER
    }

    /// Closes it; the last record, if it was ever told.
    pub fn close(mut self, at: EventTime) -> Option<Incident> {
        let at = self.not_before_the_last(at);
        self.record.updated_at = at.rfc3339();
        self.record.closed_at = Some(at.rfc3339());
        if self.is_settled(at) {
            self.record.doubts.push(SETTLED.to_owned());
        }
        self.told.then_some(self.record)
    }

    /// The surprise of a spike that ended without evidence of a stranger: more requests, from more addresses perhaps, in
    /// places that are known.
    pub fn lone_peak(&self) -> Option<f64> {
        let only = |cause: &Cause| matches!(cause.family, Family::Volume | Family::Breadth);
        // One that a restart took in may have none that a rule of today gives.
        (!self.causes.is_empty() && self.causes.iter().all(only))
            .then(|| self.causes.iter().map(|cause| cause.score).fold(0.0, f64::max))
    }

    /// Whether other evidence than volume is there.
    pub fn is_corroborated(&self) -> bool {
        self.causes.iter().any(|cause| cause.family != Family::Volume)
    }

    /// Whether the key is used from a place that is new to it.
    pub fn has_new_place(&self) -> bool {
        self.causes.iter().any(|cause| cause.family == Family::Place)
    }

    /// Whether nothing may be learnt meanwhile. A young profile goes on learning: it would never know better.
    pub fn freezes(&self) -> bool {
        self.record.severity >= Severity::Medium && self.record.maturity >= fuse::MATURE
    }
}

fn updated(record: &Incident) -> EventTime {
    EventTime::parse(&record.updated_at).unwrap_or_default()
}

/// Two decimals: what people read, and the same on every machine.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_without_a_cause_was_no_spike_that_volume_explains() {
        let mut case = Case::new(Incident::default(), EventTime(0));
        assert_eq!(case.lone_peak(), None, "else it takes the place of a peak that was one");
        let spike = Cause {
            rule: "spike".to_owned(),
            family: Family::Volume,
            score: 9.0,
            severity: Severity::High,
            respond: Step::Alert,
        };
        case.add(EventTime(0), spike, Reason::default(), &Sample::default());
        assert_eq!(case.lone_peak(), Some(9.0));
    }
}
