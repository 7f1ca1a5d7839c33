//! The settings as they are in force: file, variables, flags and defaults together, without secrets.

use serde_json::Value;

use super::{Overrides, raw::RawConfig};
use crate::rules::document::Problems;

/// Words in the names of settings whose values are secrets, unless they say which file holds one.
const SECRET_WORDS: [&str; 6] = ["password", "secret", "token", "pepper", "jaas", "pem"];

/// The settings in a text as YAML, with every default filled in and secrets redacted.
pub fn effective(
    name: &str,
    text: &str,
    overrides: &Overrides,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Problems> {
    let (raw, document) = RawConfig::read(name, text, overrides, environment)?;
    // What is printed is valid, so that it can be used again.
    super::check::check(raw.clone(), &document)?;
    let mut value = serde_json::to_value(&raw).unwrap_or_default();
    redact(&mut value);
    Ok(serde_saphyr::to_string(&value).unwrap_or_default())
}

fn redact(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(redact),
        Value::Object(entries) => {
            for (name, entry) in entries {
                match entry {
                    Value::String(text) if is_secret(name) && !text.starts_with("${") => {
                        "<redacted>".clone_into(text);
                    }
                    _ => redact(entry),
                }
            }
        }
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    let is_place = name.ends_with("_file") || name.ends_with(".location");
    !is_place && SECRET_WORDS.iter().any(|word| name.contains(word))
}
