//! Which file is which, whatever it is called right now.

use std::{fs::Metadata, os::unix::fs::MetadataExt, time::UNIX_EPOCH};

use super::super::InputName;

/// What stays the same when a file is renamed: its inode, and the moment it was made where the file system knows
/// it, since a number is given again to a new file once the old one is deleted. Without that moment, the device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(String);

impl Identity {
    pub fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self(match born {
            Some(at) => format!("{}@{}", metadata.ino(), at.as_nanos()),
            None => format!("{}-{}", metadata.dev(), metadata.ino()),
        })
    }

    /// The name under which positions are kept. A file that was truncated in place is another input: offsets in it
    /// start at zero again, and a position must never mean two records.
    pub fn input_name(&self, truncations: u32) -> InputName {
        InputName(match truncations {
            0 => format!("file:{}", self.0),
            _ => format!("file:{}+{truncations}", self.0),
        })
    }

    /// The file that has an input of this name, whatever was truncated of it; `None` = it is no file's.
    pub fn of_input(name: &str) -> Option<Self> {
        let file = name.strip_prefix("file:")?;
        Some(Self(file.split_once('+').map_or(file, |(file, _)| file).to_owned()))
    }

    /// How often this file had been truncated when it had this name; `None` = the name is another file's.
    pub fn truncations(&self, name: &str) -> Option<u32> {
        let rest = name.strip_prefix("file:")?.strip_prefix(&self.0)?;
        if rest.is_empty() { Some(0) } else { rest.strip_prefix('+')?.parse().ok() }
    }
}
