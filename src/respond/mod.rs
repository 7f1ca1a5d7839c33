//! What to do about an incident: propose a step where the key lives, grant it within the fleet's caps.
//!
//! Owns steps, proposals, grants and decisions, and nothing that delivers them. Does no I/O, reads no clock.

pub mod decision;

pub use decision::{Decision, DecisionId, Handle, Only, Rate};

// Words of decisions that are defined further down, where incidents and rules need them too.
pub use crate::{
    incident::{Mode, SubjectRef, Versions},
    rules::Step,
};
