//! Tests of what is taken in again after a replay that could not be whole.

use std::time::Duration;

use super::*;
use crate::{
    engine::{Action, Command, Counts, Engines, Input, testing::settings},
    event::testing::plain,
    incident::{Severity, testing},
    respond::Step,
};

const START: EventTime = EventTime(1_800_000_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn engines() -> Engines {
    let mut engines = Engines::new(settings());
    engines.apply(Input::Watermark(START), &mut Vec::new());
    // A key that is known, so that it has a rate to be throttled to.
    engines.apply_events(&[plain(key().parse().unwrap(), START)], &mut Vec::new());
    engines
}

/// What an operator's command at the start leads to.
fn command(engines: &mut Engines, action: Action) -> Decision {
    let (by, from, reason) = Default::default();
    let command = Command { sequence: 0, at_ms: START.0, by, from, reason, action };
    let mut effects = Vec::new();
    engines.apply(Input::Command(&command), &mut effects);
    engines.settle(&mut effects);
    let decided = effects.into_iter().find_map(|effect| match effect {
        Effect::Decision(decision) => Some(*decision),
        _ => None,
    });
    decided.expect("a command leads to a decision")
}

fn key() -> String {
    testing::stolen().subject.id
}

fn throttled(engines: &mut Engines) -> Decision {
    command(engines, Action::Take { key: key(), step: Step::Throttle, for_seconds: 3_600 })
}

fn incident(id: &str) -> Incident {
    let id = IncidentId(id.to_owned());
    Incident { id, opened_at: START.rfc3339(), updated_at: START.rfc3339(), ..testing::stolen() }
}

fn adopt(engines: &mut Engines, decisions: Vec<Decision>, incidents: Vec<Incident>) -> Vec<Incident> {
    let mut effects = Vec::new();
    engines.adopt(&Told { decisions, incidents }, &mut effects);
    incidents_of(effects)
}

fn incidents_of(effects: Vec<Effect>) -> Vec<Incident> {
    let incident = |effect| match effect {
        Effect::Incident(incident) => *incident,
        other => panic!("{other:?}"),
    };
    effects.into_iter().map(incident).collect()
}

fn pass(engines: &mut Engines, after: Duration) -> Vec<Incident> {
    let mut effects = Vec::new();
    engines.apply(Input::Watermark(START.after(after)), &mut effects);
    incidents_of(effects)
}

fn counts(engines: &Engines) -> Counts {
    engines.counts().fold(Counts::default(), |sum, counts| sum.plus(&counts))
}

#[test]
fn a_step_that_is_out_is_in_force_again_and_the_next_decision_exceeds_its_epoch() {
    let mut out = throttled(&mut engines());
    out.epoch += 5_000;
    let mut lost = engines();
    adopt(&mut lost, vec![out.clone()], Vec::new());
    assert_eq!(counts(&lost).in_force, 1);
    let lifted = command(&mut lost, Action::Lift { key: key() });
    assert!(lifted.epoch > out.epoch, "{} after {}", lifted.epoch, out.epoch);
    assert_eq!(counts(&lost).in_force, 0);
}

#[test]
fn a_step_that_is_out_ends_by_itself() {
    let out = throttled(&mut engines());
    let mut lost = engines();
    adopt(&mut lost, vec![out.clone()], Vec::new());
    pass(&mut lost, HOUR);
    assert_eq!(counts(&lost).in_force, 0);
    adopt(&mut lost, vec![out], Vec::new());
    assert_eq!(counts(&lost).in_force, 0, "it has ended");
}

#[test]
fn a_step_that_nobody_was_told_of_is_not_in_force() {
    let mut ahead = engines();
    throttled(&mut ahead);
    adopt(&mut ahead, Vec::new(), Vec::new());
    assert_eq!(counts(&ahead).in_force, 0);
}

#[test]
fn an_incident_that_the_state_lost_is_closed_by_quiet() {
    let mut lost = engines();
    assert_eq!(adopt(&mut lost, Vec::new(), vec![incident("inc_1")]), []);
    assert_eq!(counts(&lost).open_incidents, 1);
    assert_eq!(pass(&mut lost, Duration::from_mins(14)), []);
    let closed = pass(&mut lost, Duration::from_mins(16));
    let [closed] = &closed[..] else { panic!("{closed:?}") };
    assert_eq!((closed.id.0.as_str(), closed.is_open(), closed.severity), ("inc_1", false, Severity::High));
    assert_eq!(closed.reasons, testing::stolen().reasons, "with all that was told of it");
}

#[test]
fn of_two_incidents_of_one_key_one_is_closed_at_once() {
    let mut lost = engines();
    let closed = adopt(&mut lost, Vec::new(), vec![incident("inc_1"), incident("inc_2")]);
    let [closed] = &closed[..] else { panic!("{closed:?}") };
    assert_eq!((closed.id.0.as_str(), closed.is_open()), ("inc_2", false));
    assert_eq!(counts(&lost).open_incidents, 1);
}

#[test]
fn an_incident_whose_end_was_told_is_forgotten() {
    let mut behind = engines();
    adopt(&mut behind, Vec::new(), vec![incident("inc_1")]);
    let closed = Incident { closed_at: Some(START.rfc3339()), ..incident("inc_1") };
    assert_eq!(adopt(&mut behind, Vec::new(), vec![closed]), []);
    assert_eq!(counts(&behind).open_incidents, 0);
}

#[test]
fn an_incident_that_a_replay_told_to_nobody_is_told_now() {
    let mut ahead = engines();
    adopt(&mut ahead, Vec::new(), vec![incident("inc_1")]);
    let steps = |engines: &mut Engines| engines.case_mut(&key()).record.steps.len();
    let before = steps(&mut ahead);
    throttled(&mut ahead);
    assert_eq!(steps(&mut ahead), before + 1);
    let told = adopt(&mut ahead, Vec::new(), Vec::new());
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!((told.id.0.as_str(), told.is_open()), ("inc_1", true));
    assert_eq!(told.steps.len(), before, "its step was not told either, so it is not in force");
    let held = |told: &Incident| told.held.iter().any(|held| held.by == "restart");
    assert!(held(told), "{told:?}");
    assert_eq!(counts(&ahead).in_force, 0);
    assert_eq!(adopt(&mut ahead, Vec::new(), vec![told.clone()]), [], "once");
}

#[test]
fn nothing_changes_where_the_state_knows_it_all() {
    let mut whole = engines();
    let out = throttled(&mut whole);
    adopt(&mut whole, vec![out.clone()], vec![incident("inc_1")]);
    whole.checkpoint(&mut |_, _| {});
    assert_eq!(adopt(&mut whole, vec![out], vec![incident("inc_1")]), []);
    let mut changed: Vec<u8> = Vec::new();
    whole.checkpoint(&mut |key, _| changed.extend(key.get(3).filter(|kind| **kind == b'i')));
    assert!(changed.is_empty(), "an incident or step was written again");
}

#[test]
fn an_incident_that_ends_for_another_is_newer_than_what_was_told_of_it() {
    let mut lost = engines();
    let later = START.after(Duration::from_secs(7)).rfc3339();
    let told = Incident { updated_at: later.clone(), ..incident("inc_2") };
    let closed = adopt(&mut lost, Vec::new(), vec![incident("inc_1"), told]);
    let [closed] = &closed[..] else { panic!("{closed:?}") };
    assert_eq!((closed.id.0.as_str(), closed.is_open()), ("inc_2", false));
    assert!(closed.updated_at >= later, "else whoever knows it drops its end: {closed:?}");
}

#[test]
fn an_incident_that_nobody_knows_gives_way_to_the_one_that_people_know() {
    let mut lost = engines();
    adopt(&mut lost, Vec::new(), vec![incident("inc_new")]);
    lost.case_mut(&key()).is_untold();
    assert_eq!(adopt(&mut lost, Vec::new(), vec![incident("inc_1")]), []);
    assert_eq!(lost.case_mut(&key()).record.id.0, "inc_1");
}

#[test]
fn a_step_that_is_out_in_other_words_is_not_undone() {
    let mut ahead = engines();
    adopt(&mut ahead, Vec::new(), vec![incident("inc_1")]);
    let out = throttled(&mut ahead);
    let steps = ahead.case_mut(&key()).record.steps.len();
    let out = Decision {
        rule_version: "another".to_owned(),
        expires_at: "2099-01-01T00:00:00.000Z".to_owned(),
        ..out
    };
    adopt(&mut ahead, vec![out], vec![incident("inc_1")]);
    let record = &ahead.case_mut(&key()).record;
    assert_eq!((record.steps.len(), record.held.iter().any(|held| held.by == "restart")), (steps, false));
    pass(&mut ahead, HOUR * 2);
    assert_eq!(counts(&ahead).in_force, 1, "for as long as gateways were told");
}
