//! Two Keyhounds with the same input and the same topics: both say so, and what an operator decides at one holds at both.

use std::time::Duration;

use crate::harness::{
    http,
    kafka::{Kafka, kafka},
    keyhound::{Keyhound, key_id},
    program::eventually,
};

const LIMIT: Duration = Duration::from_mins(3);

/// The raw key that is decided on, and the header that shows it.
const KEY: &str = "demo_two_instances_4242";

fn settings(kafka: &Kafka, topic: &str, prefix: &str) -> String {
    format!(
        "sources:\n- kafka: {{ brokers: ['{}'], topics: [{topic}], start: earliest }}\n  format: nginx\n  key: raw\n\
         topic_prefix: {prefix}\nresponse: {{ mode: enforce }}",
        kafka.plain
    )
}

/// What a gateway is answered about the key.
fn check(keyhound: &Keyhound) -> u16 {
    http::get(&format!("http://{}/check", keyhound.gateways_listen), &[("x-api-key", KEY)]).status
}

#[track_caller]
fn wait_for(keyhound: &Keyhound, status: u16) {
    let what = format!("a check is answered with {status}");
    eventually(&what, LIMIT, || (check(keyhound) == status).then_some(()));
}

/// The warnings of `/readyz`, if it is 200 all the same.
fn warnings(keyhound: &Keyhound) -> Option<String> {
    let answer = http::get(&format!("http://{}/readyz", keyhound.listen), &[]);
    let warnings = answer.json()["warnings"].as_array().cloned().unwrap_or_default();
    let texts: Vec<&str> = warnings.iter().filter_map(serde_json::Value::as_str).collect();
    (answer.status == 200).then(|| texts.join("; "))
}

#[track_caller]
fn wait_until_it_sees_another(keyhound: &Keyhound) {
    eventually("it sees another instance", LIMIT, || {
        keyhound.metric("keyhound_other_instances").filter(|count| *count >= 1.0)
    });
    eventually("its /readyz is 200 and says so", LIMIT, || {
        warnings(keyhound).filter(|texts| texts.contains("1 other Keyhound(s) write to "))
    });
    assert!(keyhound.log().contains("\"event\":\"other_instance\""), "{}", keyhound.log());
}

/// The decisions on the topic: their ids, with how often each is there.
fn published(kafka: &Kafka, prefix: &str) -> Vec<String> {
    let records = kafka.read_all(&format!("{prefix}decisions"));
    let id = |(_, value): (String, Vec<u8>)| {
        let record: serde_json::Value = serde_json::from_slice(&value).ok()?;
        Some(record["id"].as_str()?.to_owned())
    };
    records.into_iter().filter_map(id).collect()
}

#[test]
fn two_instances_see_each_other_and_what_an_operator_decides_at_one_holds_at_both() {
    let kafka = kafka();
    let topic = kafka.topic("two-instances", 1);
    let prefix = "two-instances.";
    let settings = settings(kafka, &topic, prefix);
    let a = Keyhound::start(&settings);
    assert_eq!(a.metric("keyhound_other_instances"), Some(0.0), "there from the start");
    assert_eq!(check(&a), 200);
    a.command("revoke", KEY);
    wait_for(&a, 403);

    // What was decided before it came is on the topic.
    let mut b = Keyhound::start(&settings);
    wait_for(&b, 403);
    wait_until_it_sees_another(&a);
    wait_until_it_sees_another(&b);

    // A lift at the one serves at the other, and what follows holds again.
    b.command("lift", KEY);
    wait_for(&a, 200);
    a.command("revoke", KEY);
    wait_for(&b, 403);

    // What was taken in is in its own state: it is there after a crash, and replays equal.
    let restored = |keyhound: &Keyhound| keyhound.log().matches("\"event\":\"state_restored\"").count();
    let before = restored(&b);
    b.kill_and_start_again();
    eventually("it came back", LIMIT, || (restored(&b) > before).then_some(()));
    b.wait_until_ready();
    assert_eq!(check(&b), 403);
    let log = b.log();
    let last = log.lines().rfind(|line| line.contains("\"event\":\"state_restored\"")).unwrap();
    assert!(last.contains("\"comparison\":\"Equal\""), "{last}");

    // Each decision was published once, by whoever was asked.
    let mut ids = published(kafka, prefix);
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all, ids.len()), (3, 3), "{ids:?}");
    let shown = http::get(&format!("http://{}/api/v1/decisions?key={}", b.listen, key_id(KEY)), &[]).json();
    let instance = shown["decisions"][0]["decision"]["instance"].as_str().unwrap_or_default();
    assert_eq!(instance.len(), 16, "the one that it was given to: {shown}");
    for keyhound in [&a, &b] {
        assert_eq!(keyhound.metric("keyhound_engine_failures_total"), Some(0.0));
        assert!(!keyhound.log().contains(KEY), "a raw key is in the log");
    }
}

#[test]
fn what_anybody_writes_to_the_topic_of_decisions_is_counted_and_takes_nothing_down() {
    let kafka = kafka();
    let topic = kafka.topic("two-hostile", 1);
    let prefix = "two-hostile.";
    let mut a = Keyhound::start(&settings(kafka, &topic, prefix));
    a.command("revoke", KEY);
    wait_for(&a, 403);
    let own: serde_json::Value = eventually("it is published", LIMIT, || {
        let decisions = kafka.read_all(&format!("{prefix}decisions"));
        let (_, value) = decisions.into_iter().find(|(key, _)| *key == key_id(KEY))?;
        serde_json::from_slice(&value).ok()
    });
    let forged = |field: &str, value: serde_json::Value| {
        let mut forged = own.clone();
        forged[field] = value;
        (key_id(KEY), forged.to_string())
    };
    let hostile = [
        (key_id(KEY), "{".to_owned()),
        (key_id(KEY), "[".repeat(40_000)),
        (key_id(KEY), format!("\"{}\"", "x".repeat(500_000))),
        (String::new(), own.to_string()),
        forged("epoch", u64::MAX.into()),
        forged("expires_at", "2099-12-31T23:59:59.999Z".into()),
        forged("cause", "policy".into()),
        forged("step", "observe".into()),
    ];
    kafka.produce_keyed(&format!("{prefix}decisions"), hostile);
    eventually("all is counted", LIMIT, || {
        // One is automatic, and nobody's business; one is known, with the epoch of what is in force.
        a.metric("keyhound_operator_decisions_read_total").filter(|count| *count >= 7.0)
    });
    assert_eq!(check(&a), 403);
    let metrics = a.metrics();
    for (outcome, count) in
        [("unreadable", 2), ("too_large", 1), ("not_a_key", 1), ("out_of_range", 2), ("known", 1)]
    {
        let line = format!("keyhound_operator_decisions_read_total{{outcome=\"{outcome}\"}} {count}");
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(a.log().contains("\"event\":\"decision_not_taken_in\""), "{}", a.log());
    assert_eq!(a.metric("keyhound_engine_failures_total"), Some(0.0));
    assert_eq!(a.stop(), Some(0));
}

#[test]
fn one_alone_does_not_take_its_own_records_for_those_of_another_however_often_it_starts() {
    let kafka = kafka();
    let topic = kafka.topic("two-alone", 1);
    let mut alone = Keyhound::start(&settings(kafka, &topic, "two-alone."));
    alone.command("revoke", KEY);
    wait_for(&alone, 403);
    eventually("it is published", LIMIT, || (published(kafka, "two-alone.").len() == 1).then_some(()));
    for _ in 0..2 {
        alone.kill_and_start_again();
        alone.wait_until_ready();
        wait_for(&alone, 403);
    }
    eventually("the topic was read", LIMIT, || {
        alone.metric("keyhound_operator_decisions_read_total").filter(|count| *count >= 1.0)
    });
    assert_eq!(alone.metric("keyhound_other_instances"), Some(0.0));
    assert!(!alone.log().contains("other_instance"), "{}", alone.log());
    assert_eq!(alone.stop(), Some(0));
}
