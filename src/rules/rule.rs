//! A compiled rule and the set of those in force.

use super::{Severity, Step};
use crate::detect::Detector;

/// A rule that is valid and ready to run.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub title: String,
    pub detector: Detector,
    pub severity: Severity,
    /// The furthest step that this rule may lead to.
    pub respond: Step,
    pub runbook: String,
    /// The first 4 hex digits of a hash of the rule's meaning: what decisions name as `rule_version`.
    pub version: String,
}

/// The rules in force, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub rules: Vec<Rule>,
    /// The first 4 hex digits of a hash over all rules' meanings.
    pub version: String,
}
