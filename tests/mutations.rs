//! Golden records with one thing changed. A caller chooses most of what a record says, and a network or a shipper may
//! do anything to it: whatever stands beside a time and a key that can be read must hide no request, stop nothing, and
//! put nothing on the account of somebody else.
//!
//! `MUTATION_RECORDS` is the number of records (default: 200,000), `MUTATION_SEED` where the random numbers begin.
//! With `-- --nocapture` the test prints what became of what.

#[path = "mutations/golden.rs"]
mod golden;

use std::collections::BTreeMap;

use bumpalo::Bump;
use keyhound::decode::Decoded;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use golden::{Golden, Victim, goldens};

/// One record in so many is changed.
const MUTATED: u64 = 10;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// What a record turned out to be, counted.
#[derive(Debug, Default)]
struct Seen {
    /// Events of the golden record's own time and key.
    own: u32,
    others: u32,
    anonymous: u32,
    rejected: u32,
}

fn decode(golden: &mut Golden, victim: &Victim, payload: &[u8], arena: &Bump) -> Seen {
    let mut seen = Seen::default();
    let expected = golden.expected;
    let is_victim = |id| victim.ids.contains(&id);
    golden.decoder.decode(payload, arena, |decoded| match decoded {
        Decoded::Request(request) => {
            let event = request.event;
            let shown = || String::from_utf8_lossy(payload).into_owned();
            assert!(!is_victim(event.key) && !event.alias.is_some_and(is_victim), "framed: {}", shown());
            if (event.time, event.key) == expected { seen.own += 1 } else { seen.others += 1 }
        }
        Decoded::Anonymous(_) => seen.anonymous += 1,
        Decoded::Rejected { key, .. } => {
            assert!(!key.is_some_and(is_victim), "framed: {}", String::from_utf8_lossy(payload));
            seen.rejected += 1;
        }
    });
    seen
}

#[test]
fn no_mutation_hides_a_request_or_frames_another_key() {
    let (records, seed) = (number("MUTATION_RECORDS", 200_000), number("MUTATION_SEED", 20_261_129));
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let victim = Victim::new();
    let mut goldens = goldens();
    assert!(goldens.len() > 30, "{} goldens", goldens.len());
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut arena = Bump::new();
    for n in 0..records {
        arena.reset();
        let index = random.random_range(0..goldens.len());
        let golden = &mut goldens[index];
        let (name, payload, must_be_event) = if n % MUTATED == 0 {
            golden.mutated(&victim, &mut random)
        } else {
            ("unchanged", golden.text.clone(), true)
        };
        let seen = decode(golden, &victim, &payload, &arena);
        let shown =
            || format!("seed {seed}, record {n}, {name}: {seen:?}\n{}", String::from_utf8_lossy(&payload));
        let lines =
            1 + u32::try_from(payload.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX);
        // A change of structure may double what follows, thrice: then an object may begin right behind another one, and
        // each of which nothing can be read is rejected.
        let most = if name == "structure" { 8 * lines } else { lines };
        assert!(seen.rejected <= most, "more rejected than there are records: {}", shown());
        let outcome = match seen {
            Seen { own: 1, others: 0, anonymous: 0, rejected: 0 } => "event",
            _ if must_be_event => panic!("no event: {}", shown()),
            Seen { own: 0, others: 0, anonymous: 0, rejected: 0 } => panic!("vanished: {}", shown()),
            Seen { rejected: 0, .. } => "other events",
            Seen { own: 0, others: 0, .. } => "rejected",
            _ => "events and a reject",
        };
        *counts.entry((name, outcome)).or_default() += 1;
    }
    println!("seed {seed}, {records} records");
    for ((name, outcome), count) in &counts {
        println!("{name:<28} {outcome:<20} {count}");
    }
}
