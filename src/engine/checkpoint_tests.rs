//! Tests of a state that is taken back with other reference data in force than it was written with.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    catalogue::{self, Catalogue},
    engine::{Engines, IdKey, Input, Reference, Settings, counters::tests::rule},
    event::{Event, Name, testing::plain},
    respond::{Caps, FRESH_WITHIN},
};

const START: EventTime = EventTime(1_800_000_000_000);

fn key(n: u8) -> KeyId {
    KeyId { kind: KeyKind::Credential, hash: [n; 16] }
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
    let mut engines = Engines::new(Settings {
        partitions: 2,
        keys_max: 100,
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_hours(1),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    });
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
    written_or_gone(engines).into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
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

#[test]
fn a_restart_with_other_tenants_starts_theirs_anew_and_keeps_the_fleet() {
    let mut before = engines(&["a", "b"]);
    use_keys(&mut before, 2);
    let entries = written(&mut before);
    for tenants in [&["a", "b", "c"][..], &["a"], &["b", "c"], &[]] {
        let after = restored(tenants, &entries);
        assert_eq!(after.uses()[0], before.uses()[0], "{tenants:?}");
        assert_eq!(after.uses().len(), tenants.len() + 1, "{tenants:?}");
        let tenants_use: f64 = after.uses()[1..].iter().flat_map(|group| group.observed).sum();
        assert!(tenants_use.abs() < f64::EPSILON, "{tenants:?}: another tenant may have had the number");
    }
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
