//! What one pass over a record has picked up: a value for each slot of the mapping.
//!
//! Values are kept as written and converted once, when the request is put together, so that an alternative that
//! loses costs nothing. Has no `Debug`: a slot may hold a raw key.

use super::mapping::Unit;

/// What a field means. Each is one entry of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Slot {
    Time,
    Status,
    Method,
    Path,
    Query,
    RequestLine,
    Route,
    Key,
    Credential,
    Consumer,
    User,
    Agent,
    Peer,
    ForwardedFor,
    RequestId,
    RequestBytes,
    ResponseBytes,
    Latency,
    Scheme,
    Decision,
}

/// How many slots there are.
pub const SLOTS: usize = 20;

impl Slot {
    /// All slots, in the order of a mapping's documentation.
    pub const ALL: [Self; SLOTS] = [
        Self::Time,
        Self::Status,
        Self::Method,
        Self::Path,
        Self::Query,
        Self::RequestLine,
        Self::Route,
        Self::Key,
        Self::Credential,
        Self::Consumer,
        Self::User,
        Self::Agent,
        Self::Peer,
        Self::ForwardedFor,
        Self::RequestId,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::Latency,
        Self::Scheme,
        Self::Decision,
    ];

    /// The slot's name in a mapping.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Status => "status",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::RequestLine => "request_line",
            Self::Route => "route",
            Self::Key => "key",
            Self::Credential => "credential",
            Self::Consumer => "consumer",
            Self::User => "user",
            Self::Agent => "agent",
            Self::Peer => "peer",
            Self::ForwardedFor => "forwarded_for",
            Self::RequestId => "request_id",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::Latency => "latency",
            Self::Scheme => "scheme",
            Self::Decision => "decision",
        }
    }
}

/// A scalar of the record, borrowed from it, or from the arena where it was escaped.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    Text(&'a str),
    Unsigned(u64),
    Float(f64),
    /// A whole number below zero: gateways write -1 for "there was none".
    Negative,
}

impl Value<'_> {
    /// Gateways write an empty text or a dash for what is absent.
    #[inline]
    pub fn says_something(self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty() && (text.len() > 1 || text.as_bytes()[0] != b'-'),
            Self::None => false,
            _ => true,
        }
    }
}

/// Where a leaf of the trie puts its value: the slot, the rank among the slot's alternatives (0 is best), the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub slot: Slot,
    pub rank: u8,
    pub unit: Unit,
}

const ABSENT: u8 = u8::MAX;

/// The values of one request.
pub(super) struct Fields<'a> {
    values: [Value<'a>; SLOTS],
    ranks: [u8; SLOTS],
    units: [Unit; SLOTS],
    /// Some `refused_by_gateway` condition holds.
    pub refused_by_gateway: bool,
    /// Texts of wrappers that may hold the real record; the first has its own place, so that none is allocated.
    pub wrapped: Option<&'a str>,
    pub more_wrapped: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    pub fn new() -> Self {
        Self {
            values: [Value::None; SLOTS],
            ranks: [ABSENT; SLOTS],
            units: [Unit::S; SLOTS],
            refused_by_gateway: false,
            wrapped: None,
            more_wrapped: Vec::new(),
        }
    }

    /// Keeps `value` if it says something and no better alternative has been seen. The first of equals stays.
    pub fn put(&mut self, write: Write, value: Value<'a>) {
        let slot = write.slot as usize;
        if write.rank < self.ranks[slot] {
            self.values[slot] = value;
            self.ranks[slot] = write.rank;
            self.units[slot] = write.unit;
        }
    }

    /// Puts another value in the place of the one that is held.
    pub fn replace(&mut self, slot: Slot, value: Value<'a>) {
        self.values[slot as usize] = value;
    }

    pub fn has(&self, slot: Slot) -> bool {
        self.ranks[slot as usize] != ABSENT
    }

    /// The rank of what is held; above every alternative's if nothing is.
    pub fn rank(&self, slot: Slot) -> u8 {
        self.ranks[slot as usize]
    }

    pub fn get(&self, slot: Slot) -> (Value<'a>, Unit) {
        (self.values[slot as usize], self.units[slot as usize])
    }

    /// The slot's text; a number is no text.
    pub fn text(&self, slot: Slot) -> Option<&'a str> {
        match self.values[slot as usize] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn wrap(&mut self, text: &'a str) {
        if self.wrapped.is_none() {
            self.wrapped = Some(text);
        } else {
            self.more_wrapped.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_indexed_by_their_order() {
        for (index, slot) in Slot::ALL.into_iter().enumerate() {
            assert_eq!(slot as usize, index);
        }
    }

    #[test]
    fn a_better_alternative_wins_in_either_order() {
        for order in [[0, 1], [1, 0]] {
            let mut fields = Fields::new();
            for rank in order {
                let text = if rank == 0 { "client_ip" } else { "remote_ip" };
                fields.put(Write { slot: Slot::Peer, rank, unit: Unit::S }, Value::Text(text));
            }
            assert_eq!(fields.text(Slot::Peer), Some("client_ip"));
        }
    }
}
