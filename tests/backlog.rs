//! The first start on retained history: what looks stolen in it is listed and pages nobody, while a live leak pages.

mod daemon;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use daemon::{FileSource, LIMIT, PEPPER, Site};
use keyhound::decode::{Pepper, fingerprint};

/// Keys as clients send them: one was tried out ten hours ago, one is right now.
const THEN: &str = "sk_live_leaked_ten_hours_ago";
const NOW: &str = "sk_live_leaked_just_now";

fn key_id(raw: &str) -> String {
    fingerprint(&Pepper::new(PEPPER).expect("long enough"), raw.as_bytes()).to_string()
}

/// An Alertmanager that takes everything: each request as it came.
fn alertmanager() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let told = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = told.clone();
            thread::spawn(move || take(stream, &told));
        }
    });
    (url, taken)
}

/// Answers requests of one connection until its end.
fn take(mut stream: TcpStream, told: &Mutex<Vec<String>>) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            told.lock().expect("no panic").push(body.to_owned());
            bytes.clear();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    }
}

/// A line of nginx's: when, of which key, with which status.
fn line(text: &mut String, (at, key, status): (u64, &str, u16)) {
    let _ = writeln!(
        text,
        r#"{{"msec":"{at}.000","status":"{status}","method":"GET","uri":"/v1/a","api_key":"{key}","remote_addr":"203.0.113.7"}}"#
    );
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Four days of steady use of each key, tried out by a stranger for the three minutes before `last`.
fn log(keys: &[(&str, u64)]) -> String {
    let now = seconds();
    let mut lines = Vec::new();
    for &(key, last) in keys {
        lines.extend((now - 4 * 86_400..now).step_by(20).map(|at| (at, key, 200)));
        lines.extend((last - 180..last).step_by(2).map(|at| (at, key, 403)));
    }
    lines.sort_unstable();
    let mut text = String::new();
    lines.into_iter().for_each(|one| line(&mut text, one));
    text
}

#[track_caller]
fn until(site: &Site, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "{what}: not within {LIMIT:?}\n{}", site.last_words());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_backlog_is_listed_and_pages_nobody_while_a_live_leak_pages() {
    let (url, told) = alertmanager();
    // Wide enough for a busy machine, and far less than ten hours.
    let more = format!("alertmanagers: [\"{url}\"]\nresponse: {{ fresh_within: 10m }}");
    let source = FileSource { name: "access.json", format: "nginx", key: "raw" };
    let site = Site::new(&[source], true, &more);
    let now = seconds();
    let text = log(&[(THEN, now - 10 * 3_600), (NOW, now)]);
    fs::write(site.path("access.json"), text).expect("written");
    let daemon = site.start(&[]);
    let (then, now) = (key_id(THEN), key_id(NOW));

    until(&site, "the live leak pages", || {
        told.lock().expect("no panic").iter().any(|body| body.contains(&now))
    });
    until(&site, "both are listed", || {
        let list = site.incidents();
        list.lines().filter(|line| line.contains("KeyAbused")).count() == 2
    });
    let list = site.incidents();
    let stale: Vec<&str> = list.lines().filter(|line| line.contains("backlog")).collect();
    assert_eq!(stale.len(), 1, "{list}");
    assert!(daemon.stop().success());

    let bodies = told.lock().expect("no panic").join("\n");
    assert!(!bodies.contains(&then), "{bodies}");

    // A second start tells of what is open once more, and of nothing else.
    told.lock().expect("no panic").clear();
    let daemon = site.start(&[]);
    until(&site, "the open incident is told again", || {
        told.lock().expect("no panic").iter().any(|body| body.contains(&now))
    });
    assert!(daemon.stop().success());
    let bodies = told.lock().expect("no panic").join("\n");
    assert!(!bodies.contains(&then), "{bodies}");
}

#[test]
fn a_live_leak_pages_while_another_source_brings_a_week_of_history() {
    let (url, told) = alertmanager();
    let more = format!("alertmanagers: [\"{url}\"]\nresponse: {{ fresh_within: 10m }}");
    let sources =
        ["access.json", "history.json"].map(|name| FileSource { name, format: "nginx", key: "raw" });
    let site = Site::new(&sources, true, &more);
    fs::write(site.path("access.json"), log(&[(NOW, seconds())])).expect("written");
    let mut history = File::create(site.path("history.json")).expect("made");
    let (mut at, end) = (seconds() - 7 * 86_400, seconds() - 86_400);
    let mut goes_on = || {
        let mut text = String::new();
        (at..at + 50).for_each(|at| line(&mut text, (at, THEN, 200)));
        history.write_all(text.as_bytes()).expect("written");
        at += 50;
        assert!(at < end, "the history is over");
    };
    goes_on();
    let daemon = site.start(&[]);
    // There is always more of the history, so that its source never comes near the present.
    let now = key_id(NOW);
    until(&site, "the live leak pages", || {
        goes_on();
        told.lock().expect("no panic").iter().any(|body| body.contains(&now))
    });
    assert!(daemon.stop().success());
}

/// Gateways that write the history, and logs of each, one after the other.
const GATEWAYS: u64 = 6;
const LOGS: u64 = 10;
const WEEK: u64 = 7 * 86_400;
/// So many lines, in gzip, are more than what is not worth telling of, and take longer than the look at them.
const TOLD_FROM: u64 = 30_000_000;

/// One log of a gateway's: its part of the history of a week that ends a minute ago, of a thousand keys.
fn write_log(path: &Path, lines: u64, gateway: u64, log: u64) {
    let file = File::create(path).expect("made");
    let mut file = flate2::write::GzEncoder::new(std::io::BufWriter::new(file), flate2::Compression::fast());
    let start = seconds() - WEEK - 60;
    let mut text = String::new();
    for n in lines * log / LOGS..lines * (log + 1) / LOGS {
        let key = (n * 7 + gateway) % 1_000;
        line(&mut text, (start + WEEK * n / lines, &format!("sk_live_key_number_{key}"), 200));
        if text.len() > 1 << 16 {
            file.write_all(text.as_bytes()).expect("written");
            text.clear();
        }
    }
    file.write_all(text.as_bytes()).expect("written");
    file.finish().expect("written").flush().expect("written");
}

/// `KEYHOUND_BACKLOG_LINES=100000000`, with `--release` and `--nocapture`, is the whole of it: 11 GB are read.
#[test]
fn a_week_in_gzip_files_is_told_of_and_read_whole_and_in_order() {
    let lines =
        std::env::var("KEYHOUND_BACKLOG_LINES").map_or(30_000, |lines| lines.parse().expect("a number"));
    let source = FileSource { name: "history-*.gz", format: "nginx", key: "raw" };
    let site = Site::new(&[source], true, "");
    let made = Instant::now();
    thread::scope(|scope| {
        for gateway in 0..GATEWAYS {
            let site = &site;
            scope.spawn(move || {
                for log in 0..LOGS {
                    let path = site.path(&format!("history-{gateway}-{log}.gz"));
                    write_log(&path, lines / GATEWAYS, gateway, log);
                }
            });
        }
    });
    let bytes: u64 = site.files().iter().map(|path| fs::metadata(path).map_or(0, |data| data.len())).sum();
    println!("{lines} lines in {} files, {} MB, made in {:?}", GATEWAYS * LOGS, bytes >> 20, made.elapsed());

    let mut daemon = site.start(&[]);
    let (started, all) = (Instant::now(), lines / GATEWAYS * GATEWAYS);
    let (mut told, mut read) = (false, 0);
    while read < all {
        assert!(daemon.end_within(Duration::ZERO).is_none(), "{}", site.last_words());
        thread::sleep(Duration::from_millis(200));
        read = site.metric("keyhound_events_total").unwrap_or(0);
        let text = daemon::http::get(&site.listen, "/readyz").unwrap_or_default();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let ready: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let Some(words) = ready.pointer("/sources/0/catch_up").and_then(|words| words.as_str()) else {
            continue;
        };
        if !std::mem::replace(&mut told, true) {
            println!("told after {:?}: {words}", started.elapsed());
        }
    }
    let took = started.elapsed();
    assert!(told || all < TOLD_FROM, "nobody was told how long it takes");
    #[allow(clippy::cast_precision_loss)] // far below
    let rate = all as f64 / took.as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap_or_default();
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("read in {took:?}, {rate:.0} lines a second; {memory}");
    assert_eq!(site.metric("keyhound_events_total"), Some(all));
    for none in ["keyhound_events_late_total", "keyhound_events_behind_watermark_total"] {
        assert_eq!(site.metric(none), Some(0), "{none}");
    }
    assert!(site.incidents().lines().count() < 3, "{}", site.incidents());
    assert!(daemon.stop().success());
}
