//! A flood of invented keys that are served, and a reload in the middle of it: memory stays within its bound, what was
//! learnt stays, and a theft beside it is found.
//!
//! `KEYHOUND_FLOOD_KEYS=2000000 KEYHOUND_FLOOD_MEMORY=300MB KEYHOUND_FLOOD_PAUSE_MAX=0.2 cargo test --release --test
//! memory -- --nocapture` is the whole of it, and prints its figures; 3GB holds all of these keys. No pause is looked at
//! without `KEYHOUND_FLOOD_PAUSE_MAX`, in seconds: how long one is hangs on the machine.

mod daemon;

use std::{
    env,
    fs::File,
    io::{BufWriter, Write as _},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use daemon::{FileSource, LIMIT, PEPPER, Site, http, sum};
use keyhound::decode::{Pepper, fingerprint};

/// A key that is known for four days, and stolen while the flood lasts.
const STOLEN: &str = "sk_live_stolen_beside_a_flood";
/// What a process may take beside `state.memory_max` that reads one file: twice what docs/operations.md says was measured.
const BESIDE: u64 = 128 << 20;
/// How long the flood lasts, in seconds.
const FLOOD: u64 = 300;
/// Other keys that are known for four days, and how often each is used, in seconds.
const KNOWN: u64 = 200;
const KNOWN_EVERY: u64 = 1_800;
/// How long that is, in seconds.
const BEFORE: u64 = 4 * 86_400;

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Four days of steady use of a key, and of others; then each of so many invented keys comes three times, and the stolen key is tried
/// out beside them.
fn write_log(path: &std::path::Path, keys: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut file = BufWriter::new(File::create(path).expect("created"));
    let mut line = |at: u64, ms: u64, status: u16, key: &str| {
        writeln!(
            file,
            r#"{{"msec":"{at}.{ms:03}","status":"{status}","method":"GET","uri":"/v1/a","api_key":"{key}","remote_addr":"203.0.113.7"}}"#
        )
        .expect("written");
    };
    let begin = now - FLOOD;
    for at in (begin - BEFORE..begin).step_by(20) {
        line(at, 0, 200, STOLEN);
        if at % KNOWN_EVERY < 20 {
            (0..KNOWN).for_each(|n| line(at, n, 200, &format!("sk_known_{n:012}")));
        }
    }
    for second in 0..FLOOD {
        let (from, to) = (second * keys / FLOOD, (second + 1) * keys / FLOOD);
        for (n, request) in (from..to).flat_map(|n| (0..3).map(move |request| (n, request))) {
            line(begin + second, request * 300, 200, &format!("sk_invented_{n:012}"));
        }
        if second % 2 == 0 {
            line(begin + second, 999, 403, STOLEN);
        }
    }
}

#[test]
fn a_flood_of_served_keys_stays_within_memory_and_hides_no_theft() {
    let keys: u64 = setting("KEYHOUND_FLOOD_KEYS", "40000").parse().expect("a number");
    let memory = setting("KEYHOUND_FLOOD_MEMORY", "64MiB");
    let source = FileSource { name: "access.json", format: "nginx", key: "raw" };
    let state = format!("memory_max: {memory}");
    let site = Site::with_state(&[source], true, &state, "response: { fresh_within: 1h }");
    write_log(&site.path("access.json"), keys);
    let daemon = site.start(&[]);

    let records = keys * 3 + BEFORE / 20 + KNOWN * BEFORE / KNOWN_EVERY + FLOOD / 2;
    let (mut resident, mut pause, mut is_told, started) = (0, 0.0f64, false, Instant::now());
    loop {
        if let Some(metrics) = http::get(&site.listen, "/metrics") {
            resident = resident.max(sum(&metrics, "process_resident_memory_bytes", &[]).unwrap_or(0));
            let longest =
                metrics.lines().find_map(|line| line.strip_prefix("keyhound_loop_pause_seconds_max "));
            pause = pause.max(longest.and_then(|text| text.parse().ok()).unwrap_or(0.0));
            let events = sum(&metrics, "keyhound_events_total", &[]).unwrap_or(0);
            if events > records / 2 && !std::mem::replace(&mut is_told, true) {
                daemon.signal("HUP");
            }
            if events >= records && site.said().contains("config_reloaded") {
                break;
            }
        }
        assert!(started.elapsed() < 4 * LIMIT, "not read\n{}", site.last_words());
        thread::sleep(Duration::from_millis(100));
    }
    let read = started.elapsed();
    let id = fingerprint(&Pepper::new(PEPPER).expect("long enough"), STOLEN.as_bytes()).to_string();
    while !site.incidents().contains(&id) {
        assert!(
            started.elapsed() < 4 * LIMIT,
            "{id} is not told\n{}\n{}",
            site.incidents(),
            site.last_words()
        );
        thread::sleep(Duration::from_millis(100));
    }

    // The engine's counters are up to a second older than the count of events.
    let metrics = loop {
        let metrics = http::get(&site.listen, "/metrics").expect("it answers");
        let known = ["keyhound_state_keys", "keyhound_state_evictions_total"];
        if known.iter().filter_map(|name| sum(&metrics, name, &[])).sum::<u64>() > keys {
            break metrics;
        }
        assert!(started.elapsed() < 4 * LIMIT, "each was a key of its own\n{metrics}");
        thread::sleep(Duration::from_millis(100));
    };
    let evicted = |profile: &str| {
        let label = format!("profile=\"{profile}\"");
        sum(&metrics, "keyhound_state_evictions_total", &[&label]).unwrap_or(0)
    };
    let of = |name: &str| sum(&metrics, name, &[]).unwrap_or(0);
    let (bytes, limit) = (of("keyhound_memory_bytes"), of("keyhound_memory_limit_bytes"));
    println!(
        "{keys} keys, memory_max {memory} ({limit}): read in {read:?}, resident {} MiB at most, accounted {} MiB, \
         {} keys kept, {} invented ones evicted, longest pause {pause:.3} s",
        resident >> 20,
        bytes >> 20,
        of("keyhound_state_keys"),
        evicted("new"),
    );
    assert!(bytes <= limit, "{bytes} of {limit}");
    assert!(resident <= limit + BESIDE, "{resident} bytes are resident, of {limit} and {BESIDE} beside");
    if let Ok(most) = env::var("KEYHOUND_FLOOD_PAUSE_MAX") {
        assert!(pause <= most.parse().expect("seconds"), "it stood still for {pause} s");
    }
    let is_larger = of("keyhound_state_keys") < keys;
    assert_eq!(evicted("new") > 0, is_larger, "it makes room, and no more than that");
    assert_eq!((evicted("immature"), evicted("mature")), (0, 0), "what was learnt stays");
    // It looks once a second, and a fast machine has read the flood before that.
    while is_larger && !site.said().contains("memory_nearly_full") {
        assert!(started.elapsed() < 4 * LIMIT, "not told that memory fills up\n{}", site.last_words());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(daemon.stop().success());

    // What is kept fits after a restart too, and the theft is known.
    let daemon = site.start(&[]);
    while !site.incidents().contains(&id) {
        assert!(started.elapsed() < 8 * LIMIT, "not back\n{}", site.last_words());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(site.metric("keyhound_memory_bytes").is_some_and(|bytes| bytes <= limit));
    assert!(daemon.stop().success());
}
