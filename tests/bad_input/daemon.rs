//! The same through the whole program: a file of bad records with good ones in between.

use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    time::{Duration, Instant},
};

use super::daemon::{FileSource, LIMIT, PEPPER, Site, http, sum};

/// Bad records of small kinds.
const BAD: usize = 100_000;

/// Lines of 1 MB: fewer, since each is.
const HUGE: usize = 20;

/// After so many bad records comes a good one.
const GOOD_EVERY: usize = 100;

/// What the file holds: by what it must be counted as, how often. And the offset of each line, by line.
struct Input {
    text: Vec<u8>,
    counts: BTreeMap<&'static str, u64>,
    lines: Vec<(u64, &'static str)>,
}

impl Input {
    fn new() -> Self {
        let mut input = Self { text: Vec::new(), counts: BTreeMap::new(), lines: Vec::new() };
        let kinds = kinds();
        for n in 0..BAD {
            let (record, reason) = &kinds[n % kinds.len()];
            input.add(record, reason);
            if n % GOOD_EVERY == 0 {
                input.add_good(n);
            }
            if n % (BAD / HUGE) == 0 {
                input.add(format!("{{\"pad\":\"{}\"}}", "x".repeat(1 << 20)).as_bytes(), "missing_time");
                input.add_good(n);
            }
        }
        input
    }

    fn add(&mut self, record: &[u8], reason: &'static str) {
        self.lines.push((self.text.len() as u64, reason));
        *self.counts.entry(reason).or_default() += 1;
        self.text.extend_from_slice(record);
        self.text.push(b'\n');
    }

    fn add_good(&mut self, n: usize) {
        let (key, second) = (n % 7, 1_795_327_660 + n / 100);
        let good = format!(
            "{{\"msec\":\"{second}.{:03}\",\"api_key\":\"key-number-{key}\",\"status\":200,\"uri\":\"/v1/orders\"}}",
            n % 1_000
        );
        self.add(good.as_bytes(), "request");
    }
}

/// Bad records without a line break, each with the reason that it must be counted under.
fn kinds() -> Vec<(Vec<u8>, &'static str)> {
    let deep = format!("{{\"x\":{}", "[".repeat(500));
    let kinds: Vec<(&[u8], &'static str)> = vec![
        (br#"{"msec":"1795327660.839","api_key":"k1"#, "truncated"),
        (b"{", "truncated"),
        (b"GET /v1/orders HTTP/1.1", "text_log"),
        (br#"{"msec" 1}"#, "not_json"),
        (b"true", "wrong_type"),
        (b"null", "wrong_type"),
        (b"\"text\"", "wrong_type"),
        (b"[]", "empty"),
        (b"\xff\xfe", "not_utf8"),
        (br#"{"msec":1e999,"status":200}"#, "bad_time"),
        (br#"{"msec":99999999999999999999999999,"status":200}"#, "bad_time"),
        (br#"{"status":200}"#, "missing_time"),
        (br#"{"msec":{"a":1},"status":200}"#, "missing_time"),
        (br#"{"msec":"1795327660.839","status":70000}"#, "bad_status"),
        (br#"{"msec":"1795327660.839","status":true}"#, "missing_status"),
        (deep.as_bytes(), "too_deep"),
    ];
    kinds.into_iter().map(|(record, reason)| (record.to_vec(), reason)).collect()
}

#[test]
fn the_daemon_counts_each_of_a_hundred_thousand_bad_records_and_every_good_one_between() {
    let input = Input::new();
    let good = input.counts["request"];
    let all = input.lines.len() as u64;
    let site = Site::new(&[FileSource { name: "access.log", format: "nginx", key: "raw" }], true, "");
    fs::write(site.path("access.log"), &input.text).expect("written");
    let daemon = site.start(&[]);
    let started = Instant::now();
    let told = loop {
        let told = http::get(&site.listen, "/metrics").unwrap_or_default();
        if sum(&told, "keyhound_records_total", &[]) >= Some(all) {
            break told;
        }
        assert!(started.elapsed() < LIMIT, "not all read:\n{told}\n{}", site.last_words());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(sum(&told, "keyhound_records_total", &[]), Some(all));
    assert_eq!(sum(&told, "keyhound_events_total", &[]), Some(good), "good records between bad ones");
    for (reason, count) in input.counts.iter().filter(|(reason, _)| **reason != "request") {
        let label = format!("reason=\"{reason}\"");
        assert_eq!(sum(&told, "keyhound_records_rejected_total", &[&label]), Some(*count), "{reason}");
    }
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn the_decode_command_names_the_position_of_each_bad_record() {
    let input = Input::new();
    let site = Site::new(&[FileSource { name: "access.log", format: "nginx", key: "raw" }], true, "");
    fs::write(site.path("access.log"), &input.text).expect("written");
    fs::write(site.path("pepper"), PEPPER).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_keyhound"))
        .args(["decode", "--output", "json", "--format", "nginx", "--pepper-file"])
        .args([site.path("pepper"), site.path("access.log")])
        .output()
        .expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(told.lines().count(), input.lines.len());
    for (line, (offset, reason)) in told.lines().zip(&input.lines) {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON lines");
        assert_eq!(line["position"]["offset"], *offset, "{line}");
        let said = line["rejected"].as_str().unwrap_or("request");
        assert_eq!(said, *reason, "{line}");
    }
}
