//! The demonstration on several seeds and in every format: the leaked key, and it alone, is stopped.
//!
//! `KEYHOUND_SEED` plays one seed, `KEYHOUND_SEEDS=301..500` a range of them, the last included.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write},
    net::TcpStream,
    ops::RangeInclusive,
    process::{Command, Stdio},
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

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn with_serve_it_stays_up_with_all_there_is_to_look_at_until_it_is_interrupted() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keyhound"))
        .args(["demo", "--serve", "--fast", "--keys", "60", "--days", "7"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    for line in lines.by_ref() {
        told.push(line.unwrap());
        if told.last().is_some_and(|line| line.trim_start().starts_with("check  ")) {
            break;
        }
    }
    let address = |what: &str| {
        let line = told.iter().rfind(|line| line.trim_start().starts_with(what));
        let line = line.unwrap_or_else(|| panic!("no {what}: {told:#?}"));
        line.split("http://").nth(1).unwrap().split(['/', '\'', ' ']).next().unwrap().to_owned()
    };
    let operators = address("metrics ");
    assert!(get(&operators, "/metrics").contains("keyhound_checks_total"));
    assert!(get(&operators, "/api/v1/incidents?state=all").contains("KeyStolen"));
    assert!(get(&operators, "/api/v1/decisions").contains("\"step\":\"throttle\""));
    assert!(get(&address("check "), "/check/v1/orders").starts_with("HTTP/1.1 200"));
    assert!(program.try_wait().unwrap().is_none(), "it stays up: {told:#?}");
    let interrupted = Command::new("kill").args(["-INT", &program.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    assert_eq!(program.wait().unwrap().code(), Some(0));
}
