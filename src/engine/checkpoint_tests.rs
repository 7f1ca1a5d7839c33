//! Tests of a state that is taken back with other reference data in force than it was written with.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    catalogue::{self, Catalogue},
    engine::{Engines, IdKey, Input, MemoryLimits, Reference, Settings, counters::tests::rule},
    event::{Event, Name, testing::plain},
    respond::{Caps, FRESH_WITHIN},
};

const START: EventTime = EventTime(1_800_000_000_000);

fn key(n: u8) -> KeyId {
    KeyId { kind: KeyKind::Credential, hash: [n; 16] }
}

fn settings() -> Settings {
    Settings {
        partitions: 2,
        limits: MemoryLimits::of_keys(50),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_hours(1),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    }
}

/// Engines in whose catalogue each of these tenants has a key, in their order.
fn engines(tenants: &[&str]) -> Engines {
    let entry = |(n, tenant): (u8, &&str)| catalogue::Entry {
        id: Some(key(n).to_string()),
        tenant: (*tenant).to_owned(),
        ..catalogue::Entry::default()
    };
    let entries = (1u8..).zip(tenants).map(entry).collect();
    let catalogue = Catalogue::new(entries, tenants.join("+")).unwrap();
    let mut engines = Engines::new(settings());
    let reference = Reference { catalogue: Arc::new(catalogue), ..Reference::default() };
    engines.apply(Input::Reference(&reference), &mut Vec::new());
    engines
}

/// A minute in which each of `keys` keys is used once a second.
fn use_keys(engines: &mut Engines, keys: u8) {
    for second in 0..60 {
        for n in 1..=keys {
            let time = START.after(Duration::from_secs(second));
            engines.apply_events(&[plain(key(n), time)], &mut Vec::new());
            engines.make_mature(&key(n));
        }
    }
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn written_or_gone(engines: &mut Engines) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut entries = Vec::new();
    engines.checkpoint(&mut |key, value| entries.push((key.to_vec(), value.map(<[u8]>::to_vec))));
    entries
}

fn written(engines: &mut Engines) -> Entries {
    let written = written_or_gone(engines).into_iter();
    let mut entries: Entries = written.filter_map(|(key, value)| Some((key, value?))).collect();
    // A store gives them back in this order.
    entries.sort();
    entries
}

fn restored(tenants: &[&str], entries: &Entries) -> Engines {
    let mut engines = engines(tenants);
    for (key, value) in entries {
        engines.restore(key, value).unwrap();
    }
    engines
}

#[test]
fn a_restart_with_the_same_tenants_forgets_nothing() {
    let mut before = engines(&["a", "b"]);
    use_keys(&mut before, 2);
    let entries = written(&mut before);
    let mut after = restored(&["a", "b"], &entries);
    assert_eq!(after.uses(), before.uses());
    let fleet = |entries: &Entries| entries.iter().find(|(key, _)| key == b"fleet").cloned();
    assert_eq!(fleet(&written(&mut after)), fleet(&entries));
}

/// How a tenant's group is used, where `tenants` are those of the catalogue.
fn use_of(engines: &Engines, tenants: &[&str], tenant: &str) -> Option<crate::detect::GroupUse> {
    let number = tenants.iter().position(|known| *known == tenant)?;
    Some(engines.uses()[number + 1])
}

#[test]
fn a_tenant_that_comes_or_goes_leaves_the_others_what_is_known_of_them() {
    let tenants = ["b", "d"];
    let before = || {
        let mut engines = engines(&tenants);
        use_keys(&mut engines, 2);
        // The groups are not used alike, and not all of it has been counted at a tick.
        let more = plain(key(2), START.after(Duration::from_millis(59_500)));
        engines.apply_events(&[more; 7], &mut Vec::new());
        engines
    };
    let tick = |engines: &mut Engines| {
        let event = plain(key(99), START.after(Duration::from_secs(66)));
        engines.apply_events(&[event], &mut Vec::new());
    };
    let mut undisturbed = before();
    tick(&mut undisturbed);
    let entries = written(&mut before());
    for others in [&["a", "b", "d"][..], &["b"], &["c", "d"], &["b", "c", "d"], &[]] {
        let reloaded = {
            let mut engines = before();
            let reference = self::engines(others).reference().clone();
            engines.apply(Input::Reference(&reference), &mut Vec::new());
            engines
        };
        for mut after in [reloaded, restored(others, &entries)] {
            tick(&mut after);
            assert_eq!(after.uses().len(), others.len() + 1, "{others:?}");
            assert_eq!(after.uses()[0], undisturbed.uses()[0], "{others:?}: the fleet");
            for tenant in others {
                let used = use_of(&after, others, tenant).unwrap();
                match use_of(&undisturbed, &tenants, tenant) {
                    Some(known) => assert_eq!(used, known, "{others:?}: {tenant}"),
                    None => assert!(
                        used.observed.iter().sum::<f64>().abs() < f64::EPSILON,
                        "{others:?}: {tenant} is new"
                    ),
                }
            }
        }
    }
    let (b, d) = (use_of(&undisturbed, &tenants, "b"), use_of(&undisturbed, &tenants, "d"));
    assert_ne!(b, d, "else nothing is tested");
}

#[test]
fn a_key_that_is_evicted_leaves_nothing_behind() {
    let mut engines = engines(&[]);
    let mut entries = std::collections::BTreeMap::new();
    for n in 1..=200 {
        let alias = Some(KeyId { kind: KeyKind::Raw, hash: [n; 16] });
        let event = Event { alias, ..plain(key(n), START.after(Duration::from_secs(n.into()))) };
        engines.apply_events(&[event], &mut Vec::new());
        engines.apply(Input::Watermark(event.time), &mut Vec::new());
        for (key, value) in written_or_gone(&mut engines) {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
    }
    let of = |kind| entries.keys().filter(|key| key.get(3) == Some(&kind)).count();
    let kept = engines.counts().map(|counts| counts.keys).sum::<u64>();
    assert!((90..=100).contains(&kept), "{kept} of 200 are kept");
    assert_eq!((of(b'k') as u64, of(b'i') as u64), (kept, kept), "profiles and aliases");
}

/// Two rules that count, or the first of them.
fn counting(both: bool) -> String {
    let share = "  match: { status: [403] }\n  over: 1m\n  more_than: 20\n  share_of: all\n  at_least: 2\n";
    let routes = "  match: { status: [4xx] }\n  over: 5m\n  more_than: 2\n  distinct: route\n";
    let routes = if both { rule("routes", routes) } else { String::new() };
    rule("refused-share", share) + &routes
}

fn under(engines: &mut Engines, rules: &str) {
    let rules = crate::rules::RuleSet::compile(&[("r.yaml".to_owned(), rules.to_owned())]).unwrap();
    let reference = Reference { rules: Arc::new(rules), ..Reference::default() };
    engines.apply(Input::Reference(&reference), &mut Vec::new());
}

/// Requests of more keys than there is room for, every third refused, on five routes; what came of them.
fn play(engines: &mut Engines, seconds: std::ops::Range<u32>) -> Vec<crate::engine::Effect> {
    let mut effects = Vec::new();
    for n in seconds {
        let time = START.after(Duration::from_secs(n.into()));
        // Some keys come often, and some once in a while.
        let number = if n % 2 == 0 { n / 2 % 7 } else { 7 + n / 2 % 140 };
        let status = if n % 3 == 0 { 403 } else { 200 };
        let route = Name::new(["/a", "/b", "/c", "/d", "/e"][n as usize % 5]);
        let event = Event { status: Some(status), route, ..plain(key(u8::try_from(number).unwrap()), time) };
        engines.apply_events(&[event], &mut effects);
        if n % 10 == 9 {
            engines.apply(Input::Watermark(time), &mut effects);
        }
    }
    effects
}

#[test]
fn counters_are_after_a_restart_what_they_were_whenever_it_comes() {
    for at in [1u32, 7, 250, 600, 601, 900, 1_500] {
        let mut before = engines(&[]);
        under(&mut before, &counting(true));
        play(&mut before, 0..at);
        let entries = written(&mut before);
        let mut after = engines(&[]);
        under(&mut after, &counting(true));
        for (key, value) in &entries {
            after.restore(key, value).unwrap();
        }
        let expected = play(&mut before, at..at + 900);
        assert!(!expected.is_empty(), "{at}");
        assert_eq!(play(&mut after, at..at + 900), expected, "{at}");
        assert_eq!(written(&mut after), written(&mut before), "{at}");
        // A rule goes, right after a checkpoint; the other counts on.
        for engines in [&mut before, &mut after] {
            under(engines, &counting(false));
        }
        let expected = play(&mut before, at + 900..at + 1_200);
        assert_eq!(play(&mut after, at + 900..at + 1_200), expected, "{at}");
        assert_eq!(written_or_gone(&mut after), written_or_gone(&mut before), "{at}");
    }
}

/// What a store has after entries were given to it.
type Store = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

fn give(store: &mut Store, engines: &mut Engines, most: usize) -> bool {
    engines.write_checkpoint(most, &mut |key, value| match value {
        Some(value) => drop(store.insert(key.to_vec(), value.to_vec())),
        None => drop(store.remove(key)),
    })
}

/// More keys than fit, many of them seen once, some again and again, some refused.
fn crowd(engines: &mut Engines, requests: std::ops::Range<u32>) -> Vec<crate::engine::Effect> {
    let mut effects = Vec::new();
    for n in requests {
        let time = START.after(Duration::from_millis(u64::from(n) * 700));
        let number = if n % 3 == 0 { n % 37 } else { n.wrapping_mul(2_654_435_761) >> 8 };
        let mut hash = [0; 16];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash[7] = hash[3];
        let key = KeyId { kind: KeyKind::Credential, hash };
        let alias = (n % 5 == 0).then_some(KeyId { kind: KeyKind::Raw, ..key });
        let status = if n % 7 == 0 { 403 } else { 200 };
        engines.apply_events(&[Event { status: Some(status), alias, ..plain(key, time) }], &mut effects);
        if n % 10 == 9 {
            engines.apply(Input::Watermark(time), &mut effects);
        }
    }
    effects
}

#[test]
fn a_checkpoint_in_pieces_has_the_state_of_its_beginning_while_keys_change_and_go() {
    for (at, pieces) in [(1u32, 1usize), (100, 3), (333, 1), (700, 7), (1_500, 2)] {
        let (mut before, mut store) = (engines(&[]), Store::new());
        under(&mut before, &counting(true));
        crowd(&mut before, 0..at / 2);
        before.begin_checkpoint();
        give(&mut store, &mut before, usize::MAX);
        crowd(&mut before, at / 2..at);
        before.begin_checkpoint();
        let (mut now, mut effects, mut done) = (at, Vec::new(), false);
        while !done {
            done = give(&mut store, &mut before, pieces);
            effects.extend(crowd(&mut before, now..now + 5));
            now += 5;
        }
        assert!(at < 100 || now > at + 50, "{at}: it was written while {} requests came", now - at);
        // A crash now: the checkpoint is restored, and what came since it began is replayed, read at another time.
        let mut after = engines(&[]);
        under(&mut after, &counting(true));
        for (key, value) in &store {
            after.restore(key, value).unwrap();
        }
        after.read_at(START.after(Duration::from_hours(9)));
        assert_eq!(crowd(&mut after, at..now), effects, "{at}");
        let keys = |engines: &Engines| engines.counts().map(|counts| counts.keys).collect::<Vec<_>>();
        assert_eq!(keys(&after), keys(&before), "{at}");
        assert!(at < 100 || keys(&after).iter().all(|keys| (45..=50).contains(keys)), "{at}");
        for engines in [&mut before, &mut after] {
            crowd(engines, now..now + 700);
        }
        let stores = [(&mut before, store.clone()), (&mut after, store)].map(|(engines, mut store)| {
            engines.begin_checkpoint();
            assert!(give(&mut store, engines, usize::MAX));
            store
        });
        assert_eq!(stores[0].len(), stores[1].len(), "{at}");
        assert!(stores[0] == stores[1], "{at}: entries differ");
        let profiles = stores[0].keys().filter(|key| key.get(3) == Some(&b'k')).count() as u64;
        assert_eq!(profiles, keys(&before).iter().sum::<u64>(), "{at}: nothing of what went stays");
    }
}

#[test]
fn a_start_with_less_memory_keeps_what_is_worth_most_and_forgets_the_rest_for_good() {
    let (mut before, mut store) = (engines(&[]), Store::new());
    for n in 1..=100u8 {
        // The first twenty are used all day long.
        let times = if n <= 20 { 60 } else { 1 };
        for time in 0..times {
            let at = START.after(Duration::from_mins(time));
            before.apply_events(&[plain(key(n), at)], &mut Vec::new());
        }
    }
    before.begin_checkpoint();
    give(&mut store, &mut before, usize::MAX);
    let mut small = Engines::new(Settings { limits: MemoryLimits::of_keys(20), ..settings() });
    for (key, value) in &store {
        small.restore(key, value).unwrap();
    }
    small.begin_checkpoint();
    give(&mut store, &mut small, usize::MAX);
    let kept: Vec<u8> = store.keys().filter(|key| key.get(3) == Some(&b'k')).map(|key| key[5]).collect();
    assert!((36..=40).contains(&kept.len()), "{kept:?}");
    assert!((1..=20).all(|n| kept.contains(&n)), "{kept:?}");
}

#[test]
fn an_input_that_is_forgotten_has_no_name_in_any_partition() {
    let mut engines = engines(&[]);
    for input in 0..10_000 {
        engines.name_input(input, &format!("file:{input}"));
        engines.forget_input(input.saturating_sub(1));
    }
    assert_eq!(engines.inputs(), 1);
}
