//! A compiled rule and the set of those in force.

use std::sync::Arc;

use crate::{
    detect::{Detector, Watch},
    incident::Severity,
    respond::Step,
    rules::{
        condition::Condition,
        document::{Place, Problems},
        test_language::{Expectation, Script},
    },
};

/// A rule that is valid and ready to run.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub title: String,
    pub detector: Detector,
    /// What must be true of a finding; `None` = every finding counts.
    pub condition: Option<Condition>,
    pub severity: Severity,
    /// The furthest step that this rule may lead to.
    pub respond: Step,
    pub runbook: String,
    /// At least one that wants something and one that wants nothing.
    pub tests: Vec<RuleTest>,
    /// The first 4 hex digits of a hash of the rule's meaning: what decisions name as `rule_version`.
    pub version: String,
}

/// A test of a rule: traffic, and what should come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    pub name: String,
    pub script: Script,
    pub expect: Expectation,
    /// The file that it stands in, and where.
    pub file: String,
    pub place: Place,
}

/// The rules in force, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub rules: Vec<Rule>,
    /// The first 4 hex digits of a hash over all rules' meanings.
    pub version: String,
    /// The rules' detectors, and the tables to look at them with. These take a tenth of a second, so that they are made
    /// where rules are read, and not where requests wait for them.
    pub watch: Arc<Watch>,
}

/// The rules that come with Keyhound: file name and text.
const SHIPPED: [(&str, &str); 6] = [
    ("rules/breadth.yaml", include_str!("../../rules/breadth.yaml")),
    ("rules/cost.yaml", include_str!("../../rules/cost.yaml")),
    ("rules/records.yaml", include_str!("../../rules/records.yaml")),
    ("rules/errors.yaml", include_str!("../../rules/errors.yaml")),
    ("rules/place.yaml", include_str!("../../rules/place.yaml")),
    ("rules/volume.yaml", include_str!("../../rules/volume.yaml")),
];

impl RuleSet {
    /// A set of these rules, which are in the order of their ids.
    pub(super) fn of(rules: Vec<Rule>, version: String) -> Self {
        let watch = Watch::new(rules.iter().map(|rule| (rule.id.as_str(), &rule.detector)));
        Self { rules, version, watch: Arc::new(watch) }
    }

    /// The rule of this id, if it is in force.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Compiles the rules of all files, each given by name and text. The error holds all that is wrong in any.
    pub fn compile(files: &[(String, String)]) -> Result<Self, Problems> {
        super::compile::compile(files)
    }

    /// The rules that come with Keyhound.
    pub fn shipped() -> Self {
        // The texts are part of the binary and a test compiles them, so this holds in every build that passed.
        Self::compile(&Self::shipped_files()).expect("the shipped rules compile")
    }

    /// The files of [`RuleSet::shipped`]: name and text.
    pub fn shipped_files() -> Vec<(String, String)> {
        SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    /// The rule of that id.
    pub fn get(&self, id: &str) -> Option<&Rule> {
        let index = self.rules.binary_search_by(|rule| rule.id.as_str().cmp(id)).ok()?;
        self.rules.get(index)
    }

    /// A set of one rule of this set: what the rule's own tests run with.
    pub fn alone(rule: &Rule) -> Self {
        Self::of(vec![rule.clone()], rule.version.clone())
    }
}
