//! The demonstration on several seeds and in every format: the leaked key, and it alone, is stopped.
//!
//! `KEYHOUND_SEED` plays one seed, `KEYHOUND_SEEDS=301..500` a range of them, the last included.

use std::{
    io::{self, Write},
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};

use keyhound::{
    app::demo::{self, Screen, Settings, Verdict},
    generate::{Format, Formats},
};

/// What was said, kept.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn play(seed: u64, formats: Formats) -> (Verdict, String) {
    let settings =
        Settings { seed, formats, keys: 110, lines_max: 250_000, speed: None, ..Settings::default() };
    let heard = Heard::default();
    let verdict = demo::run(&settings, &mut Screen::plain(heard.clone())).unwrap();
    let text = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
    (verdict, text)
}

#[track_caller]
fn check(seed: u64, formats: Formats) {
    let (verdict, text) = play(seed, formats);
    assert_eq!(verdict.faults(), Vec::<String>::new(), "seed {seed}, {formats:?}\n{text}");
    let false_alarms: Vec<_> = verdict.false_alarms().collect();
    assert!(false_alarms.is_empty(), "seed {seed}, {formats:?}: {false_alarms:#?}\n{text}");
    assert!(text.contains("STOLEN KEY, likely") && text.contains("X-Keyhound-Decision: throttle"), "{text}");
    // Every invented raw key begins so.
    assert!(!text.contains("demo_"), "{text}");
}

fn seeds() -> RangeInclusive<u64> {
    let Ok(range) = std::env::var("KEYHOUND_SEEDS") else { return 1..=10 };
    let (from, to) = range.split_once("..").expect("two seeds, as in 301..500");
    from.parse().expect("a seed")..=to.parse().expect("a seed")
}

#[test]
fn the_leaked_key_alone_is_stopped_on_every_seed() {
    if let Ok(seed) = std::env::var("KEYHOUND_SEED") {
        return check(seed.parse().unwrap(), Formats::Mixed);
    }
    for seed in seeds() {
        check(seed, Formats::Mixed);
    }
}

#[test]
fn the_leaked_key_alone_is_stopped_behind_every_gateway() {
    for (seed, format) in [(11, Format::Nginx), (12, Format::Kong), (13, Format::Envoy)] {
        check(seed, Formats::One(format));
    }
}
