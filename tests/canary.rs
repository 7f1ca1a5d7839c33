//! A thousand raw keys, each in every place where keys travel, through the whole program: not a byte of them is left.
//!
//! Looked at are the logs at their most talkative, the metrics, every file below the state directory (the database
//! with its outbox, from which topics are filled), every answer of both listeners, and what a panic says.

mod daemon;

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use daemon::{FileSource, LIMIT, Site, http, sum};
use keyhound::decode::{Pepper, Reject, fingerprint};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const CANARIES: usize = 1_000;
const SEED: u64 = 20_261_124;

/// One record of each preset, with the key in key, path, query, referer, agent, user name and whatever else callers
/// write. `{key}` stands for it, `{ms}` and `{s}` for the time.
const RECORDS: [(&str, &str); 10] = [
    (
        "nginx",
        r#"{"msec":"{s}","remote_addr":"203.0.113.7","xff":"{key}, 203.0.113.9","api_key":"{key}","method":"GET","uri":"/v1/{key}/x{key}?api_key={key}&q={key}","status":"403","ua":"{key} {key}/1.0 sdk/{key}","remote_user":"{key}","consumer":"{key}","credential_id":"{key}","referer":"https://x/?k={key}","request_id":"{key}","route":"{key}"}"#,
    ),
    (
        "kong",
        r#"{"client_ip":"203.0.113.7","started_at":{ms},"request":{"id":"{key}","method":"GET","uri":"/{key}?apikey={key}","url":"https://{key}@h/{key}","querystring":{"apikey":"{key}"},"headers":{"user-agent":"{key}","apikey":"{key}","authorization":"Bearer {key}","referer":"{key}"}},"response":{"status":401,"headers":{}},"route":{"name":"{key}"},"consumer":{"id":"{key}","username":"{key}"},"authenticated_entity":{"id":"{key}"},"source":"kong"}"#,
    ),
    (
        "envoy",
        r#"{"start_time":"{t}","response_code":200,"method":"{key}","api_key":"Bearer {key}","credential_id":"{key}","path":"https://{key}@h/{key}?api_key={key}","user_agent":"{key}/{key}","route_name":"{key}","consumer":"{key}","x_forwarded_for":"{key}","request_id":"{key}"}"#,
    ),
    (
        "envoy-gateway",
        r#"{"start_time":"{t}","response_code":200,"method":"GET","x-api-key":"{key}","x-credential-id":"{key}","x-envoy-origin-path":"/{key}?api_key={key}","user-agent":"{key}","route_name":"{key}","x-forwarded-for":"{key}","x-request-id":"{key}",":authority":"{key}"}"#,
    ),
    (
        "haproxy",
        r#"{"ts":{s},"client_ip":"127.0.0.1","api_key":"{key}","credential_id":"{key}","user_agent":"{key}/{key}","method":"GET","path":"\/{key}\/{key}?api_key={key}","status":401,"server":"{key}","backend":"{key}","termination_state":"{key}","request_id":"{key}"}"#,
    ),
    (
        "traefik",
        r#"{"ClientAddr":"127.0.0.1:1","ClientHost":"{key}","ClientUsername":"{key}","DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/a/{key}?api_key={key}","RouterName":"{key}","ServiceName":"{key}","StartUTC":"{t}","request_X-Api-Key":"{key}","request_X-Credential-Id":"{key}","request_User-Agent":"a/{key}","request_Referer":"{key}"}"#,
    ),
    (
        "caddy",
        r#"{"ts":{s},"request":{"remote_ip":"127.0.0.1","method":"{key}","host":"{key}","uri":"/{key}/{key}?api_key={key}","headers":{"User-Agent":["x {key}"],"X-Api-Key":["{key}"],"X-Credential-Id":["{key}"],"Referer":["{key}"],"Cookie":["k={key}"]}},"user_id":"{key}","status":200}"#,
    ),
    (
        "apisix",
        r#"{"start_time":{ms},"client_ip":"203.0.113.7","route_id":"{key}","service_id":"{key}","consumer":{"username":"{key}"},"request":{"method":"GET","uri":"/{key}?apikey={key}","url":"http://{key}/{key}","querystring":{"apikey":"{key}"},"headers":{"user-agent":"{key}","apikey":"{key}","referer":"{key}"}},"response":{"status":200,"headers":{"x":"{key}"}}}"#,
    ),
    (
        "aws-rest",
        r#"{"requestId":"{key}","ip":"203.0.113.7","apiKey":"{key}","apiKeyId":"{key}","requestTimeEpoch":"{ms}","httpMethod":"GET","resourcePath":"/v1/{key}","path":"/prod/{key}","status":"403","userAgent":"{key}","stage":"{key}","apiId":"{key}","user":"{key}"}"#,
    ),
    (
        "aws-http",
        r#"{"requestId":"{key}","ip":"203.0.113.7","requestTimeEpoch":"{ms}","httpMethod":"GET","routeKey":"GET /v1/{key}","path":"/{key}","status":"200","userAgent":"{key}/{key}","credentialId":"{key}","apiKey":"{key}"}"#,
    ),
];

/// 2026-11-22T06:07:40Z.
const START_MS: u64 = 1_795_327_660_000;

fn canaries() -> Vec<String> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    (0..CANARIES).map(|n| format!("CANARY{:016x}{n:04}", random.random::<u64>())).collect()
}

fn record(template: &str, key: &str, ms: u64) -> String {
    let time = keyhound::event::EventTime(ms).rfc3339();
    template
        .replace("{key}", key)
        .replace("{ms}", &ms.to_string())
        .replace("{s}", &format!("{}.{:03}", ms / 1_000, ms % 1_000))
        .replace("{t}", &time)
}

/// A record, broken in the `n`-th way: every reason for a rejection comes up.
fn broken(record: &str, key: &str, n: usize) -> Vec<u8> {
    // Each has a time of every format, and no key at its place.
    let times = r#"{"msec":1795327660.839,"ts":1795327660.839,"started_at":1795327660839,"start_time":"2026-11-22T06:07:40.839Z""#;
    let text = match n % 14 {
        0 => format!("{{\"x\":\"{key}"),
        1 => format!("{key} GET /{key}"),
        2 => format!("\"{key}\""),
        3 => format!("{{\"api_key\":\"{key}\",\"status\":200}}"),
        4 => format!(
            "{{\"msec\":\"{key}\",\"ts\":\"{key}\",\"started_at\":\"{key}\",\"start_time\":\"{key}\"}}"
        ),
        5 => format!("{times},\"x\":\"{key}\"}}"),
        6 => format!("{{\"{key}\":{}{}", "[".repeat(200), record),
        7 => format!("[[[{record}]]]"),
        8 => format!("{{\"pad\":\"{}\",{}", key.repeat(4_000), &record[1..]),
        9 => return [b"\xff\xfe", key.as_bytes()].concat(),
        11 => format!("{times},\"status\":\"{key}\"}}"),
        12 => format!("{{\"{key}\" {record}"),
        10 => return [b"\x1f\x8b", record.as_bytes()].concat(),
        _ => format!("{{\"message\":{:?}}}", &record[..record.len() - 2]),
    };
    text.into_bytes()
}

/// The log of one preset: each canary in a whole record, every second one in a broken one too, and one canary that is
/// used for long and then far more, so that findings, incidents and decisions are made of it.
fn log(template: &str, canaries: &[String]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut add = |line: &[u8]| {
        text.extend_from_slice(line);
        text.push(b'\n');
    };
    let days_ms = 6 * 86_400_000;
    for n in 0..1_800 {
        add(record(template, &canaries[0], START_MS - days_ms + n * days_ms / 1_800).as_bytes());
    }
    for (n, key) in canaries.iter().enumerate() {
        let line = record(template, key, START_MS + n as u64 * 20);
        add(line.as_bytes());
        if n % 2 == 0 {
            add(&broken(&line, key, n / 2));
        }
    }
    for n in 0..1_500 {
        add(record(template, &canaries[0], START_MS + 30_000 + n * 30).as_bytes());
    }
    text
}

/// Fails if any byte string holds the canaries' mark or the random part of one of them.
struct Watch {
    canaries: Vec<String>,
    looked_at_bytes: usize,
}

impl Watch {
    #[track_caller]
    fn look(&mut self, what: &str, bytes: &[u8]) {
        self.looked_at_bytes += bytes.len();
        for part in std::iter::once("CANARY").chain(self.canaries.iter().map(|key| &key[6..22])) {
            if let Some(at) = memchr::memmem::find(bytes, part.as_bytes()) {
                let around = &bytes[at.saturating_sub(150)..(at + 60).min(bytes.len())];
                panic!("{what} holds a raw key at byte {at}: {}", String::from_utf8_lossy(around));
            }
        }
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
fn a_thousand_raw_keys_leave_no_byte_in_logs_metrics_files_or_answers() {
    let canaries = canaries();
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
        let template = RECORDS.iter().find(|(of, _)| of == format).expect("a template").1;
        let text = log(template, &canaries);
        records += text.iter().filter(|byte| **byte == b'\n').count();
        fs::write(logs.path().join(name), text).expect("written");
    }

    let daemon = site.start(&[("RUST_LOG", "trace")]);
    let metrics = wait_until_told(&site, records as u64);
    let mut watch = Watch { canaries: canaries.clone(), looked_at_bytes: 0 };
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
    let incidents = http::get(&site.listen, "/api/v1/incidents?state=all").expect("somebody answers");
    assert!(incidents.contains("inc_"), "no incident was made");
    // Its database, while it runs and after.
    for path in site.files() {
        watch.look(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
    }
    assert!(daemon.stop().success(), "{}", site.last_words());
    for path in site.files() {
        watch.look(&path.display().to_string(), &fs::read(&path).expect("a file that is there"));
    }
    println!("{} bytes looked at", watch.looked_at_bytes);
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
    let canaries = canaries();
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
    Watch { canaries, looked_at_bytes: 0 }.look("the panic's message", &told);
}
