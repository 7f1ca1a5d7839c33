//! How logs are written: JSON lines for machines, or short lines for people, always on standard error.
//!
//! Standard output belongs to what a command was asked for. No module logs a raw key: records, in which they are, cannot
//! be printed with their bytes, and `decode` and `serve`, which read keys out of them, log key ids only.

use std::io::IsTerminal as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people at a terminal.
    Pretty,
}

/// The `logs` section of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `json` or `pretty`.
    pub format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or a filter such as `info,keyhound::serve=debug`.
    /// The environment variable `RUST_LOG` comes before it.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Json, level: "info".to_owned() }
    }
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log level \"{level}\" is not a level or a filter such as info,keyhound::serve=debug: {source}")]
    Level { level: String, source: tracing_subscriber::filter::ParseError },
    #[error("logs are set up already")]
    Twice,
}

/// Sets the process's log writer. `RUST_LOG`, where it is set, comes before `settings.level`.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let level = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let filter = filter(level.as_deref().unwrap_or(&settings.level))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_colourful());
    match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init(),
        LogFormat::Pretty => lines.compact().with_target(false).finish().try_init(),
    }
    .map_err(|_| LogError::Twice)
}

/// Colour is for terminals, and for those who have not said `NO_COLOR` (no-color.org).
fn is_colourful() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !no_color
}

/// Checks a level without setting anything up.
pub fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(level).map_err(|source| LogError::Level { level: level.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_names_what_would_be_right() {
        let error = filter("keyhound=loud").unwrap_err().to_string();
        assert!(
            error.contains("\"keyhound=loud\"") && error.contains("info,keyhound::serve=debug"),
            "{error}"
        );
    }

    #[test]
    fn levels_and_filters_are_taken() {
        for level in ["info", "debug", "warn,keyhound::deliver=trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
    }
}
