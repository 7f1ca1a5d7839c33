//! The daemon, killed, and the file that it would have to read again is gone by the time it comes back.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use keyhound::generate::{Plan, Traffic};

use super::{
    daemon::{Daemon, FileSource, LIMIT, Site, http},
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

pub fn is_ready(site: &Site) -> bool {
    http::get(&site.listen, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
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

/// Adds a line to the daemon's file and waits for a commit: what is said of a file's end is committed after its last line.
#[track_caller]
pub fn commit(site: &Site, path: &Path, line: &[u8]) {
    let before = site.metric("keyhound_commits_total").expect("it answers");
    append(path, &[line.to_owned()]);
    wait(site, "a commit", || site.metric("keyhound_commits_total") > Some(before));
}

/// Of the state, so that there is no checkpoint.
const NO_CHECKPOINT: &str = "checkpoint_every: 10m";

/// Lets the daemon live, and kills it before its first checkpoint: after one there would be nothing to replay.
#[track_caller]
fn killed_before_a_checkpoint<T>(site: &Site, live: impl Fn() -> (Daemon, T)) -> T {
    let (daemon, outcome) = live();
    let checkpoints = site.metric("keyhound_checkpoints_total");
    daemon.kill();
    assert_eq!(checkpoints, Some(0), "{}", site.last_words());
    outcome
}

/// Whatever happens to the file, it comes back ready, tells of the gap once, and reads what is new.
#[track_caller]
fn comes_back_after(happens: impl FnOnce(&Path)) {
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let site = Site::with_state(&[source], true, NO_CHECKPOINT, "");
    let (path, lines) = (site.path("access.log"), lines(2_150));
    killed_before_a_checkpoint(&site, || {
        fs::write(&path, lines[..2_000].concat()).expect("written");
        let daemon = site.start(&[]);
        wait(&site, "2000 records", || site.metric("keyhound_records_total") == Some(2_000));
        commit(&site, &path, &lines[2_000]);
        (daemon, ())
    });
    happens(&path);

    append(&path, &lines[2_001..2_100]);
    let daemon = site.start(&[]);
    wait(&site, "ready", || is_ready(&site));
    wait(&site, "99 new records", || site.metric("keyhound_records_total") == Some(99));
    assert_eq!(site.metric("keyhound_replay_gaps_total"), Some(1), "{}", site.last_words());
    let said = site.said();
    let told: Vec<&str> = said.lines().filter(|line| line.contains("had to be replayed")).collect();
    assert_eq!(told.len(), 1, "{}", site.last_words());
    let told: serde_json::Value = serde_json::from_str(told[0]).expect("a JSON line");
    assert_eq!((&told["level"], &told["from"]), (&"ERROR".into(), &0.into()), "{told}");
    assert!(told["to"].as_u64() > Some(100_000) && told["input"].as_str().is_some(), "{told}");
    append(&path, &lines[2_100..]);
    wait(&site, "50 more records", || site.metric("keyhound_records_total") == Some(149));
    daemon.kill();

    // The next start has nothing to miss.
    let daemon = site.start(&[]);
    wait(&site, "ready again", || is_ready(&site));
    assert_eq!(site.metric("keyhound_replay_gaps_total"), Some(0), "{}", site.last_words());
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

/// What the daemon says is current: the ids of decisions, or of open incidents; `None` = nobody answers.
fn ids(site: &Site, path: &str) -> Option<Vec<String>> {
    let answer = http::get(&site.listen, path)?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let all = |list: &str| body[list].as_array().cloned().unwrap_or_default();
    let records = all("decisions").into_iter().map(|shown| shown["decision"].clone()).chain(all("incidents"));
    Some(records.map(|record| record["id"].as_str().expect("an id").to_owned()).collect())
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
    let site = daemon_tests::site(true, NO_CHECKPOINT);
    let path = site.path("access.log");
    let log = daemon_tests::log(Duration::from_mins(30));
    let (decisions, incidents) = ("/api/v1/decisions", "/api/v1/incidents");
    let told = killed_before_a_checkpoint(&site, || {
        fs::write(&path, &log).expect("written");
        let daemon = site.start(&[]);
        // What comes of records comes after they are read and counted: of the last ones, this.
        wait(&site, "a decision", || ids(&site, decisions).is_some_and(|ids| !ids.is_empty()));
        commit(&site, &path, b"the last word\n");
        wait(&site, "all is told", || site.metric("keyhound_outbox_records") == Some(0));
        (daemon, [decisions, incidents].map(|path| ids(&site, path).expect("it answers")))
    });
    assert!(told.iter().all(|ids| !ids.is_empty()), "{told:?}");
    drop(fs::File::create(&path).expect("truncated"));

    let daemon = site.start(&[]);
    wait(&site, "ready", || is_ready(&site));
    assert_eq!(site.metric("keyhound_replay_gaps_total"), Some(1), "{}", site.last_words());
    let still = [decisions, incidents].map(|path| ids(&site, path).expect("it answers"));
    assert_eq!(still, told, "what gateways and people were told stays");
    let body = format!("{{\"decision\":{:?},\"reason\":\"over\",\"by\":\"test\"}}", told[0][0]);
    let lifted = http::post(&site.listen, "/api/v1/decisions/lift", &body).expect("it answers");
    assert!(lifted.starts_with("HTTP/1.1 200"), "{lifted}");
    append(&path, &[request(Duration::from_mins(28)), request(Duration::ZERO)]);
    wait(&site, "the end of the incidents", || ids(&site, incidents).is_some_and(|ids| ids.is_empty()));
    daemon.kill();

    let daemon = site.start(&[]);
    wait(&site, "ready again", || is_ready(&site));
    assert_eq!(site.metric("keyhound_replay_gaps_total"), Some(0), "{}", site.last_words());
    assert_eq!(ids(&site, incidents), Some(Vec::new()));
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
    wait(&site, "80 records", || site.metric("keyhound_records_total") == Some(80));
    assert!(daemon.stop().success(), "{}", site.last_words());

    append(&a, &[request(Duration::ZERO)]);
    append(&b, &vec![request(Duration::ZERO); 2]);
    let daemon = site.start(&[]);
    wait(&site, "3 records", || site.metric("keyhound_records_total") >= Some(3));
    let metrics = http::get(&site.listen, "/metrics").expect("it answers");
    for line in ["keyhound_records_total{source=\"0:file\"} 1", "keyhound_records_total{source=\"1:file\"} 2"]
    {
        assert!(metrics.lines().any(|found| found == line), "not {line}:\n{metrics}");
    }
    assert!(daemon.stop().success(), "{}", site.last_words());
}
