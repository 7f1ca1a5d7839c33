//! Runs the tests of a rule: plays the script to whatever judges requests, and compares what came with what
//! was expected.
//!
//! Knows no engine: the caller brings one, set up with the rule alone.

use std::time::Duration;

use super::{
    rule::RuleTest,
    test_language::{Wanted, key_of},
};
use crate::{
    event::{Event, EventTime, KeyId},
    respond::Step,
};

/// A step that came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    pub at: EventTime,
    pub key: KeyId,
    pub step: Step,
}

/// Who is tested: an engine, fresh, with one rule.
pub trait Judge {
    /// Takes the next request and adds what comes of it. An incident that only tells people is `Step::Alert`;
    /// a finding that is only noted is `Step::Observe`, and lifts are left out.
    fn judge(&mut self, event: &Event<'_>, reactions: &mut Vec<Reaction>);

    /// How many conditions could not be answered so far.
    fn condition_errors(&self) -> u64 {
        0
    }
}

impl<F: FnMut(&Event<'_>) -> Vec<(EventTime, KeyId, Step)>> Judge for F {
    fn judge(&mut self, event: &Event<'_>, reactions: &mut Vec<Reaction>) {
        reactions.extend(self(event).into_iter().map(|(at, key, step)| Reaction { at, key, step }));
    }
}

/// How a test went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Requests played.
    pub events: u64,
    /// What went otherwise than expected, in words; empty = passed.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Whether all went as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Plays a test to a judge.
pub fn run(test: &RuleTest, judge: &mut impl Judge) -> Outcome {
    let mut reactions = Vec::new();
    let mut events = 0;
    for event in test.script.events() {
        judge.judge(&event, &mut reactions);
        events += 1;
    }
    let mut failures = compare(test, &reactions);
    if judge.condition_errors() > 0 {
        failures.push(format!("the condition could not be answered {} times", judge.condition_errors()));
    }
    Outcome { events, failures }
}

fn compare(test: &RuleTest, reactions: &[Reaction]) -> Vec<String> {
    let keys = test.script.keys();
    let start = test.script.last_block();
    let mut failures = Vec::new();
    for key in keys {
        let id = key_of(key);
        let mut of_key = reactions.iter().filter(|reaction| reaction.key == id);
        match test.expect.wanted.iter().find(|wanted| wanted.key == key) {
            Some(wanted) => failures.extend(compare_wanted(wanted, of_key, start)),
            None => failures.extend(of_key.next().map(|first| {
                format!("key {key}: wanted nothing, got {} {}", first.step.as_str(), when(first.at, start))
            })),
        }
    }
    failures
}

fn compare_wanted<'r>(
    wanted: &Wanted,
    reactions: impl Iterator<Item = &'r Reaction>,
    start: EventTime,
) -> Option<String> {
    let (key, step) = (wanted.key, wanted.step.as_str());
    let mut in_time = false;
    let mut late = None;
    for reaction in reactions {
        if reaction.step > wanted.step || reaction.at < start {
            let got = reaction.step.as_str();
            return Some(format!("key {key}: wanted {step} at most, got {got} {}", when(reaction.at, start)));
        }
        if reaction.step == wanted.step {
            in_time |= reaction.at.since(start) <= wanted.within;
            late = late.or(Some(reaction.at));
        }
    }
    if in_time {
        return None;
    }
    let within = wanted.within.as_secs();
    Some(match late {
        Some(at) => format!("key {key}: wanted {step} within {within} s, it came {}", when(at, start)),
        None => format!("key {key}: wanted {step} within {within} s, it never came"),
    })
}

/// When something came, against the start of the last block.
fn when(at: EventTime, start: EventTime) -> String {
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    if at < start {
        format!("{} before the last block", seconds(start.since(at)))
    } else {
        format!("{} into the last block", seconds(at.since(start)))
    }
}

#[cfg(test)]
mod tests;
