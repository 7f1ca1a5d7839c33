//! Tests of the reader of one topic against librdkafka's own mock cluster.

use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::*;

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);
const TOPIC: &str = "keyhound.decisions";

fn settings(cluster: &MockCluster<'_, DefaultProducerContext>) -> KafkaSettings {
    let brokers = cluster.bootstrap_servers();
    serde_json::from_value(serde_json::json!({ "brokers": [brokers], "topics": ["logs"] })).unwrap()
}

fn produce(cluster: &MockCluster<'_, DefaultProducerContext>, partition: i32, keys: &[&str]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    let producer: BaseProducer = config.create().unwrap();
    for key in keys {
        let record = BaseRecord::<str, str>::to(TOPIC).partition(partition).key(key).payload("x");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

/// Polls until `is_done`, and gives the keys that came, with whether they are live.
fn poll_until(
    reader: &mut TopicReader,
    mut is_done: impl FnMut(&TopicReader, usize) -> bool,
) -> Vec<(String, bool)> {
    let deadline = Instant::now() + LIMIT;
    let mut keys = Vec::new();
    while !is_done(reader, keys.len()) {
        assert!(Instant::now() < deadline, "{keys:?}, {:?}", reader.fault());
        if let Some(record) = reader.poll(Duration::from_millis(50)) {
            keys.push((String::from_utf8(record.key).unwrap(), record.is_live));
        }
    }
    keys.sort();
    keys
}

fn named(keys: &[(&str, bool)]) -> Vec<(String, bool)> {
    keys.iter().map(|(key, is_live)| ((*key).to_owned(), *is_live)).collect()
}

#[test]
fn a_topic_is_read_from_its_beginning_and_what_comes_later_is_live() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    produce(&cluster, 0, &["a", "b"]);
    let mut reader = TopicReader::new(settings(&cluster), TOPIC.to_owned());
    let before = poll_until(&mut reader, |reader, _| reader.has_caught_up());
    assert_eq!(before, named(&[("a", false), ("b", false)]));
    produce(&cluster, 0, &["c"]);
    produce(&cluster, 1, &["d"]);
    let later = poll_until(&mut reader, |_, count| count == 2);
    assert_eq!(later, named(&[("c", true), ("d", true)]));
    assert_eq!(reader.fault(), None);
}

#[test]
fn a_right_that_is_missing_is_told_and_reading_goes_on_where_it_was_once_it_is_given() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    produce(&cluster, 0, &["a"]);
    let mut reader = TopicReader::new(settings(&cluster), TOPIC.to_owned());
    poll_until(&mut reader, |reader, _| reader.has_caught_up());
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Fetch, &[denied; 100]);
    poll_until(&mut reader, |reader, _| reader.fault().is_some());
    assert!(reader.fault().unwrap().starts_with("topic keyhound.decisions: "), "{:?}", reader.fault());
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    produce(&cluster, 0, &["b"]);
    let later = poll_until(&mut reader, |reader, count| count == 1 && reader.fault().is_none());
    assert_eq!(later, named(&[("b", true)]));
}

#[test]
fn a_topic_that_is_not_there_and_a_broker_that_is_away_are_told() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("other", 1, 1).unwrap();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error(TOPIC, unknown).unwrap();
    let mut reader = TopicReader::new(settings(&cluster), TOPIC.to_owned());
    poll_until(&mut reader, |reader, _| reader.fault().is_some());
    assert!(!reader.has_caught_up());

    let away = serde_json::json!({ "brokers": ["127.0.0.1:1"], "topics": ["logs"] });
    let mut reader = TopicReader::new(serde_json::from_value(away).unwrap(), TOPIC.to_owned());
    poll_until(&mut reader, |reader, _| reader.fault().is_some());
}
