//! Checkpoints: the state as bytes, and back.
//!
//! The first byte chooses. Of entries with any bytes each is taken or refused with an error, and the engines go on; what
//! was taken is written in a form that is taken again. Of engines that have seen requests, those that were restored from
//! a checkpoint go on like those that were never stopped: the same effects, and the same state at the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use keyhound::{
    engine::{Action, Command, Effect, Engines, IdKey, Input, MemoryLimits, Reference, Settings},
    event::{Country, Event, EventTime, Flags, KeyId, KeyKind, Method, Name, Position, Refusal, stable_hash},
    respond::{Caps, FRESH_WITHIN, Mode, Step},
    rules::RuleSet,
};

use super::{memory::bounded, rules::COUNTS};

const START: EventTime = EventTime(1_795_327_660_000);
/// Requests of one operation at most.
const REQUESTS_MAX: u64 = 64;
/// Operations of one input at most.
const OPERATIONS_MAX: usize = 200;
/// What an entry may make the engines hold, and each byte of it: a slab's next page, a route's histograms.
const HELD: usize = 4 << 20;
const HELD_OF_BYTE: usize = 256;

/// The entries of a state, by their keys.
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// All kinds of state come of these. The tables of the shipped rules take a second to make without optimisation.
fn rules() -> Arc<RuleSet> {
    static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
        let mut files = vec![("counts.yaml".to_owned(), COUNTS.to_owned())];
        files.extend(RuleSet::shipped_files().into_iter().filter(|(name, _)| name.contains("errors")));
        Arc::new(RuleSet::compile(&files).expect("valid rules"))
    });
    Arc::clone(&RULES)
}

fn engines() -> Engines {
    let mut engines = Engines::new(Settings {
        partitions: 2,
        limits: MemoryLimits::of_keys(4),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_mins(30),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    });
    let reference = Reference { rules: rules(), mode: Mode::Enforce, ..Reference::default() };
    engines.apply(Input::Reference(&reference), &mut Vec::new());
    engines
}

/// Operations; entries of a state that has seen them, as they are and one byte off.
pub fn seeds() -> Vec<Vec<u8>> {
    let operations: [&[u8]; 4] = [
        &[0, 60, 1, 60, 0, 60, 4, 0, 0, 60, 7, 0, 0, 9],
        &[0, 63, 16, 63, 32, 63, 48, 63, 5, 200, 64, 63, 80, 63, 7, 0, 16, 63, 2, 9],
        &[0, 63, 6, 1, 0, 63, 3, 5, 6, 2, 7, 0, 1, 63, 6, 3, 5, 255, 5, 255, 0, 63],
        &[1, 63, 5, 255, 1, 63, 5, 255, 1, 63, 7, 1, 5, 255, 1, 63, 6, 0, 1, 63],
    ];
    let mut seeds: Vec<Vec<u8>> = operations.iter().map(|operations| [&[1], *operations].concat()).collect();
    for operations in operations {
        let mut engines = engines();
        let mut now = START;
        for operation in operations.chunks_exact(2) {
            drop(operate(&mut engines, operation[0], operation[1], &mut now));
        }
        let mut entries = Entries::new();
        write(&mut engines, usize::MAX, &mut entries);
        for (key, value) in entries {
            let length = u16::try_from(value.len()).expect("an entry is small");
            let head =
                [&[0, u8::try_from(key.len()).expect("short")], &key[..], &length.to_be_bytes()].concat();
            seeds.push([head, value].concat());
        }
    }
    seeds
}

pub fn run(input: &[u8]) {
    match input.split_first() {
        Some((mode, rest)) if mode % 2 == 0 => damaged(rest),
        Some((_, rest)) => restarted(rest),
        None => {}
    }
}

/// Entries of any bytes: each a length, a key, a length, a value.
fn damaged(mut rest: &[u8]) {
    let mut engines = engines();
    while let Some((key, value, after)) = entry(rest) {
        // An error says what is wrong, and nothing is taken.
        let taken = bounded(HELD + HELD_OF_BYTE * value.len(), || engines.restore(key, value));
        if let Err(error) = taken {
            assert!(!error.to_string().is_empty());
        }
        rest = after;
    }
    let mut now = START;
    for (kind, much) in [(0, 20), (1, 20), (5, 9), (0, 20), (4, 0)] {
        drop(operate(&mut engines, kind, much, &mut now));
    }
    let mut entries = Entries::new();
    write(&mut engines, usize::MAX, &mut entries);
    drop(restored(&entries));
}

fn entry(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = rest.split_first()?;
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (value, rest) = rest.split_at(length);
    Some((key, value, rest))
}

fn restored(entries: &Entries) -> Engines {
    let mut engines = engines();
    for (key, value) in entries {
        let taken = engines.restore(key, value);
        assert!(taken.is_ok(), "{}: {:?}", key.escape_ascii(), taken.err());
    }
    engines
}

/// Writes a checkpoint over the entries of the one before, `most` entries at a time.
fn write(engines: &mut Engines, most: usize, entries: &mut Entries) {
    engines.begin_checkpoint();
    let mut put = |key: &[u8], value: Option<&[u8]>| match value {
        Some(value) => drop(entries.insert(key.to_vec(), value.to_vec())),
        None => drop(entries.remove(key)),
    };
    while !engines.write_checkpoint(most, &mut put) {}
}

/// Two bytes an operation. Each checkpoint on the way is taken by engines that go on beside the first ones.
fn restarted(operations: &[u8]) {
    let (mut first, mut now) = (engines(), START);
    let mut entries = Entries::new();
    let mut beside: Option<(Engines, Entries)> = None;
    for operation in operations.chunks_exact(2).take(OPERATIONS_MAX) {
        let (kind, much) = (operation[0], operation[1]);
        if kind % 8 == 7 {
            write(&mut first, usize::from(much) + 1, &mut entries);
            if let Some((mut beside, mut kept)) = beside.take() {
                write(&mut beside, usize::MAX, &mut kept);
                assert_equal(&entries, &kept);
            }
            beside = Some((restored(&entries), entries.clone()));
            continue;
        }
        let before = now;
        let effects = operate(&mut first, kind, much, &mut now);
        if let Some((beside, _)) = &mut beside {
            assert_eq!(effects, operate(beside, kind, much, &mut before.clone()), "effects");
        }
    }
    if let Some((mut beside, mut kept)) = beside {
        write(&mut first, usize::MAX, &mut entries);
        write(&mut beside, usize::MAX, &mut kept);
        assert_equal(&entries, &kept);
    }
}

fn assert_equal(expected: &Entries, found: &Entries) {
    for (key, value) in expected {
        let other = found.get(key);
        let shown = |value: Option<&Vec<u8>>| value.map(|value| value.escape_ascii().to_string());
        assert!(
            other == Some(value),
            "entry {}: {:?}, {:?}",
            key.escape_ascii(),
            shown(Some(value)),
            shown(other)
        );
    }
    assert_eq!(expected.len(), found.len(), "entries");
}

/// Applies one operation: requests of one of 16 keys, a jump of time, a watermark, a command.
fn operate(engines: &mut Engines, kind: u8, much: u8, now: &mut EventTime) -> Vec<Effect> {
    let mut effects = Vec::new();
    // No key's hash is 0, which stands for none.
    let n = (kind >> 4) + 1;
    let key = KeyId { kind: KeyKind::Raw, hash: [n; 16] };
    engines.read_at(*now);
    match kind % 8 {
        // Served, refused, with much in them, unreadable.
        0..=3 => {
            for request in 0..u64::from(much) % REQUESTS_MAX {
                *now = now.after(Duration::from_millis(700));
                let event = request_of(key, kind % 4, request, *now);
                engines.apply(Input::Event(&event), &mut effects);
                engines.settle(&mut effects);
            }
        }
        4 => engines.apply(Input::Watermark(*now), &mut effects),
        5 => *now = now.after(Duration::from_mins(7) * u32::from(much)),
        _ => {
            let action = match much % 4 {
                0 => Action::Pause,
                1 => Action::Resume,
                2 => Action::Take { key: key.to_string(), step: Step::Revoke, for_seconds: 900 },
                _ => Action::Lift { key: key.to_string() },
            };
            let by = "an operator".to_owned();
            let command =
                Command { sequence: 0, at_ms: now.0, by, from: String::new(), reason: String::new(), action };
            engines.apply(Input::Command(&command), &mut effects);
        }
    }
    engines.settle(&mut effects);
    effects
}

fn request_of(key: KeyId, kind: u8, n: u64, time: EventTime) -> Event<'static> {
    let position = Position { offset: time.0, ..Position::default() };
    let unreadable = Event::unreadable(key, time, position);
    if kind == 3 {
        return unreadable;
    }
    let route = ["/v1/a", "/v1/b", "/v1/c"][usize::from(key.hash[0]) % 3];
    let mut event = Event {
        method: Method::Get,
        status: Some(if kind == 1 { 403 } else { 200 }),
        refusal: if kind == 1 { Refusal::Gateway } else { Refusal::None },
        flags: Flags::default(),
        route: Name::new(route),
        agent: Name::new("acme-sdk/4.2"),
        response_bytes: Some(if kind == 2 { 90_000_000 } else { 900 }),
        latency_us: Some(if kind == 2 { 9_000_000 } else { 900 }),
        request_id: if n.is_multiple_of(2) { 0 } else { n },
        alias: key.hash[0].is_multiple_of(2).then_some(KeyId { kind: KeyKind::Credential, ..key }),
        ..unreadable
    };
    event.address.hash = stable_hash(&[key.hash[0], kind, u8::try_from(n % 50).unwrap_or_default()]);
    event.address.prefix = event.address.hash >> 8;
    event.place.asn = 64_500 + u32::from(key.hash[0]) + u32::from(kind);
    event.place.country = Country::parse(["DE", "US", "VN"][usize::from(kind)]);
    event
}
