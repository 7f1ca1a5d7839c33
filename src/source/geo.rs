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

/// Reads the files that the settings now name; gives `current` itself where their contents are those that are in use.
pub fn reload(settings: &Settings, current: &Arc<Geo>) -> Result<Arc<Geo>, GeoLoadError> {
    let new = load(settings)?;
    Ok(if new.version() == current.version() { current.clone() } else { Arc::new(new) })
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
    fn a_reload_gives_other_places_only_where_something_changed() {
        let (folder, mut settings) = files();
        let tor = folder.path().join("tor.txt");
        fs::write(&tor, "203.0.113.7\n").unwrap();
        settings.lists.tor = Some(tor.clone());
        let before = Arc::new(load(&settings).unwrap());
        assert!(Arc::ptr_eq(&before, &reload(&settings, &before).unwrap()));
        fs::write(&tor, "203.0.113.8\n").unwrap();
        assert_ne!(reload(&settings, &before).unwrap().version(), before.version());
    }

    #[test]
    fn a_reload_reads_the_files_that_are_named_now() {
        let (folder, mut settings) = files();
        let before = Arc::new(load(&settings).unwrap());
        settings.lists.vpn = Some(folder.path().join("vpn.txt"));
        reload(&settings, &before).unwrap_err();
        fs::write(folder.path().join("vpn.txt"), "203.0.113.0/24\n").unwrap();
        assert_ne!(reload(&settings, &before).unwrap().version(), before.version());
        assert_ne!(reload(&Settings::default(), &before).unwrap().version(), before.version());
    }

    #[test]
    fn a_file_that_was_cut_short_is_refused() {
        let (_folder, settings) = files();
        let path = settings.city.clone().unwrap();
        let before = Arc::new(load(&settings).unwrap());
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = reload(&settings, &before).unwrap_err();
        assert!(error.to_string().starts_with("geo.city: this is not a whole MaxMind DB file"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named_with_its_setting() {
        let settings = Settings { asn: Some("/nowhere/asn.mmdb".into()), ..Settings::default() };
        let error = load(&settings).unwrap_err();
        assert!(error.to_string().starts_with("geo.asn: cannot read /nowhere/asn.mmdb: "), "{error}");
    }
}
