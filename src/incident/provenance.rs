//! What incidents and decisions both say of themselves: about whom, in which mode, made with which versions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}

/// Whether a decision is served to gateways or only shown and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Made, shown, counted, not served.
    #[default]
    Shadow,
    /// Served to gateways.
    Enforce,
}

impl Mode {
    /// The word in records, labels and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

/// Versions of what a record was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    pub keyhound: String,
    pub rules: String,
    pub geo: String,
}
