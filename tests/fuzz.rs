//! The fuzz targets without a fuzzer: their seeds, what was found before, and seeds with some bytes changed.
//!
//! `make fuzz` looks for more. What it finds is kept in `tests/fuzz/TARGET/`, named for what was wrong.
//! `FUZZ_MUTATIONS` is how often each seed is changed (default: 1), `FUZZ_SEED` where the random numbers begin.

#[path = "../fuzz/harness/mod.rs"]
mod harness;

use std::{fs, path::Path};

use harness::{TARGETS, Target};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// Runs one input, and shows it if something does not hold.
fn run(target: &Target, what: &str, input: &[u8]) {
    struct Shown<'a>(&'a str, &'a str, &'a [u8]);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("{}, {}: {}", self.0, self.1, self.2.escape_ascii());
            }
        }
    }
    let _shown = Shown(target.name, what, input);
    (target.run)(input);
}

/// What was found before, by its name.
fn found(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(target.name);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), fs::read(path).expect("it can be read"))).collect()
}

/// Changes, drops, doubles and swaps in a few bytes of another input.
fn changed(input: &[u8], other: &[u8], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        let to = (at + random.random_range(0..16)).min(bytes.len());
        match random.random_range(0..4) {
            0 => bytes[at..to].iter_mut().for_each(|byte| *byte = random.random()),
            1 => drop(bytes.drain(at..to)),
            2 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
            _ => {
                let from = random.random_range(0..=other.len());
                let part = &other[from..(from + random.random_range(0..64)).min(other.len())];
                drop(bytes.splice(at..to, part.iter().copied()));
            }
        }
    }
    bytes
}

fn run_all(name: &str) {
    let target = harness::target(name);
    let seeds = (target.seeds)();
    assert!(seeds.len() > 3, "{name}: {} seeds", seeds.len());
    seeds.iter().for_each(|seed| run(target, "a seed", seed));
    found(target).iter().for_each(|(path, input)| run(target, path, input));
    let seed = number("FUZZ_SEED", 20_261_129);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    for _ in 0..number("FUZZ_MUTATIONS", 1) {
        for input in &seeds {
            let other = &seeds[random.random_range(0..seeds.len())];
            let input = changed(input, other, &mut random);
            run(target, &format!("FUZZ_SEED={seed}"), &input);
        }
    }
}

#[test]
fn the_reader_holds() {
    run_all("reader");
}

#[test]
fn questions_over_http_hold() {
    run_all("http_question");
}

#[test]
fn questions_over_grpc_hold() {
    run_all("grpc_question");
}

#[test]
fn settings_hold() {
    run_all("settings");
}

#[test]
fn rules_hold() {
    run_all("rules");
}

#[test]
fn checkpoints_hold() {
    run_all("checkpoint");
}

#[test]
fn every_target_is_run_here_and_can_be_fuzzed() {
    let manifest = harness::seeds::read("fuzz/Cargo.toml");
    let text = include_str!("fuzz.rs");
    for target in &TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
        assert!(text.contains(&format!("run_all(\"{}\")", target.name)), "{}", target.name);
        let main = harness::seeds::read(&format!("fuzz/targets/{}.rs", target.name));
        assert!(main.contains(&format!("target(\"{}\")", target.name)), "{}", target.name);
    }
}
