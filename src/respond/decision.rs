//! The decision record: what gateways obey, written once and never changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::EventTime,
    incident::{Mode, SubjectRef, Versions},
    rules::Step,
};

/// `dec_` and 32 hex digits: keyed hash of (subject, rule or command, rule version, position of the first
/// evidence or of the command, step, epoch). The same cause gives the same id after any replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DecisionId(pub String);

/// How one gateway knows the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handle {
    pub gateway: String,
    #[serde(default)]
    pub consumer: String,
    #[serde(default)]
    pub credential: String,
}

/// What a throttle lets through, in requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// For requests that match `only`, or for all if `only` is empty.
    pub known: f64,
    /// For requests that do not.
    pub unknown: f64,
}

/// What counts as the key's known use. Empty lists say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Only {
    /// `AS16509` or a CIDR prefix.
    #[serde(default)]
    pub networks: Vec<String>,
    #[serde(default)]
    pub agents: Vec<String>,
    #[serde(default)]
    pub routes: Vec<String>,
}

/// A granted step, until a time. Schema `keyhound.decision/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// `keyhound.decision/1`.
    pub schema: String,
    pub id: DecisionId,
    /// Greater than that of any earlier decision on the subject: `max(last + 1, as_of in ms)`.
    pub epoch: u64,
    pub subject: SubjectRef,
    pub handles: Vec<Handle>,
    pub step: Step,
    pub mode: Mode,
    pub only: Option<Only>,
    pub rate: Option<Rate>,
    /// Event time of the evidence, RFC 3339 in UTC with milliseconds.
    pub as_of: String,
    /// When it ends by itself, RFC 3339 in UTC with milliseconds.
    pub expires_at: String,
    /// Empty for a decision that an operator made without one.
    pub incident: String,
    /// `policy` or `operator`.
    pub cause: String,
    /// The rule's id, or `command` and who gave it.
    pub rule: String,
    pub rule_version: String,
    /// One sentence for people, without secrets.
    pub reason: String,
    pub versions: Versions,
}

impl Decision {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "keyhound.decision/1";

    /// When it ends, in event time; the epoch if the text cannot be read.
    pub fn expires(&self) -> EventTime {
        parse_time(&self.expires_at)
    }

    /// The event time of its evidence; the epoch if the text cannot be read.
    pub fn as_of(&self) -> EventTime {
        parse_time(&self.as_of)
    }
}

fn parse_time(text: &str) -> EventTime {
    let millis = text.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
    EventTime(u64::try_from(millis).unwrap_or(0))
}
