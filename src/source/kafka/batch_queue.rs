//! Batches of messages that librdkafka owns, behind safe types. All the unsafe code of the Kafka source is here.
//!
//! What has to hold, and why it does, stands at each unsafe block. Two facts of librdkafka (2.12) matter:
//! - A partition's queue that was forwarded *before* the partition is assigned stays forwarded: the start of
//!   fetching leaves a queue alone that the application has forwarded. So no message ever takes the other way.
//! - A message counts references to its partition and topic, which must not outlive the client: so whoever holds
//!   messages holds the client too.

use std::{
    ffi::{CStr, CString},
    ops::Range,
    ptr::{self, NonNull},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    bindings::{
        rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_errstr, rd_kafka_message_t,
        rd_kafka_message_timestamp, rd_kafka_queue_destroy, rd_kafka_queue_forward,
        rd_kafka_queue_get_partition, rd_kafka_queue_new, rd_kafka_queue_t, rd_kafka_topic_name,
    },
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    types::RDKafkaRespErr,
};

use super::context::Context;

/// The consumer that queues and messages belong to.
pub type Consumer = BaseConsumer<Context>;

/// A queue of messages: one for all partitions that are forwarded to it, or that of a single partition.
pub struct BatchQueue {
    queue: NonNull<rd_kafka_queue_t>,
    /// Keeps the client alive: fields are dropped after `drop` has destroyed the queue.
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka guards its queues by locks of its own; its documentation allows any thread to use them.
unsafe impl Send for BatchQueue {}
// SAFETY: as above.
unsafe impl Sync for BatchQueue {}

impl BatchQueue {
    /// A new queue, which nothing goes to yet.
    pub fn new(consumer: Arc<Consumer>) -> Option<Self> {
        // SAFETY: the client is alive while `consumer` is.
        let queue = unsafe { rd_kafka_queue_new(consumer.client().native_ptr()) };
        NonNull::new(queue).map(|queue| Self { queue, consumer })
    }

    /// The queue of one partition, detached from every other. To be called before the partition is assigned.
    pub fn of_partition(consumer: Arc<Consumer>, topic: &str, partition: i32) -> Option<Self> {
        let queue = partition_queue(&consumer, topic, partition)?;
        // SAFETY: the queue is valid; no destination means that messages stay in it.
        unsafe { rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
        Some(Self { queue, consumer })
    }

    /// Sends a partition's messages here from now on. To be called before the partition is assigned.
    pub fn forward(&self, topic: &str, partition: i32) -> bool {
        let Some(queue) = partition_queue(&self.consumer, topic, partition) else { return false };
        // SAFETY: both queues are valid; librdkafka takes a reference of its own to the destination, and the
        // handle that it gave for the partition's queue is ours to destroy, once.
        unsafe {
            rd_kafka_queue_forward(queue.as_ptr(), self.queue.as_ptr());
            rd_kafka_queue_destroy(queue.as_ptr());
        }
        true
    }

    /// Sends what lies in this queue of a partition, and all that comes, to another one for good.
    pub fn forward_to(&self, to: &Self) {
        // SAFETY: both queues are valid. librdkafka moves what lies there and takes a reference of its own to the
        // destination; what is being added meanwhile waits for the same lock, so the order stays.
        unsafe { rd_kafka_queue_forward(self.queue.as_ptr(), to.queue.as_ptr()) };
    }

    /// Takes at most `most` messages, waiting until they are there or `wait` has passed. Returns their indices.
    pub fn take(self: &Arc<Self>, messages: &mut Messages, most: usize, wait: Duration) -> Range<usize> {
        let before = messages.pointers.len();
        messages.keep_alive(self);
        messages.pointers.reserve(most);
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: there is room for `most` pointers behind those that are there; librdkafka writes at most so many,
        // each to a message that is ours from then on, and returns how many, or -1.
        unsafe {
            let place = messages.pointers.as_mut_ptr().add(before);
            let taken = rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait_ms, place, most);
            messages.pointers.set_len(before + usize::try_from(taken).unwrap_or(0));
        }
        before..messages.pointers.len()
    }
}

impl Drop for BatchQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is valid and this handle is its only owner; the client is still alive.
        unsafe { rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// A handle to a partition's queue, to be destroyed by the caller.
fn partition_queue(consumer: &Consumer, topic: &str, partition: i32) -> Option<NonNull<rd_kafka_queue_t>> {
    let topic = CString::new(topic).ok()?;
    // SAFETY: the client is alive, the name is a C string that librdkafka copies.
    let queue =
        unsafe { rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition) };
    NonNull::new(queue)
}

/// Messages that were taken from queues and have not been given back yet.
///
/// Invariant: each pointer came from [`BatchQueue::take`] of this table or of one that gave it, is not null, and is owned by this table alone; the
/// queue, and so the client, that a message came from is in `owners`.
pub struct Messages {
    pointers: Vec<*mut rd_kafka_message_t>,
    owners: Vec<Arc<BatchQueue>>,
}

// SAFETY: a message is plain data plus counts of references that librdkafka guards itself; its documentation allows
// any thread to read and destroy it.
unsafe impl Send for Messages {}

/// What a message says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub error: Option<RDKafkaErrorCode>,
    /// Which topic object it belongs to: equal for messages of the same topic while both are held.
    pub topic_id: usize,
    pub partition: i32,
    pub offset: i64,
}

impl Messages {
    pub fn with_capacity(capacity: usize) -> Self {
        Self { pointers: Vec::with_capacity(capacity), owners: Vec::with_capacity(4) }
    }

    pub const fn len(&self) -> usize {
        self.pointers.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.pointers.is_empty()
    }

    /// Moves the first `count` messages behind those of `to`. Returns their indices there.
    pub fn give(&mut self, count: usize, to: &mut Self) -> Range<usize> {
        let before = to.pointers.len();
        for owner in &self.owners {
            to.keep_alive(owner);
        }
        to.pointers.extend(self.pointers.drain(..count));
        before..to.pointers.len()
    }

    pub fn head(&self, index: usize) -> Head {
        let message = self.get(index);
        let error = match message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            error => Some(error.into()),
        };
        let (partition, offset) = (message.partition, message.offset);
        Head { error, topic_id: message.rkt.addr(), partition, offset }
    }

    /// The name of the topic; empty if the message (an error) has none.
    pub fn topic(&self, index: usize) -> &str {
        let topic = self.get(index).rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: the message holds a reference to its topic, whose name is a C string that lives as long.
        let name = unsafe { CStr::from_ptr(rd_kafka_topic_name(topic)) };
        name.to_str().unwrap_or("")
    }

    /// When it was written or appended, in milliseconds since the Unix epoch.
    pub fn time_ms(&self, index: usize) -> Option<u64> {
        // SAFETY: the pointer is to a live message; the kind of the time may be left out.
        let time = unsafe { rd_kafka_message_timestamp(self.pointers[index], ptr::null_mut()) };
        u64::try_from(time).ok()
    }

    /// What librdkafka says about a message that is an error.
    pub fn error_text(&self, index: usize) -> String {
        // SAFETY: the pointer is to a live message; the text, if any, lives as long.
        unsafe {
            let text = rd_kafka_message_errstr(self.pointers[index]);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    }

    /// The bytes of a message; none if it has no value.
    pub fn payload(&self, index: usize) -> &[u8] {
        let message = self.get(index);
        if message.payload.is_null() || message.len == 0 {
            return &[];
        }
        // SAFETY: librdkafka keeps so many bytes there, unchanged, until the message is destroyed, for which this
        // table would have to be borrowed mutably.
        unsafe { std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len) }
    }

    /// Gives all messages back, then lets their clients go.
    pub fn clear(&mut self) {
        for message in self.pointers.drain(..) {
            // SAFETY: by the invariant this is the only owner of a live message, and draining forgets it.
            unsafe { rd_kafka_message_destroy(message) };
        }
        self.owners.clear();
    }

    fn get(&self, index: usize) -> &rd_kafka_message_t {
        // SAFETY: by the invariant the pointer is to a live message, which nobody writes to.
        unsafe { &*self.pointers[index] }
    }

    fn keep_alive(&mut self, queue: &Arc<BatchQueue>) {
        if !self.owners.iter().any(|owner| Arc::ptr_eq(owner, queue)) {
            self.owners.push(Arc::clone(queue));
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.clear();
    }
}
