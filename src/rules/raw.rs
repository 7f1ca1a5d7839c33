//! The form of a rule file, as it is written. What it means is `compile`'s.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::json;

use super::document::{Key, Node, Problems, Scalar, Value};
use crate::{
    detect::{
        Detector, Scale,
        count::{Distinct, Match, ShareOf},
        settings::{BeyondRoute, FanOut, LEARNING, NewPlace, RefusedShare, UnreadableShare, VolumeSpike},
    },
    incident::Severity,
};

/// One rule: a named use of a detector.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    /// The rule's name in kebab case, unique over all files: `key-volume-spike`. At most 64 characters.
    pub id: String,
    /// One sentence for people.
    pub title: String,
    /// The detector that it uses.
    #[schemars(schema_with = "detector_names")]
    pub detector: String,
    /// The detector's parameters; every detector but `count` has them.
    // Read for its presence here; `compile` reads it again as the parameters of the named detector.
    #[schemars(schema_with = "parameters")]
    #[allow(dead_code)]
    pub with: Option<serde_json::Map<String, serde_json::Value>>,
    /// `count`: which requests are counted.
    #[serde(default, rename = "match")]
    #[schemars(with = "Match")]
    pub matches: Option<Match>,
    /// `count`: the window.
    #[serde(default)]
    #[schemars(with = "Scale")]
    pub over: Option<Scale>,
    /// `count`: more than so many are a finding: requests (0 to 1,000,000), different values with `distinct` (1 to 200),
    /// or percent with `share_of` (1 to 99).
    #[serde(default)]
    #[schemars(with = "u32", range(max = 1_000_000))]
    // Wider than its range, as is `at_least`, so that `Count` tells the range of whatever number stands there.
    pub more_than: Option<i64>,
    /// `count`: the limit is a share, in percent.
    #[serde(default)]
    #[schemars(with = "ShareOf")]
    pub share_of: Option<ShareOf>,
    /// `count` with `share_of`: the least number that matched, for a share to be a finding. From 1 to 1,000,000, or to
    /// 200 with `distinct`; default 10.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 1_000_000))]
    pub at_least: Option<i64>,
    /// `count`: different values are counted, not requests.
    #[serde(default)]
    #[schemars(with = "Distinct")]
    pub distinct: Option<Distinct>,
    /// What must be true of a finding: a CEL expression over `key`, `finding` and `maturity`, at most 4 KiB.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// The furthest step that this rule may lead to.
    #[schemars(schema_with = "steps")]
    pub respond: String,
    /// The page to read when it fires, below the repository's root.
    pub runbook: String,
    /// At least one that expects a step and one that expects nothing.
    pub tests: Vec<RawTest>,
}

/// What may stand in the place of a field that cannot be read, to look at the others.
const STAND_INS: [(&str, &str); 5] =
    [("id", "x"), ("title", "x"), ("severity", "low"), ("respond", "throttle"), ("runbook", "x.md")];
/// Fields that say something together: where one cannot be read, nothing is said of the others.
const LINKED: [&str; 10] =
    ["detector", "with", "match", "over", "more_than", "share_of", "at_least", "distinct", "where", "tests"];

/// A rule with something right in the place of what cannot be read, and without unknown fields; `None` = it would have
/// another meaning.
pub(super) fn repaired(node: &Node, path: &str, problems: &Problems) -> Option<Node> {
    let is_wrong = |key: &Key| problems.concern(&format!("{path}.{}", key.name));
    let mut entries = node.entries().to_vec();
    if entries.iter().any(|(key, _)| LINKED.contains(&key.name.as_str()) && is_wrong(key)) {
        return None;
    }
    entries.retain(|(key, _)| !is_wrong(key) || STAND_INS.iter().any(|(name, _)| *name == key.name));
    for (key, value) in entries.iter_mut().filter(|(key, _)| is_wrong(key)) {
        let stand_in = STAND_INS.iter().find(|(name, _)| *name == key.name);
        value.value = Value::Scalar(Scalar::Text(stand_in.map_or("", |(_, right)| right).to_owned()));
    }
    Some(Node { place: node.place, value: Value::Mapping(entries) })
}

/// A test of a rule.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTest {
    /// What it shows, in words.
    pub name: String,
    /// The traffic, a phase a line: `2m a 900/min from IE/AS16509`.
    pub log: String,
    /// `throttle a within 20s`, `alert a within 2m` or `nothing`.
    pub expect: String,
}

/// What only a rule of the detector `count` has.
pub(super) const COUNT_FIELDS: [&str; 6] = ["match", "over", "more_than", "share_of", "at_least", "distinct"];
/// Those of them that it needs.
pub(super) const COUNT_NEEDS: [&str; 3] = ["match", "over", "more_than"];

fn detector_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Detector::NAMES })
}

fn steps(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": super::compile::STEPS })
}

fn parameters(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

/// The JSON Schema of a rule file, for editors.
pub fn schema() -> serde_json::Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let of_detector = [
        generator.subschema_for::<VolumeSpike>(),
        generator.subschema_for::<NewPlace>(),
        generator.subschema_for::<NewPlace>(),
        generator.subschema_for::<RefusedShare>(),
        generator.subschema_for::<FanOut>(),
        generator.subschema_for::<FanOut>(),
        generator.subschema_for::<BeyondRoute>(),
        generator.subschema_for::<BeyondRoute>(),
        generator.subschema_for::<UnreadableShare>(),
    ];
    let mut conditions: Vec<_> = Detector::NAMES
        .iter()
        .zip(of_detector)
        .map(|(name, with)| {
            let mut then = json!({ "properties": { "with": with }, "required": ["with"] });
            for field in COUNT_FIELDS {
                then["properties"][field] = json!(false);
            }
            json!({ "if": { "properties": { "detector": { "const": name } } }, "then": then })
        })
        .collect();
    conditions.push(json!({
        "if": { "properties": { "detector": { "const": "count" } } },
        "then": { "properties": { "with": false }, "required": COUNT_NEEDS },
    }));
    let with: Vec<_> =
        conditions.iter().map(|one| one["then"]["properties"]["with"]["$ref"].clone()).collect();
    let mut schema = generator.into_root_schema_for::<Vec<RawRule>>().to_value();
    if let Some(rule) = schema.pointer_mut("/$defs/RawRule") {
        rule["allOf"] = json!(conditions);
    }
    // Detectors that share their parameters' form share their ranges.
    for (learning, reference) in LEARNING.iter().zip(with) {
        let form = reference.as_str().unwrap_or_default().trim_start_matches('#');
        for number in learning.numbers {
            let at = format!("{form}/properties/{}", number.name);
            if let Some(property) = schema.pointer_mut(&at) {
                (property["minimum"], property["maximum"]) = (json!(number.least), json!(number.most));
            }
        }
    }
    schema["title"] = json!("Keyhound rules");
    schema
}
