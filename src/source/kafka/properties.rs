//! The librdkafka properties that a user passes through: which ones are ours, and where secrets come from.

use std::{env, fmt, fs, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The properties that Keyhound sets itself, each with the reason.
const OWNED: [(&str, &str); 11] = [
    ("bootstrap.servers", "write the brokers under \"brokers\""),
    ("metadata.broker.list", "write the brokers under \"brokers\""),
    ("group.id", "write the group under \"group\""),
    ("group.instance.id", "Keyhound names its instances itself, so that each keeps its partitions"),
    ("enable.auto.commit", "positions are kept in one transaction with what was derived from the records"),
    (
        "enable.auto.offset.store",
        "positions are kept in one transaction with what was derived from the records",
    ),
    (
        "auto.offset.reset",
        "a jump to either end would lose or repeat records silently; say where to start by \"start\"",
    ),
    ("isolation.level", "records of open or aborted transactions must not be seen"),
    ("transactional.id", "Keyhound names its transactions itself, so that a restart fences what was before"),
    ("enable.partition.eof", "Keyhound needs to know when it has read everything"),
    ("statistics.interval.ms", "Keyhound's lag and the search for new partitions depend on it"),
];

/// Parts of the names of properties that hold secrets.
const SECRET_WORDS: [&str; 5] = ["password", "secret", "key", "pem", "jaas"];

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    Switch(bool),
    Number(i64),
    /// A text. `${NAME}` stands for the environment variable of this name.
    Text(String),
    /// The content of a file, without the line break at its end.
    File(FileValue),
}

/// `{ file: PATH }`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileValue {
    pub file: PathBuf,
}

/// A property that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    #[error("\"properties\" sets \"{name}\", which Keyhound sets itself: {reason}")]
    Owned { name: String, reason: &'static str },
    // The value is not shown: it may well be the secret.
    #[error(
        "\"properties\" has a literal value for \"{name}\", which is named like a secret; it must be ${{NAME}} (an \
         environment variable) or {{ file: PATH }}"
    )]
    LiteralSecret { name: String },
    #[error("the environment variable \"{variable}\" is not set")]
    NoVariable { variable: String },
    #[error("cannot read {path}: {text}")]
    NoFile { path: String, text: String },
}

/// Refuses what is ours, and secrets that are written out.
pub fn check(name: &str, value: &Value) -> Result<(), PropertyError> {
    if let Some((_, reason)) = OWNED.into_iter().find(|(owned, _)| *owned == name) {
        return Err(PropertyError::Owned { name: name.to_owned(), reason });
    }
    let is_secret = SECRET_WORDS.iter().any(|word| name.contains(word)) && !name.ends_with(".location");
    let is_literal = match value {
        Value::File(_) => false,
        Value::Text(text) => variable(text).is_none(),
        Value::Switch(_) | Value::Number(_) => true,
    };
    if is_secret && is_literal {
        return Err(PropertyError::LiteralSecret { name: name.to_owned() });
    }
    Ok(())
}

impl Value {
    /// What librdkafka is given.
    pub fn resolve(&self) -> Result<String, PropertyError> {
        match self {
            Self::Switch(value) => Ok(value.to_string()),
            Self::Number(value) => Ok(value.to_string()),
            Self::Text(text) => match variable(text) {
                Some(variable) => env::var(variable)
                    .map_err(|_| PropertyError::NoVariable { variable: variable.to_owned() }),
                None => Ok(text.clone()),
            },
            Self::File(FileValue { file }) => fs::read_to_string(file)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| PropertyError::NoFile {
                    path: file.display().to_string(),
                    text: error.to_string(),
                }),
        }
    }
}

/// The name in `${NAME}`, if that is all of it.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
            Self::File(FileValue { file }) => write!(f, "the content of {}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FileValue, PropertyError, Value, check};

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn what_keyhound_sets_itself_is_refused_with_the_reason() {
        let refused = check("enable.auto.commit", &Value::Switch(true)).unwrap_err().to_string();
        assert!(
            refused.contains("\"enable.auto.commit\", which Keyhound sets itself: positions are kept"),
            "{refused}"
        );
        for name in
            ["group.id", "group.instance.id", "isolation.level", "transactional.id", "auto.offset.reset"]
        {
            assert!(matches!(check(name, &text("x")), Err(PropertyError::Owned { .. })), "{name}");
        }
    }

    #[test]
    fn a_secret_is_never_written_out_and_never_shown() {
        for name in ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            let refused = check(name, &text("hunter2")).unwrap_err().to_string();
            assert!(refused.contains(name) && !refused.contains("hunter2"), "{refused}");
            assert_eq!(check(name, &text("${KAFKA_PASSWORD}")), Ok(()));
            assert_eq!(check(name, &Value::File(FileValue { file: "secrets/kafka".into() })), Ok(()));
        }
    }

    #[test]
    fn the_place_of_a_key_is_no_secret() {
        assert_eq!(check("ssl.key.location", &text("/etc/keyhound/client.key")), Ok(()));
        assert_eq!(check("fetch.min.bytes", &Value::Number(1)), Ok(()));
    }

    #[test]
    fn values_come_from_files_and_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from a file\n").unwrap();
        assert_eq!(Value::File(FileValue { file }).resolve().unwrap(), "from a file");
        assert_eq!(Value::Number(3).resolve().unwrap(), "3");
        let missing = text("${KEYHOUND_TEST_THAT_IS_NOT_SET}").resolve().unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the environment variable \"KEYHOUND_TEST_THAT_IS_NOT_SET\" is not set"
        );
    }
}
