//! The detectors that a rule can name, and their parameters with valid ranges.
//!
//! A rule says `detector: volume.spike` and `with: { scale: 1m, surprise: 6 }`. Holding a [`Detector`] means that
//! its parameters are valid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Family};

/// A sliding window, kept by panes (`contracts`: 12 × 5 s, 10 × 30 s, 12 × 5 min, 24 × 1 h).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Scale {
    #[default]
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "24h")]
    Day,
}

impl Scale {
    /// All scales, shortest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];

    /// Length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// How many panes the window has, and how many seconds each.
    pub const fn panes(self) -> (u32, u32) {
        match self {
            Self::Minute => (12, 5),
            Self::FiveMinutes => (10, 30),
            Self::Hour => (12, 300),
            Self::Day => (24, 3_600),
        }
    }

    /// As people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "1 min",
            Self::FiveMinutes => "5 min",
            Self::Hour => "1 h",
            Self::Day => "24 h",
        }
    }
}

/// Parameters of `volume.spike`: a key is used far more than its profile says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpike {
    /// The window to judge.
    pub scale: Scale,
    /// The least surprise, −log10 of the tail probability, that is a finding.
    pub surprise: f64,
}

/// Parameters of `place.network` and `place.country`: use from a network or country that the key's history lacks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlace {
    /// The least surprise that is a finding.
    pub surprise: f64,
}

/// Parameters of `errors.refused`: the share of refused requests (401, 403) against the key's usual one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedShare {
    /// The least surprise that is a finding.
    pub surprise: f64,
    /// The least share of refused requests in 5 min.
    #[serde(default = "a_fifth")]
    pub share: f64,
    /// The least count of refused requests in 5 min.
    #[serde(default = "ten")]
    pub at_least: u32,
}

/// Parameters of `records.unreadable`: the share of records that are cut or cannot be read against the key's usual one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnreadableShare {
    /// The least surprise that is a finding.
    pub surprise: f64,
    /// The least share of such records in 5 min.
    #[serde(default = "a_twentieth")]
    pub share: f64,
    /// The least count of such records in 5 min.
    #[serde(default = "ten")]
    pub at_least: u32,
}

/// Parameters of `breadth.addresses` and `breadth.networks`: how many different ones in 30 to 60 min.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    /// The least surprise that is a finding.
    pub surprise: f64,
    /// The least count of different ones in that time.
    pub at_least: u32,
}

/// Parameters of `cost.latency` and `cost.size`: the share of requests beyond the route's 99th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeyondRoute {
    /// The least surprise that is a finding.
    pub surprise: f64,
    /// The least count of such requests in 5 min.
    pub at_least: u32,
}

/// A detector with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Detector {
    VolumeSpike(VolumeSpike),
    NewNetwork(NewPlace),
    NewCountry(NewPlace),
    RefusedShare(RefusedShare),
    AddressFanOut(FanOut),
    NetworkFanOut(FanOut),
    SlowForRoute(BeyondRoute),
    LargeForRoute(BeyondRoute),
    UnreadableShare(UnreadableShare),
    Count(Count),
}

/// A parameter that cannot be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {message}")]
pub struct ParameterError {
    pub field: &'static str,
    /// Names the value and what would be right.
    pub message: String,
}

impl Detector {
    /// The names that a rule can write, in the order of the documentation.
    pub const NAMES: [&'static str; LEARNING.len() + 1] = {
        let mut names = ["count"; LEARNING.len() + 1];
        let mut index = 0;
        while index < LEARNING.len() {
            names[index] = LEARNING[index].name;
            index += 1;
        }
        names
    };

    /// The name that a rule writes.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::VolumeSpike(_) => Self::NAMES[0],
            Self::NewNetwork(_) => Self::NAMES[1],
            Self::NewCountry(_) => Self::NAMES[2],
            Self::RefusedShare(_) => Self::NAMES[3],
            Self::AddressFanOut(_) => Self::NAMES[4],
            Self::NetworkFanOut(_) => Self::NAMES[5],
            Self::SlowForRoute(_) => Self::NAMES[6],
            Self::LargeForRoute(_) => Self::NAMES[7],
            Self::UnreadableShare(_) => Self::NAMES[8],
            Self::Count(_) => Self::NAMES[9],
        }
    }

    /// The family of what it finds.
    pub fn family(&self) -> Family {
        match self {
            Self::VolumeSpike(_) => Family::Volume,
            Self::NewNetwork(_) | Self::NewCountry(_) => Family::Place,
            Self::RefusedShare(_) => Family::Errors,
            Self::AddressFanOut(_) | Self::NetworkFanOut(_) => Family::Breadth,
            Self::SlowForRoute(_) | Self::LargeForRoute(_) => Family::Cost,
            Self::UnreadableShare(_) => Family::Probing,
            Self::Count(count) => count.family(),
        }
    }

    /// Checks every parameter against its documented range; the first that is out of it is the error.
    pub fn validate(&self) -> Result<(), ParameterError> {
        let values = match self {
            Self::VolumeSpike(p) => vec![("surprise", p.surprise)],
            Self::NewNetwork(p) | Self::NewCountry(p) => vec![("surprise", p.surprise)],
            Self::RefusedShare(p) => {
                vec![("surprise", p.surprise), ("share", p.share), ("at_least", p.at_least.into())]
            }
            Self::UnreadableShare(p) => {
                vec![("surprise", p.surprise), ("share", p.share), ("at_least", p.at_least.into())]
            }
            Self::AddressFanOut(p) | Self::NetworkFanOut(p) => {
                vec![("surprise", p.surprise), ("at_least", p.at_least.into())]
            }
            Self::SlowForRoute(p) | Self::LargeForRoute(p) => {
                vec![("surprise", p.surprise), ("at_least", p.at_least.into())]
            }
            Self::Count(count) => return count.validate(),
        };
        let known = LEARNING.iter().find(|learning| learning.name == self.name());
        for parameter in known.map(|learning| learning.numbers).unwrap_or_default() {
            let Parameter { name, least, most, .. } = *parameter;
            let value = values.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                let message = format!("{value} must be from {least} to {most}");
                return Err(ParameterError { field: name, message });
            }
        }
        Ok(())
    }
}

/// A number among a detector's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub least: f64,
    pub most: f64,
    pub default: Option<f64>,
}

/// A detector that compares with what it has learnt, for checks, schema and documentation.
#[derive(Clone, Copy, Debug)]
pub struct Learning {
    pub name: &'static str,
    /// What it finds, as the end of a sentence.
    pub finds: &'static str,
    /// Whether it has a `scale`.
    pub has_scale: bool,
    pub numbers: &'static [Parameter],
}

/// Every detector but `count`, in the order of the documentation.
pub const LEARNING: [Learning; 9] = [
    Learning {
        has_scale: true,
        ..learning("volume.spike", "far more requests than the key ever made", &[surprise(4.0)])
    },
    learning("place.network", "use from an autonomous system that the key's history lacks", &[surprise(1.0)]),
    learning("place.country", "use from a country that the key's history lacks", &[surprise(1.0)]),
    learning(
        "errors.refused",
        "a share of refused requests (401, 403) far above the key's own, in 5 min",
        &[
            surprise(2.0),
            Parameter { name: "share", least: 0.01, most: 1.0, default: Some(A_FIFTH) },
            Parameter { default: Some(TEN as f64), ..at_least(1.0) },
        ],
    ),
    learning(
        "breadth.addresses",
        "far more client addresses than ever, in 30 to 60 min",
        &[surprise(2.0), at_least(2.0)],
    ),
    learning(
        "breadth.networks",
        "far more networks (/24, /48) than ever, in 30 to 60 min",
        &[surprise(2.0), at_least(2.0)],
    ),
    learning(
        "cost.latency",
        "many requests slower than 99 % of the route's, in 5 min",
        &[surprise(2.0), at_least(3.0)],
    ),
    learning(
        "cost.size",
        "many responses larger than 99 % of the route's, in 5 min",
        &[surprise(2.0), at_least(3.0)],
    ),
    learning(
        "records.unreadable",
        "a share of records that are cut or cannot be read far above the key's own, in 5 min",
        &[
            surprise(2.0),
            Parameter { name: "share", least: 0.01, most: 1.0, default: Some(A_TWENTIETH) },
            Parameter { default: Some(TEN as f64), ..at_least(1.0) },
        ],
    ),
];

const fn learning(name: &'static str, finds: &'static str, numbers: &'static [Parameter]) -> Learning {
    Learning { name, finds, has_scale: false, numbers }
}

const fn surprise(least: f64) -> Parameter {
    Parameter { name: "surprise", least, most: 100.0, default: None }
}

const fn at_least(least: f64) -> Parameter {
    Parameter { name: "at_least", least, most: 1e6, default: None }
}

const A_FIFTH: f64 = 0.2;
const A_TWENTIETH: f64 = 0.05;
const TEN: u32 = 10;

const fn a_fifth() -> f64 {
    A_FIFTH
}

const fn a_twentieth() -> f64 {
    A_TWENTIETH
}

const fn ten() -> u32 {
    TEN
}
