//! What to do about an incident: propose a step where the key lives, grant it within the fleet's caps.
//!
//! Owns steps, rails, caps and decisions, and nothing that delivers them. Does no I/O, reads no clock.

pub mod decision;
pub mod fleet;
pub mod rails;
pub mod step;

pub use decision::{Decision, DecisionId, Handle, Mode, Only, Rate, SubjectRef};
pub use fleet::{Caps, Fleet};
pub use step::Step;
