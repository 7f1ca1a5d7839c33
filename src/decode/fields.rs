//! What one pass over a record has picked up: a value for each slot of the mapping.
//!
//! Values are kept as written and converted once, when the request is put together, so that an alternative that
//! loses costs nothing. Has no `Debug`: a slot may hold a raw key.

use super::{key_text::KEY_VALUES_MAX, mapping::Unit};
use crate::event::Flags;

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

/// Where a leaf of the trie puts its value: the slot, the rank among the slot's alternatives (0 is best), the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub slot: Slot,
    pub rank: u8,
    pub unit: Unit,
}

const ABSENT: u8 = u8::MAX;

/// A slot's best value so far: a text, or a number's digits, as written; borrowed from the record, or from the arena
/// where it was escaped. Empty = absent.
#[derive(Clone, Copy)]
struct Held<'a> {
    text: &'a str,
    rank: u8,
    unit: Unit,
}

/// The values of one request.
pub(super) struct Fields<'a> {
    held: [Held<'a>; SLOTS],
    /// What became of the record: repaired, cut.
    pub flags: Flags,
    /// Some `refused_by_gateway` condition holds.
    pub refused_by_gateway: bool,
    /// Texts of wrappers that may hold the real record; the first has its own place, so that none is allocated.
    pub wrapped: Option<&'a str>,
    pub more_wrapped: Vec<&'a str>,
    /// Values of the slot [`Slot::Key`] besides the one that is held.
    pub other_keys: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    pub fn new() -> Self {
        Self {
            held: [Held { text: "", rank: ABSENT, unit: Unit::S }; SLOTS],
            flags: Flags::default(),
            refused_by_gateway: false,
            wrapped: None,
            more_wrapped: Vec::new(),
            other_keys: Vec::new(),
        }
    }

    /// Keeps `text` if no better alternative has been seen. The first of equals stays. Of keys, all are kept.
    #[inline]
    pub fn put(&mut self, write: Write, text: &'a str) {
        let held = &mut self.held[write.slot as usize];
        if held.rank == ABSENT {
            *held = Held { text, rank: write.rank, unit: write.unit };
        } else if write.slot == Slot::Key {
            self.put_another_key(write, text);
        } else if write.rank < held.rank {
            *held = Held { text, rank: write.rank, unit: write.unit };
        }
    }

    #[cold]
    fn put_another_key(&mut self, write: Write, text: &'a str) {
        let held = &mut self.held[write.slot as usize];
        let is_better = write.rank < held.rank;
        // One more than is looked at tells that there are too many.
        if self.other_keys.len() <= KEY_VALUES_MAX {
            self.other_keys.push(if is_better { held.text } else { text });
        }
        if is_better {
            *held = Held { text, rank: write.rank, unit: write.unit };
        }
    }

    /// Puts another text in the place of the one that is held.
    pub fn replace(&mut self, slot: Slot, text: &'a str) {
        self.held[slot as usize].text = text;
    }

    pub fn has(&self, slot: Slot) -> bool {
        self.held[slot as usize].rank != ABSENT
    }

    /// The rank of what is held; above every alternative's if nothing is.
    pub fn rank(&self, slot: Slot) -> u8 {
        self.held[slot as usize].rank
    }

    /// What is held, empty if nothing is, and its unit.
    pub fn get(&self, slot: Slot) -> (&'a str, Unit) {
        let held = &self.held[slot as usize];
        (held.text, held.unit)
    }

    pub fn text(&self, slot: Slot) -> Option<&'a str> {
        self.has(slot).then(|| self.held[slot as usize].text)
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
                fields.put(Write { slot: Slot::Peer, rank, unit: Unit::S }, text);
            }
            assert_eq!(fields.text(Slot::Peer), Some("client_ip"));
        }
    }
}
