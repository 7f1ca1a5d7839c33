//! Facts of a record that are either so or not.

/// Facts of a record that have no field of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The raw key stood in the record, in clear.
    pub const CLEAR_KEY: u16 = 1;
    /// The raw key stood in the query string.
    pub const KEY_IN_QUERY: u16 = 2;
    /// The request did not use TLS (where the record says).
    pub const PLAIN_HTTP: u16 = 4;
    /// The record's time was more than 60 s ahead of the log's and was set back to it.
    pub const CLAMPED: u16 = 8;
    /// Some text of the record was no UTF-8 or no JSON, and was repaired or left out.
    pub const REPAIRED: u16 = 16;
    /// The record ended, or became unreadable, before its end: facts that stood behind that are not known.
    pub const CUT: u16 = 32;
    /// The record's time has no fraction of a second, so that many requests share it.
    pub const WHOLE_SECONDS: u16 = 64;
    /// The gateway chose the request id. Without it, the caller may have chosen it, and may choose it again.
    pub const GATEWAY_ID: u16 = 128;
    /// Of the record only the key, and perhaps the time, could be read: no request is counted for it.
    pub const UNREADABLE: u16 = 256;
    /// The request showed several keys: each has an event, and which of them was served is not known.
    pub const SEVERAL_KEYS: u16 = 512;
    /// The request has been counted under another of its keys.
    pub const FURTHER_KEY: u16 = 1024;
    /// The request showed more keys than have an event.
    pub const KEYS_LEFT_OUT: u16 = 2048;

    /// Each flag with the name that users see, in the order of its bit.
    pub const NAMES: [(u16, &'static str); 12] = [
        (Self::CLEAR_KEY, "clear_key"),
        (Self::KEY_IN_QUERY, "key_in_query"),
        (Self::PLAIN_HTTP, "plain_http"),
        (Self::CLAMPED, "clamped"),
        (Self::REPAIRED, "repaired"),
        (Self::CUT, "cut"),
        (Self::WHOLE_SECONDS, "whole_seconds"),
        (Self::GATEWAY_ID, "gateway_id"),
        (Self::UNREADABLE, "unreadable"),
        (Self::SEVERAL_KEYS, "several_keys"),
        (Self::FURTHER_KEY, "further_key"),
        (Self::KEYS_LEFT_OUT, "keys_left_out"),
    ];

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter_map(move |(flag, name)| self.has(flag).then_some(name))
    }

    /// Whether `flag` is set.
    pub const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// Sets `flag`.
    pub const fn set(&mut self, flag: u16) {
        self.0 |= flag;
    }
}
