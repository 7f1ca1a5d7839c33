//! The incidents that a replay found: a line each time that one opens or changes, and what they come to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use crate::{
    incident::{Doing, Held, Incident, IncidentId, Severity},
    store::{Output, Topic},
};

/// What they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentCounts {
    /// By the severity that each came to.
    pub severities: BTreeMap<Severity, u64>,
    /// In how many each rule took part.
    pub rules: BTreeMap<String, u64>,
    /// Steps of the policy, by step.
    pub granted: BTreeMap<&'static str, u64>,
    /// Steps that a guardrail held back, by guardrail.
    pub withheld: BTreeMap<String, u64>,
    /// Not closed by the end.
    pub open: u64,
    pub lines: u64,
}

/// What was written last of an incident.
#[derive(Debug, PartialEq)]
struct Written {
    severity: Severity,
    stale: bool,
    rules: Vec<String>,
    steps: Vec<Doing>,
    held: Vec<Held>,
}

impl Written {
    fn of(incident: &Incident) -> Self {
        let mut rules: Vec<String> = incident.reasons.iter().map(|reason| reason.rule.clone()).collect();
        rules.sort_unstable();
        let (steps, held) = (incident.steps.clone(), incident.held.clone());
        Self { severity: incident.severity, stale: incident.stale, rules, steps, held }
    }
}

/// Writes the lines. Holds what is open.
pub(super) struct IncidentLines<W> {
    out: W,
    open: BTreeMap<IncidentId, Written>,
    /// What was opened in lines that only teach, and is not closed.
    unwritten: BTreeSet<IncidentId>,
    closed: IncidentCounts,
}

impl<W: Write> IncidentLines<W> {
    pub fn new(out: W) -> Self {
        Self { out, open: BTreeMap::new(), unwritten: BTreeSet::new(), closed: IncidentCounts::default() }
    }

    /// Takes outputs over, and writes those that are news of an incident. What opens while `is_past` is never written.
    pub fn take(&mut self, outputs: Vec<Output>, is_past: bool) -> io::Result<()> {
        let lines = self.closed.lines;
        for output in outputs.into_iter().filter(|output| output.topic == Topic::Incidents) {
            // It was written by this process.
            let Ok(incident) = serde_json::from_slice::<Incident>(&output.value) else { continue };
            if self.is_news(&incident, is_past) {
                self.closed.lines += 1;
                self.out.write_all(&output.value)?;
                self.out.write_all(b"\n")?;
            }
        }
        // Whoever waits at the other end of a pipe sees it now.
        if lines == self.closed.lines { Ok(()) } else { self.out.flush() }
    }

    fn is_news(&mut self, incident: &Incident, is_past: bool) -> bool {
        let id = &incident.id;
        if self.unwritten.contains(id) || is_past && !self.open.contains_key(id) {
            if incident.is_open() {
                self.unwritten.insert(id.clone());
            } else {
                self.unwritten.remove(id);
            }
            return false;
        }
        let now = Written::of(incident);
        if !incident.is_open() {
            self.open.remove(id);
            self.closed.count(&now);
            return true;
        }
        self.open.insert(id.clone(), now).is_none_or(|before| before != self.open[id])
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What all incidents come to, those that are open among them.
    pub fn counts(&self) -> IncidentCounts {
        let mut counts = IncidentCounts { open: self.open.len() as u64, ..self.closed.clone() };
        self.open.values().for_each(|written| counts.count(written));
        counts
    }
}

impl IncidentCounts {
    fn count(&mut self, written: &Written) {
        *self.severities.entry(written.severity).or_default() += 1;
        for rule in &written.rules {
            *self.rules.entry(rule.clone()).or_default() += 1;
        }
        let steps: BTreeSet<&'static str> = written.steps.iter().map(|doing| doing.step.as_str()).collect();
        for step in steps {
            *self.granted.entry(step).or_default() += 1;
        }
        for held in &written.held {
            *self.withheld.entry(held.by.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        incident::{Outcome, Reason},
        respond::Step,
        store::Kept,
    };

    fn incident(id: &str, severity: Severity, rules: &[&str]) -> Incident {
        let reason = |rule: &&str| Reason { rule: (*rule).to_owned(), ..Reason::default() };
        let reasons = rules.iter().map(reason).collect();
        Incident { id: IncidentId(id.to_owned()), severity, reasons, ..Incident::default() }
    }

    fn take(lines: &mut IncidentLines<Vec<u8>>, incident: &Incident, is_past: bool) -> u64 {
        let before = lines.counts().lines;
        let value = serde_json::to_vec(incident).unwrap();
        let output = |topic| Output { topic, key: String::new(), value: value.clone(), kept: Kept::Open };
        lines.take(vec![output(Topic::Findings), output(Topic::Incidents)], is_past).unwrap();
        lines.counts().lines - before
    }

    #[test]
    fn what_only_repeats_is_no_line_and_counts_are_of_how_each_ended() {
        let mut lines = IncidentLines::new(Vec::new());
        let one = incident("inc_1", Severity::Low, &["a"]);
        assert_eq!(take(&mut lines, &one, false), 1);
        assert_eq!(take(&mut lines, &Incident { updated_at: "later".to_owned(), ..one.clone() }, false), 0);
        let risen = Incident { severity: Severity::High, ..incident("inc_1", Severity::High, &["a", "b"]) };
        assert_eq!(take(&mut lines, &risen, false), 1);
        let step = Doing { step: Step::Throttle, outcome: Outcome::Shadow, ..Doing::default() };
        let held = Held { step: Step::Throttle, by: "late".to_owned() };
        let stepped = Incident { steps: vec![step], held: vec![held], ..risen };
        assert_eq!(take(&mut lines, &stepped, false), 1);
        assert_eq!(take(&mut lines, &incident("inc_2", Severity::Medium, &["a"]), false), 1);
        let closed = Incident { closed_at: Some("then".to_owned()), ..stepped };
        assert_eq!(take(&mut lines, &closed, false), 1);
        let counts = lines.counts();
        assert_eq!(counts.severities, [(Severity::Medium, 1), (Severity::High, 1)].into());
        assert_eq!(counts.rules, [("a".to_owned(), 2), ("b".to_owned(), 1)].into());
        assert_eq!((counts.granted, counts.open), ([("throttle", 1)].into(), 1));
        assert_eq!(counts.withheld, [("late".to_owned(), 1)].into());
    }

    #[test]
    fn what_opened_in_the_past_is_never_written() {
        let mut lines = IncidentLines::new(Vec::new());
        assert_eq!(take(&mut lines, &incident("inc_1", Severity::Low, &["a"]), true), 0);
        assert_eq!(take(&mut lines, &incident("inc_1", Severity::High, &["a"]), false), 0);
        let closed =
            Incident { closed_at: Some("then".to_owned()), ..incident("inc_1", Severity::High, &["a"]) };
        assert_eq!(take(&mut lines, &closed, false), 0);
        assert_eq!(lines.counts(), IncidentCounts::default());
        assert!(lines.unwritten.is_empty(), "closed ones are forgotten");
    }
}
