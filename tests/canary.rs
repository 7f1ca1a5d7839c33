//! Ten thousand raw keys, in every place where keys travel and in every form, through the whole program: no half of one
//! is left. `KEYHOUND_TEST_CANARIES=all` has a record of each preset for each key.
//!
//! Looked at are the logs at their most talkative, the metrics, every file below the state directory (the database
//! with its outbox, from which topics are filled), every answer of both listeners, and what a panic says.

mod daemon;
#[path = "canary/needles.rs"]
mod needles;
#[path = "canary/records.rs"]
mod records;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use daemon::{FileSource, LIMIT, Site, http, sum};
use keyhound::decode::{Pepper, Reject, fingerprint};
use needles::{Needles, canaries};
use records::{RECORDS, broken, record};

/// 2026-11-22T06:07:40Z.
const START_MS: u64 = 1_795_327_660_000;

/// How many keys there are.
const CANARIES: usize = 10_000;
/// A record of this many is broken in one way or the other, too.
const BROKEN_OF: usize = 4;

/// Each how many-th preset has a key with a past, of which incidents are made.
const HISTORY_OF: usize = 3;

/// Whether there is a record of each preset for each key. Else each key has records of one.
fn is_whole() -> bool {
    std::env::var("KEYHOUND_TEST_CANARIES").is_ok_and(|value| value == "all")
}

/// The log of the `index`-th preset: its share of the canaries in whole records, some in a broken one too, and one
/// canary that is used for long and then far more, so that findings, incidents and decisions are made of it.
fn log(index: usize, canaries: &[String]) -> Vec<u8> {
    let template = RECORDS[index].1;
    let mut text = Vec::new();
    let mut add = |line: &[u8]| {
        text.extend_from_slice(line);
        text.push(b'\n');
    };
    let days_ms = 6 * 86_400_000;
    let (usual, sudden) = if index.is_multiple_of(HISTORY_OF) { (1_800, 1_500) } else { (0, 0) };
    for n in 0..usual {
        add(record(template, &canaries[0], 0, START_MS - days_ms + n * days_ms / usual).as_bytes());
    }
    let is_whole = is_whole();
    let share = canaries
        .iter()
        .enumerate()
        .filter(|(n, _)| is_whole || n % RECORDS.len() == index)
        .map(|(_, key)| key);
    for (nth, key) in share.enumerate() {
        let line = record(template, key, nth, START_MS + nth as u64 * 20);
        add(line.as_bytes());
        if nth.is_multiple_of(BROKEN_OF) {
            add(&broken(&line, key, nth / BROKEN_OF));
        }
    }
    for n in 0..sudden {
        add(record(template, &canaries[0], 0, START_MS + 30_000 + n * 30).as_bytes());
    }
    text
}

/// Collects what holds a half of a canary, in any form.
struct Watch {
    needles: Needles,
    looked_at_bytes: usize,
    found: Vec<String>,
}

impl Watch {
    fn new(canaries: &[String]) -> Self {
        Self { needles: Needles::new(canaries), looked_at_bytes: 0, found: Vec::new() }
    }

    fn look(&mut self, what: &str, bytes: &[u8]) {
        self.looked_at_bytes += bytes.len();
        let mut from = 0;
        while let Some(at) = self.needles.find(&bytes[from..]).map(|at| from + at) {
            from = (at + 200).min(bytes.len());
            let around = String::from_utf8_lossy(&bytes[at.saturating_sub(150)..(at + 60).min(bytes.len())]);
            self.found.push(format!("{what}, at byte {at}: {around}"));
        }
    }

    /// Fails if anything was found.
    #[track_caller]
    fn end(self) {
        let shown = &self.found[..self.found.len().min(30)];
        assert!(shown.is_empty(), "{} parts of raw keys: {shown:#?}", self.found.len());
        println!("{} bytes looked at", self.looked_at_bytes);
    }
}

/// What a listener answers, head and body.
#[track_caller]
fn exchange(address: &str, request: &str) -> Vec<u8> {
    http::exchange(address, request).expect("somebody answers")
}

/// One question with the key wherever a caller can put it.
fn question(path: &str, key: &str) -> String {
    format!(
        "GET {path}/{key}?api_key={key} HTTP/1.1\r\nHost: {key}.example\r\nConnection: close\r\nX-Api-Key: {key}\r\n\
         Authorization: Bearer {key}\r\nX-Forwarded-Uri: /v1/{key}?api_key={key}\r\nX-Original-URI: /{key}\r\n\
         Referer: http://a/{key}\r\nUser-Agent: {key}\r\nCookie: key={key}\r\n\r\n"
    )
}

/// What an operator says who pastes the raw key in place of its id: it is refused.
fn pasted(key: &str) -> String {
    format!("{{\"key\":\"{key}\",\"{key}\":1}}")
}

/// What an operator says who gives the key's id, and the raw key wherever he is free to write: it is done.
fn told(key: &str) -> String {
    let pepper = Pepper::new(daemon::PEPPER).expect("a pepper");
    let id = fingerprint(&pepper, key.as_bytes());
    format!("{{\"key\":\"{id}\",\"reason\":\"found {key}, or key={key}\",\"by\":\"{key}\"}}")
}

/// A command with this body.
#[track_caller]
fn command(listen: &str, action: &str, body: &str) -> String {
    http::post(listen, &format!("/api/v1/decisions/{action}"), body).expect("somebody answers")
}

/// Waits until all records are read and what was found in them is told, and gives the metrics of then. Records are
/// counted as they are read, findings and incidents when the commit is made that they belong to.
#[track_caller]
fn wait_until_told(site: &Site, records: u64) -> String {
    let started = Instant::now();
    loop {
        let told = http::get(&site.listen, "/metrics").unwrap_or_default();
        let [read, findings, incidents] =
            ["keyhound_records_total", "keyhound_findings_total", "keyhound_incidents_open"]
                .map(|name| sum(&told, name, &[]).unwrap_or(0));
        if read >= records && findings > 0 && incidents > 0 {
            return told;
        }
        assert!(
            started.elapsed() < LIMIT,
            "{read} of {records} read, {findings} findings, {incidents} incidents open:\n{told}\n{}",
            site.last_words()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn ten_thousand_raw_keys_leave_no_half_in_logs_metrics_files_or_answers() {
    let canaries = canaries(CANARIES);
    let names: Vec<(String, &str, &str)> = RECORDS
        .iter()
        .flat_map(|(format, _)| ["raw", "credential"].map(|key| (format!("{format}.{key}"), *format, key)))
        .filter(|(_, format, key)| !(*format == "aws-http" && *key == "raw"))
        .collect();
    let sources: Vec<FileSource<'_>> =
        names.iter().map(|(name, format, key)| FileSource { name, format, key }).collect();
    // Not below the folder of the site, which is searched.
    let logs = tempfile::tempdir().expect("a folder");
    let site = Site::new(&sources, true, "response: { mode: enforce }");
    point_at(&site, logs.path());
    let mut records = 0;
    for (name, format, _) in &names {
        let index = RECORDS.iter().position(|(of, _)| of == format).expect("a template");
        let text = log(index, &canaries);
        records += text.iter().filter(|byte| **byte == b'\n').count();
        fs::write(logs.path().join(name), text).expect("written");
    }

    let daemon = site.start(&[("RUST_LOG", "trace")]);
    let metrics = wait_until_told(&site, records as u64);
    let mut watch = Watch::new(&canaries);
    watch.look("the metrics", metrics.as_bytes());
    // A file has neither an empty line nor a compressed one as a record.
    let is_possible = |reason: &Reject| !matches!(reason, Reject::Empty | Reject::TooLarge);
    for reason in Reject::ALL.into_iter().filter(is_possible) {
        let wanted = format!("reason=\"{}\"", reason.as_str());
        assert!(metrics.contains(&wanted), "nothing was rejected as {}:\n{metrics}", reason.as_str());
    }
    let gateways = ["/check", "/envoy", "/traefik", "/caddy", "/nginx", "/nowhere"];
    for (n, key) in canaries.iter().enumerate() {
        watch.look("a gateway's answer", &exchange(&site.gateways_listen, &question(gateways[n % 6], key)));
        if n % 10 == 0 {
            watch.look("an operator's answer", &exchange(&site.listen, &question("/api/v1/incidents", key)));
            watch.look("a command's answer", command(&site.listen, "revoke", &pasted(key)).as_bytes());
            let done = command(&site.listen, "revoke", &told(key));
            assert!(done.starts_with("HTTP/1.1 200") && done.contains("[removed]"), "{done}");
            watch.look("a command's answer", done.as_bytes());
        }
    }
    for path in
        ["/api/v1/incidents?state=all&limit=1000", "/api/v1/decisions?all=true", "/metrics", "/readyz"]
    {
        let answer = http::get(&site.listen, path).expect("somebody answers");
        // Its records are days old: it may say for a moment more that it is behind.
        let expected: &[&str] = if path == "/readyz" { &["200", "503"] } else { &["200"] };
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        assert!(status.is_some_and(|status| expected.contains(&status)), "{path}: {answer}");
        watch.look(path, answer.as_bytes());
    }
    watch_incidents(&mut watch, &site);
    watch_commands(&mut watch, &site, logs.path(), &names);
    // Its database, while it runs and after.
    for path in site.files() {
        watch.look(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
    }
    assert!(daemon.stop().success(), "{}", site.last_words());
    for path in site.files() {
        watch.look(&path.display().to_string(), &fs::read(&path).expect("a file that is there"));
    }
    watch.end();
}

/// The pages and answers about each incident.
#[track_caller]
fn watch_incidents(watch: &mut Watch, site: &Site) {
    let listed = http::get(&site.listen, "/api/v1/incidents?state=all&limit=1000").expect("somebody answers");
    let ids: BTreeSet<&str> =
        listed.split('"').filter(|text| text.starts_with("inc_") && !text.contains(' ')).collect();
    assert!(!ids.is_empty(), "no incident was made");
    for id in ids.iter().take(50) {
        for path in [
            format!("/api/v1/incidents/{id}"),
            format!("/api/v1/incidents/{id}/page"),
            format!("/incidents/{id}"),
        ] {
            let answer = http::get(&site.listen, &path).expect("somebody answers");
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            watch.look(&path, answer.as_bytes());
        }
    }
    for path in ["/", "/incidents", "/incidents?state=all"] {
        watch.look(
            path,
            &exchange(&site.listen, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
        );
    }
}

/// What the commands print that look at logs, incidents and decisions.
#[track_caller]
fn watch_commands(watch: &mut Watch, site: &Site, logs: &Path, names: &[(String, &str, &str)]) {
    let url = format!("http://{}", site.listen);
    let mut run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_keyhound")).args(arguments).output().expect("it can be started");
        assert!(output.stdout.len() > 100, "{arguments:?}: {output:?}");
        watch.look(&format!("{arguments:?}"), &[output.stdout, output.stderr].concat());
    };
    for (name, format, key) in names {
        let log = logs.join(name).display().to_string();
        run(&["decode", "--format", format, "--key", key, "--output", "json", &log]);
        if *key == "raw" {
            run(&["inspect", &log]);
        }
    }
    run(&["incidents", "list", "--state", "all", "--url", &url]);
    run(&["decisions", "list", "--all", "--url", &url]);
}

/// Lets the sources of the settings point into another folder.
fn point_at(site: &Site, logs: &Path) {
    let path = site.path("keyhound.yaml");
    let here = site.path("");
    let text = fs::read_to_string(&path).expect("settings");
    let there = text.lines().fold(String::new(), |mut text, line| {
        let moved = line.replace(&*here.to_string_lossy(), &format!("{}/", logs.display()));
        let _ = writeln!(text, "{}", if line.starts_with("- file:") { &moved } else { line });
        text
    });
    fs::write(path, there).expect("written");
}

const PANICS: &str = "KEYHOUND_CANARY_PANICS";

/// The child: panics with a raw key in its message. Does nothing unless it is told to.
#[test]
fn child() {
    let Ok(key) = std::env::var(PANICS) else { return };
    let logs = keyhound::telemetry::logs::LogSettings { level: "trace".to_owned(), ..Default::default() };
    keyhound::telemetry::logs::init(&logs).expect("logs can be set up");
    keyhound::app::secrecy::keep();
    let worker = std::thread::Builder::new().name("keyhound-slot".to_owned());
    let panicked = worker.spawn(move || panic!("record {{\"api_key\":\"{key}\"}} was impossible"));
    assert!(panicked.expect("a thread").join().is_err());
    // As a daemon would end whose slot is gone.
    std::process::exit(1);
}

#[test]
fn a_panic_tells_its_place_and_nothing_of_the_record() {
    let canaries = canaries(2);
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture"])
        .env(PANICS, &canaries[1])
        .env("RUST_BACKTRACE", "full")
        .output()
        .expect("it can be started");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&told);
    assert!(text.contains("tests/canary.rs:"), "the place is told: {text}");
    let mut watch = Watch::new(&canaries);
    watch.look("the panic's message", &told);
    watch.end();
}
