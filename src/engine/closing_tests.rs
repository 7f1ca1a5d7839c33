//! What stays of an incident when it has closed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::*;
use crate::{
    engine::{
        Engines, Input, Reference, Settings,
        testing::{play, settings},
    },
    event::{ClientAddress, Event, KeyKind, Refusal, stable_hash, testing::plain},
    rules::RuleSet,
};

const START: EventTime = EventTime(1_800_000_000_000);
const DAY: u64 = 86_400;

/// The times of requests that come every so many milliseconds, from `from` to before `to`, in seconds since the start.
fn even(from: u64, to: u64, every_ms: usize) -> Vec<u64> {
    (from * 1000..to * 1000).step_by(every_ms).collect()
}

const KEY: KeyId = KeyId { kind: KeyKind::Credential, hash: [1; 16] };

/// The incidents that are told of requests of one key at these milliseconds, and those that are open at the end.
fn incidents(mut requests: Vec<u64>) -> (Vec<String>, BTreeSet<String>) {
    requests.sort_unstable();
    incidents_of(requests.into_iter().map(|ms| plain(KEY, START.after(Duration::from_millis(ms)))))
}

/// The incidents that are told of these requests, in order, and those that are open at the end.
fn incidents_of(events: impl Iterator<Item = Event<'static>>) -> (Vec<String>, BTreeSet<String>) {
    let mut engines = Engines::new(settings());
    let reference = Reference { rules: Arc::new(RuleSet::shipped()), ..Reference::default() };
    let mut effects = Vec::new();
    engines.apply(Input::Reference(&reference), &mut effects);
    play(&mut engines, events, &mut effects);
    let (mut ids, mut open) = (Vec::new(), BTreeSet::new());
    for effect in effects {
        let Effect::Incident(incident) = effect else { continue };
        if incident.closed_at.is_some() {
            open.remove(&incident.id.0);
        } else if open.insert(incident.id.0.clone()) {
            ids.push(incident.id.0.clone());
        }
    }
    (ids, open)
}

#[test]
fn a_day_that_held_an_attack_opens_no_second_incident() {
    let attack = 6 * DAY + 10 * 3600;
    let mut requests = even(0, 8 * DAY, 15_000);
    requests.extend(even(attack, attack + 1800, 150));
    let (told, open) = incidents(requests);
    assert_eq!((told.len(), open.len()), (1, 0), "{told:?} {open:?}");
}

#[test]
fn an_attack_that_comes_again_is_told_again() {
    let attack = 6 * DAY + 10 * 3600;
    let mut requests = even(0, 8 * DAY, 15_000);
    for begins in [attack, attack + 6 * 3600] {
        requests.extend(even(begins, begins + 1800, 150));
    }
    assert_eq!(incidents(requests).0.len(), 2);
}

#[test]
fn addresses_that_are_many_every_four_hours_are_told_three_times() {
    let at = |second: u64, address: u8| {
        let address = ClientAddress { prefix: 1, hash: stable_hash(&[address]) };
        Event { address, ..plain(KEY, START.after(Duration::from_secs(second))) }
    };
    let usual = (0..8 * DAY / 15).map(|n| at(n * 15, 1));
    // From the seventh day on, 100 requests from as many addresses every four hours.
    let bursts = (0..12).flat_map(|burst| (0..100).map(move |n| (6 * DAY + burst * 4 * 3600, n)));
    let mut events: Vec<_> = usual.chain(bursts.map(|(second, n)| at(second, n + 2))).collect();
    events.sort_by_key(|event| event.time);
    let (told, open) = incidents_of(events.into_iter());
    assert_eq!((told.len(), open.len()), (3, 0), "{told:?} {open:?}");
}

/// Ten times the usual use from the seventh day on, for five days.
fn ten_times(at: impl Fn(u64) -> Event<'static>) -> Vec<Event<'static>> {
    let usual = (0..6 * DAY).step_by(60).map(plain_at);
    usual.chain((6 * DAY..11 * DAY).step_by(6).map(at)).collect()
}

fn plain_at(second: u64) -> Event<'static> {
    plain(KEY, START.after(Duration::from_secs(second)))
}

#[test]
fn a_use_that_has_risen_for_good_is_told_once_and_learnt() {
    let (told, open) = incidents_of(ten_times(plain_at).into_iter());
    assert_eq!((told.len(), open.len()), (1, 0), "{told:?} {open:?}");
}

#[test]
fn after_it_was_learnt_ten_times_as_much_again_is_told() {
    let mut events = ten_times(plain_at);
    let attack = (8 * DAY * 1000..(8 * DAY + 1800) * 1000).step_by(600);
    events.extend(attack.map(|ms| plain(KEY, START.after(Duration::from_millis(ms)))));
    events.sort_by_key(|event| event.time);
    assert_eq!(incidents_of(events.into_iter()).0.len(), 2);
}

#[test]
fn what_a_stranger_does_is_never_learnt() {
    let refused = |second| {
        if second % 30 > 0 {
            return plain_at(second);
        }
        Event { status: Some(403), refusal: Refusal::Upstream, ..plain_at(second) }
    };
    let (told, open) = incidents_of(ten_times(refused).into_iter());
    assert_eq!((told.len(), open.len()), (1, 1), "{told:?} {open:?}");
}

#[test]
fn a_spike_at_the_end_of_the_day_is_not_learnt_with_it() {
    let mut events = ten_times(plain_at);
    // Ten times as much again, half an hour before the incident would settle.
    let begins = 7 * DAY - 900;
    let attack = (begins * 1000..(begins + 3 * 3600) * 1000).step_by(600);
    events.extend(attack.map(|ms| plain(KEY, START.after(Duration::from_millis(ms)))));
    events.sort_by_key(|event| event.time);
    let end = START.after(Duration::from_secs(begins + 3 * 3600));
    let (told, open) = incidents_of(events.into_iter().filter(|event| event.time < end));
    assert_eq!((told.len(), open.len()), (1, 1), "{told:?} {open:?}");
}

/// A key with a request each minute, up to before so many, where the watermark stands still.
fn used(minutes: u64) -> (Engine, u32) {
    let mut engine = Engine::new(Arc::new(Settings { partitions: 1, ..settings() }));
    for minute in 0..minutes {
        engine.observe(&plain(KEY, START.after(Duration::from_mins(minute))), None, &mut Vec::new());
    }
    let index = engine.table.find(&KEY).unwrap();
    (engine, index)
}

#[test]
fn a_key_that_becomes_mature_as_an_incident_opens_is_announced_to_its_groups() {
    let is_in_groups = |(engine, index): &(Engine, u32)| engine.table.hot(*index).is_in_groups();
    let mature = (2 * 1440..5 * 1440).step_by(60).find(|minutes| is_in_groups(&used(*minutes))).unwrap();
    let minutes = (mature - 60..=mature).find(|minutes| is_in_groups(&used(*minutes))).unwrap();
    // The hour is open while the watermark is not known, and has closed with it.
    let (mut engine, index) = used(minutes - 4);
    engine.watermark = START.after(Duration::from_mins(minutes - 5));
    assert!(!engine.table.hot(index).is_in_groups() && engine.newcomers.is_empty());
    engine.set_frozen(index, true, second_of(engine.watermark));
    assert!(engine.table.hot(index).is_in_groups());
    assert_eq!(engine.newcomers.keys().collect::<Vec<_>>(), [&0]);
}
