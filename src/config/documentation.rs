//! `docs/config.md`, made from the schema: the comments on the settings' fields are the documentation.

use std::fmt::Write as _;

use serde_json::Value;

use super::{files::catalogue_schema, raw::schema};

const INTRODUCTION: &str = "\
# Settings

<!-- Made by `keyhound check-config --docs`; a test holds it current. Change the comments in the code instead. -->

`keyhound run --config keyhound.yaml` reads one YAML file. An editor that speaks the YAML language server completes \
and checks it with this line at its top (the path of the schema in this repository, or of what `keyhound check-config --schema` \
printed):

```yaml
# yaml-language-server: $schema=docs/keyhound.schema.json
```

- **A whole example**: [examples/keyhound.yaml](../examples/keyhound.yaml).
- **Check it**: `keyhound check-config keyhound.yaml`. Everything wrong is told at once, with file, line, column and \
field: in the settings, the rules, the catalogue, the place databases, the secrets. It also looks at what is around: \
whether files are there and readable, the state's folder can be written, addresses are free, brokers and Alertmanagers \
answer and topics are there. `--no-environment` leaves that and the secrets out, as for CI. Errors make the exit code \
78; warnings do not. `--output json` prints the same for programs. `--print-effective` prints the settings as they are \
in force.
- **Unknown settings are refused**, also those of parts that are not built yet.
- **Variables**: `${NAME}` and `${NAME:-default}` in any value; `$${` stands for `${`. Within `{ }` and `[ ]` they need \
quotes. A message never shows what a \
variable holds.
- **Secrets** are in files (`*_file`), or, for Kafka properties, in variables: `sasl.password: ${KAFKA_PASSWORD}` or \
`sasl.password: { file: secrets/kafka }`. A secret that is written out is refused.
- **What comes before what**: flag, variable, file, default. `--listen` (`KEYHOUND_LISTEN`), `--gateways-listen` \
(`KEYHOUND_GATEWAYS_LISTEN`), `--state-dir` (`KEYHOUND_STATE_DIR`), `--mode` (`KEYHOUND_MODE`), `--log-level` \
(`KEYHOUND_LOG_LEVEL`).
- **Relative paths** are taken from the working directory.
";

const CATALOGUE: &str = "
# The catalogue

The file that `catalogue` names says whose each key is. Without it keys are told by their ids only, and all of them are \
server keys of nobody. `keyhound check-config --schema catalogue` prints its schema; `check-config` and SIGHUP read it.

```yaml
keys:
  - id: kf1_9c410000000000000000000000ade07b      # keyhound fingerprint
    name: billing-prod
    owner: payments-oncall
    contact: \"#payments\"
    tenant: acme
    plan: gold
    class: server
  - credential: 1f4d5c1e-1a6e-4a44-b3a1-aa2b6e0c5f3e  # as the gateway's log shows it
    name: android-app
    tenant: acme
    class: mobile
    protected: true
```
";

/// The text of `docs/config.md`.
pub fn documentation() -> String {
    let schema = schema();
    let mut pages = Pages { definitions: &schema["$defs"], text: INTRODUCTION.to_owned() };
    pages.section("", &schema);
    let catalogue = catalogue_schema();
    let mut keys = Pages { definitions: &catalogue["$defs"], text: pages.text + CATALOGUE };
    keys.section("keys[]", keys.resolve(&catalogue["properties"]["keys"]["items"]));
    keys.text
}

struct Pages<'s> {
    definitions: &'s Value,
    text: String,
}

impl<'s> Pages<'s> {
    /// A table of an object's settings, and after it the tables of the objects in it.
    fn section(&mut self, path: &str, schema: &'s Value) {
        let Some(properties) = schema["properties"].as_object() else { return };
        // Writing into a String cannot fail.
        let _ = match path {
            "" => write!(self.text, "\n## At the top\n\n"),
            path => write!(self.text, "\n## `{path}`\n\n"),
        };
        if let Some(description) = schema["description"].as_str().filter(|_| !path.is_empty()) {
            let _ = write!(self.text, "{}\n\n", one_line(description));
        }
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        self.text.push_str("| Setting | Value | Default | |\n|---|---|---|---|\n");
        for (name, setting) in properties {
            self.row(name, setting, required.contains(&name.as_str()));
        }
        for (name, setting) in properties {
            let dot = if path.is_empty() { "" } else { "." };
            self.below(&format!("{path}{dot}{name}"), setting);
        }
    }

    fn row(&mut self, name: &str, setting: &'s Value, required: bool) {
        let resolved = self.resolve(setting);
        let description =
            setting["description"].as_str().or(resolved["description"].as_str()).unwrap_or_default();
        let default = match setting.get("default").or(resolved.get("default")) {
            _ if required => "required".to_owned(),
            Some(Value::Object(_) | Value::Null) | None => String::new(),
            Some(value) if plain(value).is_empty() => String::new(),
            Some(value) => format!("`{}`", plain(value)),
        };
        let kind = self.kind(setting);
        let _ = writeln!(
            self.text,
            "| `{name}` | {kind} | {default} | {} |",
            one_line(description).replace('|', "\\|")
        );
    }

    /// Sections for the objects that a setting is, or has, or may be.
    fn below(&mut self, path: &str, setting: &'s Value) {
        let schema = self.resolve(setting);
        if schema["properties"].is_object() {
            self.section(path, schema);
        } else if let Some(items) = schema.get("items") {
            self.below(&format!("{path}[]"), items);
        } else {
            for choice in choices(schema) {
                self.below(path, choice);
            }
        }
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let Some(reference) = schema["$ref"].as_str() else { return schema };
        let name = reference.rsplit('/').next().unwrap_or_default();
        self.definitions.get(name).map_or(schema, |definition| self.resolve(definition))
    }

    /// What a value may be, in a few words.
    fn kind(&self, setting: &'s Value) -> String {
        let schema = self.resolve(setting);
        if let Some(constant) = schema.get("const") {
            return format!("`{}`", plain(constant));
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.iter().map(|value| format!("`{}`", plain(value))).collect::<Vec<_>>().join(", ");
        }
        let mut kinds: Vec<String> = Vec::new();
        for choice in choices(schema) {
            let kind = self.kind(choice);
            if kind != "nothing" && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if !kinds.is_empty() {
            let all_constant = kinds.iter().all(|kind| kind.starts_with('`'));
            return kinds.join(if all_constant { ", " } else { " or " });
        }
        self.plain_kind(schema)
    }

    fn plain_kind(&self, schema: &'s Value) -> String {
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => {
                several.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
            }
            _ => vec!["object"],
        };
        let kinds = types.iter().map(|kind| match *kind {
            "string" => "text".to_owned(),
            "integer" => "whole number".to_owned(),
            "number" => "number".to_owned(),
            "boolean" => "`true`, `false`".to_owned(),
            "null" => "nothing".to_owned(),
            "array" => {
                schema.get("items").map_or("list".to_owned(), |items| format!("list of {}", self.kind(items)))
            }
            _ if schema["properties"].as_object().is_some_and(|settings| !settings.is_empty()) => {
                "section".to_owned()
            }
            _ => "mapping".to_owned(),
        });
        kinds.collect::<Vec<_>>().join(" or ")
    }
}

fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(elements) => format!("[{}]", elements.iter().map(plain).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
