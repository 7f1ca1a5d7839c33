//! Which files there are.

use std::{
    collections::HashSet,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    super::{Inputs, SourceError},
    FileSettings,
    content::Content,
    identity::Identity,
};

/// A file that is there. Sorted by age.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub modified: SystemTime,
    pub path: PathBuf,
    pub identity: Identity,
    /// Whether it is compressed, and no pattern asks for that.
    pub by_the_way: bool,
}

/// The files that a source has read before, as far as they are not forgotten.
pub fn known(source: u16, inputs: &dyn Inputs) -> HashSet<Identity> {
    let mut known = HashSet::new();
    inputs.each_known(source, &mut |_, name| known.extend(Identity::of_input(name)));
    known
}

/// Every regular file that a pattern finds; one that two patterns find twice.
pub fn by_patterns(settings: &FileSettings) -> Result<Vec<Found>, SourceError> {
    let mut found = Vec::new();
    for pattern in settings.paths() {
        let asked_for = !settings.follow() || Content::is_gzip(Path::new(pattern));
        found.extend(glob(pattern)?.filter_map(|path| look(path, asked_for)));
    }
    Ok(found)
}

/// Every regular file in the folders that the patterns name: rotation renames a file within its folder
/// (`access.log` to `access.log.1`).
pub fn beside_patterns(settings: &FileSettings) -> Result<Vec<Found>, SourceError> {
    let mut folders = HashSet::new();
    for pattern in settings.paths() {
        folders.extend(glob(&folder_of(pattern))?);
    }
    let entries = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    Ok(entries.filter_map(|entry| look(entry.path(), true)).collect())
}

/// Why a file may be there and not have been found, if there is a reason: a folder that is not there, or that cannot be
/// listed. Not of folders whose names are patterns: those come and go, and others match that are no folders.
pub fn obstacle(settings: &FileSettings) -> Option<String> {
    let folders = settings.paths().iter().map(|pattern| folder_of(pattern));
    let mut named = folders.filter(|folder| !folder.contains(['*', '?', '[']));
    named.find_map(|folder| match Path::new(&folder).read_dir() {
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => Some(format!("there is no folder {folder}")),
        Err(error) => Some(format!("{folder} cannot be listed: {error}")),
    })
}

/// Whether a pattern finds a regular file now; or why that cannot be told.
pub fn there_is_one(pattern: &str) -> Result<bool, String> {
    let found = glob::glob(pattern).map_err(|error| error.to_string())?;
    let mut refused = None;
    for entry in found {
        match entry {
            Ok(path) if path.is_file() => return Ok(true),
            Ok(_) => {}
            Err(error) => refused = Some(format!("{}: {}", error.path().display(), error.error())),
        }
    }
    // Of a path without a wildcard the file is asked for and not its folder.
    match Path::new(&folder_of(pattern)).metadata().and_then(|_| Path::new(pattern).metadata()) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(format!("{pattern}: {error}")),
        _ => refused.map_or(Ok(false), Err),
    }
}

/// Whether it can be told that a file is not in its folder any more: that can be listed now, or is gone itself.
pub fn lists_folder_of(path: &Path) -> bool {
    let listed = Path::new(&folder_of(&path.to_string_lossy())).read_dir();
    listed.err().is_none_or(|error| error.kind() == ErrorKind::NotFound)
}

fn folder_of(pattern: &str) -> String {
    let folder = Path::new(pattern).parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).display().to_string()
}

/// The paths that a pattern finds. A folder that cannot be listed holds nothing that could be read.
fn glob(pattern: &str) -> Result<impl Iterator<Item = PathBuf> + use<>, SourceError> {
    let found = glob::glob(pattern);
    let found = found
        .map_err(|error| SourceError::Pattern { pattern: pattern.to_owned(), text: error.to_string() })?;
    Ok(found.flatten())
}

/// The regular file at `path`, if there is one.
fn look(path: PathBuf, asked_for: bool) -> Option<Found> {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let by_the_way = !asked_for && Content::is_gzip(&path);
    Some(Found { modified, path, identity: Identity::of(&metadata), by_the_way })
}
