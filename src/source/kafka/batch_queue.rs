//! The only unsafe code of the sources: batches of messages that librdkafka owns.
//!
//! What has to hold, and why it does, stands at each unsafe block. The rest of Keyhound sees safe types.

use std::{os::raw::c_void, sync::Arc};

use rdkafka::bindings::{rd_kafka_message_destroy, rd_kafka_message_t};

/// Messages that were taken from a queue and have not been given back yet.
///
/// Invariant: each pointer came from librdkafka, is owned by this table alone, and is not null; each client
/// that a message came from is kept alive by `owners`.
pub struct Messages {
    pointers: Vec<*mut rd_kafka_message_t>,
    owners: Vec<Arc<dyn Send + Sync>>,
}

// SAFETY: a message is plain data plus reference counts that librdkafka guards itself; its documentation allows
// any thread to read and destroy it.
unsafe impl Send for Messages {}

impl Messages {
    pub fn with_capacity(capacity: usize) -> Self {
        Self { pointers: Vec::with_capacity(capacity), owners: Vec::new() }
    }

    /// The bytes of a message; none if it has no value.
    pub fn payload(&self, index: usize) -> &[u8] {
        // SAFETY: by the invariant the pointer is a live message, and nobody writes to it.
        let message = unsafe { &*self.pointers[index] };
        slice(message.payload, message.len, self)
    }

    /// Gives all messages back, then lets their clients go.
    pub fn clear(&mut self) {
        for message in self.pointers.drain(..) {
            // SAFETY: by the invariant this is the only owner of a live message, and draining forgets it.
            unsafe { rd_kafka_message_destroy(message) };
        }
        self.owners.clear();
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A slice that lives no longer than `_owner` is borrowed.
fn slice<T>(start: *const c_void, len: usize, _owner: &T) -> &[u8] {
    if start.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: only called with the payload of a live message, whose memory librdkafka keeps until it is destroyed,
    // for which `_owner` would have to be borrowed mutably.
    unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) }
}
