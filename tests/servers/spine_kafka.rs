//! From Kafka to a page and a decision: a leaked key among a thousand honest ones, behind three gateways at once.

use std::{
    fmt::Write as _,
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

const LIMIT: Duration = Duration::from_secs(60);

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

/// The decisions on the topic: (subject, record).
fn decisions(kafka: &Kafka, prefix: &str) -> Vec<(String, serde_json::Value)> {
    let records = kafka.read_all(&format!("{prefix}decisions"));
    let parse = |(subject, value): (String, Vec<u8>)| {
        let record = serde_json::from_slice(&value).unwrap_or_else(|error| panic!("{subject}: {error}"));
        (subject, record)
    };
    records.into_iter().map(parse).collect()
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

/// Waits until the leaked key's alert has come, then checks that nobody else has one, and that there is one decision.
#[track_caller]
fn check(story: &Story, keyhound: &Keyhound, alertmanager: &Alertmanager, kafka: &Kafka, prefix: &str) {
    let leaked = key_id(&story.leaked);
    let high = |alert: &serde_json::Value| {
        alert["labels"]["key_id"] == leaked && alert["labels"]["severity"] == "high"
    };
    let mut told = Vec::new();
    let started = Instant::now();
    while !told.iter().any(high) {
        told = alertmanager.alerts();
        assert!(
            started.elapsed() < LIMIT,
            "{leaked} was not told of with severity high, but {told:#?}\n{:#?}\n{}",
            incidents(keyhound),
            keyhound.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let others: Vec<_> = told.iter().filter(|alert| alert["labels"]["key_id"] != leaked).collect();
    assert!(others.is_empty(), "honest keys were told of: {others:#?}");
    assert_eq!(told.len(), 1, "one incident is one alert: {told:#?}");
    let summary = told[0]["annotations"]["summary"].as_str().unwrap_or_default();
    assert!(!summary.is_empty() && !summary.contains(&story.leaked), "{summary}");

    let made = eventually("the decision is on its topic", LIMIT, || {
        Some(decisions(kafka, prefix)).filter(|made| !made.is_empty())
    });
    let subjects: Vec<&str> = made.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, [leaked.as_str()], "one decision, for the leaked key alone: {made:#?}");
    assert_eq!(made[0].1["step"], "throttle", "{made:#?}");
    assert_eq!(made[0].1["mode"], "shadow", "the default: {made:#?}");
    assert!(!keyhound.log().contains(&story.leaked), "the raw key is in the log");
}

#[test]
fn a_leaked_key_among_a_thousand_leads_to_one_alert_and_one_decision() {
    let kafka = kafka();
    let story = Story::new(Size { keys: 1_000, days: 8, lines_max: 250_000, seed: 11 }, Formats::Mixed);
    let topics = [("kong", Format::Kong), ("envoy", Format::Envoy), ("nginx", Format::Nginx)];
    let topics = topics.map(|(name, format)| {
        let topic = kafka.topic(&format!("spine-{name}"), 1);
        kafka.produce(&topic, story.lines(format));
        (topic, name)
    });
    let topics: Vec<(&str, &str)> = topics.iter().map(|(topic, name)| (topic.as_str(), *name)).collect();
    let alertmanager = Alertmanager::start();
    let folder = Folder::new("spine");
    let places = folder.write("places.mmdb", Story::places());
    let prefix = "spine-plain.";
    let settings = format!(
        "{}geo: {{ city: {places:?}, asn: {places:?} }}\nalertmanagers: [\"{}\"]\ntopic_prefix: {prefix}\n",
        sources(&kafka.plain, &topics, "spine", ""),
        alertmanager.url,
    );
    let keyhound = Keyhound::start(&settings);
    check(&story, &keyhound, &alertmanager, kafka, prefix);
}

#[test]
fn the_same_over_tls_with_scram() {
    let kafka = kafka();
    let story =
        Story::new(Size { keys: 50, days: 8, lines_max: 60_000, seed: 12 }, Formats::One(Format::Nginx));
    let topic = kafka.topic("spine-secured", 1);
    kafka.produce(&topic, story.lines(Format::Nginx));
    let folder = Folder::new("spine");
    let password = folder.write("password", format!("{PASSWORD}\n"));
    let mut properties = String::new();
    for (name, value) in kafka.secured_properties() {
        let value =
            if name == "sasl.password" { format!("{{ file: {password:?} }}") } else { format!("{value:?}") };
        let _ = write!(properties, "{name}: {value}, ");
    }
    let places = folder.write("places.mmdb", Story::places());
    let alertmanager = Alertmanager::start();
    let prefix = "spine-secured.";
    let more = format!(", properties: {{ {properties} }}");
    let settings = format!(
        "{}geo: {{ city: {places:?}, asn: {places:?} }}\nalertmanagers: [\"{}\"]\ntopic_prefix: {prefix}\n",
        sources(&kafka.secured, &[(&topic, "nginx")], "spine-secured", &more),
        alertmanager.url,
    );
    let keyhound = Keyhound::start(&settings);
    assert!(!keyhound.log().contains(PASSWORD), "the password is in the log");
    check(&story, &keyhound, &alertmanager, kafka, prefix);
}
