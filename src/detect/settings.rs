//! The detectors that a rule can name, and their parameters with valid ranges.
//!
//! A rule says `detector: volume.spike` and `with: { scale: 1m, surprise: 8 }`. Holding a [`Detector`] means that
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
    /// The least surprise, −log10 of the tail probability, that is a finding. From 4 to 100.
    pub surprise: f64,
}

/// Parameters of `place.network` and `place.country`: use from a network or country that the key's history lacks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlace {
    /// The least surprise that is a finding. From 1 to 100.
    pub surprise: f64,
}

/// Parameters of `errors.refused`: the share of refused requests (401, 403) against the key's usual one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedShare {
    /// The least surprise that is a finding. From 2 to 100.
    pub surprise: f64,
    /// The least share of refused requests in 5 min. From 0.01 to 1.
    #[serde(default = "a_fifth")]
    pub share: f64,
    /// The least count of refused requests in 5 min. From 1 to 1,000,000.
    #[serde(default = "ten")]
    pub at_least: u32,
}

/// Parameters of `breadth.addresses` and `breadth.networks`: how many different ones in 30 to 60 min.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    /// The least surprise that is a finding. From 2 to 100.
    pub surprise: f64,
    /// The least count of different ones in that time. From 2 to 1,000,000.
    pub at_least: u32,
}

/// Parameters of `cost.latency` and `cost.size`: the share of requests beyond the route's 99th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeyondRoute {
    /// The least surprise that is a finding. From 2 to 100.
    pub surprise: f64,
    /// The least count of such requests in 5 min. From 3 to 1,000,000.
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
    pub const NAMES: [&'static str; 9] = [
        "volume.spike",
        "place.network",
        "place.country",
        "errors.refused",
        "breadth.addresses",
        "breadth.networks",
        "cost.latency",
        "cost.size",
        "count",
    ];

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
            Self::Count(_) => Self::NAMES[8],
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
            Self::Count(count) => count.family(),
        }
    }

    /// Checks every parameter against its documented range; the first that is out of it is the error.
    pub fn validate(&self) -> Result<(), ParameterError> {
        match self {
            Self::VolumeSpike(p) => within("surprise", p.surprise, 4.0, 100.0),
            Self::NewNetwork(p) | Self::NewCountry(p) => within("surprise", p.surprise, 1.0, 100.0),
            Self::RefusedShare(p) => within("surprise", p.surprise, 2.0, 100.0)
                .and_then(|()| within("share", p.share, 0.01, 1.0))
                .and_then(|()| within("at_least", f64::from(p.at_least), 1.0, 1e6)),
            Self::AddressFanOut(p) | Self::NetworkFanOut(p) => within("surprise", p.surprise, 2.0, 100.0)
                .and_then(|()| within("at_least", f64::from(p.at_least), 2.0, 1e6)),
            Self::SlowForRoute(p) | Self::LargeForRoute(p) => within("surprise", p.surprise, 2.0, 100.0)
                .and_then(|()| within("at_least", f64::from(p.at_least), 3.0, 1e6)),
            Self::Count(count) => count.validate(),
        }
    }
}

fn within(field: &'static str, value: f64, least: f64, most: f64) -> Result<(), ParameterError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ParameterError { field, message: format!("{value} must be from {least} to {most}") })
}

const fn a_fifth() -> f64 {
    0.2
}

const fn ten() -> u32 {
    10
}
