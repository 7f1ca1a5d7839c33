//! The tests in rule files, run on the engine.
//!
//! Each test gets an engine of its own, with its rule alone. What the engine proposes and grants goes round at once,
//! as in a process of one partition.

use std::{sync::Arc, time::Duration};

use crate::{
    engine::{Effect, Input, Reference},
    event::{Event, EventTime, KeyId},
    respond::Step,
    rules::{
        Rule, RuleSet, RuleTest,
        runner::{self, Judge, Outcome, Reaction},
    },
};

/// How far the watermark lags behind the newest event, and how often it is told.
const WATERMARK_LAG: Duration = Duration::from_secs(10);

/// How a test of a rule went.
#[derive(Clone, Debug)]
pub struct Report<'r> {
    pub rule: &'r Rule,
    pub test: &'r RuleTest,
    pub outcome: Outcome,
}

/// Runs all tests of the rules for which `wanted` is true.
///
/// `fresh` makes a fresh engine with the reference data: a function that
/// applies an input and returns how many conditions could not be answered so far.
pub fn run<A: FnMut(Input<'_>, &mut Vec<Effect>) -> u64>(
    set: &RuleSet,
    wanted: impl Fn(&Rule) -> bool,
    fresh: impl Fn(&Reference) -> A,
) -> Vec<Report<'_>> {
    let rules = set.rules.iter().filter(|rule| wanted(rule));
    let tests = rules.flat_map(|rule| rule.tests.iter().map(move |test| (rule, test)));
    tests
        .map(|(rule, test)| {
            let reference = Reference { rules: Arc::new(RuleSet::alone(rule)), ..Reference::default() };
            let mut judge = EngineJudge::new(fresh(&reference));
            Report { rule, test, outcome: runner::run(test, &mut judge) }
        })
        .collect()
}

/// The reports as people read them: a line a test, under it what went wrong, and at the end how many passed.
pub fn render(reports: &[Report<'_>]) -> String {
    let mut lines = Vec::new();
    for Report { rule, test, outcome } in reports {
        let word = if outcome.passed() { "ok  " } else { "FAIL" };
        lines.push(format!("{word} {}: {}", rule.id, test.name));
        let place = |failure| format!("     {}:{}: {failure}", test.file, test.place.line);
        lines.extend(outcome.failures.iter().map(place));
    }
    let passed = reports.iter().filter(|report| report.outcome.passed()).count();
    let events: u64 = reports.iter().map(|report| report.outcome.events).sum();
    lines.push(format!("{passed} of {} tests passed, {events} requests\n", reports.len()));
    lines.join("\n")
}

/// An engine that judges requests.
struct EngineJudge<A> {
    apply: A,
    effects: Vec<Effect>,
    watermark: EventTime,
    condition_errors: u64,
}

impl<A: FnMut(Input<'_>, &mut Vec<Effect>) -> u64> EngineJudge<A> {
    fn new(apply: A) -> Self {
        Self { apply, effects: Vec::new(), watermark: EventTime::default(), condition_errors: 0 }
    }

    fn apply(&mut self, input: Input<'_>) {
        self.condition_errors = (self.apply)(input, &mut self.effects);
    }

    /// Takes what the engine emitted, and sends round what belongs to it.
    fn drain(&mut self, at: EventTime, reactions: &mut Vec<Reaction>) {
        let mut next = 0;
        while next < self.effects.len() {
            let effect = self.effects[next].clone();
            next += 1;
            match &effect {
                Effect::Proposal(proposal) => self.apply(Input::Proposal(proposal)),
                Effect::Grant(grant) => self.apply(Input::Grant(grant)),
                _ => reactions.extend(reaction(&effect, at)),
            }
        }
        self.effects.clear();
    }
}

impl<A: FnMut(Input<'_>, &mut Vec<Effect>) -> u64> Judge for EngineJudge<A> {
    fn judge(&mut self, event: &Event<'_>, reactions: &mut Vec<Reaction>) {
        self.apply(Input::Event(event));
        let watermark = event.time.before(WATERMARK_LAG);
        if watermark.since(self.watermark) >= WATERMARK_LAG {
            self.watermark = watermark;
            self.apply(Input::Watermark(watermark));
        }
        self.drain(event.time, reactions);
    }

    fn condition_errors(&self) -> u64 {
        self.condition_errors
    }
}

/// What people or gateways notice of an effect: an open incident is an alert, a decision is its step.
fn reaction(effect: &Effect, at: EventTime) -> Option<Reaction> {
    let (id, step) = match effect {
        Effect::Incident(incident) if incident.is_open() => (&incident.subject.id, Step::Alert),
        Effect::Decision(decision) => (&decision.subject.id, decision.step),
        _ => return None,
    };
    let key: KeyId = id.parse().ok()?;
    Some(Reaction { at, key, step })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::seam::Proposal,
        incident::Incident,
        respond::{Decision, DecisionId, Mode, SubjectRef, decision::Versions},
    };

    fn decision(key: KeyId) -> Box<Decision> {
        Box::new(Decision {
            schema: Decision::SCHEMA.to_owned(),
            id: DecisionId::default(),
            epoch: 1,
            subject: SubjectRef { kind: "key".to_owned(), id: key.to_string(), ..SubjectRef::default() },
            handles: Vec::new(),
            step: Step::Throttle,
            mode: Mode::Shadow,
            only: None,
            rate: None,
            as_of: String::new(),
            expires_at: String::new(),
            incident: String::new(),
            cause: "policy".to_owned(),
            rule: String::new(),
            rule_version: String::new(),
            reason: String::new(),
            versions: Versions::default(),
        })
    }

    /// An engine that knows a burst by the gap between two events, and needs its own grant to throttle.
    fn burst_engine(_: &Reference) -> impl FnMut(Input<'_>, &mut Vec<Effect>) -> u64 + use<> {
        let mut last = EventTime::default();
        let mut told = false;
        move |input, effects| {
            match input {
                Input::Event(event) => {
                    if event.time.since(last) < Duration::from_millis(500) && !told {
                        told = true;
                        let decision = decision(event.key);
                        let subject = decision.subject.clone();
                        effects.push(Effect::Incident(Box::new(Incident { subject, ..Incident::default() })));
                        effects.push(Effect::Proposal(Box::new(Proposal {
                            key: event.key,
                            step: Step::Throttle,
                            at: event.time,
                            epoch: 0,
                            decision,
                        })));
                    }
                    last = event.time;
                }
                Input::Proposal(proposal) => effects.push(Effect::Decision(proposal.decision.clone())),
                _ => {}
            }
            0
        }
    }

    #[test]
    fn incidents_and_granted_decisions_are_what_a_test_sees() {
        let set = RuleSet::shipped();
        let reports = run(&set, |rule| rule.id == "key-volume-spike", burst_engine);
        let outcomes: Vec<_> =
            reports.iter().map(|report| (&*report.test.name, &report.outcome.failures)).collect();
        assert_eq!(outcomes.len(), 3);
        assert_eq!(outcomes[0], ("a burst throttles", &Vec::new()));
        assert_eq!(outcomes[1], ("twice as much at noon is nothing", &Vec::new()));
        assert!(render(&reports).contains("ok   key-volume-spike: a burst throttles\n"));
    }

    #[test]
    fn a_failed_test_says_where_it_stands_and_what_went_otherwise() {
        let set = RuleSet::shipped();
        let silent = |_: &Reference| |_: Input<'_>, _: &mut Vec<Effect>| 2;
        let reports = run(&set, |rule| rule.id == "key-volume-spike-24h", silent);
        let text = render(&reports);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "FAIL key-volume-spike-24h: a day of heavy use is told");
        let place = format!("     rules/volume.yaml:{}: ", reports[0].test.place.line);
        assert_eq!(lines[1], format!("{place}key a: wanted alert within 43200 s, it never came"));
        assert_eq!(lines[2], format!("{place}the condition could not be answered 2 times"));
        assert_eq!(lines.last(), Some(&"0 of 2 tests passed, 267840 requests"));
    }
}
