//! Reads the files that say where addresses are, and replaces them while running.
//!
//! A file that cannot be read or used leaves the one before in place: an old database is better than none. The
//! version of what is in use is a checksum of all contents, so that a reload of the same files is told apart from a
//! change. A MaxMind DB file that is still being copied has no metadata at its end and is refused as incomplete.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;

use crate::enrich::{Databases, Geo, GeoError, ListTexts, Settings};

/// The largest database that is read. GeoIP2-Enterprise has about 0.5 GiB.
pub const DATABASE_BYTES_MAX: u64 = 4 << 30;
/// The largest list that is read: about four million networks.
pub const LIST_BYTES_MAX: u64 = 64 << 20;

/// Why the files could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum GeoLoadError {
    #[error("{field}: cannot read {path}: {source}", path = .path.display())]
    Read { field: &'static str, path: PathBuf, source: io::Error },
    #[error("{field}: {path} has more than {limit} bytes", path = .path.display())]
    TooLarge { field: &'static str, path: PathBuf, limit: u64 },
    #[error("{field}: {path} is not UTF-8 text", path = .path.display())]
    Text { field: &'static str, path: PathBuf },
    #[error(transparent)]
    Unusable(#[from] GeoError),
}

impl GeoLoadError {
    /// A fixed label for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::TooLarge { .. } => "too_large",
            Self::Text { .. } => "text",
            Self::Unusable(error) => error.reason(),
        }
    }
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The files have the contents that are in use.
    Unchanged,
    /// The new contents are in use; `from` and `to` are versions.
    Replaced { from: String, to: String },
}

/// What was last read from the files.
#[derive(Debug)]
pub struct GeoFiles {
    current: ArcSwap<Geo>,
}

impl GeoFiles {
    /// Reads all files.
    pub fn open(settings: &Settings) -> Result<Self, GeoLoadError> {
        Ok(Self { current: ArcSwap::from_pointee(load(settings)?) })
    }

    /// What is in use now.
    pub fn current(&self) -> Arc<Geo> {
        self.current.load_full()
    }

    /// Reads the files that the settings now name and replaces what is in use, all or nothing. On an error the old
    /// stays.
    pub fn reload(&self, settings: &Settings) -> Result<Reload, GeoLoadError> {
        let new = load(settings)?;
        let old = self.current.load();
        if old.version() == new.version() {
            return Ok(Reload::Unchanged);
        }
        let reload = Reload::Replaced { from: old.version().to_owned(), to: new.version().to_owned() };
        self.current.store(Arc::new(new));
        Ok(reload)
    }
}

/// Reads all files that the settings name.
pub fn load(settings: &Settings) -> Result<Geo, GeoLoadError> {
    let database = |field, path: &Option<PathBuf>| {
        path.as_deref().map(|path| read(field, path, DATABASE_BYTES_MAX)).transpose()
    };
    let list = |field, path: &Option<PathBuf>| path.as_deref().map(|path| read_text(field, path)).transpose();
    let lists = ListTexts {
        tor: list("geo.lists.tor", &settings.lists.tor)?,
        vpn: list("geo.lists.vpn", &settings.lists.vpn)?,
        hosting: list("geo.lists.hosting", &settings.lists.hosting)?,
    };
    let files = Databases {
        city: database("geo.city", &settings.city)?,
        country: database("geo.country", &settings.country)?,
        asn: database("geo.asn", &settings.asn)?,
        lists,
    };
    Ok(Geo::new(files)?)
}

/// Reads one byte more than the limit at most, so that a file that grows while it is read cannot take all memory.
fn read(field: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, GeoLoadError> {
    let wrong = |source| GeoLoadError::Read { field, path: path.to_owned(), source };
    let file = File::open(path).map_err(wrong)?;
    let size = file.metadata().map_err(wrong)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or_default());
    file.take(limit + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > limit {
        return Err(GeoLoadError::TooLarge { field, path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn read_text(field: &'static str, path: &Path) -> Result<String, GeoLoadError> {
    let bytes = read(field, path, LIST_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| GeoLoadError::Text { field, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::generate::world;

    fn files() -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let city = folder.path().join("world.mmdb");
        fs::write(&city, world::database()).unwrap();
        (folder, Settings { city: Some(city), ..Settings::default() })
    }

    #[test]
    fn a_reload_replaces_what_changed_and_only_then() {
        let (folder, mut settings) = files();
        let tor = folder.path().join("tor.txt");
        fs::write(&tor, "203.0.113.7\n").unwrap();
        settings.lists.tor = Some(tor.clone());
        let files = GeoFiles::open(&settings).unwrap();
        assert_eq!(files.reload(&settings).unwrap(), Reload::Unchanged);
        let before = files.current();
        fs::write(&tor, "203.0.113.8\n").unwrap();
        assert!(matches!(files.reload(&settings).unwrap(), Reload::Replaced { .. }));
        assert_ne!(files.current().version(), before.version());
    }

    #[test]
    fn a_reload_reads_the_files_that_are_named_now() {
        let (folder, mut settings) = files();
        let files = GeoFiles::open(&settings).unwrap();
        let before = files.current();
        settings.lists.vpn = Some(folder.path().join("vpn.txt"));
        files.reload(&settings).unwrap_err();
        assert!(Arc::ptr_eq(&before, &files.current()), "one that is not there leaves the old in use");
        fs::write(folder.path().join("vpn.txt"), "203.0.113.0/24\n").unwrap();
        assert!(matches!(files.reload(&settings).unwrap(), Reload::Replaced { .. }));
        files.reload(&Settings::default()).unwrap();
        assert_ne!(files.current().version(), before.version());
    }

    #[test]
    fn a_file_that_was_cut_short_leaves_the_old_one_in_use() {
        let (_folder, settings) = files();
        let path = settings.city.clone().unwrap();
        let files = GeoFiles::open(&settings).unwrap();
        let before = files.current();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = files.reload(&settings).unwrap_err();
        assert!(error.to_string().starts_with("geo.city: this is not a whole MaxMind DB file"), "{error}");
        assert!(Arc::ptr_eq(&before, &files.current()));
    }

    #[test]
    fn a_missing_file_is_named_with_its_setting() {
        let settings = Settings { asn: Some("/nowhere/asn.mmdb".into()), ..Settings::default() };
        let error = GeoFiles::open(&settings).unwrap_err();
        assert!(error.to_string().starts_with("geo.asn: cannot read /nowhere/asn.mmdb: "), "{error}");
    }
}
