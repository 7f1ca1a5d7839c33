//! The daemon itself, on a log with incidents in it: killed a hundred times, it leaves what it leaves undisturbed.
//!
//! Compared are the state entry by entry, the digest over all effects, and the current incidents and decisions. The
//! digest is a chain over every output in order, so equal digests mean equal outputs, with equal ids.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use keyhound::{
    decode::{Pepper, credential_fingerprint},
    event::EventTime,
    generate::{ClientKind, Injection, Plan, Scenario, Traffic, world},
    store::{EmbeddedLog, Identity, Log as _, Topic},
};

use super::daemon::{Daemon, FileSource, LIMIT, PEPPER, Site};

/// So many kills in all, over as many runs as it takes.
const KILLS: u32 = 100;

/// Kills of one run at most; then it may end.
const KILLS_A_RUN: u32 = 25;

/// The longest life after a start, in milliseconds: a few commits long.
const LIFE_MAX_MS: u64 = 1_000;

/// What the log says once state is restored.
const RESTORED: &str = "\"event\":\"state_restored\"";

/// What it says once other settings are in force.
const RELOADED: &str = "\"event\":\"config_reloaded\"";

/// How long before the end of the log each of three keys is abused: two in what is a backlog to every run, and one so
/// lately that to every run it is fresh (`response.fresh_within` is an hour), since nothing is decided in a backlog.
const ABUSED: [(Scenario, Duration); 3] = [
    (Scenario::Leak, Duration::from_hours(30)),
    (Scenario::Enumeration, Duration::from_hours(24)),
    (Scenario::Leak, Duration::from_mins(20)),
];

/// How long before the end of the log nobody asks for anything: what is read an hour after it happened is history or not
/// depending on the second in which it is read, and runs are minutes apart.
const SILENT: std::ops::Range<Duration> = Duration::from_mins(25)..Duration::from_mins(80);

/// Eight days of a hundred keys, until so long ago; some records are broken.
pub fn log(ended: Duration) -> Vec<u8> {
    let days = 8;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let start = now - ended - Duration::from_hours(24 * u64::from(days));
    let start = EventTime(u64::try_from(start.as_millis()).expect("not that late"));
    let plan = Plan { start, days, keys: 100, lines_max: 120_000, ..Plan::default() };
    let mut traffic = Traffic::new(plan).expect("a valid plan");
    for (scenario, before_end) in ABUSED {
        let target = traffic.key_like(ClientKind::Server, 3.0).expect("a server key");
        let at = traffic.plan().end().before(before_end);
        traffic.inject(Injection { scenario, at, target }).expect("within the plan");
    }
    let (mut text, mut count) = (Vec::new(), 0_u32);
    let end = traffic.plan().end();
    while let Some(line) = traffic.next_line() {
        if SILENT.contains(&end.since(line.time)) {
            continue;
        }
        text.extend_from_slice(line.bytes);
        text.push(b'\n');
        count += 1;
        if count.is_multiple_of(997) {
            text.extend_from_slice(&line.bytes[..line.bytes.len() / 2]);
            text.push(b'\n');
        }
    }
    text
}

/// What a run left.
#[derive(PartialEq)]
struct Left {
    state: Vec<(Vec<u8>, Vec<u8>)>,
    digest: String,
    watermark_ms: u64,
    incidents: Vec<(String, String)>,
    decisions: Vec<(String, String)>,
}

fn left_in(site: &Site) -> Left {
    let pepper = Pepper::new(PEPPER).expect("long enough");
    let identity = Identity {
        partitions: 8,
        topic_prefix: "keyhound.".to_owned(),
        pepper_check: credential_fingerprint(&pepper, "keyhound", "pepper check").to_string(),
    };
    let dispatchers = ["alerts", "serve"].map(str::to_owned);
    let mut log =
        EmbeddedLog::open(site.path("state"), &identity, Vec::new(), &dispatchers).expect("a store");
    let mut state = Vec::new();
    log.restore(&mut |key, value| {
        state.push((key.to_vec(), value.to_vec()));
        Ok(())
    })
    .expect("the state can be read");
    let outbox = log.outbox();
    let [incidents, decisions] = [Topic::Incidents, Topic::Decisions].map(|topic| {
        let records = outbox.current(topic, false).expect("the table can be read");
        let text = |record: keyhound::store::OutRecord| {
            (record.key, String::from_utf8_lossy(&record.value).into_owned())
        };
        records.into_iter().map(text).collect()
    });
    let progress = log.assign().expect("the progress can be read").progress.expect("something was committed");
    Left { state, digest: progress.digest, watermark_ms: progress.watermark_ms, incidents, decisions }
}

/// The first difference, in words.
fn difference(left: &Left, right: &Left) -> String {
    let mut text = String::new();
    for (name, left, right) in
        [("incident", &left.incidents, &right.incidents), ("decision", &left.decisions, &right.decisions)]
    {
        let other = left.iter().zip(right).find(|(left, right)| left != right);
        let _ = writeln!(text, "{} and {} {name}s; first other: {other:#?}", left.len(), right.len());
    }
    let other: Vec<_> = left.state.iter().zip(&right.state).filter(|(left, right)| left != right).collect();
    let _ = writeln!(
        text,
        "{} and {} entries of state, {} differ, first: {:?}",
        left.state.len(),
        right.state.len(),
        other.len(),
        other.first().map(|(left, right)| (
            String::from_utf8_lossy(&left.0),
            left.1.len(),
            right.1.len(),
            left.1.iter().zip(&right.1).position(|(left, right)| left != right)
        ))
    );
    let _ = writeln!(text, "digest {} and {}", left.digest, right.digest);
    let _ = writeln!(text, "watermark {} and {}", left.watermark_ms, right.watermark_ms);
    text
}

/// Settings for such a log, without the log itself.
pub fn site(follow: bool, state: &str) -> Site {
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let more = "geo: { city: places.mmdb, asn: places.mmdb }\nresponse: { fresh_within: 1h }";
    let site = Site::with_state(&[source], follow, state, more);
    fs::write(site.path("places.mmdb"), world::database()).expect("written");
    site
}

/// One life, cut short if it is to be. Returns how many kills it ended by, or nothing if it came to the file's end.
///
/// Checkpoints are ten seconds apart, which is longer than a life. A quarter of the lives is told to read their settings
/// again, which takes effect right after a checkpoint.
#[track_caller]
fn live(site: &Site, random: &mut u64, is_cut: bool) -> Option<u32> {
    let before = site.said().matches(RESTORED).count();
    let mut daemon = site.start(&[]);
    if !is_cut {
        let ended = daemon.end_within(LIMIT).unwrap_or_else(|| panic!("it hangs: {}", site.last_words()));
        assert!(ended.success(), "{}", site.last_words());
        return None;
    }
    let kind = super::next(random) % 4;
    let life = Duration::from_millis(super::next(random) % LIFE_MAX_MS);
    // A quarter dies somewhere in its start or its replay; the others later.
    if kind > 0 && !says_again(site, &mut daemon, RESTORED, before) {
        return None;
    }
    if kind > 2 {
        let before = site.said().matches(RELOADED).count();
        daemon.signal("HUP");
        if !says_again(site, &mut daemon, RELOADED, before) {
            return None;
        }
    }
    match daemon.end_within(life) {
        Some(status) => {
            assert!(status.success(), "{}", site.last_words());
            None
        }
        None => {
            daemon.kill();
            Some(1)
        }
    }
}

/// Waits until the daemon has said a text more than `before` times; false = it came to the file's end first.
#[track_caller]
fn says_again(site: &Site, daemon: &mut Daemon, text: &str, before: usize) -> bool {
    let started = Instant::now();
    while site.said().matches(text).count() <= before {
        if let Some(status) = daemon.end_within(Duration::from_millis(5)) {
            assert!(status.success(), "{}", site.last_words());
            return false;
        }
        assert!(started.elapsed() < LIMIT, "it never says {text}: {}", site.last_words());
    }
    true
}

#[test]
fn the_daemon_killed_a_hundred_times_leaves_what_it_leaves_undisturbed() {
    let seed = super::seed();
    println!("KEYHOUND_SEED={seed}");
    let site = site(false, "");
    fs::write(site.path("access.log"), log(Duration::ZERO)).expect("written");
    let ended = site.start(&[]).end_within(LIMIT).expect("it ends at the end of the file");
    assert!(ended.success(), "{}", site.last_words());
    let undisturbed = left_in(&site);
    let (incidents, decisions) = (undisturbed.incidents.len(), undisturbed.decisions.len());
    assert!(
        incidents >= 2 && decisions >= 1,
        "{incidents} incidents, {decisions} decisions: too quiet to test"
    );
    assert!(undisturbed.state.len() > 100, "{} entries of state", undisturbed.state.len());

    let (mut random, mut kills, mut runs) = (seed, 0, 0);
    while kills < KILLS {
        // The same file each time: its identity is part of what positions and rejections say.
        fs::remove_dir_all(site.path("state")).expect("the state can be removed");
        let until = KILLS.min(kills + KILLS_A_RUN);
        while let Some(killed) = live(&site, &mut random, kills < until) {
            kills += killed;
        }
        runs += 1;
        let left = left_in(&site);
        assert!(
            left == undisturbed,
            "run {runs}, {kills} kills, seed {seed}:\n{}",
            difference(&left, &undisturbed)
        );
    }
    let said = site.said();
    assert!(!said.contains("Differs"), "a replay led elsewhere, seed {seed}");
    // Else it tested less than it says.
    let replays = said.lines().filter(|line| line.contains("\"Equal\"") && !line.contains("\"records\":0"));
    let (replays, reloads) = (replays.count(), said.matches(RELOADED).count());
    assert!(replays > 5 && reloads > 5, "only {replays} replays and {reloads} reloads, seed {seed}");
    println!("{kills} kills in {runs} runs, {replays} replays, {reloads} reloads");
}
