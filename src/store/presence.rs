//! Whether the files that the store has open are those that stand at its path.
//!
//! Who deletes or replaces an open database is told nothing by the kernel, and neither is SQLite: commits go on, to a
//! file that nobody will ever open again. So the path is compared with what was opened.

use std::{
    ffi::CString,
    fs,
    io::{self, ErrorKind},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// What has become of the store's files.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    #[error(
        "{}: deleted while it is open; what is committed from now on is lost when the process ends. Restart \
         Keyhound: it begins with an empty state and takes over the decisions in force, or put a backup there first",
        path.display()
    )]
    Deleted { path: PathBuf },
    #[error(
        "{}: replaced by another file while it is open; what is committed from now on is lost when the process ends. \
         Restart Keyhound to use the file that is there",
        path.display()
    )]
    Replaced { path: PathBuf },
    #[error("{}: cannot be written: {source}; make it writable for the user that runs Keyhound", path.display())]
    ReadOnly { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Unknown { path: PathBuf, source: io::Error },
}

/// A file as the kernel tells it from others: its device and its number there.
type FileIdentity = (u64, u64);

/// The store's directory and its files, as they were when they were opened.
#[derive(Clone, Debug)]
pub struct Presence {
    dir: PathBuf,
    /// `None` = it was not there then: the write-ahead log comes with the first write.
    files: Vec<(PathBuf, Option<FileIdentity>)>,
}

impl Presence {
    /// Takes the files down as they are.
    pub(super) fn of(dir: &Path, names: &[String]) -> Self {
        let known = |name: &String| {
            let path = dir.join(name);
            let identity = identity(&path).ok();
            (path, identity)
        };
        Self { dir: dir.to_owned(), files: names.iter().map(known).collect() }
    }

    /// Compares the files with those that stand there now.
    pub fn check(&mut self) -> Result<(), PresenceError> {
        for (path, opened) in &mut self.files {
            match (identity(path), *opened) {
                (Ok(now), Some(opened)) if now != opened => {
                    return Err(PresenceError::Replaced { path: path.clone() });
                }
                (Ok(now), _) => *opened = Some(now),
                (Err(error), None) if error.kind() == ErrorKind::NotFound => {}
                (Err(error), _) if error.kind() == ErrorKind::NotFound => {
                    return Err(PresenceError::Deleted { path: path.clone() });
                }
                (Err(source), _) => return Err(PresenceError::Unknown { path: path.clone(), source }),
            }
            if opened.is_some() {
                writable(path)?;
            }
        }
        writable(&self.dir)
    }
}

fn identity(path: &Path) -> io::Result<FileIdentity> {
    let data = fs::metadata(path)?;
    Ok((data.dev(), data.ino()))
}

/// Whether this process may write there. A file system that is mounted to be read only says no to everybody.
fn writable(path: &Path) -> Result<(), PresenceError> {
    let failed = |source| PresenceError::ReadOnly { path: path.to_owned(), source };
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    // SAFETY: the pointer is to a string with a zero at its end, which lives across the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::access(name.as_ptr(), libc::W_OK) };
    if result == 0 { Ok(()) } else { Err(failed(io::Error::last_os_error())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_and_a_replaced_file_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        fs::write(&path, "one").unwrap();
        let mut presence = Presence::of(dir.path(), &["db".to_owned(), "db-wal".to_owned()]);
        presence.check().unwrap();
        fs::write(dir.path().join("db-wal"), "comes later").unwrap();
        presence.check().unwrap();

        fs::write(dir.path().join("other"), "two").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        let error = presence.check().unwrap_err();
        assert!(matches!(&error, PresenceError::Replaced { path: found } if *found == path), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(matches!(presence.check(), Err(PresenceError::Deleted { .. })));
        fs::remove_dir_all(dir.path()).unwrap();
        let error = presence.check().unwrap_err().to_string();
        assert!(error.contains("/db: deleted") && error.contains("Restart"), "{error}");
    }
}
