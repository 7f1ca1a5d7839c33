//! Signals to the daemon, and its exit codes: a start is stopped at once, whatever it waits for, and so is an end that
//! takes too long; settings that cannot be used are told from a failure.

use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    time::{Duration, Instant},
};

use super::{
    daemon::{Daemon, FileSource, LIMIT, Site},
    gone::wait,
};

/// Less than the half minute for which a start waits for a broker, and long for a busy machine.
const SOON: Duration = Duration::from_secs(15);

fn waits_for(site: &Site, daemon: &mut Daemon, text: &str) {
    let started = Instant::now();
    while !site.said().contains(text) {
        assert!(started.elapsed() < LIMIT, "it never says {text}: {}", site.last_words());
        assert!(daemon.end_within(Duration::from_millis(5)).is_none(), "{}", site.last_words());
    }
}

#[test]
fn a_start_that_waits_for_a_broker_is_stopped_at_once() {
    // It takes connections and never says a word.
    let broker = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = broker.local_addr().expect("it is bound");
    let site = Site::new(&[FileSource { name: "none", format: "nginx", key: "raw" }], true, "");
    let settings = fs::read_to_string(site.path("keyhound.yaml")).expect("read");
    let (_, rest) = settings.split_once("fingerprint:").expect("it has this section");
    let source = format!("kafka: {{ brokers: [\"{address}\"], topics: [logs] }}, format: nginx, key: raw");
    fs::write(site.path("keyhound.yaml"), format!("sources: [{{ {source} }}]\nfingerprint:{rest}"))
        .expect("written");
    let mut daemon = site.start(&[]);
    broker.set_nonblocking(true).expect("a setting");
    let mut asked = None;
    wait(&site, "it connects", || {
        asked = broker.accept().ok();
        asked.is_some()
    });
    let (mut asked, _) = asked.expect("it is connected");
    asked.set_nonblocking(false).expect("a setting");
    asked.set_read_timeout(Some(LIMIT)).expect("a setting");
    asked.read_exact(&mut [0; 4]).expect("it asks something");
    daemon.signal("TERM");
    let status = daemon.end_within(SOON).unwrap_or_else(|| panic!("it goes on: {}", site.last_words()));
    assert_eq!(status.code(), Some(0), "{}", site.last_words());
    assert!(site.said().contains("nothing was changed"), "{}", site.last_words());
}

#[test]
fn a_second_signal_ends_an_end_that_takes_long() {
    // An open request keeps the end waiting for four seconds.
    let site = Site::new(&[FileSource { name: "none", format: "nginx", key: "raw" }], true, "");
    let mut daemon = site.start(&[]);
    waits_for(&site, &mut daemon, "\"event\":\"state_restored\"");
    let mut open = std::net::TcpStream::connect(&site.listen).expect("it listens");
    std::io::Write::write_all(&mut open, b"POST /api/v1/decisions/pause HTTP/1.1\r\nContent-Length: 9\r\n")
        .expect("written");
    // It and the question itself.
    wait(&site, "the request", || site.metric("keyhound_connections") == Some(2));
    daemon.signal("TERM");
    waits_for(&site, &mut daemon, "stopping on a signal");
    // One that comes sooner is the same signal.
    std::thread::sleep(Duration::from_millis(1_200));
    daemon.signal("INT");
    // That it does not end as the first signal would have it is told by its code.
    let status = daemon.end_within(LIMIT).unwrap_or_else(|| panic!("it goes on: {}", site.last_words()));
    assert_eq!(status.code(), Some(1), "{}", site.last_words());
}

#[test]
fn a_second_signal_at_once_is_the_same_one() {
    let site = Site::new(&[FileSource { name: "none", format: "nginx", key: "raw" }], true, "");
    let mut daemon = site.start(&[]);
    waits_for(&site, &mut daemon, "\"event\":\"state_restored\"");
    // As a terminal's Ctrl-C and a supervisor's TERM come for one stop.
    let pid = daemon.id().to_string();
    let both = format!("kill -TERM {pid}; kill -INT {pid}; kill -TERM {pid}");
    std::process::Command::new("sh").args(["-c", &both]).status().expect("a shell");
    let status = daemon.end_within(LIMIT).unwrap_or_else(|| panic!("it goes on: {}", site.last_words()));
    assert_eq!(status.code(), Some(0), "{}", site.last_words());
}

#[test]
fn a_rule_or_a_pepper_that_cannot_be_used_is_a_fault_of_the_settings() {
    let source = [FileSource { name: "none", format: "nginx", key: "raw" }];
    let site = Site::new(&source, true, "rules: [bad.yaml]");
    fs::write(site.path("bad.yaml"), "- id: x\n  frobnicate: 1\n").expect("written");
    let status = site.start(&[]).end_within(LIMIT).expect("it ends by itself");
    assert_eq!(status.code(), Some(78), "{}", site.last_words());
    assert!(
        site.said().contains("bad.yaml:2") && site.said().contains("frobnicate"),
        "{}",
        site.last_words()
    );
    assert!(!site.path("state").exists(), "nothing is opened before");
    let site = Site::new(&source, true, "");
    fs::write(site.path("pepper"), "short").expect("written");
    let status = site.start(&[]).end_within(LIMIT).expect("it ends by itself");
    assert_eq!(status.code(), Some(78), "{}", site.last_words());
}
