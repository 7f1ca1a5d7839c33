//! All of the judgement for one partition, as a pure state machine: an [`Input`] in, [`Effect`]s out.
//!
//! Replay, rule tests, the benchmark and the daemon all drive this and nothing else. [`Engines`] holds the P
//! partitions of a process, and lets go round in memory what they have to say to each other.

#![deny(clippy::disallowed_methods)]

mod admit;
mod adopt;
mod checkpoint;
mod commands;
mod counters;
mod enforce;
#[allow(clippy::module_inception)] // the engine is what the module is named for
mod engine;
mod engines;
mod findings;
mod force;
mod group_counts;
mod group_season;
mod groups;
mod ids;
mod input_names;
mod maturity;
mod memory;
mod observe;
pub mod seam;
mod shown;
mod take_in;
mod tenants;
#[cfg(test)]
mod testing;
mod timed;
mod waiting;

pub use adopt::Told;
pub use engine::{Counts, Engine, Settings};
pub use engines::{AHEAD, Engines};
pub use groups::GROUPS_MAX;
pub use ids::IdKey;
pub use memory::MemoryLimits;
pub use seam::{Action, Command, Context, Effect, Grant, Input, Partial, Proposal, Reference};
pub use timed::TimedPlace;
