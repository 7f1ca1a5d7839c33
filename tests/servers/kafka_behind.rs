//! Topics that are behind, read from a real broker: in the order of event time, every record once, none fetched twice;
//! with holes that transactions leave, over restarts.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant},
};

use keyhound::source::{
    Batch, SKEW_MAX, Source as _,
    kafka::{KafkaSettings, KafkaSource},
};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{
    harness::kafka::{Kafka, kafka},
    kafka_source::{LIMIT, Table},
};

const WEEK: u64 = 7 * 86_400;
/// Records of one topic, over all partitions.
const RECORDS: u64 = 40_000;

/// A record of some hundred bytes, which begins with its second and its partition. What follows does not repeat.
fn record(second: u64, partition: i32) -> String {
    let mut text = format!("{second}#{partition}#");
    let mut noise = second.wrapping_mul(31).wrapping_add(u64::from(partition.unsigned_abs()));
    for _ in 0..16 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let _ = write!(text, "{noise:016x}");
    }
    text
}

/// The second that a record begins with.
fn second(record: &[u8]) -> Option<u64> {
    std::str::from_utf8(record).ok()?.split('#').next()?.parse().ok()
}

fn source(brokers: &str, topic: &str) -> KafkaSource {
    let yaml = format!("{{ brokers: ['{brokers}'], topics: [{topic}], start: earliest }}");
    let settings: KafkaSettings = serde_saphyr::from_str(&yaml).expect("valid settings");
    let time_of = |record: &[u8]| second(record).map(|second| second * 1000);
    KafkaSource::new(0, settings).aligned_by(Box::new(time_of))
}

/// What was read so far, over restarts.
#[derive(Default)]
struct Seen {
    table: Table,
    records: BTreeSet<Vec<u8>>,
    newest: u64,
    /// How far a record was behind the newest one before it, in seconds.
    disorder: u64,
}

impl Seen {
    /// Reads with a source of its own until there are `count` records, or `batches` with something in them have come.
    #[track_caller]
    fn read(&mut self, mut source: KafkaSource, count: usize, batches: usize) {
        source.start(&mut self.table).expect("the source starts");
        let (mut batch, deadline) = (Batch::new(1_500), Instant::now() + LIMIT);
        let mut taken = 0;
        while taken < batches && self.records.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} records", self.records.len());
            batch.clear();
            let wait = Duration::from_millis(100);
            // Nothing is passed over: the clock stands still.
            source.poll(&mut batch, &mut self.table, Duration::ZERO, wait).expect("a poll without an error");
            taken += usize::from(!batch.is_empty());
            for record in batch.records() {
                self.table.positions.insert(record.input, record.next);
                let second = second(record.bytes).expect("a second");
                self.newest = self.newest.max(second);
                self.disorder = self.disorder.max(self.newest - second);
                assert!(self.records.insert(record.bytes.to_vec()), "{record:?} came twice");
            }
        }
    }

    #[track_caller]
    fn is_in_order(&self) {
        assert!(self.disorder <= SKEW_MAX.as_secs(), "a record was {} s late", self.disorder);
    }
}

/// Writes a week to a topic: to one partition three times as much as to the next one, one after the other.
fn write(kafka: &Kafka, topic: &str, partitions: i32, more: &[(&str, &str)]) -> usize {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.plain)
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.kbytes", "1000000");
    for (name, value) in more {
        config.set(*name, *value);
    }
    let producer: BaseProducer = config.create().expect("a producer can be made");
    let share = RECORDS / u64::from(partitions.unsigned_abs());
    let mut count = 0;
    for partition in 0..partitions {
        let dense = [3, 2, 1][usize::try_from(partition % 3).expect("a remainder")];
        let every = usize::try_from(WEEK * 2 / (share * dense)).expect("seconds");
        for second in (u64::from(partition.unsigned_abs())..WEEK).step_by(every) {
            let text = record(second, partition);
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(&text);
            producer.send(record).map_err(|(error, _)| error).expect("a record is taken");
            count += 1;
        }
    }
    producer.flush(LIMIT).expect("the records are written");
    count
}

#[track_caller]
fn is_read_in_order_and_fetched_once(partitions: i32, more: &[(&str, &str)]) {
    let kafka = kafka();
    let topic = kafka.topic("behind", partitions);
    let count = write(kafka, &topic, partitions, more);
    let (size, before) = (kafka.bytes_of(&topic, partitions), kafka.counted.received());
    let mut seen = Seen::default();
    seen.read(source(&format!("127.0.0.1:{}", kafka.counted.port), &topic), count, usize::MAX);
    let fetched = kafka.counted.received() - before;
    seen.is_in_order();
    eprintln!("{partitions} partitions, {more:?}: {fetched} bytes fetched of {size}");
    assert!(fetched * 10 <= size * 12, "{fetched} bytes were fetched of a topic of {size}");
    assert!(fetched >= size, "{fetched} of {size} were counted");
}

/// In one test, since what is counted is that of one reader.
#[test]
fn kafka_partitions_that_are_behind_are_read_in_the_order_of_event_time_and_fetched_once() {
    // Batches of nearly a MiB, which a fetch cuts in two most often; and of 16 KiB, as a Java producer writes them.
    for partitions in [1, 3, 12] {
        is_read_in_order_and_fetched_once(partitions, &[("compression.type", "lz4"), ("linger.ms", "500")]);
    }
    is_read_in_order_and_fetched_once(12, &[("batch.size", "16384")]);
}

/// A week in three partitions, denser and denser, in transactions of which every third is aborted; the last is empty.
/// Returns how many records are committed.
fn write_in_transactions(kafka: &Kafka, topic: &str) -> usize {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.plain).set("transactional.id", topic).set("linger.ms", "5");
    let producer: BaseProducer = config.create().expect("a producer can be made");
    producer.init_transactions(LIMIT).expect("transactions can be used");
    let mut count = 0;
    for (partition, every) in [(0_i32, 900), (1, 300), (2, 60)] {
        let all: Vec<u64> = (u64::from(partition.unsigned_abs())..WEEK).step_by(every).collect();
        for (number, part) in all.chunks(700).enumerate() {
            producer.begin_transaction().expect("a transaction begins");
            for second in part {
                let text = record(*second, partition);
                let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(&text);
                producer.send(record).map_err(|(error, _)| error).expect("a record is taken");
            }
            producer.flush(LIMIT).expect("the records are written");
            if number % 3 == 1 {
                producer.abort_transaction(LIMIT).expect("a transaction is aborted");
            } else {
                producer.commit_transaction(LIMIT).expect("a transaction is committed");
                count += part.len();
            }
        }
    }
    count
}

#[test]
fn kafka_partitions_that_are_behind_lose_and_repeat_nothing_over_restarts() {
    let kafka = kafka();
    let topic = kafka.topic("behind", 4);
    let count = write_in_transactions(kafka, &topic);
    let mut seen = Seen::default();
    while seen.records.len() < count {
        seen.read(source(&kafka.plain, &topic), count, 2);
    }
    seen.is_in_order();
}
