//! Files: that of the settings, and those that they name, rules and catalogue.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::raw::SHIPPED;
use crate::{
    catalogue::{Catalogue, CatalogueError, Entry},
    rules::{
        RuleSet,
        document::{Document, Place, Problems},
    },
};

/// Why the settings, or a file that they name, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: no rule file (*.yaml, *.yml) in it")]
    NoRules { path: PathBuf },
    #[error("{0}")]
    Problems(#[from] Problems),
}

/// Reads and compiles the rules in files and directories; `shipped` stands for those that come with Keyhound.
pub fn rules(paths: &[PathBuf]) -> Result<RuleSet, FileError> {
    let mut texts = Vec::new();
    for path in paths {
        if path == Path::new(SHIPPED) {
            texts.extend(RuleSet::shipped_files());
            continue;
        }
        for file in rule_files(path)? {
            texts.push((file.display().to_string(), read(&file)?));
        }
    }
    Ok(RuleSet::compile(&texts)?)
}

/// The path itself, or the rule files in the directory in the order of their names.
fn rule_files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unreadable = |source| FileError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: Vec<_> = fs::read_dir(path).and_then(Iterator::collect).map_err(unreadable)?;
    let is_rules = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml");
    let mut files: Vec<_> = entries.iter().map(fs::DirEntry::path).filter(is_rules).collect();
    files.sort();
    if files.is_empty() {
        return Err(FileError::NoRules { path: path.to_owned() });
    }
    Ok(files)
}

/// What is known of the keys, beside their ids.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Catalogue")]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    /// A key each.
    keys: Vec<Entry>,
}

/// The JSON Schema of a catalogue file.
pub fn catalogue_schema() -> serde_json::Value {
    schemars::schema_for!(RawCatalogue).to_value()
}

/// Reads the catalogue. Its version is a hash of the file.
pub fn catalogue(path: &Path) -> Result<Catalogue, FileError> {
    let text = read(path)?;
    let name = path.display().to_string();
    let document = Document::parse(&name, &text)?;
    let mut problems = Problems::of_file(&name);
    let Some(raw) = document.root.read::<RawCatalogue>("", &mut problems) else {
        return Err(problems.into());
    };
    let digest = Sha256::digest(text.as_bytes());
    let version = format!("{:016x}", digest.first_chunk().copied().map_or(0, u64::from_be_bytes));
    let places: Vec<Place> = document
        .root
        .get("keys")
        .map(|keys| keys.elements().iter().map(|key| key.place).collect())
        .unwrap_or_default();
    for error in Catalogue::errors(raw.keys.clone()) {
        let (CatalogueError::Identity { index, .. }
        | CatalogueError::Id { index, .. }
        | CatalogueError::Duplicate { index, .. }) = error;
        let place = places.get(index).copied().unwrap_or_default();
        problems.add(place, format!("keys[{index}]"), error.to_string());
    }
    let unusable = |error: CatalogueError| {
        let mut problems = Problems::of_file(&name);
        problems.add(Place::default(), "", error.to_string());
        problems
    };
    problems.or(())?;
    Ok(Catalogue::new(raw.keys, version).map_err(unusable)?)
}

pub(super) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })
}
