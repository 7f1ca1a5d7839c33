//! Opening the database: who may, how it is set, and whether it is the one that the settings mean.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{
    current::{mend_current, mend_outbox, take_over},
    decisions_file::{DecisionsFile, DecisionsFileError},
    delta,
    presence::{Presence, PresenceError},
    record::CODEC_VERSION,
    tables::{SCHEMA, check_meta, codec, meta, set_codec, set_meta},
};

/// The database's file in the state directory.
const FILE: &str = "keyhound.sqlite";

/// The file that is locked while a process uses the directory.
const LOCK: &str = "keyhound.lock";

/// What a store is made for. Fixed when it is created; another one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// P, the number of partitions.
    pub partitions: u16,
    pub topic_prefix: String,
    /// A fixed text under the pepper (`credential_fingerprint`): tells one pepper from another, and nothing of it.
    pub pepper_check: String,
}

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state.dir {}: {source}", dir.display())]
    Directory { dir: PathBuf, source: std::io::Error },
    #[error("state.dir {}: another process uses it; two daemons cannot share a state directory", dir.display())]
    InUse { dir: PathBuf },
    #[error(
        "state.dir {}: it was created with partitions: {kept}, and the settings say {given}; the number is fixed at \
         creation: say {kept}, or start with an empty directory", dir.display()
    )]
    Partitions { dir: PathBuf, kept: u16, given: u16 },
    #[error(
        "state.dir {}: it was created with topic_prefix: \"{kept}\", and the settings say \"{given}\"; outputs under \
         the old names would be orphaned: say \"{kept}\", or start with an empty directory", dir.display()
    )]
    TopicPrefix { dir: PathBuf, kept: String, given: String },
    #[error(
        "state.dir {}: it was created with another pepper than the one in fingerprint.pepper_file; under this one \
         every key would look new: put the old pepper back, or start with an empty directory", dir.display()
    )]
    Pepper { dir: PathBuf },
    #[error(
        "state.dir {}: it was written in form {kept}, this version reads form {CODEC_VERSION}; use the version that \
         wrote it, or start with an empty directory", dir.display()
    )]
    Codec { dir: PathBuf, kept: u16 },
    #[error(
        "state.dir {}: there is no database, and decisions in force cannot be taken over: {source}; put a backup of \
         keyhound.sqlite there, or make the decisions file readable; move it away if nothing that it holds is to be \
         kept in force", dir.display()
    )]
    DecisionsFile { dir: PathBuf, source: DecisionsFileError },
    #[error("table {table} of the store cannot be read: {source}")]
    Unreadable { table: &'static str, source: serde_json::Error },
    #[error("table {table} of the store holds an entry whose checksum is not that of its content")]
    Changed { table: &'static str },
    #[error("table {table} of the store holds an entry that ends early")]
    Damaged { table: &'static str },
    #[error(transparent)]
    Presence(#[from] PresenceError),
    #[error("the store failed: {0}")]
    Database(#[from] rusqlite::Error),
}

impl StoreError {
    /// What to do about it, where its text does not say so.
    pub fn remedy(&self, dir: &Path) -> Option<String> {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
            PermissionDenied, ReadOnly, SystemIoFailure,
        };
        let dir = dir.display();
        let damaged = format!(
            "{FILE} is damaged. Stop Keyhound; put a backup in its place, or move {dir}/{FILE}, {FILE}-wal and \
             {FILE}-shm away: it then begins with an empty state and takes over the decisions in force"
        );
        let code = match self {
            Self::Unreadable { .. } | Self::Damaged { .. } | Self::Changed { .. } => return Some(damaged),
            Self::Directory { .. } => {
                return Some(format!("{dir} has to be a directory that Keyhound may write to"));
            }
            Self::Database(error) => error.sqlite_error_code()?,
            _ => return None,
        };
        Some(match code {
            DatabaseCorrupt | NotADatabase => damaged,
            ReadOnly | PermissionDenied | CannotOpen => {
                format!("make {dir} and the files in it writable for the user that runs Keyhound")
            }
            DiskFull => format!("make room on the file system of {dir}"),
            DatabaseBusy | DatabaseLocked => format!("another program holds a lock on {dir}/{FILE}: end it"),
            SystemIoFailure => format!("the file system of {dir} fails: look at the kernel's log (dmesg)"),
            _ => return None,
        })
    }
}

/// Takes the state directory for this process, and creates it if it is not there.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Directory { dir: dir.to_owned(), source };
    // Key ids and address prefixes are nobody else's business.
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let lock =
        File::options().create(true).truncate(false).write(true).open(dir.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// What a store took from the decisions file when it was opened.
#[derive(Debug, Default)]
pub struct TakenOver {
    /// There was such a file, and no database.
    pub is_lost: bool,
    /// Decisions that were newer than what the database had.
    pub decisions: usize,
    /// Decisions and incidents of the database with other bytes than were written: they are taken out of it.
    pub damaged: usize,
    /// Outputs that may have waited for delivery, with other bytes than were written: they are taken out too.
    pub undelivered: usize,
    /// Why the file beside a database cannot be used.
    pub unreadable: Option<DecisionsFileError>,
}

impl TakenOver {
    /// What was lost, and what was taken over instead; `None` = nothing was lost.
    pub fn text(&self) -> Option<String> {
        let Self { is_lost, decisions, damaged, undelivered, .. } = self;
        let mut texts = Vec::new();
        if *is_lost {
            texts.push(format!(
                "there was no database, though a decisions file is there: {decisions} decisions are taken over from \
                 it; profiles and open incidents are lost. If there is a backup, stop Keyhound and put it there"
            ));
        } else if *damaged > 0 {
            texts.push(format!(
                "{damaged} decisions and incidents of the database had other bytes than were written, and are left \
                 out; {decisions} decisions are taken over from the decisions file instead. The disk, or a program \
                 that writes to it, is not to be trusted"
            ));
        } else if *decisions > 0 {
            texts.push(format!(
                "the database is older than the decisions file: {decisions} decisions are taken over from it; what \
                 was learnt since then is lost where it cannot be read again"
            ));
        }
        if *undelivered > 0 {
            texts.push(format!(
                "{undelivered} outputs of the database (table outbox) had other bytes than were written, and are not \
                 delivered if they were not before. The disk, or a program that writes to it, is not to be trusted"
            ));
        }
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// Opens the store for writing, and creates it if it is not there. The directory has to be locked.
pub(super) fn open(dir: &Path, identity: &Identity) -> Result<(Connection, TakenOver), StoreError> {
    let db = Connection::open(dir.join(FILE))?;
    settle(&db)?;
    let is_new = check(&db, dir, identity)?;
    let taken_over = take_from_file(&db, dir, identity, is_new)?;
    Ok((db, taken_over))
}

/// Opens a store that this process has opened before, and never another one. The directory has to be locked.
pub(super) fn open_again(dir: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(
        dir.join(FILE),
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    settle(&db)?;
    Ok(db)
}

/// The files of the store in `dir`, as they are now.
pub(super) fn presence(dir: &Path) -> Presence {
    Presence::of(dir, &[FILE.to_owned(), format!("{FILE}-wal")])
}

/// The same without the write-ahead log, which goes when the last connection is closed.
pub(super) fn presence_when_closed(dir: &Path) -> Presence {
    Presence::of(dir, &[FILE.to_owned()])
}

/// A write-ahead log, synced at every commit: a commit survives a loss of power, and readers never wait.
fn settle(db: &Connection) -> Result<(), StoreError> {
    db.busy_timeout(Duration::from_millis(500))?;
    db.set_prepared_statement_cache_capacity(64);
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", -32_768)?;
    // After a large checkpoint the log file is cut back to this, rather than kept at its largest.
    db.pragma_update(None, "journal_size_limit", 16 << 20)?;
    db.execute_batch(SCHEMA)?;
    db.execute_batch(delta::SCHEMA)?;
    Ok(())
}

/// Takes the decisions that are newer than what the database has: it may be a backup, or a new one. A new one takes the
/// settings too, in the same transaction.
fn take_from_file(
    db: &Connection,
    dir: &Path,
    identity: &Identity,
    is_new: bool,
) -> Result<TakenOver, StoreError> {
    let file = DecisionsFile::new(dir, &identity.pepper_check);
    let mut taken_over = TakenOver::default();
    let kept = match file.read() {
        Ok(kept) => Some(kept),
        Err(error) if error.is_absence() => None,
        // What was decided is not known, so that an answer could let a revoked key pass.
        Err(source) if is_new => return Err(StoreError::DecisionsFile { dir: dir.to_owned(), source }),
        Err(error) => {
            taken_over.unreadable = Some(error);
            // It is evidence only; where it cannot be moved it is replaced.
            let _ = file.put_aside();
            None
        }
    };
    let tx = db.unchecked_transaction()?;
    if is_new {
        set_meta(&tx, "partitions", &identity.partitions)?;
        set_meta(&tx, "topic_prefix", &identity.topic_prefix)?;
        set_meta(&tx, "pepper_check", &identity.pepper_check)?;
        set_codec(&tx, CODEC_VERSION)?;
    }
    taken_over.damaged = mend_current(&tx)?;
    taken_over.undelivered = mend_outbox(&tx)?;
    if let Some(kept) = kept {
        taken_over.is_lost = is_new;
        taken_over.decisions = take_over(&tx, kept.decisions)?;
    }
    tx.commit()?;
    Ok(taken_over)
}

/// Compares the store with the settings. Gives whether it is new, and has none yet.
fn check(db: &Connection, dir: &Path, identity: &Identity) -> Result<bool, StoreError> {
    let dir = || dir.to_owned();
    let codec = codec(db)?;
    if let Some(kept) = codec.filter(|codec| *codec != CODEC_VERSION) {
        return Err(StoreError::Codec { dir: dir(), kept });
    }
    check_meta(db)?;
    if codec.is_none() {
        return Ok(true);
    }
    let kept: u16 = meta(db, "partitions")?.unwrap_or_default();
    if kept != identity.partitions {
        return Err(StoreError::Partitions { dir: dir(), kept, given: identity.partitions });
    }
    let kept: String = meta(db, "topic_prefix")?.unwrap_or_default();
    if kept != identity.topic_prefix {
        return Err(StoreError::TopicPrefix { dir: dir(), kept, given: identity.topic_prefix.clone() });
    }
    if meta::<String>(db, "pepper_check")?.as_deref() != Some(&identity.pepper_check) {
        return Err(StoreError::Pepper { dir: dir() });
    }
    Ok(false)
}

/// A connection that only reads, for threads other than the slot's.
pub(super) fn open_to_read(dir: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(
        dir.join(FILE),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(Duration::from_secs(5))?;
    Ok(db)
}

/// Bytes of the database and of its write-ahead log.
pub(super) fn size(dir: &Path) -> u64 {
    let of = |name: String| fs::metadata(dir.join(name)).map_or(0, |data| data.len());
    of(FILE.to_owned()) + of(format!("{FILE}-wal"))
}
