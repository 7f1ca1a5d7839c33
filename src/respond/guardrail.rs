//! What may withhold a step.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A guardrail of one key, or a cap over all, as incidents, metrics and the documentation name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guardrail {
    /// The catalogue protects the key.
    Protected,
    /// The key's profile is not mature.
    Maturity,
    /// The key is not a server's, and nothing tells its owner from others.
    Origin,
    /// The step is harder than any that is taken automatically.
    Ceiling,
    /// The evidence was older than `response.fresh_within` when it was read.
    Late,
    /// An operator has paused automatic steps.
    Paused,
    /// `response.caps.share_of_active_keys` is reached.
    ShareOfActiveKeys,
    /// `response.caps.throttle_per_hour` is reached.
    ThrottlesPerHour,
    /// A crash undid the step before anybody was told.
    Restart,
    /// An operator's revoke of a key that ships in an app or a page.
    Class,
    /// An operator's throttle of a key without a usual rate.
    Rate,
    /// There is no room for the decision: where decisions of other instances are taken in, or in the table for gateways.
    Full,
}

impl Guardrail {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Protected,
        Self::Maturity,
        Self::Origin,
        Self::Ceiling,
        Self::Late,
        Self::Paused,
        Self::ShareOfActiveKeys,
        Self::ThrottlesPerHour,
        Self::Restart,
        Self::Class,
        Self::Rate,
        Self::Full,
    ];

    /// The name that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Maturity => "maturity",
            Self::Origin => "origin",
            Self::Ceiling => "ceiling",
            Self::Late => "late",
            Self::Paused => "paused",
            Self::ShareOfActiveKeys => "cap: share of active keys",
            Self::ThrottlesPerHour => "cap: throttles an hour",
            Self::Restart => "restart",
            Self::Class => "class",
            Self::Rate => "rate",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Guardrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Guardrail;

    #[test]
    fn the_documentation_has_each_by_its_name() {
        let docs = include_str!("../../docs/incidents.md");
        for guardrail in Guardrail::ALL {
            let name = format!("`{guardrail}`");
            assert!(docs.contains(&name), "docs/incidents.md does not have {name}");
        }
    }
}
