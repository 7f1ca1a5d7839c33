//! The decision record: what gateways obey, written once and never changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use crate::event::EventTime;

/// Whether a decision is served to gateways or only shown and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Made, shown, counted, not served.
    #[default]
    Shadow,
    /// Served to gateways.
    Enforce,
}

impl Mode {
    /// Both modes.
    pub const ALL: [Self; 2] = [Self::Shadow, Self::Enforce];

    /// The word in records, labels and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

/// `dec_` and 32 hex digits: keyed hash of (subject, rule or command, rule version, position of the first
/// evidence or of the command, step, epoch). The same cause gives the same id after any replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DecisionId(pub String);

/// Whom a record is about, as users see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectRef {
    /// `key`; later also `prefix`, `tenant`, `route`, `fleet`.
    pub kind: String,
    /// The key id: `kf1_…` or `kc1_…`.
    pub id: String,
    /// The key's other id, where a record showed both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub tenant: String,
    /// What people call the key; empty if the catalogue does not know it.
    #[serde(default)]
    pub name: String,
    /// Whose key it is, and how to reach them, if the catalogue says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
}

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

/// Versions of what a record was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    pub keyhound: String,
    pub rules: String,
    pub geo: String,
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
    /// The instance that an operator gave it to, if that was another one. That one publishes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
}

impl Decision {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "keyhound.decision/1";

    /// When it ends, in event time; the epoch if the text cannot be read.
    pub fn expires(&self) -> EventTime {
        EventTime::parse(&self.expires_at).unwrap_or_default()
    }

    /// The event time of its evidence; the epoch if the text cannot be read.
    pub fn as_of(&self) -> EventTime {
        EventTime::parse(&self.as_of).unwrap_or_default()
    }
}
