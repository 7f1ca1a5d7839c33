//! The language of a rule's tests: traffic in a few lines, and what should come of it.
//!
//! Owns the grammar (`docs/rules.md`), the events that a text stands for, and the expectations. The same text gives
//! the same events on every machine: time starts on a Monday, and what is random has its seed in the text.

mod events;
mod expectation;
mod lexicon;
mod parse;

use std::time::Duration;

pub use events::key_of;
pub use expectation::{Expectation, Wanted};
pub use lexicon::duration;
pub use parse::parse;

use crate::{
    catalogue::KeyClass,
    event::{Country, EventTime, Method, NetworkType},
};

/// Monday, 5 January 2026, 00:00 UTC: when each script starts.
pub const START: EventTime = EventTime(1_767_571_200_000);

/// The longest script, in event time.
pub const LIMIT_DURATION: Duration = Duration::from_hours(60 * 24);
/// The most requests that a script may stand for.
pub const LIMIT_EVENTS: u64 = 2_000_000;

/// A parsed script: blocks of traffic, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub(super) blocks: Vec<Block>,
}

/// Lines that run side by side. The block lasts as long as its longest line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub start: EventTime,
    pub duration: Duration,
    pub lines: Vec<Traffic>,
}

/// One line: a key's requests at a rate for a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Traffic {
    pub duration: Duration,
    /// `a` to `z`.
    pub key: char,
    /// What the catalogue says of the key, where the line says it.
    pub class: Option<KeyClass>,
    /// Requests in `per`.
    pub count: u32,
    pub per: Duration,
    pub country: Country,
    /// 0 = none.
    pub asn: u32,
    /// How many client addresses take turns, each in a /24 of its own.
    pub addresses: u32,
    /// How many networks take turns, numbered upwards from `asn`.
    pub networks: u32,
    pub network_type: NetworkType,
    pub method: Method,
    pub status: u16,
    /// The records end too early: their event has [`Flags::CUT`].
    ///
    /// [`Flags::CUT`]: crate::event::Flags::CUT
    pub is_cut: bool,
    /// Routes that take turns; at least one.
    pub routes: Vec<String>,
    pub agent: String,
    pub response_bytes: u32,
    pub latency_us: u32,
    /// The seed of random arrival times; `None` = evenly spaced.
    pub poisson: Option<u64>,
}

/// A text that is not a script or an expectation, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// Line and column within the text, from 1.
    pub line: u32,
    pub column: u32,
    pub message: String,
}

impl Script {
    /// When the last block starts: what `within` is counted from.
    pub fn last_block(&self) -> EventTime {
        self.blocks.last().map_or(START, |block| block.start)
    }

    /// When the script is over.
    pub fn end(&self) -> EventTime {
        self.blocks.last().map_or(START, |block| block.start.after(block.duration))
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        self.end().since(START)
    }

    /// The keys that are used in it, in alphabetical order.
    pub fn keys(&self) -> Vec<char> {
        let lines = self.blocks.iter().flat_map(|block| &block.lines);
        let mut keys: Vec<char> = lines.map(|line| line.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The class of a key: as the first line says that has one, else `server`.
    pub fn class_of(&self, key: char) -> KeyClass {
        let mut lines = self.blocks.iter().flat_map(|block| &block.lines).filter(|line| line.key == key);
        lines.find_map(|line| line.class).unwrap_or(KeyClass::Server)
    }
}

#[cfg(test)]
mod tests;
