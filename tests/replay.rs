//! `keyhound replay`: what a log would have led to, without a daemon, the same each time.

mod daemon;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use daemon::{Daemon, FileSource, LIMIT, PEPPER, Site};
use keyhound::{
    decode::{Pepper, fingerprint},
    generate::mmdb::{About, Value as Mmdb, Writer},
};
use serde_json::Value;

const KEY: &str = "sk_live_replayed";
/// 2026-05-04T00:00:00Z, a Monday.
const START: u64 = 1_777_852_800;
const DAY: u64 = 86_400;

fn line(at: u64, status: u16) -> String {
    format!(
        r#"{{"msec":"{at}.000","status":"{status}","method":"GET","uri":"/v1/a","api_key":"{KEY}","remote_addr":"203.0.113.7"}}"#
    )
}

/// Days of a server's steady use, then three minutes of refusals, then four hours of use.
fn log(from: u64, days: u64) -> Vec<String> {
    let trial = from + days * DAY;
    let steady = (from..trial + 4 * 3_600).step_by(60).map(|at| (at, 200));
    let refused = (trial..trial + 180).step_by(2).map(|at| (at, 403));
    let mut requests: Vec<(u64, u16)> = steady.chain(refused).collect();
    requests.sort_unstable();
    requests.into_iter().map(|(at, status)| line(at, status)).collect()
}

fn site(more: &str) -> Site {
    Site::new(&[FileSource { name: "access.json", format: "nginx", key: "raw" }], true, more)
}

fn write(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").expect("written");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(bytes).expect("it takes everything");
    zip.finish().expect("it takes everything")
}

fn command(site: &Site, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyhound"));
    command.current_dir(site.path("")).args(["replay", "--config", "keyhound.yaml"]).args(words);
    command
}

/// Runs it in the folder of a site.
fn run(site: &Site, words: &[&str]) -> Output {
    command(site, words).stdin(Stdio::null()).output().expect("it can be started")
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked") && !said.contains(KEY), "{said}");
    said
}

fn incidents(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole: {text}");
    assert!(!text.contains(KEY), "no raw key");
    text.lines().map(|line| serde_json::from_str(line).expect("a record in each line")).collect()
}

/// Runs it to its end, and gives what was found.
#[track_caller]
fn found(site: &Site, words: &[&str]) -> Vec<Value> {
    let output = run(site, &[&["--incidents", "-"], words].concat());
    said(&output, 0);
    incidents(&output.stdout)
}

/// The subjects, when each incident was opened, and by which rules.
fn gist(incidents: &[Value]) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = BTreeSet::new();
    for incident in incidents {
        for reason in incident["reasons"].as_array().expect("a list") {
            let (subject, opened) = (text(&incident["subject"]["id"]), text(&incident["opened_at"]));
            all.insert(format!("{subject} {opened} {}", text(&reason["rule"])));
        }
    }
    all
}

#[test]
fn a_line_tells_each_time_what_is_new_and_the_summary_adds_it_up() {
    let site = site("response: { mode: enforce }");
    write(&site.path("access.json"), &log(START, 3));
    fs::write(site.path("odd.json"), "no record\n").expect("written");
    let output = run(&site, &["--incidents", "found", "access.json", "odd.json"]);
    let said = said(&output, 0);
    let lines = incidents(&fs::read(site.path("found")).expect("written"));
    let key = fingerprint(&Pepper::new(PEPPER).expect("long enough"), KEY.as_bytes()).to_string();
    assert!(lines.iter().all(|line| line["schema"] == "keyhound.incident/1"), "{lines:#?}");
    assert!(lines.iter().all(|line| line["subject"]["id"] == key.as_str()), "{lines:#?}");
    assert!(lines.iter().all(|line| line["stale"] == false), "event time is no backlog: {lines:#?}");
    let last = lines.last().expect("an incident");
    assert!(!last["closed_at"].is_null(), "hours of quiet close it: {last:#?}");
    for (before, after) in lines.iter().zip(&lines[1..]) {
        let news = ["severity", "steps", "held", "closed_at"];
        let rules = |line: &Value| line["reasons"].as_array().map(Vec::len);
        let is_news = news.iter().any(|field| before[field] != after[field]) || rules(before) != rules(after);
        assert!(is_news, "{before:#?} {after:#?}");
    }
    for words in [
        "requests of 1 key",
        "2026-05-04T00:00:00Z to 2026-05-07T03:59:00Z",
        "incidents  1: ",
        "by rule    key-",
        "lines a second",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.lines().any(|line| line.starts_with("rejected ") && line.ends_with(" 1")), "{said}");
    assert!(!site.path("state").exists(), "it has no state");
}

#[test]
fn the_same_lines_give_the_same_bytes_plain_or_gzip_from_a_file_or_a_pipe() {
    let site = site("");
    write(&site.path("access.json"), &log(START, 3));
    let plain = fs::read(site.path("access.json")).expect("written");
    fs::write(site.path("a.gz"), gzip(&plain)).expect("written");
    let replay = |name: &str| {
        let output = run(&site, &["--incidents", "-", name]);
        said(&output, 0);
        String::from_utf8(output.stdout).expect("text").replace(&format!("\"{name}@"), "\"log@")
    };
    let first = replay("access.json");
    assert!(first.contains("\"log@"), "{first}");
    assert_eq!(first, replay("access.json"));
    assert_eq!(first, replay("a.gz"));
    let mut piped = command(&site, &["--incidents", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut input = piped.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || input.write_all(&plain));
    let output = piped.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("all of it is read");
    said(&output, 0);
    assert_eq!(first, String::from_utf8(output.stdout).expect("text").replace("\"-@", "\"log@"));
}

#[test]
fn logs_of_several_gateways_are_one_whatever_their_order() {
    let site = site("");
    let lines = log(START, 3);
    write(&site.path("all"), &lines);
    let dealt = |rest: usize| -> Vec<String> { lines.iter().skip(rest).step_by(3).cloned().collect() };
    for name in 0..3 {
        write(&site.path(&name.to_string()), &dealt(name));
    }
    // One after the other too, as rotation leaves them, the newest first.
    let (old, new) = lines.split_at(lines.len() / 2);
    write(&site.path("new"), new);
    fs::write(site.path("old.gz"), gzip((old.join("\n") + "\n").as_bytes())).expect("written");
    let one = gist(&found(&site, &["all"]));
    assert!(!one.is_empty());
    assert_eq!(one, gist(&found(&site, &["2", "0", "1"])));
    assert_eq!(one, gist(&found(&site, &["new", "old.gz"])));
}

#[test]
fn it_finds_what_the_daemon_finds_in_the_same_log() {
    let site = site("");
    write(&site.path("access.json"), &log(START, 3));
    let replayed = gist(&found(&site, &["access.json"]));
    assert!(!replayed.is_empty());
    let daemon = site.start(&[]);
    let list = || {
        let output = Command::new(env!("CARGO_BIN_EXE_keyhound"))
            .args(["incidents", "--url", &format!("http://{}", site.listen), "--output", "json"])
            .args(["list", "--state", "all"])
            .output()
            .expect("it can be started");
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        list["incidents"].as_array().cloned().unwrap_or_default()
    };
    let started = Instant::now();
    while gist(&list()) != replayed {
        assert!(started.elapsed() < LIMIT, "{:#?}, not {replayed:#?}\n{}", list(), site.last_words());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(daemon.stop().success());
}

#[test]
fn past_lines_teach_and_open_nothing() {
    let site = site("");
    let past = log(START, 3);
    // Three months later, and too short to learn from.
    let present = log(START + 90 * DAY, 0);
    write(&site.path("access.json"), &[past.clone(), present.clone()].concat());
    write(&site.path("present.json"), &present);
    let opened = |words: &[&str]| -> BTreeSet<(String, String)> {
        let of = |line: &Value| (line["opened_at"].to_string(), line["maturity"].to_string());
        found(&site, words).iter().map(of).collect()
    };
    let lines = past.len().to_string();
    let (with, without) = (opened(&["--past-lines", &lines, "access.json"]), opened(&["access.json"]));
    assert!(!with.is_empty() && with.is_subset(&without), "{with:?} {without:?}");
    let is_past = |(at, _): &&(String, String)| at.starts_with("\"2026-05-07");
    assert!(without.iter().any(|one| is_past(&one)) && !with.iter().any(|one| is_past(&one)), "{with:?}");
    assert!(with.is_disjoint(&opened(&["present.json"])), "it knew the key: {with:?}");
}

#[test]
fn a_catalogue_is_exchanged_at_its_line() {
    let site = site("");
    let (first, second) = (log(START, 3), log(START + 4 * DAY, 0));
    write(&site.path("access.json"), &[first.clone(), second].concat());
    let key = fingerprint(&Pepper::new(PEPPER).expect("long enough"), KEY.as_bytes()).to_string();
    fs::write(site.path("keys.yaml"), format!("keys:\n- {{ id: {key}, name: billing }}\n")).expect("written");
    let swap = format!("{}:catalogue=keys.yaml", first.len());
    let names: Vec<(String, String)> = found(&site, &["--swap", &swap, "access.json"])
        .iter()
        .map(|line| {
            (line["opened_at"].to_string(), line["subject"]["name"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    assert!(names.iter().any(|(_, name)| name == "billing"), "{names:?}");
    assert!(
        names.iter().all(|(at, name)| (name == "billing") == (at.as_str() > "\"2026-05-08")),
        "{names:?}"
    );
}

/// A place database in which the log's address is in this country.
fn country(iso_code: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    let code = Mmdb::Map(vec![("iso_code", Mmdb::Text(iso_code.to_owned()))]);
    writer.insert("203.0.113.0/24".parse().expect("a network"), &Mmdb::Map(vec![("country", code)]));
    writer.finish(&About { database_type: "GeoLite2-Country", description: "a test", build_epoch: 1 })
}

#[test]
fn place_databases_are_exchanged_at_their_line() {
    let site = site("geo: { country: country.mmdb }");
    let (first, second) = (log(START, 3), log(START + 4 * DAY, 0));
    write(&site.path("access.json"), &[first.clone(), second].concat());
    fs::create_dir(site.path("new")).expect("made");
    fs::write(site.path("country.mmdb"), country("IE")).expect("written");
    fs::write(site.path("new/country.mmdb"), country("PT")).expect("written");
    let swap = format!("{}:places=new", first.len());
    let mut countries = BTreeSet::new();
    for line in found(&site, &["--swap", &swap, "access.json"]) {
        for sample in line["evidence"]["samples"].as_array().expect("a list") {
            let text = |field: &str| sample[field].as_str().unwrap_or_default().to_owned();
            countries.insert((text("at").as_str() > "2026-05-08", text("country")));
        }
    }
    let expected = [(false, "IE".to_owned()), (true, "PT".to_owned())];
    assert_eq!(countries.into_iter().collect::<Vec<_>>(), expected);
    let nothing = run(&site, &["--incidents", "found", "--swap", "7:places=.git", "access.json"]);
    let said = said(&nothing, 1);
    assert!(said.contains("after 7 lines") && said.contains("country.mmdb"), "{said}");
    assert!(!site.path("found").exists(), "what cannot be exchanged is told before anything is read");
}

#[test]
fn what_cannot_be_read_is_told_and_what_was_found_before_it_is_written_whole() {
    let site = site("");
    let missing = run(&site, &["--incidents", "found", "access.json"]);
    assert!(said(&missing, 1).contains("access.json"), "{missing:?}");
    assert!(!site.path("found").exists(), "nothing is wiped for nothing");
    let folder = run(&site, &["--incidents", "found", "."]);
    assert!(said(&folder, 1).contains("directory"), "{folder:?}");
    let zip = gzip((log(START, 3).join("\n") + "\n").as_bytes());
    // Without the last tenth of the hours after the incident.
    fs::write(site.path("cut.gz"), &zip[..zip.len() - zip.len() / 200]).expect("written");
    let cut = run(&site, &["--incidents", "found", "cut.gz"]);
    assert!(said(&cut, 1).contains("cut.gz cannot be read past byte"), "{cut:?}");
    assert!(!incidents(&fs::read(site.path("found")).expect("written")).is_empty());
}

#[test]
fn an_empty_log_leads_to_nothing() {
    let site = site("");
    fs::write(site.path("access.json"), "").expect("written");
    let output = run(&site, &["--incidents", "found", "access.json"]);
    assert!(said(&output, 0).contains("0 lines"), "{output:?}");
    assert_eq!(fs::read(site.path("found")).expect("made"), b"");
}

#[test]
fn settings_that_cannot_be_used_are_told_as_a_check_tells_them() {
    let site = site("");
    fs::write(site.path("access.json"), "").expect("written");
    fs::remove_file(site.path("pepper")).expect("it was there");
    let output = run(&site, &["--incidents", "found", "access.json"]);
    let said = said(&output, 78);
    assert!(said.contains("keyhound.yaml:6:29: ") && said.contains("fingerprint.pepper_file"), "{said}");
    assert!(!site.path("found").exists());
}

#[test]
fn of_several_sources_one_has_to_be_named() {
    let sources = [("a.json", "nginx"), ("b.json", "kong")];
    let sources = sources.map(|(name, format)| FileSource { name, format, key: "raw" });
    let site = Site::new(&sources, true, "");
    write(&site.path("access.json"), &log(START, 0));
    let unnamed = said(&run(&site, &["--incidents", "found", "access.json"]), 1);
    assert!(unnamed.contains("--source"), "{unnamed}");
    let name = unnamed.split("sources: ").nth(1).and_then(|names| names.split([',', ';']).next());
    let name = name.expect("it names them");
    let named = said(&run(&site, &["--incidents", "found", "--source", name, "access.json"]), 0);
    assert!(!named.contains("rejected"), "{named}");
    let wrong = said(&run(&site, &["--incidents", "found", "--source", "nobody", "access.json"]), 1);
    assert!(wrong.contains("nobody") && wrong.contains(name), "{wrong}");
}

#[test]
fn interrupted_it_leaves_whole_lines_of_what_it_had_found() {
    let site = site("");
    let out = fs::File::create(site.path("said")).expect("made");
    let mut replay =
        Daemon::start(command(&site, &["--incidents", "found", "-"]).stdin(Stdio::piped()).stderr(out));
    let mut input = replay.input().expect("a pipe");
    let mut text = String::new();
    for line in log(START, 3) {
        let _ = writeln!(text, "{line}");
    }
    // It waits for more, and so does whoever writes.
    input.write_all(text.as_bytes()).expect("it reads");
    let started = Instant::now();
    while fs::read(site.path("found")).unwrap_or_default().is_empty() {
        assert!(started.elapsed() < LIMIT && replay.end_within(Duration::from_millis(20)).is_none());
    }
    replay.signal("INT");
    let ended = replay.end_within(LIMIT).expect("it ends");
    let said = fs::read_to_string(site.path("said")).expect("written");
    assert_eq!(ended.code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(!incidents(&fs::read(site.path("found")).expect("written")).is_empty());
}
