//! A daemon whose first start reads days of history from a topic over which the records of each key are spread: honest
//! keys open no incident, and every attack that was planted is found, in however many partitions they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use keyhound::{
    generate::{Format, Formats, Injection, Plan, Scenario, Traffic},
    incident::{Incident, Severity},
};
use rdkafka::producer::BaseRecord;

use crate::{
    harness::{
        folder::Folder,
        kafka::{Kafka, kafka},
        keyhound::{Keyhound, key_id},
        program::eventually,
    },
    spine_kafka::wait_until_done,
};

const SEED: u64 = 9911;
/// How long reading all of it may take.
const LIMIT: Duration = Duration::from_mins(30);

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().expect("a number"))
}

/// In how many partitions: `KEYHOUND_ORDER_PARTITIONS='1 3 12'`.
fn partitions() -> Vec<i32> {
    let text = std::env::var("KEYHOUND_ORDER_PARTITIONS").unwrap_or_else(|_| "12".to_owned());
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

fn traffic(days: usize, keys: usize) -> Traffic {
    let days = u16::try_from(days).expect("few days");
    let plan = Plan { seed: SEED, days, keys, formats: Formats::One(Format::Nginx), ..Plan::default() };
    Traffic::new(plan).expect("a valid plan")
}

/// A catalogue that says of all keys of the traffic that servers hold them.
fn servers(traffic: &Traffic) -> String {
    traffic.keys().iter().enumerate().fold("keys:\n".to_owned(), |mut text, (number, key)| {
        let id = key_id(key.raw_key.reveal());
        let _ = writeln!(text, "- {{ id: {id}, name: key-{number}, class: server }}");
        text
    })
}

/// Writes the traffic to a topic, each record to a partition at random; gives how many there are.
fn write(kafka: &Kafka, topic: &str, partitions: i32, traffic: &mut Traffic) -> usize {
    let writer = kafka.writer();
    let (mut count, mut random) = (0, SEED);
    while let Some(line) = traffic.next_line() {
        // The multiplier is of Steele and Vigna, "Computationally easy, spectrally good multipliers".
        random = random.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        let partition = i32::try_from((random >> 33) % u64::from(partitions.unsigned_abs())).expect("few");
        let at = i64::try_from(line.time.0).expect("a time of this century");
        writer.send(BaseRecord::<(), [u8]>::to(topic).partition(partition).timestamp(at).payload(line.bytes));
        count += 1;
    }
    writer.finish();
    count
}

/// Lets a daemon read the traffic from the beginning of a new topic. Gives the keys of which it ever told an incident of
/// medium severity or above.
#[track_caller]
fn told(traffic: &mut Traffic, partitions: i32) -> BTreeSet<String> {
    let (kafka, folder) = (kafka(), Folder::new("history"));
    let catalogue = folder.write("keys.yaml", servers(traffic));
    let topic = kafka.topic("history", partitions);
    let count = write(kafka, &topic, partitions, traffic);
    let prefix = format!("{topic}.");
    let (brokers, started) = (&kafka.plain, Instant::now());
    let keyhound = Keyhound::start(&format!(
        "catalogue: {catalogue:?}\nsources:\n- kafka: {{ brokers: ['{brokers}'], topics: [{topic}], start: earliest }}\n  \
         format: nginx\n  key: raw\ntopic_prefix: {prefix}\n"
    ));
    wait_until_done(&keyhound, kafka, &topic, count, LIMIT);
    let took = started.elapsed();
    eventually("it is told that the source has caught up", LIMIT, || {
        // How far it was is told only if that took more than a moment.
        let log = keyhound.log();
        let told = |kind: &str| log.contains(&format!("\"kind\":\"{kind}\""));
        let is_behind = keyhound.metric("keyhound_source_catch_up_seconds") != Some(0.0);
        (!is_behind && (told("caught_up") || !told("behind"))).then_some(())
    });
    for line in keyhound.log().lines().filter(|line| line.contains("source_event")) {
        eprintln!("  {line}");
    }
    let sum = |name: &str| keyhound.metric(name).expect("the metric is there");
    // The last word is rejected.
    let events = sum("keyhound_events_total");
    #[allow(clippy::cast_precision_loss)] // some millions
    let all = count as f64;
    assert!((events - all).abs() < 0.5, "{events} events of {count} records");
    let late = sum("keyhound_events_late_total");
    eprintln!("{partitions} partitions: {count} records in {took:.1?}, {late} events late");
    let incidents = kafka.read_all(&format!("{prefix}incidents")).into_iter();
    let incidents = incidents.filter(|(_, value)| !value.is_empty()).map(|(id, value)| {
        serde_json::from_slice::<Incident>(&value).unwrap_or_else(|error| panic!("{id}: {error}"))
    });
    // The last words of each; what was once that severe stays so.
    let incidents = incidents.filter(|incident| incident.severity >= Severity::Medium);
    let incidents: BTreeMap<_, _> = incidents.map(|incident| (incident.id.clone(), incident)).collect();
    for Incident { subject, severity, opened_at, reasons, .. } in incidents.values() {
        let rules: Vec<&str> = reasons.iter().map(|reason| reason.rule.as_str()).collect();
        eprintln!("  {} {} {opened_at} {rules:?}", subject.id, severity.as_str());
    }
    incidents.into_values().map(|incident| incident.subject.id).collect()
}

/// `KEYHOUND_ORDER_DAYS` and `KEYHOUND_ORDER_KEYS` make it larger.
#[test]
fn honest_history_opens_no_incident_in_however_many_partitions_of_kafka_it_is() {
    let (days, keys) = (setting("KEYHOUND_ORDER_DAYS", 3), setting("KEYHOUND_ORDER_KEYS", 10));
    for partitions in partitions() {
        let told = told(&mut traffic(days, keys), partitions);
        assert_eq!(told, BTreeSet::new(), "in {partitions} partitions");
    }
}

/// `KEYHOUND_ORDER_ATTACKS=50` is the whole of it.
#[test]
fn attacks_in_history_are_found_in_however_many_partitions_of_kafka_they_are() {
    let attacks = setting("KEYHOUND_ORDER_ATTACKS", 10);
    for partitions in partitions() {
        let mut traffic = traffic(5, 2 * attacks);
        let mut attacked = BTreeSet::new();
        for n in 0..attacks {
            let scenario = if n % 2 == 0 { Scenario::Leak } else { Scenario::Scrape };
            let spread = u64::try_from(n * 40_000 / attacks).expect("seconds");
            let at = traffic.plan().start.after(Duration::from_secs(4 * 86_400 + spread));
            traffic.inject(Injection { scenario, at, target: 2 * n }).expect("within the plan");
            attacked.insert(key_id(traffic.keys()[2 * n].raw_key.reveal()));
        }
        assert_eq!(told(&mut traffic, partitions), attacked, "in {partitions} partitions");
    }
}
