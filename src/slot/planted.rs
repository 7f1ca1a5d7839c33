//! Panics where tests plant them, in decoding and in judging.

use crate::event::Event;

/// In a record, it panics when that is decoded.
pub const IN_DECODING: &str = "planted-panic-in-decoding";
/// As a route, it panics when the request is judged.
pub const IN_JUDGING: &str = "/planted-panic-in-judging";

pub fn panic_in_decoding(record: &[u8]) {
    let text = String::from_utf8_lossy(record);
    assert!(!text.contains(IN_DECODING), "planted, with {text}");
}

pub fn panic_in_judging(chunk: &[Event<'_>]) {
    let route = chunk.iter().map(|event| event.route.text).find(|route| *route == IN_JUDGING);
    assert!(route.is_none(), "planted, with {route:?}");
}
