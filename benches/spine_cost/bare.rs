//! Consumers that do nothing with what they read: the bottom that everything else is measured against.

use std::{hint::black_box, ptr, time::Duration, time::Instant};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    bindings::{
        rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t, rd_kafka_queue_destroy,
        rd_kafka_queue_forward, rd_kafka_queue_get_partition, rd_kafka_queue_new,
    },
    consumer::{BaseConsumer, Consumer as _},
    types::RDKafkaRespErr,
};

use crate::{process, report::Measured};

const WAIT: Duration = Duration::from_secs(30);
/// As many as Keyhound takes at once.
const BATCH: usize = 4096;

/// How to consume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One message at a time by `BaseConsumer::poll`.
    Poll,
    /// Many at once by `rd_kafka_consume_batch_queue`.
    Batch,
}

impl std::str::FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "poll" => Ok(Self::Poll),
            "batch" => Ok(Self::Batch),
            _ => Err(format!("\"{text}\" is neither poll nor batch")),
        }
    }
}

/// Reads a topic from its beginning to its end.
pub fn consume(way: Way, brokers: &str, topic: &str) -> Measured {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bare").set("enable.auto.commit", "false");
    // As Keyhound has them (src/source/kafka/client.rs), so that both fetch alike.
    config.set("fetch.queue.backoff.ms", "10").set("queued.min.messages", "100000");
    config.set("queued.max.messages.kbytes", "32768").set("enable.auto.offset.store", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer can be made");
    let metadata = consumer.fetch_metadata(Some(topic), WAIT).expect("the broker answers");
    let mut assignment = TopicPartitionList::new();
    let mut records = 0;
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), WAIT).expect("the broker answers");
        records += high.abs_diff(low);
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a valid offset");
    }
    let course = Course::new(records);
    match way {
        Way::Poll => poll(&consumer, &assignment, course),
        Way::Batch => batch(&consumer, &assignment, course),
    }
}

fn poll(consumer: &BaseConsumer, assignment: &TopicPartitionList, mut course: Course) -> Measured {
    consumer.assign(assignment).expect("partitions that are there");
    while course.goes_on() {
        let message = consumer.poll(WAIT).expect("a message within the time limit").expect("no error");
        course.take(1, message.payload_len());
    }
    course.end()
}

#[allow(unsafe_code)] // librdkafka's batches have no safe interface; `source::kafka::batch_queue` is Keyhound's own
fn batch(consumer: &BaseConsumer, assignment: &TopicPartitionList, mut course: Course) -> Measured {
    let client = consumer.client().native_ptr();
    // SAFETY: the client outlives this function, in which the queue is destroyed.
    let queue = unsafe { rd_kafka_queue_new(client) };
    for element in assignment.elements() {
        let topic = std::ffi::CString::new(element.topic()).expect("a name without NUL");
        // SAFETY: client and queue are valid; the handle that we are given is ours to destroy, once.
        unsafe {
            let partition = rd_kafka_queue_get_partition(client, topic.as_ptr(), element.partition());
            rd_kafka_queue_forward(partition, queue);
            rd_kafka_queue_destroy(partition);
        }
    }
    consumer.assign(assignment).expect("partitions that are there");
    let mut messages: Vec<*mut rd_kafka_message_t> = vec![ptr::null_mut(); BATCH];
    while course.goes_on() {
        // Errors and statistics come another way; there should be none.
        assert!(consumer.poll(Duration::ZERO).is_none_or(|event| event.is_ok()));
        // SAFETY: there is room for so many pointers; what is written is ours to destroy, once.
        unsafe {
            let taken = rd_kafka_consume_batch_queue(queue, 10, messages.as_mut_ptr(), BATCH);
            for message in &messages[..usize::try_from(taken).expect("no error")] {
                assert!((**message).err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
                course.take(1, (**message).len);
                rd_kafka_message_destroy(*message);
            }
        }
    }
    // SAFETY: the queue is valid and not used again.
    unsafe { rd_kafka_queue_destroy(queue) };
    course.end()
}

/// How far a consumer has come, and what it cost from 30 % on.
struct Course {
    total: u64,
    read: u64,
    bytes: usize,
    from: u64,
    begun: Option<(f64, Instant)>,
}

impl Course {
    fn new(total: u64) -> Self {
        Self { total, read: 0, bytes: 0, from: total * 3 / 10, begun: None }
    }

    fn goes_on(&self) -> bool {
        self.read < self.total
    }

    fn take(&mut self, records: u64, bytes: usize) {
        self.read += records;
        self.bytes = self.bytes.wrapping_add(black_box(bytes));
        if self.read == self.from {
            self.begun = Some((process::cpu_seconds(std::process::id()), Instant::now()));
        }
    }

    fn end(self) -> Measured {
        let (cpu, time) = self.begun.expect("30 % were read");
        let records = self.read - self.from;
        Measured::new(records, process::cpu_seconds(std::process::id()) - cpu, time.elapsed())
    }
}
