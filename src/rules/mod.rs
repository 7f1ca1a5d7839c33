//! Rules: named uses of detectors, with a condition, a severity and how far they may lead.
//!
//! Owns the rule file's form, its compilation, and the test language in it. Reads no file itself.

mod compile;
pub mod condition;
pub mod document;
#[cfg(test)]
pub mod documentation;
mod raw;
pub mod rule;
pub mod runbooks;
pub mod runner;
pub mod test_language;

pub use condition::{Condition, ConditionError, FindingView};
pub use document::Problems as RuleErrors;
pub use raw::schema;
pub use rule::{Rule, RuleSet, RuleTest};
