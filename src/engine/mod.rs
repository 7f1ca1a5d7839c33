//! All of the judgement for one partition, as a pure state machine: an [`Input`] in, [`Effect`]s out.
//!
//! Replay, rule tests, the benchmark and the daemon all drive this and nothing else.

pub mod seam;

pub use seam::{Action, Command, Effect, Input, Reference};
