//! What to do about an incident: propose a step where the key lives, grant it within the fleet's caps.
//!
//! Owns steps, rails, caps and decisions, and nothing that delivers them. Does no I/O, reads no clock.

pub mod decision;
pub mod fleet;
mod guardrail;
pub mod rails;
pub mod step;

pub use decision::{Decision, DecisionId, Handle, Mode, Only, Rate, SubjectRef};
pub use fleet::{Caps, Fleet};
pub use guardrail::Guardrail;
pub use step::Step;

/// How old evidence may be for anything automatic to come of it, unless the settings say otherwise.
pub const FRESH_WITHIN: std::time::Duration = std::time::Duration::from_mins(2);
