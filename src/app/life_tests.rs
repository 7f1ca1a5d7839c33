//! The whole daemon in this process, at records that panic.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::Router;
use tokio::net::TcpSocket;

use crate::{
    app::{self, Named, listeners::Listeners, parts},
    config::{Config, Overrides},
    slot::planted,
    store::DecisionsFile,
    telemetry::Metrics,
};

const LIMIT: Duration = Duration::from_mins(2);

/// The body of what is answered to a GET; empty if nobody listens yet.
fn get(address: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    let mut answer = String::new();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let read = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    read.map(|_| answer).unwrap_or_default()
}

/// Requests of an honest key; at the places in `planted`, ones that panic.
fn write_log(path: &Path, planted: &[(usize, &str)]) {
    let now = crate::deliver::WallClock::system().now().0 / 1_000;
    let mut text = String::new();
    for n in 0..500 {
        let (_, uri) = planted.iter().find(|(at, _)| *at == n).unwrap_or(&(0, "/v1/a"));
        let _ = writeln!(
            text,
            "{{\"msec\":\"{now}.{n:03}\",\"status\":\"200\",\"method\":\"GET\",\"uri\":\"{uri}\",\
             \"api_key\":\"sk_live_4242424242424242\",\"remote_addr\":\"203.0.113.7\"}}"
        );
    }
    fs::write(path, text).unwrap();
}

/// Settings for one file, in a folder with a pepper, and the addresses that they say.
fn settings(dir: &Path) -> (Config, PathBuf, [String; 2]) {
    let file = |name: &str| dir.join(name);
    fs::write(file("pepper"), b"0123456789abcdef0123456789abcdef").unwrap();
    let [listen, gateways_listen] = [(); 2].map(|()| {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        free.local_addr().unwrap().to_string()
    });
    let settings = format!(
        "sources: [{{ file: {{ paths: [{:?}] }}, format: nginx, key: raw }}]\n\
         fingerprint: {{ pepper_file: {:?} }}\nstate: {{ dir: {:?} }}\n\
         listen: {listen}\ngateways_listen: {gateways_listen}\n",
        file("access.log"),
        file("pepper"),
        file("state"),
    );
    let path = file("keyhound.yaml");
    fs::write(&path, settings).unwrap();
    (Config::load(&path, &Overrides::default()).unwrap(), path, [listen, gateways_listen])
}

#[test]
fn an_address_on_which_listening_fails_is_not_taken_for_open_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (config, ..) = settings(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _in_runtime = runtime.enter();
    let metrics = Arc::new(Metrics::new("0", "0"));
    let listeners =
        Listeners::open_for_operators(&config, Router::new(), Router::new(), metrics.clone()).unwrap();
    let other = TcpSocket::new_v4().unwrap();
    other.set_reuseaddr(true).unwrap();
    other.bind(config.gateways_listen).unwrap();
    let other = other.listen(1).unwrap();
    for _ in 0..2 {
        assert!(listeners.open_for_gateways().is_err());
        assert!(!listeners.is_open_for_gateways());
        assert_eq!(metrics.faults.gateways_listening.get(), 0);
    }
    drop(other);
    listeners.open_for_gateways().unwrap();
    assert!(listeners.is_open_for_gateways());
    assert_eq!(metrics.faults.gateways_listening.get(), 1);
}

#[test]
fn with_an_empty_decisions_file_it_answers_on_while_the_database_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (config, path, [listen, _]) = settings(dir.path());
    write_log(&dir.path().join("access.log"), &[]);
    let named = Named::read(&config).unwrap();
    let check = parts::identity(&config, &named.pepper).pepper_check;
    DecisionsFile::new(&config.state_dir, &check).write(&[], 7).unwrap();
    fs::write(config.state_dir.join("keyhound.sqlite"), [b'x'; 4096]).unwrap();
    // It ends with this process.
    thread::spawn(move || app::run(config, named, path, Overrides::default()));
    let started = Instant::now();
    let failures = || {
        let metrics = get(&listen, "/metrics");
        let found = metrics.lines().find_map(|line| line.strip_prefix("keyhound_engine_failures_total "));
        found.and_then(|count| count.parse::<u32>().ok()).unwrap_or_default()
    };
    while failures() < 3 {
        assert!(started.elapsed() < LIMIT, "it ended: {}", get(&listen, "/readyz"));
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a daemon at this log until its metrics have these lines, and it is ready; gives what `/readyz` answers.
#[track_caller]
fn run_until(planted: &[(usize, &str)], lines: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_log(&dir.path().join("access.log"), planted);
    let (config, path, [listen, _]) = settings(dir.path());
    let named = Named::read(&config).unwrap();
    // It ends with this process.
    thread::spawn(move || app::run(config, named, path, Overrides::default()));

    let started = Instant::now();
    let metric = |line: &str| get(&listen, "/metrics").lines().any(|found| found == line);
    for line in lines {
        while !metric(line) {
            assert!(started.elapsed() < LIMIT, "not {line}:\n{}", get(&listen, "/metrics"));
            thread::sleep(Duration::from_millis(20));
        }
    }
    loop {
        let ready = get(&listen, "/readyz");
        if ready.starts_with("HTTP/1.1 200") {
            return ready;
        }
        assert!(started.elapsed() < LIMIT, "{ready}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_daemon_finds_the_records_that_panic_and_reads_on() {
    let planted = [(100, planted::IN_DECODING), (400, planted::IN_JUDGING)];
    let ready = run_until(
        &planted,
        &[
            "keyhound_records_rejected_total{reason=\"panicked\",source=\"0:file\"} 2",
            "keyhound_engine_failures_total 2",
        ],
    );
    assert!(!ready.contains("panicked"), "a record alone leaves out nothing else: {ready}");
}

#[test]
fn the_daemon_leaves_a_key_out_whose_requests_panic_again_and_again_and_says_so() {
    let planted: Vec<(usize, &str)> = (100..500).step_by(50).map(|at| (at, planted::IN_JUDGING)).collect();
    let ready = run_until(
        &planted,
        &[
            "keyhound_engine_failures_total 3",
            "keyhound_fault{fault=\"excluded\"} 1",
            "keyhound_source_lag_bytes{source=\"0:file\"} 0",
        ],
    );
    for words in ["the engine panicked more than once", "the requests of key kf1_", "until 20", "report it"] {
        assert!(ready.contains(words), "{words}: {ready}");
    }
    assert!(!ready.contains("sk_live"), "{ready}");
}
