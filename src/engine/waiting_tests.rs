//! Tests of spikes that are little beyond what a key did: a crowd that becomes visible excuses them, and nothing else does.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use super::*;
use crate::{
    engine::{Effect, Engines, Input, MemoryLimits, Reference, testing::settings},
    event::{Event, KeyKind, testing::plain},
    rules::RuleSet,
};

const START: EventTime = EventTime(1_800_000_000_000);
const LEARNT: EventTime = EventTime(START.0 + 4 * 86_400_000);
/// All keys but the first, each of which is used once a minute.
const OTHERS: u64 = 100;

fn key(n: u64) -> KeyId {
    let hash = (u128::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    KeyId { kind: KeyKind::Credential, hash: hash.to_be_bytes() }
}

fn engines() -> Engines {
    let mut engines =
        Engines::new(crate::engine::Settings { limits: MemoryLimits::of_keys(1_000), ..settings() });
    let reference = Reference { rules: Arc::new(RuleSet::shipped()), ..Reference::default() };
    engines.apply(Input::Reference(&reference), &mut Vec::new());
    engines
}

/// A partition with room for ten keys.
fn engine() -> Engine {
    Engine::new(Arc::new(crate::engine::Settings { partitions: 1, ..settings() }))
}

/// A second of the first key and of the others, so many requests each.
fn second(engines: &mut Engines, at: EventTime, first: u64, others: u64, effects: &mut Vec<Effect>) {
    let ms = |n: u64, of: u64| at.after(Duration::from_millis(n * 1000 / of));
    let turn = at.0 / 1000 * others;
    let others = (0..others).map(|n| plain(key(1 + (turn + n) % OTHERS), ms(n, others)));
    let mut events: Vec<Event<'static>> =
        (0..first).map(|n| plain(key(0), ms(n, first))).chain(others).collect();
    events.sort_by_key(|event| event.time);
    engines.apply_events(&events, effects);
    engines.settle(effects);
    if at.0.is_multiple_of(10_000) {
        engines.apply(Input::Watermark(at.before(Duration::from_secs(10))), effects);
    }
}

type Learnt = Vec<(Vec<u8>, Vec<u8>)>;

fn checkpoint(engines: &mut Engines) -> Learnt {
    let mut entries = Vec::new();
    engines.checkpoint(&mut |key, value| entries.extend(value.map(|value| (key.to_vec(), value.to_vec()))));
    entries
}

fn restored(entries: &Learnt) -> Engines {
    let mut engines = engines();
    for (key, value) in entries {
        engines.restore(key, value).unwrap();
    }
    engines
}

/// Four days of one request of the first key each twelve seconds, and once fourteen in a minute.
static LEARNT_BEFORE: LazyLock<Learnt> = LazyLock::new(|| {
    let (mut engines, mut effects) = (engines(), Vec::new());
    for s in 0..LEARNT.since(START).as_secs() {
        let burst = if s == 2 * 86_400 + 43_200 { 10 } else { 0 };
        let at = START.after(Duration::from_secs(s));
        second(&mut engines, at, u64::from(s % 12 == 0) + burst, 1 + u64::from(s % 3 < 2), &mut effects);
    }
    assert!(effects.is_empty(), "{effects:?}");
    checkpoint(&mut engines)
});

/// What a minute leads to in which the first key has `requests`, one each third of a second, and the others have so many a
/// second from the second `crowd_from` on: the seconds after which there were findings of the first key. After `restart`
/// seconds it goes on from a checkpoint.
fn found(requests: u64, crowd_from: u64, restart: Option<u64>) -> Vec<u64> {
    let mut engines = restored(&LEARNT_BEFORE);
    let (mut found, mut left) = (Vec::new(), requests);
    for s in 0..90 {
        if restart == Some(s) {
            engines = restored(&checkpoint(&mut engines));
        }
        let (first, others) = (left.min(3), if s >= crowd_from { 100 } else { 2 });
        left -= first;
        let mut effects = Vec::new();
        second(&mut engines, LEARNT.after(Duration::from_secs(s)), first, others, &mut effects);
        if effects.iter().any(|effect| matches!(effect, Effect::Finding(of, _) if *of == key(0))) {
            found.push(s);
        }
    }
    found
}

const NEVER: u64 = u64::MAX;

#[test]
fn a_spike_far_beyond_what_the_key_did_waits_for_the_next_context_only() {
    let found = found(90, NEVER, None);
    assert!(found.first().is_some_and(|s| *s < 25), "{found:?}");
}

#[test]
fn a_lesser_spike_is_told_half_a_minute_later_with_its_highest_count() {
    let found = found(32, NEVER, None);
    assert!(found.first().is_some_and(|s| (35..50).contains(s)), "{found:?}");
}

#[test]
fn a_lesser_spike_is_excused_by_a_crowd_that_becomes_visible_after_it() {
    assert_eq!(found(32, 15, None), Vec::<u64>::new());
}

#[test]
fn a_lesser_spike_waits_on_after_a_restart() {
    for s in [8, 12, 20, 33] {
        assert_eq!(found(32, NEVER, Some(s)), found(32, NEVER, None), "restart after {s} s");
    }
}

#[test]
fn what_waits_is_forgotten_when_its_time_is_over() {
    let mut engines = restored(&LEARNT_BEFORE);
    let mut waited = 0;
    for s in 0..120 {
        let first = if s < 10 { 3 } else { 0 };
        second(&mut engines, LEARNT.after(Duration::from_secs(s)), first, 2, &mut Vec::new());
        waited += usize::from(engines.owner(&key(0)).pending.contains_key(&key(0)));
    }
    assert!((30..50).contains(&waited), "it waited for {waited} s");
}

#[test]
fn what_waits_is_judged_when_nothing_comes_any_more() {
    let mut engines = restored(&LEARNT_BEFORE);
    let mut effects = Vec::new();
    for s in 0..11 {
        second(&mut engines, LEARNT.after(Duration::from_secs(s)), 3, 2, &mut effects);
    }
    assert!(effects.is_empty(), "{effects:?}");
    for s in (15..=55).step_by(5) {
        let at = LEARNT.after(Duration::from_secs(s));
        engines.read_at(at);
        engines.apply(Input::Watermark(at), &mut effects);
    }
    let of_key = |effect: &Effect| matches!(effect, Effect::Finding(of, _) if *of == key(0));
    assert!(effects.iter().any(of_key), "{effects:?}");
}

#[test]
fn no_more_keys_wait_than_may_and_the_others_are_counted() {
    let mut engine = engine();
    for n in 0..SPIKES_MAX as u64 + 5 {
        engine.await_context(&plain(key(n), START), DelayedCounts::default());
        engine.await_context(&plain(key(n), START), DelayedCounts::default());
    }
    let counts = engine.counts();
    assert_eq!((counts.spikes, counts.spikes_max), (SPIKES_MAX as u64, SPIKES_MAX as u64));
    assert_eq!(counts.postponed, 10);
    // They have no profile: nothing is told of them, and they go.
    let mut effects = Vec::new();
    engine.judge_pending(START, &mut effects);
    assert!(effects.is_empty() && engine.counts().spikes == 0);
}

#[test]
fn a_key_that_waits_is_not_evicted() {
    let mut engine = engine();
    engine.table.insert(crate::profile::Hot::new(key(0), 1));
    engine.await_context(&plain(key(0), START), DelayedCounts::default());
    for n in 1..5_000 {
        engine.make_room(&key(n), 2);
        engine.table.insert(crate::profile::Hot::new(key(n), 2));
    }
    assert!(engine.table.find(&key(0)).is_some());
    assert!(engine.table.len() < 4_000, "some were evicted");
}

#[test]
fn a_spike_that_is_read_minutes_later_is_told_as_of_its_time() {
    let mut engines = restored(&LEARNT_BEFORE);
    let (burst, mut effects) = (LEARNT.after(Duration::from_secs(30)), Vec::new());
    for s in 0..400 {
        let at = LEARNT.after(Duration::from_secs(s));
        engines.read_at(at);
        second(&mut engines, at, u64::from(s % 12 == 0), 2, &mut effects);
    }
    assert!(effects.is_empty(), "{effects:?}");
    let events: Vec<_> =
        (0..90).map(|n| plain(key(0), burst.after(Duration::from_millis(n * 200)))).collect();
    engines.apply_events(&events, &mut effects);
    for s in 400..410 {
        let at = LEARNT.after(Duration::from_secs(s));
        engines.read_at(at);
        second(&mut engines, at, 0, 2, &mut effects);
    }
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Finding(_, finding) => Some((finding.at, finding.observed.clone())),
        _ => None,
    });
    let (at, observed) = told.expect("a finding");
    assert_eq!(at, EventTime((burst.0 + 17_800) / 1000 * 1000));
    assert!(observed.contains(" requests in 1 min until "), "{observed}");
    let stale = effects.iter().any(|effect| matches!(effect, Effect::Incident(incident) if incident.stale));
    assert!(stale, "{effects:?}");
}
