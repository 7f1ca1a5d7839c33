//! The incident record: what people read and Alertmanager is told. Schema `keyhound.incident/1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::respond::{Mode, Step, SubjectRef, decision::Versions};

/// How much it matters. The order is the ladder's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    #[default]
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// All severities, the least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word in records, labels and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// `inc_` and 32 hex digits: keyed hash of (subject, position of the first evidence).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct IncidentId(pub String);

/// One finding, as a person reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// volume, place, errors, breadth, identity, lifecycle, cost or probing.
    pub family: String,
    pub detector: String,
    pub rule: String,
    /// What was seen: `214 requests in 21 s`.
    pub observed: String,
    /// What is usual: `usual 13`.
    pub expected: String,
    /// Surprise: −log10 of the tail probability.
    pub score: f64,
    /// One sentence for people.
    pub text: String,
    /// The page to read: the rule's `runbook`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub runbook: String,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is served to gateways.
    #[default]
    Granted,
    /// It is made and not served.
    Shadow,
    /// An operator ended what was in force.
    Lifted,
    /// Its time was over.
    Ended,
}

impl Outcome {
    /// The word in records and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Shadow => "shadow",
            Self::Lifted => "lifted",
            Self::Ended => "ended",
        }
    }
}

/// A step that was taken, or that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Doing {
    pub step: Step,
    pub at: String,
    /// When it ends by itself, unless it is extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `policy` or `operator`.
    pub by: String,
    pub outcome: Outcome,
}

/// A step that evidence asked for and a rail held back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    pub step: Step,
    /// The guardrail: `maturity`, `origin` (the key is not a server's, and the evidence comes from a few networks that are
    /// not new to it), `ceiling`, `cap`, `protected`, `late` (the evidence was older than
    /// `response.fresh_within` when it was read), `class`, `paused`, `restart` (a crash undid it before anybody was told).
    pub by: String,
}

/// A request that was seen, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    pub at: String,
    pub method: String,
    pub route: String,
    /// The HTTP status; absent where the record does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub network: String,
    pub country: String,
    /// /24 or /48.
    pub prefix: String,
    pub agent: String,
    /// Input partition and offset of the record: `kafka:kong-logs/3@1042`.
    pub position: String,
}

/// What is frozen in an incident, since topics forget. At most 8 KB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    pub samples: Vec<Sample>,
}

/// Findings of one subject that belong together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// `keyhound.incident/1`.
    pub schema: String,
    pub id: IncidentId,
    pub subject: SubjectRef,
    /// `KeyStolen`, `KeyAbused`, `KeyProbing` or `KeyUnusual`. Frozen when the incident opens or changes severity.
    pub verdict: String,
    pub opened_at: String,
    /// The event time at which it reached its severity.
    pub detected_at: String,
    pub updated_at: String,
    pub closed_at: Option<String>,
    pub severity: Severity,
    /// The severity before the last change, whose alert has to be ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity_before: Option<Severity>,
    /// Sum of the families' best scores.
    pub score: f64,
    /// How far the profile may be trusted, 0 to 1.
    pub maturity: f64,
    pub mode: Mode,
    pub reasons: Vec<Reason>,
    pub doubts: Vec<String>,
    pub steps: Vec<Doing>,
    pub held: Vec<Held>,
    pub evidence: Evidence,
    pub versions: Versions,
    /// Found in a backlog: no evidence of it was younger than `response.fresh_within` when it was read. Nobody is paged
    /// and nothing is done; false from the first fresh evidence on.
    #[serde(default)]
    pub stale: bool,
}

impl Incident {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "keyhound.incident/1";

    /// Whether it is still going on.
    pub const fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// The step that gateways are told right now.
    pub fn in_force(&self) -> Option<&Doing> {
        self.steps.last().filter(|doing| doing.outcome == Outcome::Granted)
    }

    /// Whether what an operator decides will stop nothing, as far as this record knows: it was opened in shadow mode, and
    /// nothing has been served since.
    pub fn is_in_shadow(&self) -> bool {
        self.mode == Mode::Shadow && self.steps.iter().all(|doing| doing.outcome != Outcome::Granted)
    }
}
