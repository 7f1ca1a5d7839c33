//! Tests of steps: what is late, what pressure extends, and what a key's class and protection hold back.

use std::time::Duration;

use super::*;
use crate::{
    catalogue::{Catalogue, KeyClass},
    detect::{Family, Signal},
    engine::{
        Engines, IdKey, Input, MemoryLimits, Settings, engine::InForce, groups::second_of, seam::Reference,
        shown::Shown,
    },
    event::{Event, Handles, KeyKind, Refusal, testing::plain},
    incident::{Cause, Incident, IncidentId, Reason, Sample, Severity},
    profile::{Hot, Known},
    respond::{Caps, FRESH_WITHIN},
    rules::RuleSet,
};

pub(in crate::engine) const START: EventTime = EventTime(1_800_000_000_000);
pub(in crate::engine) const KEY: KeyId = KeyId { kind: KeyKind::Credential, hash: [1; 16] };

pub(in crate::engine) fn at(seconds: u64) -> EventTime {
    START.after(Duration::from_secs(seconds))
}

pub(in crate::engine) fn settings() -> Settings {
    Settings {
        partitions: 1,
        limits: MemoryLimits::of_keys(10),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_hours(1),
        fresh_within: FRESH_WITHIN,
        caps: Caps { share_of_active_keys: 1.0, ..Caps::default() },
    }
}

/// A grown-up key with an incident that asks for a throttle.
pub(in crate::engine) fn attacked() -> Engine {
    let mut engine = Engine::new(std::sync::Arc::new(settings()));
    let server = Entry { id: Some(KEY.to_string()), credential: None, ..entry(KeyClass::Server, false) };
    let catalogue = Catalogue::new(vec![server], "c".to_owned()).unwrap();
    let reference = Reference { catalogue: std::sync::Arc::new(catalogue), ..Reference::default() };
    engine.refer(InForce::new(reference));
    let mut hot = Hot::new(KEY, second_of(START) - 8 * 86_400);
    hot.advance(second_of(START), Known::at(0), None);
    hot.total = 100_000;
    engine.table.insert(hot);
    let record = Incident { id: IncidentId("inc_1".to_owned()), ..Incident::default() };
    let mut case = Case::new(record, START);
    let spike = Cause {
        rule: "key-volume-spike".to_owned(),
        family: Family::Volume,
        score: 20.0,
        severity: Severity::High,
        respond: Step::Throttle,
    };
    case.add(START, spike, Reason::default(), &Sample::default());
    engine.cases.insert(KEY, case);
    engine
}

/// Evidence for a throttle at this time; what was proposed is granted. Gives the decision, if there was one.
pub(in crate::engine) fn evidence(engine: &mut Engine, at: EventTime) -> Option<Decision> {
    let mut effects = Vec::new();
    let index = engine.table.find(&KEY).unwrap();
    let server = entry(KeyClass::Server, false);
    engine.propose(index, at, Step::Throttle, Some(&server), &mut effects);
    grant(engine, effects)
}

pub(in crate::engine) fn grant(engine: &mut Engine, effects: Vec<Effect>) -> Option<Decision> {
    let proposal = effects.into_iter().find_map(|effect| match effect {
        Effect::Proposal(proposal) => Some(proposal),
        _ => None,
    })?;
    let Proposal { key, step, at, decision, .. } = *proposal;
    engine.granted(&Grant { key, step, at, outcome: Ok(decision.clone()) }, &mut Vec::new());
    Some(*decision)
}

#[test]
fn late_evidence_is_held_and_never_stands_in_the_way_of_what_is_fresh() {
    let mut engine = attacked();
    engine.read_at = at(1_000);
    assert_eq!(evidence(&mut engine, at(0)), None);
    assert_eq!(engine.cases[&KEY].record.held[0].by, "late");
    assert!(evidence(&mut engine, at(990)).is_some());
    let held = |engine: &Engine| engine.cases[&KEY].record.held.len();
    assert_eq!(held(&engine), 0, "a step that was taken is not held any more");
    assert_eq!(evidence(&mut engine, at(999)), None, "one decision, for as long as it is in force");
    assert_eq!(evidence(&mut engine, at(1)), None);
    assert_eq!(held(&engine), 0, "and late evidence for what is in force asks for nothing");
}

#[test]
fn ten_thousand_refused_requests_of_a_key_mark_it_as_changed_once() {
    let mut engine = attacked();
    evidence(&mut engine, at(0)).unwrap();
    let other = KeyId { kind: KeyKind::Raw, hash: [2; 16] };
    for n in 0..10_000u64 {
        // Its credential has two raw keys, and each is seen in turn.
        let alias = Some(KeyId { hash: [u8::try_from(n % 2).unwrap(); 16], ..other });
        let refused = Event { refusal: Refusal::Ours, status: Some(429), alias, ..plain(KEY, at(n / 100)) };
        engine.apply(Input::Event(&refused), &mut Vec::new());
        engine.apply(Input::Event(&Event { alias, ..plain(KEY, at(n / 100)) }), &mut Vec::new());
    }
    assert_eq!((engine.counts.pressure, engine.changed_cases.len()), (10_000, 1));
}

fn command(step: Step) -> Command {
    let action = Action::Take { key: KEY.to_string(), step, for_seconds: 60 };
    let (by, from, reason) = Default::default();
    Command { sequence: 0, at_ms: START.0, by, from, reason, action }
}

/// Engines with a catalogue of one entry by credential, whose id is [`KEY`].
pub(in crate::engine) fn engines(entry: Entry) -> Engines {
    let mut catalogue = Catalogue::new(vec![entry], "c".to_owned()).unwrap();
    catalogue.know_credentials(|_| vec![KEY]);
    let mut engines = Engines::new(settings());
    let reference = Reference { catalogue: std::sync::Arc::new(catalogue), ..Reference::default() };
    engines.apply(Input::Reference(&reference), &mut Vec::new());
    engines
}

pub(in crate::engine) fn entry(class: KeyClass, protected: bool) -> Entry {
    Entry { credential: Some("c1".to_owned()), class, protected, ..Entry::default() }
}

#[test]
fn revoking_a_key_that_ships_in_an_app_is_refused_and_throttling_it_is_not() {
    let mut engines = engines(entry(KeyClass::Mobile, false));
    let mut effects = Vec::new();
    engines.apply(Input::Command(&command(Step::Revoke)), &mut effects);
    assert!(
        matches!(&effects[..], [Effect::Grant(grant)] if grant.outcome == Err(Guardrail::Class)),
        "the entry is found by the credential that the id comes from: {effects:?}"
    );
    engines.apply_events(&[plain(KEY, START)], &mut Vec::new());
    let decision = by_operator(&mut engines, Step::Throttle, KEY).unwrap();
    assert!(decision.rate.is_some(), "{decision:?}");
}

/// What comes of an operator's command on a key: the decision, or the rail that held it.
fn by_operator(engines: &mut Engines, step: Step, key: KeyId) -> Result<Decision, Guardrail> {
    let action = Action::Take { key: key.to_string(), step, for_seconds: 60 };
    let mut effects = Vec::new();
    engines.apply(Input::Command(&Command { action, ..command(step) }), &mut effects);
    let held = effects.iter().find_map(|effect| match effect {
        Effect::Grant(grant) => grant.outcome.clone().err(),
        _ => None,
    });
    if let Some(rail) = held {
        return Err(rail);
    }
    engines.settle(&mut effects);
    let answer = effects.into_iter().find_map(|effect| match effect {
        Effect::Decision(decision) => Some(*decision),
        _ => None,
    });
    Ok(answer.expect("each command has an answer"))
}

#[test]
fn a_command_means_the_key_whichever_of_its_ids_it_names() {
    let mut engines = engines(entry(KeyClass::Server, false));
    let raw = KeyId { kind: KeyKind::Raw, hash: [200; 16] };
    assert_eq!(by_operator(&mut engines, Step::Revoke, raw).unwrap().subject.id, raw.to_string());
    let shown = Event { alias: Some(raw), ..plain(KEY, START) };
    engines.apply_events(&[shown], &mut Vec::new());
    let other = KeyId { kind: KeyKind::Raw, hash: [201; 16] };
    engines.apply_events(&[Event { alias: Some(other), ..plain(KEY, at(1)) }], &mut Vec::new());
    let revoked = by_operator(&mut engines, Step::Revoke, other).unwrap();
    assert_eq!((revoked.subject.id, revoked.subject.aliases), (KEY.to_string(), vec![other.to_string()]));
    let third = KeyId { kind: KeyKind::Raw, hash: [202; 16] };
    assert_eq!(by_operator(&mut engines, Step::Revoke, third).unwrap().subject.id, third.to_string());
    engines.apply_events(&[Event { alias: Some(third), ..plain(KEY, at(2)) }], &mut Vec::new());
    let revoked = by_operator(&mut engines, Step::Revoke, third).unwrap();
    assert_eq!(
        revoked.subject.id,
        KEY.to_string(),
        "a step on a name that has no profile keeps nothing to itself"
    );
    let mut engines = self::engines(entry(KeyClass::Mobile, false));
    engines.apply_events(&[shown], &mut Vec::new());
    assert_eq!(by_operator(&mut engines, Step::Revoke, raw), Err(Guardrail::Class), "its class counts too");
}

#[test]
fn a_key_that_was_never_seen_has_no_rate_to_be_throttled_to() {
    let mut engines = engines(entry(KeyClass::Server, false));
    assert_eq!(by_operator(&mut engines, Step::Throttle, KEY), Err(Guardrail::Rate));
    by_operator(&mut engines, Step::Revoke, KEY).unwrap();
}

#[test]
fn what_shadow_mode_made_neither_blinds_nor_blocks_once_it_is_over() {
    let mut engine = attacked();
    let mode = |engine: &mut Engine, mode| {
        let now = InForce::new(Reference { mode, ..Reference::default() });
        engine.refer(now);
    };
    let refused = |second| Event { status: Some(403), refusal: Refusal::Gateway, ..plain(KEY, at(second)) };
    evidence(&mut engine, at(0)).unwrap();
    engine.observe(&refused(1), None, &mut Vec::new());
    assert_eq!(engine.counts.pressure, 0, "nothing is served in shadow mode");
    mode(&mut engine, Mode::Enforce);
    engine.observe(&refused(2), None, &mut Vec::new());
    assert_eq!(engine.counts.pressure, 0, "nor is what was made in it");
    let enforced = evidence(&mut engine, at(3)).expect("the attack goes on");
    assert_eq!(enforced.mode, Mode::Enforce);
    engine.observe(&refused(4), None, &mut Vec::new());
    assert_eq!(engine.counts.pressure, 1);
    // Gateways were told, and obey until it ends.
    mode(&mut engine, Mode::Shadow);
    engine.observe(&refused(5), None, &mut Vec::new());
    assert_eq!(engine.counts.pressure, 2);
    assert_eq!(evidence(&mut engine, at(6)), None);
}

#[test]
fn a_protected_key_is_left_alone_by_rules_and_not_by_operators() {
    let mut engines = engines(entry(KeyClass::Server, true));
    let mut effects = Vec::new();
    engines.apply(Input::Command(&command(Step::Revoke)), &mut effects);
    engines.settle(&mut effects);
    assert!(matches!(&effects[..], [Effect::Decision(_)]), "{effects:?}");

    let mut engine = attacked();
    evidence(&mut engine, at(0)).unwrap();
    let catalogue = Catalogue::new(
        vec![Entry { id: Some(KEY.to_string()), protected: true, ..Entry::default() }],
        "c".to_owned(),
    );
    let reference = Reference { catalogue: std::sync::Arc::new(catalogue.unwrap()), ..Reference::default() };
    let now = InForce::new(reference);
    engine.refer(now);
    (0..30).for_each(|_| engine.forces.get_mut(&KEY).unwrap().press(second_of(at(3_590))));
    effects.clear();
    engine.extend_forces(at(3_590), &mut effects);
    assert!(effects.is_empty(), "nor is a step on it extended: {effects:?}");
}

#[test]
fn an_incident_that_closes_after_a_lift_is_newer_than_what_was_told_of_the_lift() {
    let mut engine = attacked();
    engine.cases.get_mut(&KEY).unwrap().weigh(at(0), 1.0);
    evidence(&mut engine, at(0)).unwrap();
    let told = |effects: Vec<Effect>| {
        effects.into_iter().find_map(|effect| match effect {
            Effect::Incident(incident) => Some(incident),
            _ => None,
        })
    };
    // By the wall clock, which is ahead of event time.
    let mut effects = Vec::new();
    let lift = Command {
        action: Action::Lift { key: KEY.to_string() },
        at_ms: at(1_800).0,
        ..command(Step::Revoke)
    };
    engine.command(&lift, KEY, &mut effects);
    let Some(Effect::Proposal(proposal)) = effects.pop() else { panic!("{effects:?}") };
    let outcome = Ok(proposal.decision.clone());
    engine.granted(&Grant { key: KEY, step: proposal.step, at: proposal.at, outcome }, &mut effects);
    let lifted = told(effects).unwrap();
    engine.watermark = at(1_790);
    let mut effects = Vec::new();
    engine.close_cases(&mut effects);
    let closed = told(effects).unwrap();
    assert!(!closed.is_open() && closed.updated_at >= lifted.updated_at, "{closed:?} after {lifted:?}");
}

#[test]
fn invented_keys_take_no_more_incidents_than_memory_is_for_and_mature_keys_get_theirs() {
    let limits = MemoryLimits { incidents: 3, ..MemoryLimits::of_keys(1_000) };
    let rule = crate::engine::counters::tests::rule(
        "refused",
        "  match: { status: [403] }\n  over: 1m\n  more_than: 2\n",
    );
    let rules = crate::rules::RuleSet::compile(&[("r.yaml".to_owned(), rule)]).unwrap();
    let mut engine = Engine::new(std::sync::Arc::new(Settings { limits, ..settings() }));
    let reference = Reference { rules: std::sync::Arc::new(rules), ..Reference::default() };
    engine.apply(Input::Reference(&reference), &mut Vec::new());
    let mut hot = Hot::new(KEY, second_of(START) - 8 * 86_400);
    hot.advance(second_of(START), Known::at(0), None);
    hot.total = 100_000;
    engine.table.insert(hot);
    let refuse = |engine: &mut Engine, key| {
        let mut effects = Vec::new();
        for n in 0..10 {
            engine.apply(Input::Event(&Event { status: Some(403), ..plain(key, at(n)) }), &mut effects);
        }
        effects.iter().filter(|effect| matches!(effect, Effect::Finding(..))).count()
    };
    for n in 10..20 {
        assert!(refuse(&mut engine, KeyId { hash: [n; 16], ..KEY }) > 0, "what is found is told");
    }
    assert_eq!(engine.cases.len(), 3);
    assert!(engine.counts.without_incident > 0);
    refuse(&mut engine, KEY);
    assert!(engine.cases.len() == 4 && engine.cases.contains_key(&KEY));
}

#[test]
fn no_place_is_a_strangers_on_a_key_that_ships_in_an_app() {
    use KeyClass::{Browser, Mobile, Server, Unknown};
    for (class, is_throttled) in [(Mobile, false), (Browser, false), (Unknown, true), (Server, true)] {
        let mut engine = attacked();
        let place = Cause {
            rule: "own-rule-of-places".to_owned(),
            family: Family::Place,
            score: 4.0,
            severity: Severity::High,
            respond: Step::Throttle,
        };
        let case = engine.cases.get_mut(&KEY).unwrap();
        case.add(START, place, Reason::default(), &Sample::default());
        let index = engine.table.find(&KEY).unwrap();
        let mut effects = Vec::new();
        engine.propose(index, at(1), Step::Throttle, Some(&entry(class, false)), &mut effects);
        assert_eq!(grant(&mut engine, effects).is_some(), is_throttled, "{class:?}");
    }
}

#[test]
fn a_record_that_cannot_be_read_leaves_the_handle() {
    let mut engine = attacked();
    let rules = RuleSet::shipped();
    let rule = rules.rules.iter().position(|rule| rule.detector.family() == Family::Probing).unwrap();
    let reference = Reference { rules: std::sync::Arc::new(rules), ..Reference::default() };
    engine.refer(InForce::new(reference));
    let index = engine.table.find(&KEY).unwrap();
    let named = Handles { gateway: "edge", consumer: "acme", credential: "c1" };
    let unnamed = Handles { gateway: "edge", ..Handles::default() };
    for (seconds, handles) in [(1, named), (2, Handles::default()), (3, unnamed)] {
        let event = Event { handles, ..plain(KEY, at(seconds)) };
        let text = String::new;
        let signal =
            Signal { rule: rule.try_into().unwrap(), score: 9.0, observed: text(), expected: text() };
        let shown = Shown::of(&event, &engine.inputs);
        engine.take_in(index, event.time, &shown, &mut vec![signal], &mut Vec::new());
    }
    let [handle] = &engine.cases[&KEY].handles[..] else { panic!("one handle") };
    assert_eq!((handle.consumer.as_str(), handle.credential.as_str()), ("acme", "c1"));
}
