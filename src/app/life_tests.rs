//! The whole daemon in this process, at records that panic.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    app::{self, Named},
    config::{Config, Overrides},
    slot::planted,
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

#[test]
fn the_daemon_finds_the_records_that_panic_and_reads_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    write_log(&file("access.log"), &[(100, planted::IN_DECODING), (400, planted::IN_JUDGING)]);
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
    let config = Config::load(&path, &Overrides::default()).unwrap();
    let named = Named::read(&config).unwrap();
    // It ends with this process.
    thread::spawn(move || app::run(config, named, path, Overrides::default()));

    let started = Instant::now();
    let metric = |line: &str| get(&listen, "/metrics").lines().any(|found| found == line);
    for line in [
        "keyhound_records_rejected_total{reason=\"panicked\",source=\"0:file\"} 2",
        "keyhound_engine_failures_total 3",
    ] {
        while !metric(line) {
            assert!(started.elapsed() < LIMIT, "not {line}:\n{}", get(&listen, "/metrics"));
            thread::sleep(Duration::from_millis(20));
        }
    }
    while !get(&listen, "/readyz").starts_with("HTTP/1.1 200") {
        assert!(started.elapsed() < LIMIT, "{}", get(&listen, "/readyz"));
        thread::sleep(Duration::from_millis(20));
    }
}
