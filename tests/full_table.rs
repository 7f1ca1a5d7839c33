//! Two keys are used as never before, and the table for gateways has room for one: the other one's step counts nowhere as
//! taken.

mod daemon;

use std::{
    fmt::Write as _,
    fs, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use daemon::{FileSource, LIMIT, PEPPER, Site, http, sum};
use keyhound::decode::{Pepper, fingerprint};
use serde_json::Value;

/// Keys as clients send them.
const KEYS: [&str; 2] = ["sk_live_attacked_one", "sk_live_attacked_two"];

fn key_id(raw: &str) -> String {
    fingerprint(&Pepper::new(PEPPER).expect("long enough"), raw.as_bytes()).to_string()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn lines(requests: &[(u64, &str)]) -> String {
    requests.iter().fold(String::new(), |mut text, (at, key)| {
        let _ = writeln!(
            text,
            r#"{{"msec":"{at}.000","status":"200","method":"GET","uri":"/v1/a","api_key":"{key}","remote_addr":"203.0.113.7"}}"#
        );
        text
    })
}

/// Keys that go on as ever, so that two that rise are no crowd.
const QUIET: [&str; 6] = ["q-1", "q-2", "q-3", "q-4", "q-5", "q-6"];

/// Four days of steady use of all keys, and of two of them two hundred times as much in the last three minutes.
fn history() -> String {
    let now = now();
    let mut requests = Vec::new();
    for key in QUIET {
        requests.extend((now - 4 * 86_400..now).step_by(20).map(|at| (at, key)));
    }
    for key in KEYS {
        requests.extend((now - 4 * 86_400..now).step_by(20).map(|at| (at, key)));
        requests.extend((now - 180..now).flat_map(|at| [(at, key); 10]));
    }
    requests.sort_unstable();
    lines(&requests)
}

/// What operators are answered.
fn get(site: &Site, path: &str) -> Option<Value> {
    let answer = http::get(&site.listen, path)?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

/// The incident of a key as the API has it.
fn incident(site: &Site, key: &str) -> Option<Value> {
    let list = get(site, &format!("/api/v1/incidents?state=all&key={}", key_id(key)))?;
    list["incidents"].as_array()?.first().cloned()
}

/// Whether the incident says that gateways are told to slow the key down.
fn is_enforced(incident: &Value) -> bool {
    let steps = incident["steps"].as_array().expect("a list");
    steps.iter().any(|step| step["step"] == "throttle" && step["outcome"] == "granted")
}

fn is_withheld_for_room(incident: &Value) -> bool {
    incident["held"].as_array().expect("a list").iter().any(|held| held["by"] == "full")
}

/// Whether a gateway that asks about the key is told to slow it down. The first question of a second may pass.
fn is_slowed_down(site: &Site, key: &str) -> bool {
    (0..40).any(|_| {
        let request =
            format!("GET /check HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n");
        let answer = http::exchange(&site.gateways_listen, &request).expect("an answer");
        answer.starts_with(b"HTTP/1.1 429")
    })
}

fn sample(site: &Site, name: &str, label: &str) -> u64 {
    let metrics = http::get(&site.listen, "/metrics").expect("an answer");
    sum(&metrics, name, &[label]).unwrap_or(0)
}

#[track_caller]
fn until(site: &Site, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < LIMIT,
            "{what}: not within {LIMIT:?}\n{:#?}\n{}",
            KEYS.map(|key| incident(site, key)),
            site.last_words()
        );
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_step_that_the_table_has_no_room_for_counts_as_withheld() {
    let source = FileSource { name: "access.json", format: "nginx", key: "raw" };
    let more = "serve: { table_limit: 1 }\nresponse: { mode: enforce, fresh_within: 10m, caps: { share_of_active_keys: 1.0 } }\n\
                catalogue: keys.yaml";
    let site = Site::new(&[source], true, more);
    let catalogue = KEYS.map(|key| format!("- {{ id: {}, name: {key}, class: server }}\n", key_id(key)));
    fs::write(site.path("keys.yaml"), format!("keys:\n{}", catalogue.join(""))).expect("written");
    fs::write(site.path("access.json"), history()).expect("written");
    let daemon = site.start(&[]);

    // Between its decision and the answer of the table, a step counts as taken for a moment.
    let mut taken = None;
    until(&site, "one is slowed down and the other one's step is withheld", || {
        let incidents = KEYS.map(|key| incident(&site, key));
        let [Some(one), Some(two)] = &incidents else { return false };
        taken = match [one, two].map(is_enforced) {
            [true, false] if is_withheld_for_room(two) => Some((KEYS[0], KEYS[1])),
            [false, true] if is_withheld_for_room(one) => Some((KEYS[1], KEYS[0])),
            _ => None,
        };
        taken.is_some()
    });
    let (taken, withheld) = taken.expect("one of them");
    let states = [taken, withheld].map(|key| {
        let list = get(&site, &format!("/api/v1/decisions?all=true&key={}", key_id(key))).expect("a list");
        list["decisions"][0]["state"].clone()
    });
    assert_eq!(states, ["served", "full"], "as operators are told");
    assert!(is_slowed_down(&site, taken) && !is_slowed_down(&site, withheld), "as gateways are told");
    let updates = |label: &str| sample(&site, "keyhound_decision_table_updates_total", label);
    let updates = [updates("outcome=\"served\""), updates("outcome=\"full\"")];
    assert!(updates[0] >= 1 && updates[1] >= 1, "{updates:?} served and without room");
    assert_eq!(site.metric("keyhound_decision_table_entries"), Some(1));
    until(&site, "that it is withheld is counted", || {
        sample(&site, "keyhound_proposals_withheld_total", "guardrail=\"full\"") >= 1
    });
    assert!(daemon.stop().success(), "{}", site.last_words());
}
