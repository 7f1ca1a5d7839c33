//! What an operator sees while a topic, a transaction or the whole broker is out of reach.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use keyhound::source::{Batch, Contact, Source as _};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::{
    kafka_gaps::{delete, make_anew},
    kafka_source::{LIMIT, Table, consume, started, texts},
};
use crate::harness::{
    folder::Folder,
    http,
    kafka::{Kafka, PASSWORD, kafka},
    keyhound::Keyhound,
    program::eventually,
};

fn source(brokers: &str, topic: &str) -> String {
    format!(
        "  - {{ kafka: {{ brokers: ['{brokers}'], topics: [{topic}], start: earliest }}, format: kong, key: credential }}\n"
    )
}

/// What `/readyz` says: the status, and the reasons in one line.
fn readiness(keyhound: &Keyhound) -> (u16, String) {
    let answer = http::get(&format!("http://{}/readyz", keyhound.listen), &[]);
    let reasons = answer.json()["reasons"].as_array().cloned().unwrap_or_default();
    (answer.status, reasons.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join("; "))
}

#[track_caller]
fn wait_for_reason(keyhound: &Keyhound, words: &str) -> String {
    let began = Instant::now();
    loop {
        let (status, reasons) = readiness(keyhound);
        if status == 503 && reasons.contains(words) {
            return reasons;
        }
        assert!(began.elapsed() < LIMIT, "not unready: {words}\n{status}: {reasons}\n{}", keyhound.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn wait_until_ready(keyhound: &Keyhound) {
    eventually("ready", LIMIT, || (readiness(keyhound).0 == 200).then_some(()));
}

/// The gauge of the connection of the source at this place.
fn connected(keyhound: &Keyhound, place: usize) -> Option<bool> {
    let metrics = keyhound.metrics();
    let name = format!("keyhound_source_connected{{source=\"{place}:");
    let line = metrics.lines().find(|line| line.starts_with(&name))?;
    Some(line.ends_with(" 1"))
}

#[test]
fn kafka_away_a_broker_that_hangs_is_shown_and_reading_goes_on_when_it_is_back() {
    let kafka = Kafka::start();
    let topic = kafka.topic("away-hangs", 2);
    let keyhound = Keyhound::start(&format!("sources:\n{}", source(&kafka.plain, &topic)));
    eventually("connected", LIMIT, || connected(&keyhound, 0).filter(|connected| *connected));
    kafka.signal("STOP");
    let reason = wait_for_reason(&keyhound, "has been out of reach for");
    assert!(reason.contains(&format!("source 0:{topic} ")), "{reason}");
    assert_eq!(connected(&keyhound, 0), Some(false));
    kafka.signal("CONT");
    wait_until_ready(&keyhound);
    kafka.produce(&topic, ["{}", "{}"]);
    eventually("read on", LIMIT, || keyhound.metric("keyhound_records_total").filter(|count| *count >= 2.0));
    assert_eq!(keyhound.metric("keyhound_engine_failures_total"), Some(0.0));
}

#[test]
fn kafka_away_a_password_that_expires_is_shown_and_a_renewed_one_is_taken() {
    let kafka = Kafka::start();
    let topic = kafka.topic("away-password", 1);
    let folder = Folder::new("away");
    let password = folder.write("password", format!("{PASSWORD}\n"));
    let keyhound = Keyhound::start(&format!(
        "sources:\n  - {{ kafka: {{ brokers: ['{}'], topics: [{topic}], start: earliest, {} }}, format: kong, \
         key: credential }}\ntopic_prefix: away-password.\n",
        kafka.secured,
        kafka.secured_settings(&password),
    ));
    let topics = "keyhound_output_connected{output=\"topics\"}";
    let outputs =
        || keyhound.metrics().lines().find_map(|line| line.strip_prefix(topics)?.trim().parse().ok());
    eventually("connected", LIMIT, || connected(&keyhound, 0).filter(|connected| *connected));
    eventually("topics connected", LIMIT, || outputs().filter(|connected: &u8| *connected == 1));
    kafka.set_password("another");
    let reason = wait_for_reason(&keyhound, &format!("source 0:{topic} has been out of reach for"));
    assert!(reason.contains("uthentication"), "{reason}");
    assert_eq!(connected(&keyhound, 0), Some(false));
    eventually("topics not connected", LIMIT, || outputs().filter(|connected| *connected == 0));
    assert!(!keyhound.log().contains(PASSWORD), "the password is in the log");

    kafka.set_password(PASSWORD);
    wait_until_ready(&keyhound);
    kafka.produce(&topic, ["{}"]);
    eventually("read on", LIMIT, || keyhound.metric("keyhound_records_total").filter(|count| *count >= 1.0));
    eventually("topics connected", LIMIT, || outputs().filter(|connected: &u8| *connected == 1));
    assert_eq!(keyhound.metric("keyhound_engine_failures_total"), Some(0.0));
}

#[test]
fn kafka_away_a_topic_that_is_deleted_is_shown_and_holds_up_no_other_source() {
    let kafka = kafka();
    let (gone, other) = (kafka.topic("away-deleted", 1), kafka.topic("away-other", 1));
    let sources = [source(&kafka.plain, &gone), source(&kafka.plain, &other)].concat();
    let keyhound = Keyhound::start(&format!("sources:\n{sources}"));
    eventually("connected", LIMIT, || connected(&keyhound, 0).filter(|connected| *connected));
    delete(kafka, &gone);
    let reason = wait_for_reason(&keyhound, &format!("source 0:{gone} has been out of reach"));
    assert!(!reason.contains(&other), "{reason}");
    assert_eq!((connected(&keyhound, 0), connected(&keyhound, 1)), (Some(false), Some(true)));
    kafka.produce(&other, ["{}"]);
    eventually("read on", LIMIT, || keyhound.metric("keyhound_records_total").filter(|count| *count >= 1.0));
    make_anew(kafka, &gone);
    kafka.produce(&gone, ["{}"]);
    wait_until_ready(&keyhound);
    eventually("read again", LIMIT, || {
        keyhound.metric("keyhound_records_total").filter(|count| *count >= 2.0)
    });
    assert_eq!(keyhound.metric("keyhound_engine_failures_total"), Some(0.0));
}

#[test]
fn kafka_away_a_transaction_that_hangs_is_shown_with_what_waits_behind_it() {
    let kafka = kafka();
    let topic = kafka.topic("away-transaction", 1);
    kafka.produce(&topic, texts(0, 3));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.plain).set("transactional.id", &topic);
    let producer: BaseProducer = config.create().expect("a producer can be made");
    producer.init_transactions(LIMIT).expect("transactions can be used");
    producer.begin_transaction().expect("a transaction begins");
    let record = BaseRecord::<(), str>::to(&topic).partition(0).payload("open");
    producer.send(record).map_err(|(error, _)| error).expect("a record is taken");
    producer.flush(LIMIT).expect("the record is written");
    kafka.produce(&topic, texts(3, 10));

    let mut table = Table::default();
    let mut source = started(kafka, &topic, "start: earliest", &mut table);
    consume(&mut source, &mut table, 3, &mut BTreeMap::new());
    let began = Instant::now();
    let mut look = || -> (Contact, Option<u64>) {
        let now = began.elapsed();
        let mut batch = Batch::new(100);
        source.poll(&mut batch, &mut table, now, Duration::from_millis(50)).expect("a poll without an error");
        (source.contact(now), source.lag()[0].records_behind)
    };
    let (contact, behind) = eventually("held up", LIMIT, || {
        Some(look()).filter(|(contact, _)| contact.blocked_for > Duration::from_secs(8))
    });
    assert!(contact.fault.is_none(), "{contact:?}");
    assert_eq!(behind, Some(8), "one record of the transaction and seven behind it");
    producer.abort_transaction(LIMIT).expect("the transaction ends");
    eventually("free again", LIMIT, || Some(look()).filter(|(contact, _)| contact.blocked_for.is_zero()));
}
