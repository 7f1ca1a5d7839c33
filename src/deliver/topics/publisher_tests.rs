//! Tests of the publisher against librdkafka's own mock cluster.

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers as _,
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::*;
use crate::{
    deliver::{
        Dispatcher, Outbox, Stop,
        outbox::MemoryOutbox,
        topics::instances::{INSTANCE_HEADER, START_HEADER},
    },
    store::{Instance, Topic},
};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// The instance that publishes, and its start.
const ID: &str = "00000000000000aa";
const START: &str = "00000000000000bb";

fn heartbeat() -> Arc<Heartbeat> {
    Arc::new(Heartbeat::new(Instance { id: ID.to_owned(), start: START.to_owned() }))
}

/// A key and a payload.
type Read = (Option<Vec<u8>>, Option<Vec<u8>>);

fn read(brokers: &str, topic: &str, count: usize) -> Vec<Read> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "test").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    let mut records = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records within {LIMIT:?}", records.len());
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().expect("each record has headers");
        let header = |index| (headers.get(index).key, headers.get(index).value.unwrap_or_default());
        assert_eq!(header(0), (INSTANCE_HEADER, ID.as_bytes()));
        assert_eq!(header(1), (START_HEADER, START.as_bytes()));
        records.push((message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec)));
    }
    records
}

#[test]
fn records_arrive_under_their_keys_and_are_acknowledged() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("keyhound.incidents", 1, 1).unwrap();
    cluster.create_topic("keyhound.decisions", 1, 1).unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers());
    let outbox = Arc::new(MemoryOutbox::default());
    outbox.append(Topic::Incidents, "inc_1", b"{}");
    outbox.append(Topic::Decisions, "kf1_1", b"{\"a\":1}");
    outbox.append(Topic::Decisions, "kf1_1", b"");

    let metrics = Arc::new(Metrics::new("test", ""));
    let publisher = ToTopics::new(&client, "keyhound.", heartbeat(), metrics.clone()).unwrap();
    let mut dispatcher = Dispatcher::new(outbox.clone(), publisher).unwrap();
    assert_eq!(dispatcher.turn().unwrap(), 3);
    assert_eq!(outbox.acknowledged("topics").unwrap(), 3);
    assert_eq!(metrics.delivery.published_records.with_label_values(&["decisions", "delivered"]).get(), 2);

    let brokers = cluster.bootstrap_servers();
    assert_eq!(read(&brokers, "keyhound.incidents", 1), [(Some(b"inc_1".to_vec()), Some(b"{}".to_vec()))]);
    let decisions = read(&brokers, "keyhound.decisions", 2);
    assert_eq!(decisions[1], (Some(b"kf1_1".to_vec()), None), "a tombstone");
}

#[test]
fn what_was_taken_in_from_another_instance_is_left_to_it_and_a_heartbeat_follows() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("keyhound.decisions", 1, 1).unwrap();
    let outbox = Arc::new(MemoryOutbox::default());
    outbox.append(Topic::Decisions, "kf1_1", b"{\"epoch\":1}");
    outbox.append(Topic::Decisions, "kf1_2", b"{\"instance\":\"00000000000000cc\"}");
    outbox.append(Topic::Decisions, "kf1_3", b"{\"instance\":\"\"}");
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers());
    let (heartbeat, metrics) = (heartbeat(), Arc::new(Metrics::new("test", "")));
    let publisher = ToTopics::new(&client, "keyhound.", heartbeat.clone(), metrics).unwrap();
    let mut dispatcher = Dispatcher::new(outbox.clone(), publisher).unwrap();
    assert_eq!(dispatcher.turn().unwrap(), 3);
    assert_eq!(outbox.acknowledged("topics").unwrap(), 3);
    heartbeat.want();
    let stop = Stop::default();
    let read = std::thread::scope(|scope| {
        scope.spawn(|| dispatcher.run(&stop));
        let _stops = StopsAtTheEnd(&stop);
        read(&cluster.bootstrap_servers(), "keyhound.decisions", 3)
    });
    let read: Vec<_> = read.iter().map(|(key, value)| (key.as_deref().unwrap(), value.is_some())).collect();
    let heartbeat: &[u8] = b"instance:00000000000000aa";
    assert_eq!(read, [(&b"kf1_1"[..], true), (b"kf1_3", true), (heartbeat, false)]);
}

#[test]
fn what_the_broker_refuses_is_not_acknowledged_and_tried_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("keyhound.incidents", 1, 1).unwrap();
    cluster.create_topic("keyhound.audit", 1, 1).unwrap();
    let outbox = Arc::new(MemoryOutbox::default());
    outbox.append(Topic::Incidents, "a", b"{}");
    outbox.append(Topic::Audit, "", b"{}");
    let mut dispatcher = dispatcher(&cluster, &outbox, &[]);
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    let error = || [denied; 20];
    cluster.request_errors(RDKafkaApiKey::Produce, &error());
    dispatcher.turn().unwrap_err();
    assert_eq!(outbox.acknowledged("topics").unwrap(), 0);
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    // librdkafka keeps the topic's error until it has asked for metadata again: the loop goes on until it has.
    let stop = Stop::default();
    std::thread::scope(|scope| {
        scope.spawn(|| dispatcher.run(&stop));
        let _stops = StopsAtTheEnd(&stop);
        let deadline = Instant::now() + LIMIT;
        while outbox.acknowledged("topics").unwrap() < 2 {
            assert!(Instant::now() < deadline, "not delivered within {LIMIT:?}");
            stop.wait(0, Duration::from_millis(20));
        }
    });
}

/// Stops a dispatcher even if the test fails: its scope waits for it.
struct StopsAtTheEnd<'a>(&'a Stop);

impl Drop for StopsAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[test]
fn a_record_that_no_broker_takes_holds_up_no_other() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("keyhound.incidents", 1, 1).unwrap();
    let outbox = Arc::new(MemoryOutbox::default());
    outbox.append(Topic::Incidents, "a", b"{}");
    outbox.append(Topic::Incidents, "b", &[b'x'; 5_000]);
    outbox.append(Topic::Incidents, "c", b"{}");
    // The largest record that the client sends is 1 kB: the second one cannot be delivered.
    let mut dispatcher = dispatcher(&cluster, &outbox, &[("message.max.bytes", "1000")]);
    assert_eq!(dispatcher.turn().unwrap(), 3);
    assert_eq!(outbox.acknowledged("topics").unwrap(), 3);
    let keys: Vec<_> = read(&cluster.bootstrap_servers(), "keyhound.incidents", 2)
        .into_iter()
        .map(|(key, _)| key.unwrap())
        .collect();
    assert_eq!(keys, [b"a", b"c"]);
}

fn dispatcher(
    cluster: &MockCluster<'_, rdkafka::producer::DefaultProducerContext>,
    outbox: &Arc<MemoryOutbox>,
    properties: &[(&str, &str)],
) -> Dispatcher<ToTopics> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers());
    for (name, value) in properties {
        client.set(*name, *value);
    }
    let publisher =
        ToTopics::new(&client, "keyhound.", heartbeat(), Arc::new(Metrics::new("test", ""))).unwrap();
    Dispatcher::new(outbox.clone(), publisher).unwrap()
}
