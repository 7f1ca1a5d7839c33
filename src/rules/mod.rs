//! Rules: named uses of detectors, with a condition, a severity and how far they may lead.
//!
//! Owns the rule file's form, its compilation, and the test language in it. Reads no file itself.

pub mod rule;
pub mod severity;
pub mod step;

pub use rule::{Rule, RuleSet};
pub use severity::Severity;
pub use step::Step;
