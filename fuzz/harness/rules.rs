//! A rule file: whatever is written in it, it compiles or the fault is told with its place.
//!
//! What compiles does so again with the same version, and requests are judged by it.

use std::{sync::Arc, time::Duration};

use keyhound::{
    engine::{Engines, IdKey, Input, MemoryLimits, Reference, Settings},
    event::{Event, EventTime, Flags, KeyId, KeyKind, Method, Position},
    respond::{Caps, FRESH_WITHIN},
    rules::RuleSet,
};

use super::{seeds, settings::told};

const FILE: &str = "rules.yaml";
const START: EventTime = EventTime(1_795_327_660_000);

/// A rule that counts.
pub const COUNTS: &str = "- id: a\n  title: t\n  detector: count\n  match: { method: [GET], route: [/v1/*] }\n  over: 5m\n  more_than: 99\n\
    \x20 share_of: all\n  at_least: 2\n  where: key.plan != \"internal\"\n  severity: low\n\
    \x20 respond: alert\n  runbook: x.md\n  tests:\n  - { name: x, log: 1m a 1/min, expect: nothing }\n\
    \x20 - { name: y, log: 1m a 1/min, expect: alert a within 1m }\n";

/// The shipped rules, file by file and one by one, and one that counts.
pub fn seeds() -> Vec<Vec<u8>> {
    let files = seeds::read_all("rules", "yaml");
    let single = files.iter().flat_map(|text| text.split("\n- ").skip(1).map(|rule| format!("- {rule}")));
    let single: Vec<String> = single.collect();
    files.into_iter().chain(single).chain([COUNTS.to_owned()]).map(String::into_bytes).collect()
}

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let files = [(FILE.to_owned(), text.to_owned())];
    let rules = match RuleSet::compile(&files) {
        Err(problems) => return told(&problems.to_string(), FILE, text, None),
        Ok(rules) => rules,
    };
    let again = RuleSet::compile(&files).expect("it compiled once");
    assert_eq!(rules.version, again.version);
    assert!(!rules.rules.is_empty(), "a file without a rule is an error");
    let mut engines = Engines::new(Settings {
        partitions: 1,
        limits: MemoryLimits::of_keys(8),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_mins(30),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    });
    let mut effects = Vec::new();
    let reference = Reference { rules: Arc::new(rules), ..Reference::default() };
    engines.apply(Input::Reference(&reference), &mut effects);
    for n in 0..60 {
        engines.apply(Input::Event(&request(n)), &mut effects);
        engines.settle(&mut effects);
    }
    engines.apply(Input::Watermark(START.after(Duration::from_mins(2))), &mut effects);
}

/// A served request of one key.
fn request(n: u64) -> Event<'static> {
    let key = KeyId { kind: KeyKind::Raw, hash: [9; 16] };
    let time = START.after(Duration::from_secs(n));
    let position = Position { offset: n, ..Position::default() };
    Event {
        method: Method::Get,
        status: Some(200),
        flags: Flags::default(),
        ..Event::unreadable(key, time, position)
    }
}
