//! From Kafka to a page and a decision: a leaked key among a thousand honest ones, behind three gateways at once.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use keyhound::generate::{Format, Formats};

use crate::harness::{
    alertmanager::Alertmanager,
    folder::Folder,
    http,
    kafka::{Kafka, PASSWORD, kafka},
    keyhound::{Keyhound, key_id},
    program::eventually,
    story::{Size, Story},
};

const LIMIT: Duration = Duration::from_mins(3);

/// What Keyhound logs once state is restored.
const RESTORED: &str = "\"event\":\"state_restored\"";

/// Every invented raw key begins so.
const RAW: &str = "demo_";

/// The list of sources for topics in these forms, with more settings of each Kafka source.
fn sources(brokers: &str, topics: &[(&str, &str)], group: &str, more: &str) -> String {
    topics.iter().fold(String::from("sources:\n"), |mut text, (topic, format)| {
        let _ = writeln!(
            text,
            "- kafka: {{ brokers: [\"{brokers}\"], topics: [{topic}], group: {group}, start: earliest{more} }}\n  \
             format: {format}\n  key: raw"
        );
        text
    })
}

/// Settings with these sources, and Keyhound's own topics under this prefix.
fn settings(sources: &str, places: &Path, prefix: &str, more: &str) -> String {
    format!("{sources}geo: {{ city: {places:?}, asn: {places:?} }}\ntopic_prefix: {prefix}\n{more}\n")
}

/// Settings to alert of what happened until now, which stays fresh for as long as a busy machine may take to read it.
fn alerts_to(alertmanager: &Alertmanager) -> String {
    format!("alertmanagers: [\"{}\"]\nresponse: {{ fresh_within: 5m }}", alertmanager.url)
}

/// The decisions on the topic, without tombstones: (subject, record).
fn decisions(kafka: &Kafka, prefix: &str) -> Vec<(String, serde_json::Value)> {
    let records = kafka.read_all(&format!("{prefix}decisions"));
    let records = records.into_iter().filter(|(_, value)| !value.is_empty());
    let parse = |(subject, value): (String, Vec<u8>)| {
        let record = serde_json::from_slice(&value).unwrap_or_else(|error| panic!("{subject}: {error}"));
        (subject, record)
    };
    records.map(parse).collect()
}

/// The incidents, for the message of a failed test.
fn incidents(keyhound: &Keyhound) -> Vec<serde_json::Value> {
    let answer = http::get(&format!("http://{}/api/v1/incidents?state=all", keyhound.listen), &[]);
    let mut incidents = answer.json()["incidents"].as_array().cloned().unwrap_or_default();
    for incident in &mut incidents {
        incident["evidence"] = serde_json::Value::Null;
    }
    incidents
}

/// Waits until the topics are read to their ends and all that came of it is delivered.
#[track_caller]
pub fn wait_until_done(keyhound: &Keyhound, kafka: &Kafka, topic: &str, records: usize, limit: Duration) {
    eventually("all is read", limit, || {
        #[allow(clippy::cast_precision_loss)] // a few hundred thousand
        let read = keyhound.metric("keyhound_records_total")? >= records as f64;
        read.then_some(())
    });
    wait_until_delivered(keyhound, kafka, topic);
}

/// Waits until all that came of what was read so far is delivered. What is read is told before it is committed, so one
/// more record, which is rejected, makes one more commit.
#[track_caller]
fn wait_until_delivered(keyhound: &Keyhound, kafka: &Kafka, topic: &str) {
    let before = keyhound.metric("keyhound_commits_total");
    kafka.produce(topic, ["the last word"]);
    eventually("all is delivered", LIMIT, || {
        let committed = keyhound.metric("keyhound_commits_total") > before;
        // Without an Alertmanager there is no queue for it.
        let done = |name: &str| keyhound.metric(name).unwrap_or(0.0) == 0.0;
        let queues = ["keyhound_outbox_records", "keyhound_alertmanager_notifications_queue_length"];
        (committed && queues.into_iter().all(done)).then_some(())
    });
}

/// Waits until all is read (one of the topics is `topic`), then checks that the leaked key has an alert and nobody else,
/// that there is one decision, and that no raw key is on Keyhound's own topics.
#[track_caller]
fn check(
    story: &Story,
    records: usize,
    keyhound: &Keyhound,
    alertmanager: &Alertmanager,
    kafka: &Kafka,
    (topic, prefix): (&str, &str),
) {
    wait_until_done(keyhound, kafka, topic, records, LIMIT);
    let leaked = key_id(&story.leaked);
    let high = |alert: &serde_json::Value| {
        alert["labels"]["key_id"] == leaked && alert["labels"]["severity"] == "high"
    };
    // What was taken from the queue last may still be on its way.
    let started = Instant::now();
    while !alertmanager.alerts().iter().any(high) {
        assert!(
            started.elapsed() < LIMIT,
            "{leaked} was not told of with severity high, but {:#?}\n{:#?}\n{}",
            alertmanager.alerts(),
            incidents(keyhound),
            keyhound.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_until_delivered(keyhound, kafka, topic);
    let told = alertmanager.alerts();
    let others: Vec<_> = told.iter().filter(|alert| alert["labels"]["key_id"] != leaked).collect();
    assert!(others.is_empty(), "honest keys were told of: {others:#?}");
    assert_eq!(told.len(), 1, "one incident is one alert: {told:#?}");
    let summary = told[0]["annotations"]["summary"].as_str().unwrap_or_default();
    assert!(!summary.is_empty() && !summary.contains(&story.leaked), "{summary}");

    let made = decisions(kafka, prefix);
    let subjects: Vec<&str> = made.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, [leaked.as_str()], "one decision, for the leaked key alone: {made:#?}");
    assert_eq!(made[0].1["step"], "throttle", "{made:#?}");
    assert_eq!(made[0].1["mode"], "shadow", "the default: {made:#?}");
    assert!(!keyhound.log().contains(RAW), "a raw key is in the log");
    for topic in ["findings", "incidents", "decisions", "rejected", "audit"] {
        let written = kafka.read_all(&format!("{prefix}{topic}"));
        assert!(topic == "audit" || !written.is_empty(), "nothing is on {topic}");
        for (key, value) in written {
            let text = format!("{key} {}", String::from_utf8_lossy(&value));
            assert!(!text.contains(RAW), "a raw key is on {topic}: {text}");
        }
    }
}

/// Records that cannot be used, with a raw key in each.
fn broken() -> [String; 3] {
    [
        format!("{{\"api_key\":\"{RAW}1\""),
        format!("{RAW}2"),
        format!("{{\"msec\":\"{RAW}3\",\"status\":\"200\"}}"),
    ]
}

#[test]
fn a_leaked_key_among_a_thousand_leads_to_one_alert_and_one_decision() {
    let kafka = kafka();
    let story = Story::new(Size { keys: 1_000, days: 8, lines_max: 250_000, seed: 11 }, Formats::Mixed);
    let topics = [("kong", Format::Kong), ("envoy", Format::Envoy), ("nginx", Format::Nginx)];
    let topics = topics.map(|(name, format)| {
        let topic = kafka.topic(&format!("spine-{name}"), 1);
        kafka.produce(&topic, story.lines(format));
        kafka.produce(&topic, broken());
        (topic, name)
    });
    let topics: Vec<(&str, &str)> = topics.iter().map(|(topic, name)| (topic.as_str(), *name)).collect();
    let alertmanager = Alertmanager::start();
    let folder = Folder::new("spine");
    let places = folder.write("places.mmdb", Story::places());
    let prefix = "spine-plain.";
    let sources = sources(&kafka.plain, &topics, "spine", "");
    let keyhound = Keyhound::start(&settings(&sources, &places, prefix, &alerts_to(&alertmanager)));
    check(&story, story.len() + 3 * broken().len(), &keyhound, &alertmanager, kafka, (topics[0].0, prefix));
}

#[test]
fn the_same_over_tls_with_scram() {
    let kafka = kafka();
    let story =
        Story::new(Size { keys: 50, days: 8, lines_max: 60_000, seed: 12 }, Formats::One(Format::Nginx));
    let topic = kafka.topic("spine-secured", 1);
    kafka.produce(&topic, story.lines(Format::Nginx));
    kafka.produce(&topic, broken());
    let folder = Folder::new("spine");
    let password = folder.write("password", format!("{PASSWORD}\n"));
    let places = folder.write("places.mmdb", Story::places());
    let alertmanager = Alertmanager::start();
    let prefix = "spine-secured.";
    let more = format!(", {}", kafka.secured_settings(&password));
    let sources = sources(&kafka.secured, &[(&topic, "nginx")], "spine-secured", &more);
    let keyhound = Keyhound::start(&settings(&sources, &places, prefix, &alerts_to(&alertmanager)));
    assert!(!keyhound.log().contains(PASSWORD), "the password is in the log");
    check(&story, story.len() + broken().len(), &keyhound, &alertmanager, kafka, (&topic, prefix));
}

/// What is on a topic: the ids, and each record's last value.
fn by_id(kafka: &Kafka, topic: &str) -> BTreeMap<String, serde_json::Value> {
    let records = kafka.read_all(topic).into_iter();
    let parse = |(_, value): (String, Vec<u8>)| {
        let record: serde_json::Value = serde_json::from_slice(&value).ok()?;
        Some((record["id"].as_str()?.to_owned(), record))
    };
    records.filter_map(parse).collect()
}

#[test]
fn killed_again_and_again_it_tells_what_it_tells_undisturbed() {
    let kafka = kafka();
    let story =
        Story::new(Size { keys: 100, days: 8, lines_max: 150_000, seed: 13 }, Formats::One(Format::Nginx));
    let topic = kafka.topic("spine-killed", 1);
    kafka.produce(&topic, story.lines(Format::Nginx));
    let folder = Folder::new("spine");
    let places = folder.write("places.mmdb", Story::places());
    let sources = sources(&kafka.plain, &[(&topic, "nginx")], "spine-killed", "");
    let under = |prefix: &str| settings(&sources, &places, prefix, "response: { fresh_within: 1h }");
    let undisturbed = Keyhound::start(&under("spine-whole."));
    wait_until_done(&undisturbed, kafka, &topic, story.len(), LIMIT);
    // It is measured once a second.
    let beat = undisturbed.metric("keyhound_heartbeat_timestamp_seconds").expect("it beats");
    let watermark = eventually("the last watermark is shown", LIMIT, || {
        let beats = undisturbed.metric("keyhound_heartbeat_timestamp_seconds")? > beat + 2.0;
        undisturbed.metric("keyhound_watermark_timestamp_seconds").filter(|_| beats)
    });
    let whole = ["decisions", "incidents"].map(|name| by_id(kafka, &format!("spine-whole.{name}")));
    assert!(whole.iter().all(|records| !records.is_empty()), "too quiet to test: {whole:#?}");
    drop(undisturbed);

    let mut keyhound = Keyhound::start(&under("spine-killed."));
    for life in 1..=8_u64 {
        let before = keyhound.log().matches(RESTORED).count();
        keyhound.kill_and_start_again();
        // A quarter dies somewhere in its start or its replay; the others from soon after to a while after they have
        // caught up.
        if life % 4 != 0 {
            eventually("it came back", LIMIT, || {
                (keyhound.log().matches(RESTORED).count() > before).then_some(())
            });
        }
        if life == 1 {
            // Else there may be nothing to replay in any of them.
            eventually("a commit", LIMIT, || keyhound.metric("keyhound_commits_total").filter(|n| *n > 0.0));
        }
        std::thread::sleep(Duration::from_millis(400 + 80 * life));
    }
    keyhound.wait_until_ready();
    eventually("it has come as far", LIMIT, || {
        (keyhound.metric("keyhound_watermark_timestamp_seconds") == Some(watermark)).then_some(())
    });
    wait_until_delivered(&keyhound, kafka, &topic);
    let log = keyhound.log();
    let came_back = log.lines().filter(|line| line.contains(RESTORED));
    let came_back: Vec<&str> = came_back.skip(1).collect();
    assert!(came_back.len() >= 4, "{log}");
    // New = it was killed before its first commit.
    let right = |line: &&str| line.contains("\"Equal\"") || line.contains("\"New\"");
    assert!(came_back.iter().all(right), "{came_back:#?}");
    let replays =
        came_back.iter().filter(|line| line.contains("\"Equal\"") && !line.contains("\"records\":0"));
    assert!(replays.count() >= 2, "too little was replayed: {came_back:#?}");
    let told = ["decisions", "incidents"].map(|name| by_id(kafka, &format!("spine-killed.{name}")));
    assert_eq!(told, whole, "the same ids with the same last words, some of them told twice");
}
