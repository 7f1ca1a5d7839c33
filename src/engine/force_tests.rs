//! Tests of steps' ends: when they come, what puts them off, and what stands in no other step's way.

use std::time::Duration;

use super::*;
use crate::{
    engine::{
        Engines, Input, Settings,
        enforce::tests::{KEY, at, attacked, entry, evidence, grant, settings},
        engine::InForce,
        seam::{Action, Command, Reference},
    },
    event::{Event, KeyKind, Refusal, testing::plain},
    respond::Caps,
};

#[test]
fn pressure_extends_a_step_for_a_day() {
    let mut engine = attacked();
    evidence(&mut engine, at(0)).unwrap();
    let mut extended = 0;
    let mut second = 0;
    while !engine.forces[&KEY].ended {
        second += 30;
        for _ in 0..4 {
            if let Some(force) = engine.forces.get_mut(&KEY) {
                force.press(second_of(at(second)));
            }
        }
        let mut effects = Vec::new();
        engine.end_forces(at(second), &mut effects);
        engine.extend_forces(at(second), &mut effects);
        extended += u32::from(grant(&mut engine, effects).is_some());
    }
    assert!((24..=25).contains(&extended) && second / 3_600 == 24, "{extended} times, {second} s");
}

#[test]
fn a_step_is_told_with_its_end_and_when_it_is_over() {
    let mut engine = attacked();
    engine.cases.get_mut(&KEY).unwrap().weigh(at(0), 1.0);
    evidence(&mut engine, at(0)).unwrap();
    let steps = |engine: &Engine| engine.cases[&KEY].record.steps.clone();
    assert_eq!(steps(&engine)[0].until.as_deref(), Some(at(3_600).rfc3339().as_str()));
    let mut effects = Vec::new();
    engine.end_forces(at(3_700), &mut effects);
    let ended = steps(&engine).pop().unwrap();
    assert_eq!((ended.outcome, ended.at), (Outcome::Ended, at(3_600).rfc3339()));
    assert!(matches!(&effects[..], [Effect::Incident(_)]), "{effects:?}");
}

#[test]
fn a_short_step_is_extended_at_its_end_and_not_all_the_time() {
    let mut engine = attacked();
    engine.settings = Settings { throttle_for: Duration::from_mins(1), ..settings() }.into();
    evidence(&mut engine, at(0)).unwrap();
    for second in 0..60 {
        (0..30).for_each(|_| engine.forces.get_mut(&KEY).unwrap().press(second_of(at(second))));
        let mut effects = Vec::new();
        engine.end_forces(at(second), &mut effects);
        engine.extend_forces(at(second), &mut effects);
        assert_eq!(effects.is_empty(), second < 45, "{second} s: {effects:?}");
        if !effects.is_empty() {
            let extended = grant(&mut engine, effects).unwrap();
            assert_eq!(extended.expires_at, at(second + 60).rfc3339_millis());
            break;
        }
    }
}

/// Engines with [`attacked`] as their only partition, in force mode, whose steps last ten minutes.
fn attacked_engines() -> Engines {
    let mut engines = Engines::new(settings());
    let mut engine = attacked();
    engine.settings = Settings { throttle_for: Duration::from_mins(10), ..settings() }.into();
    let reference = Reference { mode: Mode::Enforce, ..engine.now.reference.clone() };
    let now = InForce::new(reference);
    engine.refer(now);
    engine.cases.get_mut(&KEY).unwrap().weigh(at(0), 1.0);
    engines.engines[0] = engine;
    engines
}

/// An hour in which the watermark stands still. The attack is refused in its first half, and begins anew at 50 min.
/// Gives when steps began with their reasons, and when people were told of one's end.
fn an_hour(engines: &mut Engines) -> (Vec<(u64, String)>, Vec<u64>) {
    let other = KeyId { kind: KeyKind::Raw, hash: [9; 16] };
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    for second in 0..3_600 {
        engines.read_at(at(second));
        let mut effects = Vec::new();
        engines.apply_events(&[plain(other, at(second))], &mut effects);
        if second % 10 == 1 && second < 1_800 {
            let refused = Event { status: Some(429), refusal: Refusal::Gateway, ..plain(KEY, at(second)) };
            engines.apply_events(&[refused], &mut effects);
        }
        if second == 0 || second == 3_000 {
            let engine = &mut engines.engines[0];
            let index = engine.table.find(&KEY).unwrap();
            let server = entry(crate::catalogue::KeyClass::Server, false);
            engine.propose(index, at(second), crate::respond::Step::Throttle, Some(&server), &mut effects);
        }
        engines.settle(&mut effects);
        for effect in effects {
            match effect {
                Effect::Decision(decision) => begun.push((second, decision.reason)),
                Effect::Incident(incident)
                    if incident.steps.last().is_some_and(|step| step.outcome == Outcome::Ended) =>
                {
                    ended.push(second);
                }
                _ => {}
            }
        }
    }
    (begun, ended)
}

#[test]
fn while_the_watermark_stands_still_steps_begin_and_end_and_are_extended() {
    let mut engines = attacked_engines();
    engines.apply(Input::Watermark(at(0)), &mut Vec::new());
    let (begun, ended) = an_hour(&mut engines);
    let seconds: Vec<u64> = begun.iter().map(|(second, _)| *second).collect();
    assert_eq!(seconds, [0, 540, 1_080, 1_620, 3_000]);
    assert!(ended.starts_with(&[2_220]), "{ended:?}");
    assert_eq!(engines.engines[0].counts.pressure, 180);
    let in_force: u64 = engines.counts().map(|counts| counts.in_force).sum();
    assert_eq!(in_force, 1, "the last one");
}

#[test]
fn a_refused_request_that_comes_late_is_no_evidence_after_the_step_has_ended() {
    let mut engines = attacked_engines();
    engines.apply(Input::Watermark(at(0)), &mut Vec::new());
    an_hour(&mut engines);
    let (engine, effects) = (&mut engines.engines[0], &mut Vec::new());
    let refused = |second| Event { refusal: Refusal::Gateway, ..plain(KEY, at(second)) };
    // In the last step, in the one before it, and in between, when nothing of ours was in force.
    for (second, pressure) in [(3_200, 181), (1_000, 182), (2_900, 182)] {
        engine.observe(&refused(second), None, effects);
        assert_eq!(engine.counts.pressure, pressure, "{second} s");
    }
}

#[test]
fn a_step_that_has_ended_is_forgotten_however_long_the_watermark_stands_still() {
    let mut engine = attacked();
    evidence(&mut engine, at(0)).unwrap();
    let mut known_at = |second| {
        engine.end_forces(at(second), &mut Vec::new());
        engine.forces.contains_key(&KEY)
    };
    assert!(known_at(3_600) && known_at(4_499) && !known_at(4_500));
}

#[test]
fn the_reason_of_a_step_that_is_extended_for_a_day_has_the_count_once() {
    let mut engine = attacked();
    engine.settings = Settings { throttle_for: Duration::from_mins(1), ..settings() }.into();
    evidence(&mut engine, at(0)).unwrap();
    let mut reasons = Vec::new();
    for second in (0..86_400).step_by(5) {
        (0..3).for_each(|_| engine.forces.get_mut(&KEY).unwrap().press(second_of(at(second))));
        let mut effects = Vec::new();
        engine.extend_forces(at(second), &mut effects);
        reasons.extend(grant(&mut engine, effects).map(|decision| decision.reason));
    }
    assert!(reasons.len() > 1_000, "{}", reasons.len());
    let last = reasons.last().unwrap();
    let count =
        last.strip_prefix("Extended: ").and_then(|rest| rest.split_once(" requests refused in 5 min."));
    let count: u32 = count.and_then(|(count, _)| count.parse().ok()).expect(last);
    // Three in five seconds; the oldest of the ten panes has begun to go.
    assert!((160..=180).contains(&count), "{last}");
    assert!(last.len() < 200, "{last}");
}

/// What comes of evidence at this second, once it has gone round.
fn decided(engines: &mut Engines, second: u64) -> Option<Decision> {
    let engine = &mut engines.engines[0];
    let index = engine.table.find(&KEY).unwrap();
    let server = entry(crate::catalogue::KeyClass::Server, false);
    let mut effects = Vec::new();
    engine.propose(index, at(second), crate::respond::Step::Throttle, Some(&server), &mut effects);
    engines.settle(&mut effects);
    effects.into_iter().find_map(|effect| match effect {
        Effect::Decision(decision) => Some(*decision),
        _ => None,
    })
}

#[test]
fn what_the_table_for_gateways_did_not_take_is_not_in_force_and_is_proposed_anew() {
    let mut engines = attacked_engines();
    let first = decided(&mut engines, 0).unwrap();
    assert_eq!(decided(&mut engines, 1), None, "it is in force");
    let not_served = |engines: &mut Engines, second, epoch, by| {
        let action = Action::NotServed { key: KEY.to_string(), epoch, by };
        let (by, from, reason) = Default::default();
        let command = Command { sequence: 0, at_ms: at(second).0, by, from, reason, action };
        let mut effects = Vec::new();
        engines.apply(Input::Command(&command), &mut effects);
        effects.iter().any(|effect| matches!(effect, Effect::Incident(_)))
    };
    assert!(!not_served(&mut engines, 2, first.epoch - 1, Guardrail::Late), "an older one was not served");
    assert_eq!(decided(&mut engines, 3), None);
    assert!(not_served(&mut engines, 4, first.epoch, Guardrail::Full), "people are told");
    let record = &engines.engines[0].cases[&KEY].record;
    assert_eq!((record.steps.len(), record.held[0].by.as_str()), (0, "full"));
    let second = decided(&mut engines, 5).unwrap();
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
    assert!(!not_served(&mut engines, 6, first.epoch, Guardrail::Full), "the later one is in force");
    assert_eq!(engines.counts().map(|counts| counts.in_force).sum::<u64>(), 1);
}

#[test]
fn a_step_that_is_not_served_holds_no_place_under_the_caps() {
    let mut engines = attacked_engines();
    let caps = Caps { throttle_per_hour: 20, share_of_active_keys: 0.0001 };
    engines.settings = Settings { caps, ..settings() }.into();
    let first = decided(&mut engines, 0).unwrap();
    let other = KeyId { kind: KeyKind::Raw, hash: [3; 16] };
    let grants = |engines: &mut Engines, second: u64| {
        engines.fleet.clone().grant(&caps, &other, at(second), at(second + 60), 1).is_ok()
    };
    assert!(!grants(&mut engines, 1));
    let action = Action::NotServed { key: KEY.to_string(), epoch: first.epoch, by: Guardrail::Late };
    let (by, from, reason) = Default::default();
    let command = Command { sequence: 0, at_ms: at(2).0, by, from, reason, action };
    engines.apply(Input::Command(&command), &mut Vec::new());
    assert!(grants(&mut engines, 3));
}

#[test]
fn a_key_that_was_not_used_for_a_day_is_not_active() {
    let engine = attacked();
    let mut engines = Engines::new(Settings {
        limits: crate::engine::MemoryLimits::of_keys(1_000),
        caps: Caps { share_of_active_keys: 0.01, ..Caps::default() },
        ..settings()
    });
    engines.engines[0].now = engine.now;
    let use_keys = |engines: &mut Engines, keys: std::ops::Range<u16>, second| {
        for n in keys {
            let mut hash = [0; 16];
            hash[..2].copy_from_slice(&(n + 1).to_be_bytes());
            hash[8] = n.to_be_bytes()[1];
            engines.apply_events(&[plain(KeyId { kind: KeyKind::Raw, hash }, at(second))], &mut Vec::new());
        }
    };
    let active = |engines: &Engines, second| engines.engines[0].table.active(second_of(at(second)));
    use_keys(&mut engines, 0..200, 0);
    assert_eq!(active(&engines, 3_600), 200);
    let day = 86_400;
    use_keys(&mut engines, 100..350, day + 10);
    use_keys(&mut engines, 100..350, day + 20);
    assert_eq!((active(&engines, day + 30), engines.engines[0].table.len()), (250, 350));
    let mut restored =
        Engines::new(Settings { limits: crate::engine::MemoryLimits::of_keys(1_000), ..settings() });
    engines.checkpoint(&mut |key, value| restored.restore(key, value.unwrap_or_default()).unwrap());
    assert_eq!(active(&restored, day + 30), 250, "after a restart too");
    // Two of 250 may be under a step at once, and not three of 350.
    let mut decided = 0;
    for n in 0..3u8 {
        let key = KeyId { kind: KeyKind::Credential, hash: [100 + n; 16] };
        let decision = Decision { cause: "policy".to_owned(), ..decision_on(key, day + 30) };
        let decision = Box::new(decision);
        let proposal = crate::engine::Proposal {
            key,
            step: decision.step,
            at: at(day + 30),
            epoch: 1,
            decision,
            by_operator: false,
        };
        let mut effects = Vec::new();
        engines.apply(Input::Proposal(&proposal), &mut effects);
        decided += usize::from(effects.iter().any(|effect| matches!(effect, Effect::Decision(_))));
    }
    assert_eq!(decided, 2);
}

/// Any decision on the key, for an hour.
fn decision_on(key: KeyId, second: u64) -> Decision {
    let mut engine = attacked();
    let decision = evidence(&mut engine, at(second)).unwrap();
    let subject = crate::respond::SubjectRef { id: key.to_string(), ..decision.subject.clone() };
    Decision { subject, ..decision }
}
