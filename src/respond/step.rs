//! The ladder: how far a response goes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A response, from the mildest to the hardest. The order is the ladder's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Write it down. As a decision it is a lift: whatever was in force ends.
    #[default]
    Observe,
    /// Tell people.
    Alert,
    /// Serve at most a rate.
    Throttle,
    /// Serve known networks, agents or routes only.
    Restrict,
    /// Refuse everything until the decision ends.
    Suspend,
    /// Refuse everything; the key is to be replaced.
    Revoke,
}

impl Step {
    /// All steps, the mildest first.
    pub const ALL: [Self; 6] =
        [Self::Observe, Self::Alert, Self::Throttle, Self::Restrict, Self::Suspend, Self::Revoke];

    /// The word in records, metrics and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Alert => "alert",
            Self::Throttle => "throttle",
            Self::Restrict => "restrict",
            Self::Suspend => "suspend",
            Self::Revoke => "revoke",
        }
    }

    /// Whether a gateway has anything to do for this step.
    pub fn is_enforced(self) -> bool {
        self >= Self::Throttle
    }
}
