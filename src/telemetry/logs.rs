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
    #[error("log level \"{level}\" names a span; write levels and modules, as in info,keyhound::serve=debug")]
    Span { level: String },
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

/// An error and its causes in one line, each said once: many texts name their cause already.
pub fn with_causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |told, cause| {
        if told.contains(&cause) { told } else { format!("{told}: {cause}") }
    })
}

/// The last cause of an error, which is mostly the one that a person can do something about.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Checks a level without setting anything up.
///
/// What the HTTP/2 library writes is left out whatever the level: of a malformed request it writes the path, and that
/// may hold a raw key.
pub fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = |source| LogError::Level { level: level.to_owned(), source };
    // A directive for a span comes before one for a module, and there are no spans of ours.
    if level.contains('[') {
        return Err(LogError::Span { level: level.to_owned() });
    }
    EnvFilter::try_new(level).map_err(wrong)?;
    let is_http2 = |directive: &&str| directive.trim().split(['=', ':']).next() == Some("h2");
    let others: Vec<&str> = level.split(',').filter(|directive| !is_http2(directive)).collect();
    EnvFilter::try_new(format!("{},h2=off", others.join(","))).map_err(wrong)
}

#[cfg(test)]
pub mod testing {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use serde_json::Value;
    use tracing_subscriber::{fmt, fmt::MakeWriter};

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    pub struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        /// All of it.
        pub fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// What `body` logs, as the daemon writes it: one JSON object a line.
    pub fn json_lines(body: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let lines = fmt().json().flatten_event(true).with_writer(written.clone()).finish();
        tracing::subscriber::with_default(lines, body);
        written.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }
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
    fn a_cause_is_said_once() {
        let gone = || std::io::Error::other("it is gone");
        let named = anyhow::Error::new(gone()).context("/etc/k.yaml: cannot be read: it is gone");
        assert_eq!(with_causes(&named), "/etc/k.yaml: cannot be read: it is gone");
        let unnamed = anyhow::Error::new(gone()).context("no pepper").context("it cannot start");
        assert_eq!(with_causes(&unnamed), "it cannot start: no pepper: it is gone");
    }

    #[test]
    fn a_filter_of_spans_is_refused() {
        for level in ["info,[Connection]=debug", "h2[Connection]=debug"] {
            assert!(matches!(filter(level), Err(LogError::Span { .. })), "{level}");
        }
    }

    #[test]
    fn the_http2_library_never_writes_what_clients_send() {
        for level in ["trace", "debug,h2::server=trace", "h2=debug", "h2"] {
            let written = testing::Written::default();
            let lines = fmt().with_env_filter(filter(level).unwrap()).with_writer(written.clone()).finish();
            tracing::subscriber::with_default(lines, || {
                tracing::error!(target: "h2::server", "malformed path /v1/sk_live_1");
                tracing::error!(target: "h2", "malformed path /v1/sk_live_1");
                tracing::error!("ours");
            });
            let written = written.text();
            assert!(!written.contains("sk_live"), "{level}: {written}");
            assert_eq!(written.contains("ours"), !level.starts_with("h2"), "{level}: {written}");
        }
    }

    #[test]
    fn levels_and_filters_are_taken() {
        for level in ["info", "debug", "warn,keyhound::deliver=trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
    }
}
