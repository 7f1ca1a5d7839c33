//! Against librdkafka's mock cluster: what is consumed, in which order, and what errors become.

mod aligned;
mod reach;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};

use super::{
    super::{Batch, Inputs as _, Notice, Source as _, SourceError, testing::Table},
    KafkaSettings, KafkaSource,
    context::{PartitionStatistics, Statistics, TopicStatistics},
};

struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
}

impl Cluster {
    fn new(topics: &[(&str, i32)]) -> Self {
        let mock = MockCluster::new(1).unwrap();
        for (topic, partitions) in topics {
            mock.create_topic(topic, *partitions, 1).unwrap();
        }
        Self { mock }
    }

    /// Writes `count` records to each partition, `TOPIC/PARTITION#NUMBER`, numbers from `first` on.
    fn produce(&self, topic: &str, partitions: i32, first: u64, count: u64) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.mock.bootstrap_servers()).set("linger.ms", "1");
        let producer: BaseProducer = config.create().unwrap();
        for number in first..first + count {
            for partition in 0..partitions {
                let text = format!("{topic}/{partition}#{number}");
                let time = 1_000_000 + i64::try_from(number).unwrap();
                let record = BaseRecord::<(), str>::to(topic).partition(partition).timestamp(time);
                producer.send(record.payload(&text)).map_err(|(error, _)| error).unwrap();
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(Duration::from_mins(1)).unwrap();
    }

    fn source(&self, topics: &str, more: &str) -> KafkaSource {
        let brokers = self.mock.bootstrap_servers().replace(',', "','");
        let yaml = format!("{{ brokers: ['{brokers}'], topics: [{topics}], {more} }}");
        KafkaSource::new(3, serde_saphyr::from_str::<KafkaSettings>(&yaml).unwrap())
    }
}

/// Polls until `count` records have come; all of them by input, in the order in which they came.
fn consume(
    source: &mut KafkaSource,
    table: &mut Table,
    capacity: usize,
    count: usize,
) -> BTreeMap<u32, Vec<String>> {
    let mut batch = Batch::new(capacity);
    let mut seen: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut left = count;
    let deadline = Instant::now() + Duration::from_mins(1);
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} of {count} records are missing");
        batch.clear();
        source.poll(&mut batch, table, Duration::ZERO, Duration::from_millis(100)).unwrap();
        for record in batch.records() {
            assert_eq!((record.source, record.next), (3, record.offset + 1));
            assert_eq!(record.log_time_ms, Some(1_000_000 + record.offset));
            seen.entry(record.input).or_default().push(String::from_utf8_lossy(record.bytes).into_owned());
            table.commit(record.input, record.next);
        }
        left = left.checked_sub(batch.len()).expect("more records than were written");
    }
    seen
}

/// The texts that partitions hold from `first` on.
fn expected(table: &Table, first: u64, count: u64) -> BTreeMap<u32, Vec<String>> {
    let texts = |name: &str| (first..first + count).map(|n| format!("{name}#{n}")).collect();
    let names = table.names.iter().zip(0..);
    names.map(|((_, name), input)| (input, texts(name.0.strip_prefix("kafka:").unwrap()))).collect()
}

#[track_caller]
fn every_record_comes_once_and_in_order(consume_how: &str) {
    let cluster = Cluster::new(&[("a", 3), ("b", 1)]);
    cluster.produce("a", 3, 0, 500);
    cluster.produce("b", 1, 0, 500);
    let mut table = Table::default();
    let mut source = cluster.source("a, b", &format!("start: earliest, consume: {consume_how}"));
    source.start(&mut table).unwrap();
    let seen = consume(&mut source, &mut table, 64, 2_000);
    assert_eq!(seen, expected(&table, 0, 500));
}

#[test]
fn batches_give_every_record_once_and_in_order() {
    every_record_comes_once_and_in_order("batch");
}

#[test]
fn the_plain_way_gives_the_same() {
    every_record_comes_once_and_in_order("poll");
}

#[test]
fn a_restart_goes_on_exactly_where_the_table_says() {
    let cluster = Cluster::new(&[("a", 2)]);
    cluster.produce("a", 2, 0, 300);
    let mut table = Table::default();
    for (how, first) in [("batch", 100), ("poll", 170)] {
        commit(&mut table, "kafka:a/0", first);
        commit(&mut table, "kafka:a/1", first);
        let mut source = cluster.source("a", &format!("start: earliest, consume: {how}"));
        source.start(&mut table).unwrap();
        let count = 300 - first;
        let seen = consume(&mut source, &mut table, 1_000, usize::try_from(2 * count).unwrap());
        assert_eq!(seen, expected(&table, first, count), "{how}");
    }
}

fn commit(table: &mut Table, name: &str, next: u64) {
    let (input, _) = table.input(3, &super::InputName(name.to_owned()));
    table.commit(input, next);
}

#[test]
fn a_batch_outlives_the_source_that_filled_it() {
    let cluster = Cluster::new(&[("a", 1)]);
    cluster.produce("a", 1, 0, 10);
    let mut table = Table::default();
    let mut source = cluster.source("a", "start: earliest");
    source.start(&mut table).unwrap();
    let mut batch = Batch::new(100);
    let deadline = Instant::now() + Duration::from_mins(1);
    while batch.len() < 10 {
        assert!(Instant::now() < deadline, "{} of 10 records", batch.len());
        source.poll(&mut batch, &mut table, Duration::ZERO, Duration::from_millis(100)).unwrap();
    }
    drop(source);
    drop(cluster);
    let reader = std::thread::spawn(move || {
        let last = batch.records().last().map(|record| String::from_utf8_lossy(record.bytes).into_owned());
        batch.clear();
        (last, batch.len())
    });
    assert_eq!(reader.join().unwrap(), (Some("a/0#9".to_owned()), 0));
}

#[test]
fn what_was_read_is_read_again_exactly() {
    let cluster = Cluster::new(&[("a", 2)]);
    cluster.produce("a", 2, 0, 200);
    let mut table = Table::default();
    let mut source = cluster.source("a", "start: earliest");
    source.start(&mut table).unwrap();
    consume(&mut source, &mut table, 1_000, 400);
    // As runs were committed: one after the other in a partition, partitions in turn, and once back.
    for (input, from, to) in [(0, 10, 60), (1, 0, 200), (0, 60, 61), (0, 61, 199), (0, 5, 20)] {
        let mut batch = Batch::new(32);
        let (mut at, mut seen) = (from, Vec::new());
        while at < to {
            at = source.read_again(input, &table.name(input), at, to, &mut batch).unwrap();
            seen.extend(batch.records().map(|r| (r.input, r.offset)));
            batch.clear();
        }
        assert_eq!(seen, (from..to).map(|offset| (input, offset)).collect::<Vec<_>>());
    }
    // And what is new is read as if nothing had happened.
    cluster.produce("a", 2, 200, 5);
    assert_eq!(consume(&mut source, &mut table, 100, 10), expected(&table, 200, 5));
}

#[test]
fn where_the_first_reading_starts_is_kept_at_once() {
    let cluster = Cluster::new(&[("a", 1)]);
    cluster.produce("a", 1, 0, 25);
    for (start, position) in [("earliest", 0), ("latest", 25)] {
        let mut table = Table::default();
        cluster.source("a", &format!("start: {start}")).start(&mut table).unwrap();
        assert_eq!(table.positions[&0], position, "{start}");
    }
}

#[test]
fn a_partition_is_idle_once_it_is_read_and_its_lag_is_none() {
    for how in ["batch", "poll"] {
        let cluster = Cluster::new(&[("a", 1)]);
        cluster.produce("a", 1, 0, 10);
        let mut table = Table::default();
        let mut source = cluster.source("a", &format!("start: earliest, consume: {how}"));
        source.start(&mut table).unwrap();
        consume(&mut source, &mut table, 1, 4);
        assert!(!source.idle(0), "six records are left");
        consume(&mut source, &mut table, 100, 6);
        let mut batch = Batch::new(10);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !source.idle(0) && Instant::now() < deadline {
            source.poll(&mut batch, &mut table, Duration::ZERO, Duration::from_millis(50)).unwrap();
        }
        let lag = source.lag()[0];
        assert_eq!((lag.records_behind, lag.newest_log_time_ms), (Some(0), Some(1_000_009)), "{how}");
        assert_eq!(source.describe(0).as_deref(), Some("a/0"));
    }
}

#[test]
fn a_position_beyond_the_log_goes_on_at_the_earliest_record_and_is_told() {
    for (how, is_aligned) in [("batch", false), ("batch", true), ("poll", false)] {
        let cluster = Cluster::new(&[("a", 2)]);
        cluster.produce("a", 2, 0, 10);
        let mut table = Table::default();
        commit(&mut table, "kafka:a/0", 5_000);
        commit(&mut table, "kafka:a/1", 4);
        let mut source = cluster.source("a", &format!("consume: {how}"));
        if is_aligned {
            source = source.aligned_by(Box::new(|_| Some(1_000)));
        }
        source.start(&mut table).unwrap();
        let mut seen = consume(&mut source, &mut table, 100, 16);
        let mut whole = expected(&table, 0, 10);
        assert_eq!(seen.remove(&0), whole.remove(&0), "{how}: read from its beginning");
        assert_eq!(seen.remove(&1).unwrap(), whole.remove(&1).unwrap()[4..], "{how}: undisturbed");
        let mut notices = Vec::new();
        source.notices(&mut notices);
        let lost: Vec<_> = notices.iter().filter(|notice| matches!(notice, Notice::Lost { .. })).collect();
        let [Notice::Lost { source: 3, input: 0, topic, partition: 0, from: 5_000, to: 0, lost: None }] =
            lost[..]
        else {
            panic!("{how}: {notices:?}")
        };
        assert_eq!(topic, "a");
        // And what comes next is read as ever.
        cluster.produce("a", 2, 10, 3);
        assert_eq!(consume(&mut source, &mut table, 100, 6), expected(&table, 10, 3), "{how}");
    }
}

#[test]
fn a_partition_without_a_leader_holds_up_no_other_that_lost_its_position() {
    for how in ["batch", "poll"] {
        let cluster = Cluster::new(&[("a", 3)]);
        cluster.produce("a", 3, 0, 10);
        cluster.mock.partition_leader("a", 2, None).unwrap();
        let mut table = Table::default();
        for (name, next) in [("kafka:a/0", 5_000), ("kafka:a/1", 4), ("kafka:a/2", 0)] {
            commit(&mut table, name, next);
        }
        let mut source = cluster.source("a", &format!("consume: {how}"));
        source.start(&mut table).unwrap();
        let seen = consume(&mut source, &mut table, 100, 16);
        let counts: Vec<(u32, usize)> = seen.iter().map(|(input, texts)| (*input, texts.len())).collect();
        assert_eq!(counts, [(0, 10), (1, 6)], "{how}");
        cluster.mock.partition_leader("a", 2, Some(1)).unwrap();
        assert_eq!(consume(&mut source, &mut table, 100, 10)[&2].len(), 10, "{how}: it was left as it is");
    }
}

#[test]
fn an_added_partition_that_does_not_answer_is_not_asked_again_for_a_minute() {
    let cluster = Cluster::new(&[("a", 1)]);
    let mut table = Table::default();
    let mut source = cluster.source("a", "start: earliest");
    source.start(&mut table).unwrap();
    let mut client = source.client.take().unwrap();
    let mut is_asked = |leader: i32, seconds: u64| {
        let found = PartitionStatistics { leader, ..PartitionStatistics::default() };
        let partitions = HashMap::from([(7, found)]);
        let topics = HashMap::from([("a".to_owned(), TopicStatistics { partitions })]);
        let now = Duration::from_secs(seconds);
        let statistics = Statistics { topics, ..Statistics::default() };
        source.learn(&mut client, &statistics, &mut table, now).unwrap();
        let mut notices = Vec::new();
        source.notices(&mut notices);
        notices.iter().any(|notice| matches!(notice, Notice::Transport { .. }))
    };
    assert!(!is_asked(-1, 0), "it has no leader that could answer");
    assert!(is_asked(1, 5));
    assert!(!is_asked(1, 10));
    assert!(is_asked(1, 65));
}

#[test]
fn a_range_beyond_the_log_is_gone_and_others_are_read_all_the_same() {
    let cluster = Cluster::new(&[("a", 1)]);
    cluster.produce("a", 1, 0, 10);
    let mut table = Table::default();
    let mut source = cluster.source("a", "start: earliest");
    source.start(&mut table).unwrap();
    let mut batch = Batch::new(32);
    let name = table.name(0);
    let gone = source.read_again(0, &name, 5_000, 5_010, &mut batch).unwrap_err();
    assert!(matches!(gone, SourceError::Gone { from: 5_000, to: 5_010, .. }), "{gone}");
    assert!(gone.to_string().contains("kafka:a/0 has nothing left from 5000 to 5010"), "{gone}");
    let gone = source.read_again(0, &name, 4_000, 4_010, &mut batch).unwrap_err();
    assert!(matches!(gone, SourceError::Gone { from: 4_000, to: 4_010, .. }), "{gone}");
    assert_eq!(source.read_again(0, &name, 2, 5, &mut batch).unwrap(), 5);
    assert_eq!(batch.records().map(|record| record.offset).collect::<Vec<_>>(), [2, 3, 4]);
    batch.clear();
    let gone = source.read_again(0, &name, 8, 30, &mut batch).unwrap_err();
    assert!(matches!(gone, SourceError::Gone { from: 10, to: 30, .. }), "{gone}");
    assert_eq!(batch.len(), 2, "what it still has was read");
}

#[test]
fn a_broker_that_is_away_for_a_while_is_told_and_nothing_is_lost() {
    let cluster = Cluster::new(&[("a", 1)]);
    cluster.produce("a", 1, 0, 10);
    let mut table = Table::default();
    let mut source = cluster.source("a", "start: earliest, properties: { reconnect.backoff.max.ms: 100 }");
    source.start(&mut table).unwrap();
    consume(&mut source, &mut table, 100, 10);
    cluster.mock.broker_down(1).unwrap();
    let mut batch = Batch::new(10);
    let mut notices = Vec::new();
    let deadline = Instant::now() + Duration::from_mins(1);
    while notices.is_empty() && Instant::now() < deadline {
        source.poll(&mut batch, &mut table, Duration::ZERO, Duration::from_millis(50)).unwrap();
        source.notices(&mut notices);
    }
    assert!(matches!(notices.first(), Some(Notice::Transport { source: 3, .. })), "{notices:?}");
    cluster.mock.broker_up(1).unwrap();
    cluster.produce("a", 1, 10, 10);
    assert_eq!(consume(&mut source, &mut table, 100, 10), expected(&table, 10, 10));
}
