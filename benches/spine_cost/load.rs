//! The records that everybody reads.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use keyhound::{
    event::EventTime,
    generate::stream::{Stream, StreamPlan},
};
use rdkafka::{
    ClientConfig,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer as _},
    types::RDKafkaErrorCode,
};

/// Writes nginx-like records in turn to the topic's four partitions. The last of them is of now, so that none lies
/// in the future.
pub fn produce(brokers: &str, topic: &str, records: u64, keys: u32) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("compression.type", "lz4").set("linger.ms", "50");
    config.set("batch.size", "1000000").set("queue.buffering.max.messages", "500000");
    let producer: BaseProducer = config.create().expect("a producer can be made");
    let mut stream = Stream::new(plan(records, keys));
    let mut partition = 0;
    while let Some(record) = stream.next_record() {
        let mut message = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(record.bytes);
        while let Err((error, refused)) = producer.send(message) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            producer.poll(Duration::from_millis(10));
            message = refused;
        }
        partition = (partition + 1) % 4;
    }
    producer.flush(Duration::from_secs(120)).expect("the broker takes the records");
    // What was written is still on its way to the disk, which is not what is measured.
    thread::sleep(Duration::from_secs(1));
}

fn plan(records: u64, keys: u32) -> StreamPlan {
    let plan = StreamPlan { records, keys, ..StreamPlan::default() };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let length = Duration::from_secs(records / u64::from(plan.per_second));
    let start = u64::try_from(now.saturating_sub(length).as_millis()).expect("a time of this age");
    StreamPlan { start: EventTime(start), ..plan }
}
