//! The tests in rule files, run on the engine.
//!
//! Each test gets engines of its own, with its rule alone, in one partition and with the shipped settings.

use std::{sync::Arc, time::Duration};

use crate::{
    catalogue::{Catalogue, Entry},
    engine::{Effect, Engines, IdKey, Input, MemoryLimits, Reference, Settings},
    event::{Event, EventTime, KeyId},
    incident::Severity,
    respond::{Caps, FRESH_WITHIN, Step},
    rules::{
        Rule, RuleSet, RuleTest,
        runner::{self, Judge, Outcome, Reaction},
        test_language::{Script, key_of},
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
pub fn run(set: &RuleSet, wanted: impl Fn(&Rule) -> bool) -> Vec<Report<'_>> {
    let rules = set.rules.iter().filter(|rule| wanted(rule));
    let tests = rules.flat_map(|rule| rule.tests.iter().map(move |test| (rule, test)));
    tests
        .map(|(rule, test)| {
            let mut judge = EngineJudge::new(rule, &test.script);
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

/// The same for programs: `keyhound.rule-tests/1`.
pub fn document(reports: &[Report<'_>]) -> serde_json::Value {
    let tests = reports.iter().map(|Report { rule, test, outcome }| {
        let failures: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
        serde_json::json!({
            "rule": rule.id,
            "test": test.name,
            "file": test.file,
            "line": test.place.line,
            "passed": outcome.passed(),
            "failures": failures,
            "requests": outcome.events,
        })
    });
    let tests: Vec<_> = tests.collect();
    serde_json::json!({ "schema": "keyhound.rule-tests/1", "tests": tests })
}

/// Engines that judge the requests of a test.
struct EngineJudge {
    engines: Engines,
    effects: Vec<Effect>,
    watermark: EventTime,
    /// The rule only notes: its findings are what its tests are about.
    notes: bool,
}

impl EngineJudge {
    fn new(rule: &Rule, script: &Script) -> Self {
        let mut engines = Engines::new(Settings {
            partitions: 1,
            limits: MemoryLimits::of_keys(10_000),
            ids: IdKey([0; 32]),
            throttle_for: Duration::from_hours(1),
            fresh_within: FRESH_WITHIN,
            caps: Caps::default(),
        });
        let entry = |key| Entry {
            id: Some(key_of(key).to_string()),
            class: script.class_of(key),
            ..Entry::default()
        };
        let entries = script.keys().into_iter().map(entry).collect();
        // Each key is named once, by its id.
        let catalogue = Catalogue::new(entries, String::new()).unwrap_or_default();
        let rules = Arc::new(RuleSet::alone(rule));
        let reference = Reference { rules, catalogue: Arc::new(catalogue), ..Reference::default() };
        engines.apply(Input::Reference(&reference), &mut Vec::new());
        let notes = rule.severity == Severity::Info;
        Self { engines, effects: Vec::new(), watermark: EventTime::default(), notes }
    }
}

impl Judge for EngineJudge {
    fn judge(&mut self, event: &Event<'_>, reactions: &mut Vec<Reaction>) {
        self.engines.apply_events(std::slice::from_ref(event), &mut self.effects);
        let watermark = event.time.before(WATERMARK_LAG);
        if watermark.since(self.watermark) >= WATERMARK_LAG {
            self.watermark = watermark;
            self.engines.apply(Input::Watermark(watermark), &mut self.effects);
        }
        self.engines.settle(&mut self.effects);
        let notes = self.notes;
        reactions.extend(self.effects.drain(..).filter_map(|effect| reaction(&effect, event.time, notes)));
    }

    fn condition_errors(&self) -> u64 {
        self.engines.counts().map(|counts| counts.condition_errors).sum()
    }
}

/// What comes of an effect: a finding is noted, an open incident is an alert, a decision is its step.
fn reaction(effect: &Effect, at: EventTime, notes: bool) -> Option<Reaction> {
    let (id, step) = match effect {
        Effect::Finding(key, _) if notes => (&key.to_string(), Step::Observe),
        Effect::Incident(incident) if incident.is_open() => (&incident.subject.id, Step::Alert),
        Effect::Decision(decision) if decision.step.is_enforced() => (&decision.subject.id, decision.step),
        _ => return None,
    };
    let key: KeyId = id.parse().ok()?;
    Some(Reaction { at, key, step })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_pass_their_tests() {
        let set = RuleSet::shipped();
        let reports = run(&set, |_| true);
        let text = render(&reports);
        assert!(reports.iter().all(|report| report.outcome.passed()), "{text}");
        assert!(reports.len() >= 2 * set.rules.len(), "{text}");
    }
}
