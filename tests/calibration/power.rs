//! What is found of use with an anomaly: how many of some keys the shipped rules call.
//!
//! It knows profiles by `key.rs` only, and is compiled with an older commit as well, with `base/key.rs` in its place.

use keyhound::{detect::Watch, rules::RuleSet};

use crate::{
    key::Key,
    source::{DAY, Kind, START, Source, TAUGHT},
    threads::each,
};

/// Requests a minute.
pub const RATES: [f64; 5] = [0.05, 0.5, 5.0, 50.0, 500.0];
/// How many times as much, and for how many minutes.
pub const RISES: [(f64, u32); 9] =
    [(3.0, 1), (10.0, 1), (30.0, 1), (3.0, 60), (10.0, 60), (30.0, 60), (3.0, DAY), (10.0, DAY), (30.0, DAY)];

/// How many keys of each rate are called at each rise.
pub type Found = [[u64; RISES.len()]; RATES.len()];

/// The detectors of the shipped rules.
pub fn shipped() -> Watch {
    Watch::new(RuleSet::shipped().rules.iter().map(|rule| (rule.id.as_str(), &rule.detector)))
}

/// How many fewer of so many keys may be called than at an older commit. The requests are the same, but the surprises are not:
/// which of the keys near a bar are above it is chance.
pub const fn tolerated(keys: u64) -> u64 {
    keys.div_ceil(100)
}

/// So many keys of each rate, each of which is taught for ten days and then rises at noon.
pub fn found(keys: u64, seed: u64) -> Found {
    let watch = shipped();
    let runs: Vec<(usize, u64)> =
        (0..keys).flat_map(|n| (0..RATES.len()).rev().map(move |i| (i, n))).collect();
    let called = each("power", &runs, |(i, n)| called(RATES[*i], seed ^ (n << 16), &watch));
    let mut found = Found::default();
    for ((i, _), called) in runs.iter().zip(called) {
        found[*i].iter_mut().zip(called).for_each(|(found, called)| *found += u64::from(called));
    }
    found
}

fn called(rate: f64, seed: u64, watch: &Watch) -> [bool; RISES.len()] {
    let mut source = Source { rate, dispersion: 0.1, wave: 0.5, ..Source::new(Kind::NegativeBinomial, seed) };
    let mut key = Key::new(START);
    let begins = TAUGHT * DAY + DAY / 2;
    for minute in 0..begins {
        key.see(START + minute, source.next(minute));
    }
    RISES.map(|(times, minutes)| {
        let (mut source, mut key) = (source.clone(), key.clone());
        source.rate *= times;
        (begins..begins + minutes).any(|minute| {
            let n = source.next(minute);
            key.see(START + minute, n);
            n > 0 && key.is_called(watch)
        })
    })
}

/// What `base/main.rs` prints.
pub fn parsed(text: &str) -> Found {
    let mut found = Found::default();
    assert_eq!(text.lines().count(), found.len(), "{text}");
    for (counts, line) in found.iter_mut().zip(text.lines()) {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        *counts = numbers.try_into().expect("a number for each rise");
    }
    found
}
