//! The daemon, killed, and the file that it would have to read again is gone by the time it comes back.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use keyhound::generate::{Plan, Traffic};

use super::{
    daemon::{FileSource, LIMIT, Site},
    daemon_tests,
};

/// Lines of nginx's log.
pub fn lines(count: usize) -> Vec<Vec<u8>> {
    let mut traffic = Traffic::new(Plan { days: 2, keys: 20, ..Plan::default() }).expect("a valid plan");
    let mut lines = Vec::new();
    while lines.len() < count {
        let line = traffic.next_line().expect("two days have more");
        lines.push([line.bytes, b"\n"].concat());
    }
    lines
}

/// The status line and the body of an answer; nothing while nobody listens.
pub fn get(address: &str, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

fn ask(address: &str, request: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    let mut answer = Vec::new();
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
    asked.map(|_| String::from_utf8_lossy(&answer).into_owned()).unwrap_or_default()
}

/// The sum of a metric's samples.
pub fn metric(site: &Site, name: &str) -> Option<u64> {
    let text = get(&site.listen, "/metrics");
    let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    samples.map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[track_caller]
pub fn wait(site: &Site, what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LIMIT, "{what}: {}", site.last_words());
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn append(path: &Path, lines: &[Vec<u8>]) {
    let mut file = fs::File::options().create(true).append(true).open(path).expect("opened");
    file.write_all(&lines.concat()).expect("written");
}

/// Whatever happens to the file, it comes back ready, tells of the gap once, and reads what is new.
#[track_caller]
fn comes_back_after(happens: impl FnOnce(&Path)) {
    let site = Site::new(&[FileSource { name: "access.log", format: "nginx", key: "raw" }], true, "");
    let (path, lines) = (site.path("access.log"), lines(2_150));
    append(&path, &lines[..2_000]);
    let daemon = site.start(&[]);
    wait(&site, "2000 records", || metric(&site, "keyhound_records_total") == Some(2_000));
    // What is said of the file's end is committed after its last line.
    let before = metric(&site, "keyhound_commits_total");
    append(&path, &lines[2_000..2_001]);
    wait(&site, "a commit", || metric(&site, "keyhound_commits_total") > before);
    assert_eq!(metric(&site, "keyhound_checkpoints_total"), Some(0), "else there is nothing to replay");
    daemon.kill();
    happens(&path);

    append(&path, &lines[2_001..2_100]);
    let daemon = site.start(&[]);
    wait(&site, "ready", || get(&site.listen, "/readyz").starts_with("HTTP/1.1 200"));
    wait(&site, "99 new records", || metric(&site, "keyhound_records_total") == Some(99));
    assert_eq!(metric(&site, "keyhound_replay_gaps_total"), Some(1), "{}", site.last_words());
    let said = site.said();
    let told: Vec<&str> = said.lines().filter(|line| line.contains("had to be replayed")).collect();
    assert_eq!(told.len(), 1, "{}", site.last_words());
    let told: serde_json::Value = serde_json::from_str(told[0]).expect("a JSON line");
    assert_eq!((&told["level"], &told["from"]), (&"ERROR".into(), &0.into()), "{told}");
    assert!(told["to"].as_u64() > Some(100_000) && told["input"].as_str().is_some(), "{told}");
    append(&path, &lines[2_100..]);
    wait(&site, "50 more records", || metric(&site, "keyhound_records_total") == Some(149));
    daemon.kill();

    // The next start has nothing to miss.
    let daemon = site.start(&[]);
    wait(&site, "ready again", || get(&site.listen, "/readyz").starts_with("HTTP/1.1 200"));
    assert_eq!(metric(&site, "keyhound_replay_gaps_total"), Some(0), "{}", site.last_words());
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn the_daemon_goes_on_when_the_file_was_truncated_while_it_was_down() {
    comes_back_after(|path| drop(fs::File::create(path).expect("truncated")));
}

#[test]
fn the_daemon_goes_on_when_the_file_was_deleted_while_it_was_down() {
    comes_back_after(|path| fs::remove_file(path).expect("removed"));
}

/// What the daemon says is current: the ids of decisions, or of open incidents.
fn ids(site: &Site, path: &str) -> Vec<String> {
    let answer = get(&site.listen, path);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let all = |list: &str| body[list].as_array().cloned().unwrap_or_default();
    let records = all("decisions").into_iter().map(|shown| shown["decision"].clone()).chain(all("incidents"));
    records.filter_map(|record| Some(record["id"].as_str()?.to_owned())).collect()
}

/// A request of an honest key, so long ago.
fn request(ago: Duration) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!(
        "{{\"msec\":\"{}.000\",\"status\":\"200\",\"method\":\"GET\",\"uri\":\"/v1/a\",\
         \"api_key\":\"sk_live_4242424242424242\",\"remote_addr\":\"203.0.113.7\"}}\n",
        (now - ago).as_secs()
    )
    .into_bytes()
}

#[test]
fn what_was_told_before_the_file_was_gone_stays_and_ends_by_itself() {
    // The log ends half an hour ago, so that there is room for what comes after it.
    let site = daemon_tests::site(true);
    let path = site.path("access.log");
    fs::write(&path, daemon_tests::log(Duration::from_mins(30))).expect("written");
    let daemon = site.start(&[]);
    let (decisions, incidents) = ("/api/v1/decisions", "/api/v1/incidents");
    wait(&site, "a decision", || !ids(&site, decisions).is_empty());
    let told = (ids(&site, decisions), ids(&site, incidents));
    assert!(!told.1.is_empty(), "{told:?}");
    assert_eq!(metric(&site, "keyhound_checkpoints_total"), Some(0), "else there is nothing to replay");
    daemon.kill();
    drop(fs::File::create(&path).expect("truncated"));

    let daemon = site.start(&[]);
    wait(&site, "ready", || get(&site.listen, "/readyz").starts_with("HTTP/1.1 200"));
    assert_eq!(metric(&site, "keyhound_replay_gaps_total"), Some(1), "{}", site.last_words());
    assert_eq!(ids(&site, decisions), told.0, "what gateways were told stays");
    assert_eq!(ids(&site, incidents), told.1, "and so does what people were told");
    let body = format!("{{\"decision\":{:?},\"reason\":\"over\",\"by\":\"test\"}}", told.0[0]);
    let (head, length) =
        ("POST /api/v1/decisions/lift HTTP/1.1\r\nHost: localhost\r\nConnection: close", body.len());
    let head = format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {length}");
    let lifted = ask(&site.listen, &format!("{head}\r\n\r\n{body}"));
    assert!(lifted.starts_with("HTTP/1.1 200"), "{lifted}");
    append(&path, &[request(Duration::from_mins(28)), request(Duration::ZERO)]);
    wait(&site, "the end of the incidents", || ids(&site, incidents).is_empty());
    daemon.kill();

    let daemon = site.start(&[]);
    wait(&site, "ready again", || get(&site.listen, "/readyz").starts_with("HTTP/1.1 200"));
    assert_eq!(metric(&site, "keyhound_replay_gaps_total"), Some(0), "{}", site.last_words());
    assert_eq!(ids(&site, incidents), Vec::<String>::new());
    assert!(daemon.stop().success(), "{}", site.last_words());
}

#[test]
fn two_sources_in_one_folder_each_keep_their_own_file_over_a_restart() {
    let sources = ["a.log", "b.log"].map(|name| FileSource { name, format: "nginx", key: "raw" });
    let site = Site::new(&sources, true, "");
    let [a, b] = ["a.log", "b.log"].map(|name| site.path(name));
    append(&a, &vec![request(Duration::from_mins(5)); 30]);
    append(&b, &vec![request(Duration::from_mins(5)); 50]);
    let daemon = site.start(&[]);
    wait(&site, "80 records", || metric(&site, "keyhound_records_total") == Some(80));
    assert!(daemon.stop().success(), "{}", site.last_words());

    append(&a, &[request(Duration::ZERO)]);
    append(&b, &vec![request(Duration::ZERO); 2]);
    let daemon = site.start(&[]);
    wait(&site, "3 records", || metric(&site, "keyhound_records_total") >= Some(3));
    let metrics = get(&site.listen, "/metrics");
    for line in ["keyhound_records_total{source=\"0:file\"} 1", "keyhound_records_total{source=\"1:file\"} 2"]
    {
        assert!(metrics.lines().any(|found| found == line), "not {line}:\n{metrics}");
    }
    assert!(daemon.stop().success(), "{}", site.last_words());
}
