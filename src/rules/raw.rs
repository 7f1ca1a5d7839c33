//! The form of a rule file, as it is written. What it means is `compile`'s.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::json;

use crate::{
    detect::{
        Detector,
        settings::{BeyondRoute, FanOut, NewPlace, RefusedShare, VolumeSpike},
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
    /// The detector's parameters.
    // Read for its presence here; `compile` reads it again as the parameters of the named detector.
    #[schemars(schema_with = "parameters")]
    #[allow(dead_code)]
    pub with: serde_json::Map<String, serde_json::Value>,
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
    ];
    let conditions: Vec<_> = Detector::NAMES
        .iter()
        .zip(of_detector)
        .map(|(name, with)| {
            json!({
                "if": { "properties": { "detector": { "const": name } } },
                "then": { "properties": { "with": with } },
            })
        })
        .collect();
    let mut schema = generator.into_root_schema_for::<Vec<RawRule>>().to_value();
    if let Some(rule) = schema.pointer_mut("/$defs/RawRule") {
        rule["allOf"] = json!(conditions);
    }
    schema["title"] = json!("Keyhound rules");
    schema
}
