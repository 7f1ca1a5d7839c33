//! Tests of what a group's rise excuses: a crowd of most keys, and never a flood beside a stolen key.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use super::*;
use crate::{
    engine::{Effect, Engines, Input, MemoryLimits, Reference, Settings, testing::settings},
    event::{Event, KeyId, KeyKind, testing::plain},
    incident::Severity,
    rules::RuleSet,
};

const START: EventTime = EventTime(1_800_000_000_000);
const KEYS: u64 = 100;
/// Keys that a hostile caller has used now and then for days, so that their profiles are mature.
const SLEEPERS: u64 = 10;
const DAY_MS: u64 = 86_400_000;
const LEARNT: EventTime = EventTime(START.0 + 4 * DAY_MS);

fn key(n: u64) -> KeyId {
    let hash = (u128::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    KeyId { kind: KeyKind::Credential, hash: hash.to_be_bytes() }
}

fn engines() -> Engines {
    let mut engines = Engines::new(Settings { limits: MemoryLimits::of_keys(100_000), ..settings() });
    let reference = Reference { rules: Arc::new(RuleSet::shipped()), ..Reference::default() };
    engines.apply(Input::Reference(&reference), &mut Vec::new());
    engines
}

/// Requests of one key, or of `keys` keys from this number on that take turns.
#[derive(Clone, Copy)]
struct Stream {
    first: u64,
    keys: u64,
    per_minute: u64,
    status: u16,
}

const fn served(first: u64, keys: u64, per_minute: u64) -> Stream {
    Stream { first, keys, per_minute, status: 200 }
}

const USUAL: [Stream; 2] = [served(0, KEYS, KEYS), served(KEYS, SLEEPERS, SLEEPERS / 10)];

/// All streams from `from` to `to` in the order of time, each evenly spaced, until people are told of the key `told_of`.
fn play(
    engines: &mut Engines,
    streams: &[Stream],
    from: EventTime,
    to: EventTime,
    told_of: Option<KeyId>,
    effects: &mut Vec<Effect>,
) {
    let mut next: Vec<(u64, u64)> = streams.iter().map(|_| (from.0, 0)).collect();
    let mut batch: Vec<Event<'_>> = Vec::new();
    while let Some((i, (ms, n))) = next.iter().copied().enumerate().min_by_key(|(_, (ms, _))| *ms) {
        if ms >= to.0 {
            break;
        }
        let Stream { first, keys, per_minute, status } = streams[i];
        batch.push(Event { status: Some(status), ..plain(key(first + n % keys), EventTime(ms)) });
        next[i] = (from.0 + (n + 1) * 60_000 / per_minute, n + 1);
        if batch.len() == 256 {
            apply(engines, &mut batch, effects);
            if told_of.is_some_and(|key| told_at(effects, &key).is_some()) {
                return;
            }
        }
    }
    apply(engines, &mut batch, effects);
}

fn apply(engines: &mut Engines, batch: &mut Vec<Event<'_>>, effects: &mut Vec<Effect>) {
    engines.apply_events(batch, effects);
    engines.settle(effects);
    if let Some(last) = batch.last() {
        engines.apply(Input::Watermark(last.time.before(Duration::from_secs(10))), effects);
        engines.settle(effects);
    }
    batch.clear();
}

type Learnt = Vec<(Vec<u8>, Vec<u8>)>;

/// Learning takes longer than all that comes of it.
static LEARNT_BEFORE: LazyLock<Learnt> = LazyLock::new(learnt);

/// Four days of keys that are used once a minute.
fn learnt() -> Learnt {
    let mut engines = engines();
    let mut effects = Vec::new();
    play(&mut engines, &USUAL, START, LEARNT, None, &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
    let mut entries = Vec::new();
    engines.checkpoint(&mut |key, value| entries.extend(value.map(|value| (key.to_vec(), value.to_vec()))));
    entries
}

/// When people were told of a key with high severity.
fn told_at(effects: &[Effect], key: &KeyId) -> Option<EventTime> {
    effects.iter().find_map(|effect| match effect {
        Effect::Incident(incident)
            if incident.severity >= Severity::High && incident.subject.id == key.to_string() =>
        {
            EventTime::parse(&incident.detected_at)
        }
        _ => None,
    })
}

/// What five minutes with these streams beside the usual lead to, or less if people are told of `told_of` before.
fn five_minutes(learnt: &Learnt, beside: &[Stream], told_of: Option<KeyId>) -> Vec<Effect> {
    let mut engines = engines();
    for (key, value) in learnt {
        engines.restore(key, value).unwrap();
    }
    let mut effects = Vec::new();
    let streams = [&USUAL, beside].concat();
    let end = LEARNT.after(Duration::from_mins(5));
    play(&mut engines, &streams, LEARNT, end, told_of, &mut effects);
    effects
}

/// Requests of a stolen key at `per_minute` until people were told, with `flood` beside it.
fn found_after(learnt: &Learnt, per_minute: u64, flood: &[Stream]) -> Option<u64> {
    let stolen = key(7);
    let effects = five_minutes(learnt, &[&[served(7, 1, per_minute)], flood].concat(), Some(stolen));
    let took = told_at(&effects, &stolen)?.since(LEARNT);
    Some(took.as_secs() * per_minute / 60)
}

/// Batches of a second each, read when it is over, of a key that is stolen, from this second after what was learnt. A
/// request whose gateway's clock is a minute ahead comes before them. Gives the second after which people were told.
fn told_beside_a_clock_ahead(from: u64) -> Option<u64> {
    let mut engines = engines();
    for (key, value) in &*LEARNT_BEFORE {
        engines.restore(key, value).unwrap();
    }
    let mut effects = Vec::new();
    let at = |second: u64| LEARNT.after(Duration::from_secs(second));
    engines.read_at(at(0));
    engines.apply_events(&[plain(key(50), at(59))], &mut effects);
    for second in 0..from + 60 {
        engines.read_at(at(second + 1));
        let stolen = (0..20).map(|n| plain(key(7), at(second).after(Duration::from_millis(n * 50))));
        let usual = [plain(key(second % KEYS), at(second))];
        let mut batch: Vec<_> = usual.into_iter().chain(stolen.filter(|_| second >= from)).collect();
        apply(&mut engines, &mut batch, &mut effects);
        if told_at(&effects, &key(7)).is_some() {
            return Some(second + 1);
        }
    }
    None
}

#[test]
fn a_clock_that_is_ahead_delays_no_spike() {
    let told = told_beside_a_clock_ahead(7);
    assert!(told.is_some_and(|second| second <= 7 + 10), "told after {told:?} s, from 7 s on it is stolen");
}

#[test]
fn no_flood_hides_a_stolen_key() {
    let learnt = &*LEARNT_BEFORE;
    let invented = 1_000_000;
    let one = |per_second: u64| ("one invented key", served(invented, 1, per_second * 60));
    let invented = |per_second: u64| ("2,000 invented keys", served(invented, 2_000, per_second * 60));
    let stolen = ("another stolen key", served(9, 1, 300 * 60));
    let used = ("keys that were used for days", served(KEYS, SLEEPERS, 300 * 60));
    // Each flood at least once beside the slowest leak, which a group's rise excuses most easily.
    let floods = [
        (25, vec![one(300), invented(300), stolen, used]),
        (100, vec![invented(60), stolen]),
        (300, vec![one(60), used]),
    ];
    for (per_minute, floods) in floods {
        let without = found_after(learnt, per_minute, &[]).expect("nothing hides it");
        for (name, flood) in floods {
            let with = found_after(learnt, per_minute, &[flood]);
            let most = without + without / 4 + 5;
            assert!(
                with.is_some_and(|n| n <= most),
                "{per_minute}/min beside {name}, {}/min: {with:?}, alone {without}",
                flood.per_minute
            );
        }
    }
}

#[test]
fn after_a_pause_a_crowd_is_seen_as_before() {
    let mut groups = Groups::default();
    groups.renumber(&[0]);
    let minute = |n: u64| EventTime(START.0 + n * 60_000);
    let mut add = |n, requests| {
        let count = GroupCount { strict: requests, wide: requests, joined: 0 };
        let second = second_of(minute(n));
        groups.add(&Partial { at: minute(n), counts: vec![(0, second / 300, count)], newcomers: Vec::new() });
        groups.close(second / 60 - 15, &[]);
        let fleet = groups.context(minute(n)).groups[0];
        fleet.observed[0] / fleet.expected[0]
    };
    let days = 4 * 1_440;
    for n in 0..days {
        add(n, 200);
    }
    let crowd = days + 20;
    let rise = (crowd..crowd + 5).map(|n| add(n, 600)).fold(f64::MAX, f64::min);
    assert!(rise > 2.5, "three times the usual, {rise:.2} after a pause");
}

#[test]
fn what_most_keys_do_is_no_spike_of_each() {
    let learnt = &*LEARNT_BEFORE;
    let told = |beside: &[Stream]| {
        let effects = five_minutes(learnt, beside, None);
        effects.into_iter().filter(|effect| matches!(effect, Effect::Incident(_))).collect::<Vec<_>>()
    };
    for times in [3, 10, 25] {
        let crowd = served(0, KEYS, KEYS * (times - 1));
        assert_eq!(told(&[crowd]), [], "all keys, {times} times their usual");
    }
    let most = served(0, KEYS * 7 / 10, KEYS * 7 / 10 * 2);
    assert_eq!(told(&[most]), [], "seven in ten keys, three times their usual");
    let retries = Stream { status: 503, ..served(0, KEYS, KEYS * 20) };
    assert_eq!(told(&[retries]), [], "a storm of retries");
    assert!(!told(&[served(0, 10, 10 * 100)]).is_empty(), "ten keys are no crowd");
}
