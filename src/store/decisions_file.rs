//! The decisions in a file of their own, so that gateways are answered while the database cannot be read.
//!
//! A copy of what the database holds as current, lifts among it, so that the greatest epoch of a key wins whichever of
//! the two is read first. Written as a whole: to a temporary file, synced, renamed, and the directory synced. Read as a
//! whole or not at all: a checksum covers every byte, and the pepper has to be the one that key ids were made with.
//! It holds what the topic of decisions holds: key ids, never a raw key.
//!
//! ```text
//! {"schema":"keyhound.decisions_file/1","written_at_ms":…,"pepper_check":"…","decisions":2,"left_out":0}
//! 1795317100000 {"schema":"keyhound.decision/1",…}
//! 1795317100000 {"schema":"keyhound.decision/1",…}
//! sha256:…
//! ```
//!
//! Each decision stands after the wall clock at its commit, by which its freshness is judged.

use std::{
    cmp::Reverse,
    fmt::Write as _,
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    event::EventTime,
    respond::{Decision, Mode, Step},
};

/// The file's name in the state directory.
const FILE: &str = "keyhound.decisions";
const SCHEMA: &str = "keyhound.decisions_file/1";
/// Begins the last line.
const SUM: &str = "sha256:";
/// The largest file that is written or read, in bytes.
const BYTES_MAX: u64 = 64 << 20;

/// A decision record as the topic carries it, and when it was committed by the wall clock, in milliseconds.
pub type KeptDecision = (Vec<u8>, u64);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DecisionsFileError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {what}", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("{}: it was written under another pepper than the one in fingerprint.pepper_file", path.display())]
    Pepper { path: PathBuf },
}

#[derive(Serialize, Deserialize)]
struct FirstLine {
    schema: String,
    written_at_ms: u64,
    pepper_check: String,
    decisions: usize,
    left_out: usize,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// When it was written, by the wall clock.
    pub written_at_ms: u64,
    pub decisions: Vec<KeptDecision>,
    /// Decisions for which there was no room.
    pub left_out: usize,
}

/// The file of one state directory.
#[derive(Clone, Debug)]
pub struct DecisionsFile {
    dir: PathBuf,
    pepper_check: String,
}

impl DecisionsFileError {
    /// Whether there is no such file: anything else may hide decisions.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl DecisionsFile {
    /// That of `dir`; `pepper_check` as in [`Identity`](super::Identity).
    pub fn new(dir: &Path, pepper_check: &str) -> Self {
        Self { dir: dir.to_owned(), pepper_check: pepper_check.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Puts these decisions in place of those that it held. If there is no room for all, those that have ended by the
    /// wall clock are left out first, then the weakest. Gives how many were left out. Creates the directory if it is gone.
    pub fn write(&self, decisions: &[KeptDecision], now_ms: u64) -> Result<usize, DecisionsFileError> {
        let (text, left_out) = self.text(decisions, now_ms);
        self.replace(&text).map_err(|source| self.failed(source))?;
        Ok(left_out)
    }

    /// Reads it.
    pub fn read(&self) -> Result<Kept, DecisionsFileError> {
        let size = fs::metadata(self.path()).map_err(|source| self.failed(source))?.len();
        if size > BYTES_MAX {
            return Err(self.damaged("it is larger than any that is written"));
        }
        let bytes = fs::read(self.path()).map_err(|source| self.failed(source))?;
        let lines = checked(&bytes).ok_or_else(|| self.damaged("its checksum is not that of its content"))?;
        let mut lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let head: FirstLine = lines
            .next()
            .and_then(|line| serde_json::from_slice(line).ok())
            .filter(|head: &FirstLine| head.schema == SCHEMA)
            .ok_or_else(|| self.damaged("it is not of the form keyhound.decisions_file/1"))?;
        if head.pepper_check != self.pepper_check {
            return Err(DecisionsFileError::Pepper { path: self.path() });
        }
        let decisions: Vec<KeptDecision> = lines.filter_map(kept).collect();
        if decisions.len() != head.decisions {
            return Err(self.damaged("it holds another number of decisions than it says"));
        }
        Ok(Kept { written_at_ms: head.written_at_ms, decisions, left_out: head.left_out })
    }

    /// Moves a file that cannot be used to `keyhound.decisions.unreadable`, so that writing it anew keeps the evidence.
    pub fn put_aside(&self) -> io::Result<()> {
        fs::rename(self.path(), self.dir.join(format!("{FILE}.unreadable")))
    }

    fn text(&self, decisions: &[KeptDecision], now_ms: u64) -> (Vec<u8>, usize) {
        // A quarter of a kilobyte is for the first line and the last one.
        let mut room = usize::try_from(BYTES_MAX).unwrap_or(usize::MAX) - 256;
        let mut ordered: Vec<&KeptDecision> = decisions.iter().collect();
        if decisions.iter().map(|(value, _)| value.len() + 22).sum::<usize>() > room {
            ordered.sort_by_cached_key(|(value, _)| weakness(value, now_ms));
        }
        let fits = |(value, _): &&KeptDecision| {
            // A number of 20 digits, a space and the end of the line.
            let taken = room.checked_sub(value.len() + 22);
            taken.inspect(|left| room = *left).is_some()
        };
        let written: Vec<&KeptDecision> = ordered.into_iter().take_while(fits).collect();
        let left_out = decisions.len() - written.len();
        let head = FirstLine {
            schema: SCHEMA.to_owned(),
            written_at_ms: now_ms,
            pepper_check: self.pepper_check.clone(),
            decisions: written.len(),
            left_out,
        };
        let mut text = serde_json::to_vec(&head).expect("plain data with text keys");
        text.push(b'\n');
        for (value, committed_ms) in written {
            text.extend_from_slice(committed_ms.to_string().as_bytes());
            text.push(b' ');
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        let sum = sum(&text);
        text.extend_from_slice(sum.as_bytes());
        text.push(b'\n');
        (text, left_out)
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let temporary = self.dir.join(format!("{FILE}.new"));
        let mut file =
            File::options().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path())?;
        File::open(&self.dir)?.sync_all()
    }

    fn failed(&self, source: io::Error) -> DecisionsFileError {
        DecisionsFileError::File { path: self.path(), source }
    }

    fn damaged(&self, what: &'static str) -> DecisionsFileError {
        DecisionsFileError::Damaged { path: self.path(), what }
    }
}

/// What is left out first is greatest: what cannot be read, what has ended, what is not served, lifts, weak steps, and
/// what ends soon.
fn weakness(value: &[u8], now_ms: u64) -> impl Ord + use<> {
    let decision: Option<Decision> = serde_json::from_slice(value).ok();
    let rank = |decision: Decision| -> (bool, Reverse<(Mode, Step, EventTime)>) {
        let expires = decision.expires();
        (expires.0 <= now_ms, Reverse((decision.mode, decision.step, expires)))
    };
    decision.map_or((true, None), |decision| (false, Some(rank(decision))))
}

/// A decision's line: when it was committed, and the record.
fn kept(line: &[u8]) -> Option<KeptDecision> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let committed_ms = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    Some((line[space + 1..].to_vec(), committed_ms))
}

/// All but the last line, if that is the checksum of it.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let length = SUM.len() + 64 + 1;
    let (text, last) = bytes.split_at_checked(bytes.len().checked_sub(length)?)?;
    (last == format!("{}\n", sum(text)).as_bytes()).then_some(text)
}

fn sum(text: &[u8]) -> String {
    let mut sum = SUM.to_owned();
    for byte in Sha256::digest(text) {
        let _ = write!(sum, "{byte:02x}");
    }
    sum
}

#[cfg(test)]
#[path = "decisions_file_tests.rs"]
mod tests;
