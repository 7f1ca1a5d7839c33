//! The Kafka source against a real broker: restarts, transactions, new partitions, retention, TLS and SCRAM.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use keyhound::source::{
    Batch, InputName, Inputs, Notice, Source as _, SourceError,
    kafka::{KafkaSettings, KafkaSource},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::harness::{
    http::RUNTIME,
    kafka::{Kafka, PASSWORD, kafka},
};

pub const LIMIT: Duration = Duration::from_mins(3);

/// The table of inputs, in memory.
#[derive(Default)]
pub struct Table {
    names: Vec<InputName>,
    pub positions: BTreeMap<u32, u64>,
    pub newest_ms: BTreeMap<u32, u64>,
}

impl Table {
    pub fn name(&self, input: u32) -> InputName {
        self.names[input as usize].clone()
    }
}

impl Inputs for Table {
    fn input(&mut self, _source: u16, name: &InputName) -> (u32, Option<u64>) {
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name.clone());
            self.names.len() - 1
        });
        let index = u32::try_from(index).expect("few inputs");
        (index, self.positions.get(&index).copied())
    }

    fn each_known(&self, _source: u16, see: &mut dyn FnMut(u32, &str)) {
        (0..).zip(&self.names).for_each(|(input, name)| see(input, &name.0));
    }

    fn knows_any(&self, _source: u16) -> bool {
        !self.names.is_empty()
    }

    fn newest_ms(&self, input: u32) -> Option<u64> {
        self.newest_ms.get(&input).copied()
    }

    fn starts_at(&mut self, input: u32, next: u64) {
        self.positions.insert(input, next);
    }

    fn moved(&mut self, input: u32, _from: u64, to: u64) {
        self.positions.insert(input, to);
    }

    fn ended(&mut self, _input: u32) {}

    fn finished_at(&mut self, _input: u32, _size: u64) {}

    fn finished_size(&self, _input: u32) -> Option<u64> {
        None
    }
}

fn source(brokers: &str, topic: &str, more: &str) -> KafkaSource {
    let yaml = format!("{{ brokers: ['{brokers}'], topics: [{topic}], {more} }}");
    KafkaSource::new(0, serde_saphyr::from_str::<KafkaSettings>(&yaml).expect("valid settings"))
}

pub fn started(kafka: &Kafka, topic: &str, more: &str, table: &mut Table) -> KafkaSource {
    let mut source = source(&kafka.plain, topic, more);
    source.start(table).expect("the source starts");
    source
}

/// Polls until `count` more records have come, commits each, and gives their texts by input.
#[track_caller]
pub fn consume(
    source: &mut KafkaSource,
    table: &mut Table,
    count: usize,
    seen: &mut BTreeMap<u32, Vec<String>>,
) {
    let mut batch = Batch::new(512);
    let deadline = Instant::now() + LIMIT;
    let mut left = count;
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} of {count} records are missing");
        batch.clear();
        source
            .poll(&mut batch, table, Duration::ZERO, Duration::from_millis(100))
            .expect("a poll without an error");
        for record in batch.records().take(left) {
            assert_eq!(record.offset, table.positions[&record.input], "no gap, nothing twice");
            table.positions.insert(record.input, record.next);
            seen.entry(record.input).or_default().push(String::from_utf8_lossy(record.bytes).into_owned());
        }
        left = left.saturating_sub(batch.len());
    }
}

pub fn texts(from: u32, to: u32) -> Vec<String> {
    (from..to).map(|number| format!("record {number}")).collect()
}

/// What each of `partitions` holds if `records` were written to them in turn.
fn spread(records: &[String], partitions: usize) -> BTreeMap<u32, Vec<String>> {
    let of = |partition: usize| records.iter().skip(partition).step_by(partitions).cloned().collect();
    (0..partitions).map(|partition| (u32::try_from(partition).expect("few"), of(partition))).collect()
}

#[track_caller]
fn restarts_lose_and_repeat_nothing(consume_how: &str) {
    let kafka = kafka();
    let topic = kafka.topic("source-restarts", 4);
    let records = texts(0, 20_000);
    kafka.produce(&topic, &records);
    let (mut table, mut seen) = (Table::default(), BTreeMap::new());
    // Each life ends in the middle of a batch: what was read and not committed is read again.
    for count in [1, 999, 4_000, 7_500, 7_500] {
        let more = format!("start: earliest, consume: {consume_how}");
        consume(&mut started(kafka, &topic, &more, &mut table), &mut table, count, &mut seen);
    }
    assert_eq!(seen, spread(&records, 4));
}

#[test]
fn kafka_source_loses_and_repeats_nothing_over_restarts_in_batches() {
    restarts_lose_and_repeat_nothing("batch");
}

#[test]
fn kafka_source_loses_and_repeats_nothing_over_restarts_the_plain_way() {
    restarts_lose_and_repeat_nothing("poll");
}

/// Three transactions of two records each, the second of them aborted; each leaves a mark that takes an offset.
fn in_transactions(kafka: &Kafka, topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.plain).set("transactional.id", topic);
    let producer: BaseProducer = config.create().expect("a producer can be made");
    producer.init_transactions(LIMIT).expect("transactions can be used");
    for (name, commits) in [("first", true), ("aborted", false), ("last", true)] {
        producer.begin_transaction().expect("a transaction begins");
        for number in 0..2 {
            let text = format!("{name} {number}");
            let record = BaseRecord::<(), str>::to(topic).partition(0).payload(&text);
            producer.send(record).map_err(|(error, _)| error).expect("a record is taken");
        }
        producer.flush(LIMIT).expect("the records are written");
        let ended =
            if commits { producer.commit_transaction(LIMIT) } else { producer.abort_transaction(LIMIT) };
        ended.expect("the transaction ends");
    }
}

#[test]
fn kafka_source_sees_committed_records_only_and_reads_them_again_over_the_gaps() {
    let kafka = kafka();
    let topic = kafka.topic("source-transactions", 1);
    in_transactions(kafka, &topic);
    let mut table = Table::default();
    let mut source = started(kafka, &topic, "start: earliest", &mut table);
    let mut batch = Batch::new(100);
    let deadline = Instant::now() + LIMIT;
    while !(batch.len() == 4 && source.idle(0)) {
        assert!(Instant::now() < deadline, "{} of 4 records", batch.len());
        source
            .poll(&mut batch, &mut table, Duration::ZERO, Duration::from_millis(100))
            .expect("a poll without an error");
    }
    let offsets: Vec<u64> = batch.records().map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 1, 6, 7], "offsets 2 to 5 and 8 are marks and what was aborted");
    // To 9, the end of the log: its last offset is a mark, which never comes.
    for (from, to, expected) in [(0, 2, vec![0, 1]), (2, 6, vec![]), (1, 7, vec![1, 6]), (6, 9, vec![6, 7])] {
        batch.clear();
        let name = table.names[0].clone();
        assert_eq!(source.read_again(0, &name, from, to, &mut batch).expect("a range that is there"), to);
        let offsets: Vec<u64> = batch.records().map(|record| record.offset).collect();
        assert_eq!(offsets, expected, "from {from} to {to}");
    }
}

pub fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.plain).create().expect("an admin client can be made")
}

#[test]
fn kafka_source_reads_a_partition_that_is_added_from_its_beginning() {
    let kafka = kafka();
    let topic = kafka.topic("source-grows", 1);
    kafka.produce(&topic, texts(0, 10));
    let (mut table, mut seen) = (Table::default(), BTreeMap::new());
    let more = "start: earliest, properties: { topic.metadata.refresh.interval.ms: 500 }";
    let mut source = started(kafka, &topic, more, &mut table);
    consume(&mut source, &mut table, 10, &mut seen);
    let wanted = [NewPartitions::new(&topic, 2)];
    let added = RUNTIME.block_on(admin(kafka).create_partitions(&wanted, &AdminOptions::new()));
    added.expect("the broker answers")[0].as_ref().expect("a partition is added");
    let deadline = Instant::now() + LIMIT;
    let mut notices = Vec::new();
    let mut batch = Batch::new(10);
    while !notices.iter().any(|notice| matches!(notice, Notice::NewPartition { partition: 1, .. })) {
        assert!(Instant::now() < deadline, "the new partition is not noticed: {notices:?}");
        source
            .poll(&mut batch, &mut table, Duration::ZERO, Duration::from_millis(100))
            .expect("a poll without an error");
        source.notices(&mut notices);
    }
    kafka.produce(&topic, texts(10, 30));
    consume(&mut source, &mut table, 20, &mut seen);
    assert_eq!(seen[&0].len(), 20);
    assert_eq!(seen[&1], spread(&texts(10, 30), 2)[&1]);
}

#[test]
fn kafka_source_starts_at_the_first_record_that_is_new_enough() {
    let kafka = kafka();
    let topic = kafka.topic("source-start", 1);
    let writer = kafka.writer();
    let day_ms = 86_400_000;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for days_ago in (1..=10).rev() {
        let text = format!("{days_ago}");
        writer.send(BaseRecord::<(), str>::to(&topic).timestamp(now_ms - days_ago * day_ms).payload(&text));
    }
    writer.finish();
    let in_five_days = jiff::Timestamp::from_millisecond(now_ms - 5 * day_ms).expect("a time");
    for (start, position) in [
        ("earliest".to_owned(), 0),
        ("latest".to_owned(), 10),
        // A minute less, since the clock has gone on.
        ("-4319m".to_owned(), 8),
        ("-1h".to_owned(), 10),
        ("-52w".to_owned(), 0),
        (in_five_days.to_string(), 5),
    ] {
        let mut table = Table::default();
        started(kafka, &topic, &format!("start: '{start}'"), &mut table);
        assert_eq!(table.positions[&0], position, "{start}");
    }
}

#[test]
fn kafka_source_reads_over_tls_with_scram_and_says_why_it_is_refused() {
    let kafka = kafka();
    let topic = kafka.topic("source-tls", 1);
    kafka.produce(&topic, texts(0, 5));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    let more = format!("start: earliest, {}", kafka.secured_settings(&file));
    let mut table = Table::default();

    std::fs::write(&file, format!("{PASSWORD}\n")).expect("the password is written");
    let mut right = source(&kafka.secured, &topic, &more);
    right.start(&mut table).expect("the right password is taken");
    let mut seen = BTreeMap::new();
    consume(&mut right, &mut table, 5, &mut seen);
    assert_eq!(seen[&0], texts(0, 5));

    std::fs::write(&file, "wrong\n").expect("the password is written");
    let refused =
        source(&kafka.secured, &topic, &more).start(&mut table).expect_err("the wrong one is refused");
    let text = refused.to_string();
    assert!(text.contains("uthentication failed") && !text.contains("wrong"), "{text}");
}

#[test]
fn kafka_source_names_a_topic_that_is_not_there() {
    let kafka = kafka();
    let refused = source(&kafka.plain, "no-such-topic", "start: earliest")
        .start(&mut Table::default())
        .expect_err("there is no such topic");
    assert!(
        matches!(&refused, SourceError::NoSuchTopic { topic, .. } if topic == "no-such-topic"),
        "{refused}"
    );
}
