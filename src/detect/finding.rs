//! A signal over a rule's bar, with what was seen and what was usual.

use crate::event::EventTime;

/// Which kind of evidence a detector gives. Families are what has to agree before a response goes far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Family {
    Volume,
    Place,
    Errors,
    Breadth,
    Identity,
    Lifecycle,
    Cost,
    Probing,
}

impl Family {
    /// The word in records, metrics and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Place => "place",
            Self::Errors => "errors",
            Self::Breadth => "breadth",
            Self::Identity => "identity",
            Self::Lifecycle => "lifecycle",
            Self::Cost => "cost",
            Self::Probing => "probing",
        }
    }
}

/// What one rule's detector said about one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub at: EventTime,
    /// The rule's index in the rule set in force.
    pub rule: u16,
    pub family: Family,
    /// The detector's name, as rules write it: `volume.spike`.
    pub detector: &'static str,
    /// Surprise: −log10 of the tail probability. Not negative, at most 300.
    pub score: f64,
    /// What was seen: `214 requests in 1 min`.
    pub observed: String,
    /// What is usual: `usual 13`.
    pub expected: String,
}
