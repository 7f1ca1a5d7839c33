//! The Kafka source against a real broker, where what it wants is not there: deleted by retention, or in a topic that
//! was made anew; and where the first reading starts by time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use keyhound::source::{Batch, InputName, Inputs as _, Notice, Source as _, SourceError, kafka::KafkaSource};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer as _},
    producer::BaseRecord,
};

use super::kafka_source::{LIMIT, Table, admin, consume, started, texts};
use crate::harness::{
    http::RUNTIME,
    kafka::{Kafka, kafka},
    program::eventually,
};

/// Deletes what a topic's first partition has before `offset`.
fn delete_before(kafka: &Kafka, topic: &str, offset: i64) {
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("a valid offset");
    let deleted = RUNTIME.block_on(admin(kafka).delete_records(&before, &AdminOptions::new()));
    deleted.expect("records are deleted");
}

pub fn delete(kafka: &Kafka, topic: &str) {
    let deleted = RUNTIME.block_on(admin(kafka).delete_topics(&[topic], &AdminOptions::new()));
    deleted.expect("the broker answers")[0].as_ref().expect("the topic is deleted");
}

/// Makes a topic that was deleted anew, with nothing in it.
pub fn make_anew(kafka: &Kafka, topic: &str) {
    eventually("the topic can be made anew", LIMIT, || {
        let wanted = [NewTopic::new(topic, 1, TopicReplication::Fixed(1))];
        let made = RUNTIME.block_on(admin(kafka).create_topics(&wanted, &AdminOptions::new())).ok()?;
        made[0].as_ref().ok().map(|_| ())
    });
    kafka.wait_for_leaders(topic, 1);
    let mut config = rdkafka::ClientConfig::new();
    let consumer: BaseConsumer =
        config.set("bootstrap.servers", &kafka.plain).create().expect("a consumer can be made");
    // For a while the broker may still know the old one of this name.
    eventually("the new topic is empty", LIMIT, || {
        (consumer.fetch_watermarks(topic, 0, LIMIT).ok()? == (0, 0)).then_some(())
    });
}

const HOUR_MS: i64 = 3_600_000;

/// Produces records that are so many hours old.
fn produce_aged(kafka: &Kafka, topic: &str, partition: i32, ages: &[i64]) {
    let writer = kafka.writer();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for age in ages {
        let text = format!("{age} h old");
        let record = BaseRecord::<(), str>::to(topic).partition(partition);
        writer.send(record.timestamp(now_ms - age * HOUR_MS).payload(&text));
    }
    writer.finish();
}

fn lost(source: &mut KafkaSource) -> Vec<Notice> {
    let mut notices = Vec::new();
    source.notices(&mut notices);
    notices.retain(|notice| matches!(notice, Notice::Lost { .. }));
    notices
}

#[test]
fn kafka_source_goes_on_at_the_earliest_record_when_retention_was_faster() {
    let kafka = kafka();
    for how in ["batch", "poll"] {
        let topic = kafka.topic("gaps-retention", 1);
        kafka.produce(&topic, texts(0, 10));
        let (mut table, mut seen) = (Table::default(), BTreeMap::new());
        let more = format!("start: earliest, consume: {how}");
        drop(started(kafka, &topic, &more, &mut table));
        delete_before(kafka, &topic, 5);
        let mut source = started(kafka, &topic, &more, &mut table);
        table.starts_at(0, 5); // what `consume` expects next
        consume(&mut source, &mut table, 5, &mut seen);
        assert_eq!(seen[&0], texts(5, 10), "{how}");
        let told = lost(&mut source);
        let [Notice::Lost { from: 0, to: 5, lost: Some(5), .. }] = told[..] else {
            panic!("{how}: {told:?}")
        };
        // And while it runs, and again.
        drop(source);
        kafka.produce(&topic, texts(10, 20));
        delete_before(kafka, &topic, 15);
        let mut source = started(kafka, &topic, &more, &mut table);
        table.starts_at(0, 15);
        consume(&mut source, &mut table, 5, &mut seen);
        assert_eq!(seen[&0][5..], texts(15, 20), "{how}");
        assert!(matches!(lost(&mut source)[..], [Notice::Lost { from: 10, to: 15, lost: Some(5), .. }]));
    }
}

#[test]
fn kafka_source_reads_a_topic_that_was_made_anew_from_its_beginning() {
    let kafka = kafka();
    let topic = kafka.topic("gaps-anew", 1);
    kafka.produce(&topic, texts(0, 10));
    let (mut table, mut seen) = (Table::default(), BTreeMap::new());
    consume(&mut started(kafka, &topic, "start: earliest", &mut table), &mut table, 10, &mut seen);
    delete(kafka, &topic);
    make_anew(kafka, &topic);
    kafka.produce(&topic, texts(100, 103));
    let mut source = started(kafka, &topic, "start: earliest", &mut table);
    table.starts_at(0, 0);
    consume(&mut source, &mut table, 3, &mut seen);
    assert_eq!(seen[&0][10..], texts(100, 103));
    let told = lost(&mut source);
    assert!(matches!(told[..], [Notice::Lost { from: 10, to: 0, lost: None, .. }]), "{told:?}");
}

#[test]
fn kafka_source_does_not_read_all_again_of_a_log_that_lost_its_end() {
    let kafka = kafka();
    let topic = kafka.topic("gaps-shortened", 1);
    // Ten were read, and the newest was two hours old; of those that the log has now, three are older.
    produce_aged(kafka, &topic, 0, &[5, 4, 3, 1, 0]);
    let (mut table, mut seen) = (Table::default(), BTreeMap::new());
    let (input, _) = table.input(0, &InputName(format!("kafka:{topic}/0")));
    table.positions.insert(input, 10);
    let now_ms = jiff::Timestamp::now().as_millisecond();
    table.newest_ms.insert(input, (now_ms - 2 * HOUR_MS).unsigned_abs());
    let mut source = started(kafka, &topic, "start: earliest", &mut table);
    table.starts_at(input, 3); // what `consume` expects next
    consume(&mut source, &mut table, 2, &mut seen);
    assert_eq!(seen[&input], ["1 h old", "0 h old"]);
    let told = lost(&mut source);
    assert!(matches!(told[..], [Notice::Lost { from: 10, to: 3, lost: None, .. }]), "{told:?}");
}

#[test]
fn kafka_source_says_which_part_of_a_range_is_gone_and_reads_the_rest() {
    let kafka = kafka();
    let topic = kafka.topic("gaps-replay", 1);
    kafka.produce(&topic, texts(0, 20));
    let mut table = Table::default();
    let mut source = started(kafka, &topic, "start: earliest", &mut table);
    delete_before(kafka, &topic, 8);
    let (mut batch, name) = (Batch::new(100), table.name(0));
    let gone = source.read_again(0, &name, 2, 6, &mut batch).expect_err("all of it is gone");
    assert!(matches!(gone, SourceError::Gone { from: 2, to: 6, .. }), "{gone}");
    let gone = source.read_again(0, &name, 6, 12, &mut batch).expect_err("a part of it is gone");
    assert!(matches!(gone, SourceError::Gone { from: 6, to: 8, .. }), "{gone}");
    assert_eq!(source.read_again(0, &name, 8, 12, &mut batch).expect("that is left"), 12);
    let offsets: Vec<u64> = batch.records().map(|record| record.offset).collect();
    assert_eq!(offsets, [8, 9, 10, 11]);
}

/// Polls until a notice about retention has come.
fn about_retention(source: &mut KafkaSource, table: &mut Table) -> Option<Notice> {
    let deadline = Instant::now() + LIMIT;
    let (mut batch, mut notices) = (Batch::new(10), Vec::new());
    while Instant::now() < deadline {
        batch.clear();
        source
            .poll(&mut batch, table, Duration::ZERO, Duration::from_millis(100))
            .expect("a poll without an error");
        source.notices(&mut notices);
        let found = notices
            .iter()
            .find(|notice| matches!(notice, Notice::ShortRetention { .. } | Notice::RetentionUnknown { .. }));
        if let Some(found) = found {
            return Some(found.clone());
        }
    }
    None
}

#[test]
fn kafka_source_warns_of_a_topic_that_forgets_too_soon() {
    let kafka = kafka();
    let topic = kafka.topic("gaps-short", 1);
    let short = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "60000");
    let altered = RUNTIME.block_on(admin(kafka).alter_configs(&[short], &AdminOptions::new()));
    altered.expect("the broker answers")[0].as_ref().expect("the topic's settings are taken");
    // The controller takes them; the broker that is asked hears of it later.
    eventually("the broker knows the settings", LIMIT, || {
        let asked = [ResourceSpecifier::Topic(&topic)];
        let told = RUNTIME.block_on(admin(kafka).describe_configs(&asked, &AdminOptions::new())).ok()?;
        let retention = told[0].as_ref().ok()?.get("retention.ms")?.value.as_deref() == Some("60000");
        retention.then_some(())
    });
    let mut table = Table::default();
    let mut source = started(kafka, &topic, "start: earliest", &mut table);
    match about_retention(&mut source, &mut table) {
        Some(Notice::ShortRetention { topic: about, text, .. }) => {
            assert_eq!(about, topic);
            assert!(text.contains("retention.ms is 60000"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn kafka_source_starts_by_the_records_own_times_in_every_partition() {
    let kafka = kafka();
    let topic = kafka.topic("gaps-start", 3);
    // Partition 0 has old and young ones, 1 only old ones, 2 only young ones; ages in hours.
    let ages: [&[i64]; 3] = [&[300, 200, 169, 167, 100, 1], &[400, 300, 200], &[160, 20]];
    for (partition, ages) in (0..).zip(ages) {
        produce_aged(kafka, &topic, partition, ages);
    }
    for (start, positions) in
        [("-7d", [3, 3, 0]), ("earliest", [0, 0, 0]), ("latest", [6, 3, 2]), ("-1w", [3, 3, 0])]
    {
        let mut table = Table::default();
        let mut source = started(kafka, &topic, &format!("start: '{start}'"), &mut table);
        assert_eq!(table.positions.values().copied().collect::<Vec<u64>>(), positions, "{start}");
        let count = ages.iter().zip(positions).map(|(ages, from)| ages.len() as u64 - from).sum::<u64>();
        let mut seen = BTreeMap::new();
        consume(&mut source, &mut table, usize::try_from(count).expect("few"), &mut seen);
        for ((input, ages), from) in (0..).zip(ages).zip(positions) {
            let from = usize::try_from(from).expect("few");
            let expected: Vec<String> = ages[from..].iter().map(|age| format!("{age} h old")).collect();
            assert_eq!(seen.get(&input).cloned().unwrap_or_default(), expected, "{start}, partition {input}");
        }
    }
}
