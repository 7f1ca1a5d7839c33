//! Folders for one run: below `target/tmp`, named after the process, and removed by the next run at the latest.
//!
//! A broker that lives as long as the process is never dropped, so its folder cannot be removed by it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// An empty folder, removed when dropped unless its test failed.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes `target/tmp/NAME-PID-NUMBER`.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root().join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made below target/tmp");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns the path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file can be written below target/tmp");
        path
    }

    /// The text of a file in it, empty if there is none yet.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.read_bytes(name)).into()
    }

    /// The bytes of a file in it, none if there is none yet.
    pub fn read_bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Removes what earlier runs left: folders named after a process that is no more.
fn remove_leftovers() {
    for entry in fs::read_dir(root()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.rsplit('-').nth(1).and_then(|id| id.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
