//! The demonstration on several seeds and in every format: the leaked key, and it alone, is stopped.
//!
//! `KEYHOUND_SEED` plays one seed, `KEYHOUND_SEEDS=301..500` a range of them, the last included.

mod daemon;

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::RangeInclusive,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use daemon::{Daemon, LIMIT, http};
use keyhound::{
    app::demo::{self, Screen, Settings, Verdict},
    generate::{Format, Formats},
};

/// How long a story may take on a busy machine.
const STORY_LIMIT: Duration = Duration::from_mins(10);

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
    assert!(verdict.stolen.served_before > 0, "the first request of the stranger was served\n{text}");
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

/// Waits until the demonstration has said everything up to where to ask, and gives its lines.
#[track_caller]
fn lines_until_asked(program: &mut Daemon, folder: &Path) -> Vec<String> {
    let started = Instant::now();
    loop {
        let [told, logged] =
            ["out", "err"].map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default());
        let lines = told.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        if lines.iter().any(|line| line.starts_with("check  ")) {
            return lines;
        }
        let ended = program.end_within(Duration::from_millis(50));
        assert!(ended.is_none() && started.elapsed() < STORY_LIMIT, "{ended:?}\n{told}\n{logged}");
    }
}

#[test]
fn with_serve_it_stays_up_with_all_there_is_to_look_at_until_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name| File::create(folder.path().join(name)).unwrap();
    let mut program = Daemon::start(
        Command::new(env!("CARGO_BIN_EXE_keyhound"))
            .args(["demo", "--serve", "--fast", "--keys", "60", "--days", "7"])
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err")),
    );
    let told = lines_until_asked(&mut program, folder.path());
    let address = |what: &str| {
        let line = told.iter().rfind(|line| line.starts_with(what));
        let line = line.unwrap_or_else(|| panic!("no {what}: {told:#?}"));
        line.split("http://").nth(1).unwrap().split(['/', '\'', ' ']).next().unwrap().to_owned()
    };
    let get = |address: &str, path| http::get(address, path).expect("somebody listens");
    let operators = address("metrics ");
    assert!(get(&operators, "/metrics").contains("keyhound_checks_total"));
    assert!(get(&operators, "/api/v1/incidents?state=all").contains("KeyStolen"));
    assert!(get(&operators, "/api/v1/decisions").contains("\"step\":\"throttle\""));
    assert!(get(&address("check "), "/check/v1/orders").starts_with("HTTP/1.1 200"));
    assert!(program.end_within(Duration::ZERO).is_none(), "it stays up: {told:#?}");
    program.signal("INT");
    let ended = program.end_within(LIMIT).expect("it ends when it is interrupted");
    assert_eq!(ended.code(), Some(0), "{told:#?}");
}
