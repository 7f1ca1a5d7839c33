//! Tests of what keeps a stranger with a public key from getting its honest users refused.

use std::{sync::Arc, time::Duration};

use crate::{
    catalogue::{Catalogue, Entry, KeyClass},
    engine::{Effect, Engines, IdKey, Input, MemoryLimits, Reference, Settings, testing::play},
    event::{
        ClientAddress, Country, Event, EventTime, KeyId, KeyKind, NetworkType, Place, Refusal, stable_hash,
        testing::plain,
    },
    incident::{Incident, Severity},
    respond::{Caps, Decision, FRESH_WITHIN, Mode, Step},
    rules::RuleSet,
};

const START: EventTime = EventTime(1_800_000_000_000);
const DAYS: u64 = 4;
const KEY: KeyId = KeyId { kind: KeyKind::Credential, hash: [1; 16] };
const HOME: u32 = 64_500;
const RENTED: u32 = 64_999;

fn engines(entry: Option<Entry>) -> Engines {
    let mut engines = Engines::new(Settings {
        partitions: 1,
        limits: MemoryLimits::of_keys(100),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_mins(5),
        fresh_within: FRESH_WITHIN,
        caps: Caps { share_of_active_keys: 1.0, ..Caps::default() },
    });
    let catalogue = Catalogue::new(entry.into_iter().collect(), "c".to_owned()).unwrap();
    let reference = Reference {
        rules: Arc::new(RuleSet::shipped()),
        catalogue: Arc::new(catalogue),
        mode: Mode::Enforce,
        ..Reference::default()
    };
    engines.apply(Input::Reference(&reference), &mut Vec::new());
    engines
}

fn of(class: KeyClass) -> Entry {
    Entry { id: Some(KEY.to_string()), class, ..Entry::default() }
}

/// Where a client is: the number of its /24, 0 = not known, and its autonomous system.
fn from(event: Event<'static>, network: u64, asn: u32) -> Event<'static> {
    let prefix = if network == 0 { 0 } else { 1 << 63 | network };
    let country = if asn == 0 { Country::UNKNOWN } else { Country(*b"IE") };
    let network_type = if asn == RENTED { NetworkType::Hosting } else { NetworkType::Unknown };
    let place = Place { country, asn, network_type, ..Place::default() };
    Event { address: ClientAddress { prefix, hash: stable_hash(&prefix.to_be_bytes()) }, place, ..event }
}

type Learnt = Vec<(Vec<u8>, Vec<u8>)>;

fn restore(engines: &mut Engines, learnt: &Learnt) {
    for (key, value) in learnt {
        engines.restore(key, value).unwrap();
    }
}

/// A key that people all over the world use twelve times a minute, each from a network of its own. Of some, the
/// autonomous system is known.
fn learnt(asn: u32) -> Learnt {
    let mut engines = engines(None);
    let usual = (0..DAYS * 86_400 / 5).map(|n| {
        let request = plain(KEY, START.after(Duration::from_secs(5 * n)));
        from(request, 1 + n % 5_000, asn)
    });
    let mut effects = Vec::new();
    play(&mut engines, usual, &mut effects);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Incident(_))), "{effects:?}");
    let mut entries = Vec::new();
    engines.checkpoint(&mut |key, value| entries.extend(value.map(|value| (key.to_vec(), value.to_vec()))));
    entries
}

/// What comes of an attack.
struct AttackOutcome {
    incident: Incident,
    decisions: Vec<Decision>,
}

/// Fifteen seconds of thirty requests a second that are refused or find nothing. `place` says where each is from.
fn attacked(learnt: &Learnt, entry: Option<Entry>, place: impl Fn(u64) -> (u64, u32)) -> AttackOutcome {
    let start = START.after(Duration::from_hours(DAYS * 24));
    let attack = (0..450).map(|n| {
        let time = start.after(Duration::from_millis(n * 1_000 / 30));
        let (status, refusal) = if n % 2 == 0 { (403, Refusal::Upstream) } else { (404, Refusal::None) };
        let (network, asn) = place(n);
        from(Event { status: Some(status), refusal, ..plain(KEY, time) }, network, asn)
    });
    seen(learnt, entry, attack)
}

/// What comes of these requests.
fn seen(
    learnt: &Learnt,
    entry: Option<Entry>,
    requests: impl Iterator<Item = Event<'static>>,
) -> AttackOutcome {
    let mut engines = engines(entry);
    restore(&mut engines, learnt);
    let mut effects = Vec::new();
    play(&mut engines, requests, &mut effects);
    let (mut incident, mut decisions) = (None, Vec::new());
    for effect in effects {
        match effect {
            Effect::Incident(newer) => incident = Some(*newer),
            Effect::Decision(decision) => decisions.push(*decision),
            _ => {}
        }
    }
    AttackOutcome { incident: incident.expect("people are told"), decisions }
}

#[track_caller]
fn withheld(seen: &AttackOutcome) {
    assert!(seen.decisions.is_empty(), "{:?}", seen.decisions);
    let held = seen.incident.held.iter().map(|held| (held.step, held.by.as_str())).collect::<Vec<_>>();
    assert_eq!(held, [(Step::Throttle, "origin")]);
    assert!(
        seen.incident.severity >= Severity::High && seen.incident.steps.is_empty(),
        "{:?}",
        seen.incident
    );
}

#[track_caller]
fn throttled(seen: &AttackOutcome) {
    let [decision] = &seen.decisions[..] else { panic!("{:?} {:?}", seen.decisions, seen.incident) };
    assert_eq!(decision.step, Step::Throttle);
    assert!(seen.incident.held.is_empty(), "{:?}", seen.incident);
}

#[test]
fn nobody_gets_the_users_of_a_public_key_refused_from_one_network() {
    let learnt = learnt(0);
    let public = [
        Some(of(KeyClass::Mobile)),
        Some(of(KeyClass::Browser)),
        Some(of(KeyClass::Unknown)),
        Some(Entry { id: Some(KEY.to_string()), ..Entry::default() }),
        None,
    ];
    for entry in public {
        withheld(&attacked(&learnt, entry.clone(), |_| (900_000, 0)));
        withheld(&attacked(&learnt, entry, |_| (0, 0)));
    }
    let mobile = || Some(of(KeyClass::Mobile));
    withheld(&attacked(&learnt, mobile(), |n| (900_000 + n % 4, 0)));
    withheld(&attacked(&learnt, mobile(), |n| (900_000 + n % 100, RENTED)));
    throttled(&attacked(&learnt, mobile(), |n| (900_000 + n % 100, 0)));
    throttled(&attacked(&learnt, Some(of(KeyClass::Server)), |_| (900_000, 0)));
}

#[test]
fn honest_users_beside_a_flood_are_no_evidence_from_many_networks() {
    let learnt = learnt(0);
    let start = START.after(Duration::from_hours(DAYS * 24));
    // Three minutes of five requests a second, two in five of them from one network, the others from as many as ever. The
    // order is mixed, in several ways: which request a spike is judged at must not follow a pattern.
    let requests = |order: u64| {
        (0..900).map(move |n: u64| {
            let mixed = stable_hash(&[order.to_be_bytes(), n.to_be_bytes()].concat());
            let network = if mixed % 5 < 2 { 900_000 } else { 1 + mixed / 5 % 5_000 };
            from(plain(KEY, start.after(Duration::from_millis(n * 200))), network, 0)
        })
    };
    for order in 0..12 {
        withheld(&seen(&learnt, Some(of(KeyClass::Mobile)), requests(order)));
        withheld(&seen(&learnt, None, requests(order)));
    }
    throttled(&seen(&learnt, Some(of(KeyClass::Server)), requests(0)));
}

#[test]
fn a_network_that_is_new_to_the_key_tells_a_stranger() {
    let learnt = learnt(HOME);
    throttled(&attacked(&learnt, None, |_| (900_000, RENTED)));
    withheld(&attacked(&learnt, None, |_| (900_000, HOME)));
    withheld(&attacked(&learnt, Some(of(KeyClass::Mobile)), |_| (900_000, RENTED)));
}

#[test]
fn one_client_that_goes_on_does_not_keep_a_public_key_throttled() {
    let learnt = learnt(0);
    for (class, ends) in [(KeyClass::Mobile, true), (KeyClass::Server, false)] {
        let mut engines = engines(Some(of(class)));
        restore(&mut engines, &learnt);
        let start = START.after(Duration::from_hours(DAYS * 24));
        let request = |n: u64| plain(KEY, start.after(Duration::from_millis(n * 100)));
        let many = (0..300).map(|n| from(Event { status: Some(403), ..request(n) }, 900_000 + n, 0));
        let mut effects = Vec::new();
        play(&mut engines, many, &mut effects);
        let of_step = |effects: &[Effect]| {
            effects.iter().filter(|effect| matches!(effect, Effect::Decision(_))).count()
        };
        assert_eq!(of_step(&effects), 1, "{class:?}");
        let ours = |n| Event { status: Some(429), refusal: Refusal::Ours, ..from(request(n), 900_000, 0) };
        play(&mut engines, (300..6_000).map(ours), &mut effects);
        assert_eq!(of_step(&effects) == 1, ends, "{class:?}");
    }
}
