//! What is out of reach is said, ends nothing, and is in reach again by itself.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{
    super::super::{Contact, OUT_OF_REACH_MAX},
    *,
};

/// A source that has read all of topic `a`, and the clock that it is given.
struct Watched {
    cluster: Cluster,
    source: KafkaSource,
    table: Table,
    began: Instant,
    /// How much faster than the real one the source's clock goes.
    pace: u32,
}

impl Watched {
    fn new(partitions: i32, pace: u32) -> Self {
        let cluster = Cluster::new(&[("a", partitions)]);
        cluster.produce("a", partitions, 0, 5);
        let mut watched = Self::of(cluster, Table::default(), pace);
        consume(&mut watched.source, &mut watched.table, 100, 5 * usize::try_from(partitions).unwrap());
        watched
    }

    fn of(cluster: Cluster, mut table: Table, pace: u32) -> Self {
        let mut source =
            cluster.source("a", "start: earliest, properties: { reconnect.backoff.max.ms: 100 }");
        source.start(&mut table).unwrap();
        Self { cluster, source, table, began: Instant::now(), pace }
    }

    /// Polls until the source stands as wanted.
    #[track_caller]
    fn wait_until(&mut self, what: &str, wanted: impl Fn(&Contact) -> bool) -> Contact {
        let mut batch = Batch::new(10);
        loop {
            let now = self.began.elapsed() * self.pace;
            batch.clear();
            self.source.poll(&mut batch, &mut self.table, now, Duration::from_millis(50)).unwrap();
            let contact = self.source.contact(now);
            if wanted(&contact) {
                return contact;
            }
            assert!(self.began.elapsed() < Duration::from_mins(3), "not {what}: {contact:?}");
        }
    }
}

fn is_well(contact: &Contact) -> bool {
    contact.fault.is_none() && contact.is_connected()
}

#[test]
fn a_broker_that_is_away_is_a_fault_and_an_idle_topic_is_none() {
    let mut watched = Watched::new(2, 1);
    // Longer than a broker that answers may be silent.
    let idle_until = Instant::now() + Duration::from_secs(25);
    watched.wait_until("well", |contact| {
        assert!(is_well(contact), "{contact:?}");
        Instant::now() >= idle_until
    });
    watched.cluster.mock.broker_down(1).unwrap();
    let contact = watched.wait_until("disconnected", |contact| !contact.is_connected());
    assert!(contact.age > OUT_OF_REACH_MAX);
    let fault = contact.fault.unwrap();
    assert!(fault.contains("a/0: its broker ") && fault.contains("is not connected"), "{fault}");
    assert!(fault.contains("2 partitions in all") && fault.contains("last error: "), "{fault}");
    watched.cluster.mock.broker_up(1).unwrap();
    watched.wait_until("connected again", is_well);
}

#[test]
fn a_partition_without_a_leader_is_a_fault() {
    let cluster = Cluster::new(&[("a", 2)]);
    // From the start: the mock cluster does not survive a fetch from where it has no leader.
    cluster.mock.partition_leader("a", 1, None).unwrap();
    let mut table = Table::default();
    commit(&mut table, "kafka:a/0", 0);
    commit(&mut table, "kafka:a/1", 0);
    let mut watched = Watched::of(cluster, table, 1);
    let contact = watched.wait_until("without a leader", |contact| contact.fault.is_some());
    let fault = contact.fault.unwrap();
    assert!(fault.starts_with("a/1 has no leader") || fault.starts_with("a/1 cannot be read"), "{fault}");
    watched.cluster.mock.partition_leader("a", 1, Some(1)).unwrap();
    watched.wait_until("led again", is_well);
}

#[test]
fn a_right_that_is_taken_away_is_a_fault_and_its_return_is_noticed_on_an_idle_topic() {
    let mut watched = Watched::new(1, 10);
    let refusals = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 10_000];
    watched.cluster.mock.request_errors(RDKafkaApiKey::Fetch, &refusals);
    let contact = watched.wait_until("refused", |contact| !contact.is_connected());
    let fault = contact.fault.unwrap();
    assert!(fault.starts_with("a/0 cannot be read: ") && fault.contains("authorization failed"), "{fault}");
    watched.cluster.mock.clear_request_errors(RDKafkaApiKey::Fetch);
    watched.wait_until("allowed again", is_well);
}
