//! The settings: one YAML file to valid sections.
//!
//! Owns the file's form, `${ENV}`, what flags and the environment override, and the checks that span sections. A
//! section's own checks are its module's. Holding a [`Config`] means that it is valid. Everything wrong is told at
//! once, with file, line and column; no message shows a value that came from the environment.
//!
//! What comes before what: flag, environment (`KEYHOUND_LISTEN` and so on), file, default. Relative paths are taken
//! from the working directory.

mod byte_size;
mod check;
mod documentation;
mod effective;
mod examine;
mod files;
mod interpolate;
mod key_places;
mod overrides;
mod raw;
mod response;
mod span;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use byte_size::ByteSize;
pub use documentation::documentation;
pub use effective::effective;
pub use examine::Examined;
pub use files::{FileError, catalogue, catalogue_schema, rules};
pub use overrides::{Overrides, mode};
pub use raw::schema;
pub use response::ResponseSettings;
pub use span::Span;

use crate::{
    decode,
    deliver::alertmanager::{Links, Peer},
    enrich,
    rules::document::{Document, Problems},
    serve::ServeSettings,
    source,
    telemetry::LogSettings,
};

/// Valid settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// At least one.
    pub sources: Vec<SourceConfig>,
    /// What the names of Keyhound's own topics begin with.
    pub topic_prefix: String,
    /// Engines, fixed when the state is created. From 1 to 1024.
    pub partitions: u16,
    /// The secret that key ids are made with.
    pub pepper_file: PathBuf,
    pub geo: enrich::Settings,
    pub catalogue: Option<PathBuf>,
    /// Files and directories of rules; `shipped` stands for those that come with Keyhound.
    pub rules: Vec<PathBuf>,
    pub response: ResponseSettings,
    pub alertmanagers: Vec<Peer>,
    pub links: Links,
    pub state_dir: PathBuf,
    /// What the state may take in memory; `None` = a part of what there is.
    pub memory_max: Option<ByteSize>,
    /// How often the state is written.
    pub checkpoint_every: Duration,
    /// Metrics, health and operators.
    pub listen: SocketAddr,
    /// Gateways that ask.
    pub gateways_listen: SocketAddr,
    pub serve: ServeSettings,
    pub logs: LogSettings,
}

/// One source: where records come from, and how they are read.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// What it is called in metrics, alerts and logs. Unique.
    pub name: String,
    /// The longest record that is taken whole, in bytes.
    pub record_bytes_max: usize,
    pub source: source::Settings,
    pub decode: decode::Settings,
}

impl Config {
    /// Reads the file at `path`. The error holds everything that is wrong with it.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, FileError> {
        let text = files::read(path)?;
        let name = path.display().to_string();
        Ok(Self::parse(&name, &text, overrides, &|variable| std::env::var(variable).ok())?)
    }

    /// The settings in a text. `name` is what messages call the file; `environment` gives a variable's value.
    pub fn parse(
        name: &str,
        text: &str,
        overrides: &Overrides,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let (raw, document) = raw::RawConfig::read(name, text, overrides, environment)?;
        check::check(raw, &document)
    }
}

/// Reads a document with `${…}` replaced.
fn document(
    name: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Document, Problems> {
    let mut document = Document::parse(name, text)?;
    let mut problems = Problems::of_file(name);
    interpolate::interpolate(&mut document.root, environment, &mut problems);
    problems.or(document)
}

#[cfg(test)]
mod tests;
