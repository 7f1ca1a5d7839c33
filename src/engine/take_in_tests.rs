//! Tests of what is taken in from another instance.

use std::time::Duration;

use super::*;
use crate::{
    engine::{Action, Engines, Input, testing::settings},
    event::testing::plain,
    incident::testing,
    respond::Step,
};

const START: EventTime = EventTime(1_800_000_000_000);

fn engines() -> Engines {
    Engines::new(settings())
}

fn key() -> String {
    testing::stolen().subject.id
}

/// What a command leads to: the decisions.
fn command(engines: &mut Engines, at_ms: u64, action: Action) -> Vec<Decision> {
    let (by, from, reason) = Default::default();
    let mut effects = Vec::new();
    engines.apply(Input::Command(&Command { sequence: 0, at_ms, by, from, reason, action }), &mut effects);
    engines.settle(&mut effects);
    let decision = |effect| match effect {
        Effect::Decision(decision) => Some(*decision),
        _ => None,
    };
    effects.into_iter().filter_map(decision).collect()
}

fn revoke() -> Action {
    Action::Take { key: key(), step: Step::Revoke, for_seconds: 3_600 }
}

fn lift() -> Action {
    Action::Lift { key: key() }
}

fn take_in(engines: &mut Engines, at_ms: u64, given: &Decision) -> Vec<Decision> {
    take_in_over(engines, at_ms, given, 0)
}

fn take_in_over(engines: &mut Engines, at_ms: u64, given: &Decision, over: u64) -> Vec<Decision> {
    let decision = Box::new(Decision { instance: "00000000000000aa".to_owned(), ..given.clone() });
    command(engines, at_ms, Action::TakeIn { decision, over })
}

/// How many decisions are in force.
fn in_force(engines: &Engines) -> u64 {
    engines.counts().map(|counts| counts.in_force).sum()
}

#[test]
fn what_one_decided_holds_at_the_other_under_the_same_id_until_it_is_lifted_at_either() {
    let (mut a, mut b) = (engines(), engines());
    let revoked = command(&mut a, START.0, revoke()).remove(0);
    let taken = take_in(&mut b, START.0 + 900, &revoked);
    assert_eq!((&taken[0].id, taken[0].epoch, taken[0].step), (&revoked.id, revoked.epoch, Step::Revoke));
    assert_eq!(
        (taken[0].expires_at.as_str(), taken[0].instance.as_str()),
        (&*revoked.expires_at, "00000000000000aa")
    );
    assert_eq!(in_force(&b), 1);

    let lifted = command(&mut b, START.0 + 1_000, lift()).remove(0);
    assert!(lifted.epoch > revoked.epoch && lifted.instance.is_empty(), "{lifted:?}");
    assert_eq!(take_in(&mut a, START.0 + 1_100, &lifted)[0].id, lifted.id);
    assert_eq!((in_force(&a), in_force(&b)), (0, 0));
}

#[test]
fn what_is_known_and_what_is_older_changes_nothing() {
    let (mut a, mut b) = (engines(), engines());
    let first = command(&mut a, START.0, revoke()).remove(0);
    let second = command(&mut a, START.0 + 1, revoke()).remove(0);
    assert_eq!(take_in(&mut b, START.0 + 2, &second).len(), 1);
    for known in [&second, &first] {
        assert_eq!(take_in(&mut b, START.0 + 3, known), [], "{known:?}");
        assert_eq!(take_in(&mut a, START.0 + 3, known), [], "{known:?}");
    }
    assert_eq!((in_force(&a), in_force(&b)), (1, 1));
}

#[test]
fn the_greatest_epoch_that_there_is_stops_no_later_command() {
    let mut engines = engines();
    let key = key().parse().unwrap();
    engines.apply_events(&[plain(key, START)], &mut Vec::new());
    let revoked = command(&mut engines, START.0, revoke()).remove(0);
    let forged = Decision { epoch: u64::MAX, ..revoked };
    assert_eq!(take_in(&mut engines, START.0, &forged).len(), 1);
    assert_eq!(command(&mut engines, START.0, lift()).len(), 1);
    assert_eq!(in_force(&engines), 0);
}

#[test]
fn an_automatic_step_that_another_instance_lifted_makes_room_under_the_caps() {
    let mut engines = engines();
    let throttled = command(&mut engines, START.0, revoke()).remove(0);
    let lifted = Decision { step: Step::Observe, epoch: throttled.epoch + 1, ..throttled };
    assert_eq!(take_in(&mut engines, START.0, &lifted).len(), 1);
    assert_eq!(in_force(&engines), 0);
}

#[test]
fn a_revoke_takes_the_place_of_the_automatic_step_that_was_made_meanwhile_and_of_nothing_later() {
    let (mut a, mut b) = (engines(), engines());
    b.apply_events(&[plain(key().parse().unwrap(), START)], &mut Vec::new());
    let revoked = command(&mut a, START.0, revoke()).remove(0);
    // Stands for what the rules made: what is in force at the other has a later epoch.
    let made = command(&mut b, START.0 + 500, revoke()).remove(0);
    assert_eq!(take_in_over(&mut b, START.0 + 600, &revoked, made.epoch - 1), []);
    let taken = take_in_over(&mut b, START.0 + 600, &revoked, made.epoch).remove(0);
    assert_eq!((&taken.id, taken.epoch), (&revoked.id, made.epoch + 1));
    assert_eq!(
        taken.instance, "",
        "who reads the topic has to see it as the latest: it is published here too"
    );
    let lifted = command(&mut b, START.0 + 700, lift()).remove(0);
    assert_eq!(take_in_over(&mut b, START.0 + 800, &revoked, made.epoch), [], "it was lifted meanwhile");
    assert_eq!((in_force(&b), take_in(&mut a, START.0 + 900, &lifted).len()), (0, 1));
}

#[test]
fn a_revoke_that_is_handed_over_after_its_lift_does_not_come_back_after_a_restart_either() {
    let (mut a, mut b) = (engines(), engines());
    let revoked = command(&mut a, START.0, revoke()).remove(0);
    // It waits before the engine of the other, which knows nothing of the key, while an operator lifts it there.
    let lifted = command(&mut b, START.0 + 1, lift()).remove(0);
    assert_eq!(take_in(&mut b, START.0 + 2, &revoked), []);
    let mut restarted = engines();
    b.checkpoint(&mut |key, value| restarted.restore(key, value.unwrap_or_default()).unwrap());
    assert_eq!(take_in(&mut restarted, START.0 + 3, &revoked), []);
    assert_eq!((in_force(&b), in_force(&restarted)), (0, 0));

    // The clock was ahead when it was lifted: what is decided afterwards is above it all the same.
    let again = command(&mut restarted, START.0 - 60_000, revoke()).remove(0);
    assert!(again.epoch > lifted.epoch, "{again:?}");
    let lifted = command(&mut restarted, START.0, lift()).remove(0);
    let a_day_later = START.after(LIFT_REMEMBERED_FOR + Duration::from_secs(1));
    restarted.apply(Input::Watermark(a_day_later), &mut Vec::new());
    let older = Decision { epoch: lifted.epoch - 1, ..revoked };
    assert_eq!(take_in(&mut restarted, a_day_later.0, &older).len(), 1, "it is not remembered for ever");
}
