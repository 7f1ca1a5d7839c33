//! What a user says about files to read.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::source::kafka::Start;

/// Where the first reading of a file starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileStart {
    /// At its first line.
    #[default]
    Beginning,
    /// After what is there when Keyhound first starts; files that appear later are read whole.
    End,
}

impl<'de> Deserialize<'de> for FileStart {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let why = match text.as_str() {
            "beginning" => return Ok(Self::Beginning),
            "end" => return Ok(Self::End),
            "earliest" | "latest" => "that is Kafka's word",
            // What a topic takes: a time, or so long ago.
            _ if text.parse::<Start>().is_ok() => {
                "of files there is no time at which to start, since a line's time is not known before it is read"
            }
            _ => "there is no such place",
        };
        let text = format!("\"start\" is \"{text}\"; it must be beginning or end for files: {why}");
        Err(D::Error::custom(text))
    }
}

/// Valid settings of files to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawFileSettings", into = "RawFileSettings")]
pub struct FileSettings {
    paths: Vec<String>,
    follow: bool,
    start: FileStart,
}

/// A file source: log files with one record a line, plain or gzip (`.gz`).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawFileSettings {
    /// Paths, or patterns with `*`, `?` and `[…]`. At least one. While following, a `.gz` that a pattern like
    /// `access.log*` finds is read at the very first start only: later ones are what rotation made of files that
    /// were followed. A pattern that ends in `.gz` takes all that it finds.
    paths: Vec<String>,
    /// Whether to wait for new lines and new files, through rotation by rename and truncation. A file that was renamed
    /// out of the patterns is read on until it has had nothing new for a minute; if it comes back after that, it may be
    /// read again from its beginning. With `false` the files are read once, to their ends.
    #[serde(default = "yes")]
    follow: bool,
    /// Where the first reading of a file starts: `beginning` or `end`. Not a time: a line's time is not known before it is
    /// read.
    #[serde(default)]
    start: FileStart,
}

/// Settings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileSettingsError {
    #[error("\"paths\" is empty; it must name at least one file or pattern")]
    NoPaths,
    #[error("\"paths\" has \"{pattern}\", which is not a pattern: {text} (at character {at})")]
    Pattern { pattern: String, text: &'static str, at: usize },
}

impl FileSettings {
    /// Settings for `paths`, from their beginning.
    pub fn try_new(paths: Vec<String>, follow: bool, start: FileStart) -> Result<Self, FileSettingsError> {
        if paths.is_empty() {
            return Err(FileSettingsError::NoPaths);
        }
        for pattern in &paths {
            glob::Pattern::new(pattern).map_err(|error| FileSettingsError::Pattern {
                pattern: pattern.clone(),
                text: error.msg,
                at: error.pos,
            })?;
        }
        Ok(Self { paths, follow, start })
    }

    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Whether a pattern matches the path, or finds the same file by another.
    pub fn finds(&self, path: &Path) -> bool {
        let real = path.canonicalize().ok();
        self.paths.iter().any(|pattern| {
            glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_path(path))
                || real.is_some()
                    && glob::glob(pattern).is_ok_and(|mut found| {
                        found.any(|found| found.is_ok_and(|found| found.canonicalize().ok() == real))
                    })
        })
    }

    pub const fn follow(&self) -> bool {
        self.follow
    }

    pub const fn start(&self) -> FileStart {
        self.start
    }
}

impl TryFrom<RawFileSettings> for FileSettings {
    type Error = FileSettingsError;

    fn try_from(raw: RawFileSettings) -> Result<Self, Self::Error> {
        Self::try_new(raw.paths, raw.follow, raw.start)
    }
}

impl From<FileSettings> for RawFileSettings {
    fn from(settings: FileSettings) -> Self {
        Self { paths: settings.paths, follow: settings.follow, start: settings.start }
    }
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::{FileSettings, FileStart};

    #[test]
    fn paths_alone_mean_following_from_the_beginning() {
        let settings: FileSettings = serde_saphyr::from_str("paths: [access.json]").unwrap();
        assert_eq!((settings.follow(), settings.start()), (true, FileStart::Beginning));
    }

    #[test]
    fn a_start_that_files_cannot_have_is_refused_with_what_would_be_right() {
        let read = |start: &str| {
            let text = format!("paths: [a]\nstart: {start}");
            serde_saphyr::from_str::<FileSettings>(&text).map_err(|error| error.to_string())
        };
        assert_eq!(read("end").unwrap().start(), FileStart::End);
        for (start, why) in [
            ("-7d", "is not known before it is read"),
            ("2026-11-01T00:00:00Z", "is not known before it is read"),
            ("latest", "Kafka's word"),
            ("5", "no such place"),
        ] {
            let error = read(start).unwrap_err();
            for words in ["\"start\" is \"", start, "beginning or end", why] {
                assert!(error.contains(words), "{start}: {error}");
            }
        }
    }

    #[test]
    fn a_file_is_found_by_its_path_and_by_another_that_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "").unwrap();
        let pattern = folder.path().join("*.log").display().to_string();
        let settings = FileSettings::try_new(vec![pattern], true, FileStart::Beginning).unwrap();
        assert!(settings.finds(&path));
        assert!(settings.finds(&folder.path().join(".").join("access.log")));
        assert!(!settings.finds(&folder.path().join("access.txt")));
        std::os::unix::fs::symlink(&path, folder.path().join("linked")).unwrap();
        assert!(settings.finds(&folder.path().join("linked")));
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        let refused = |yaml: &str| serde_saphyr::from_str::<FileSettings>(yaml).unwrap_err().to_string();
        assert!(refused("paths: []").contains("\"paths\" is empty"));
        assert!(refused("paths: ['a[']").contains("\"a[\", which is not a pattern"));
        assert!(refused("paths: [a]\nfolow: true").contains("folow"));
    }
}
