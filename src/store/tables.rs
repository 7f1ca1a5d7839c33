//! The tables of the embedded database, and how one commit is written to them.
//!
//! All of them are SQLite tables in one file, so that one transaction covers positions, outputs and state.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    current::{current_key, is_superseded, outbox_key},
    database::StoreError,
    record::{Entry, Kept, Mark, Output, Progress, Topic},
    seal,
};
/// The tables. `STRICT` so that a value of the wrong type is an error where it is written.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inputs (
    input INTEGER PRIMARY KEY, source INTEGER NOT NULL, name TEXT NOT NULL,
    next INTEGER, newest_ms INTEGER NOT NULL, finished INTEGER, sum INTEGER NOT NULL, UNIQUE (source, name)) STRICT;
CREATE TABLE IF NOT EXISTS sequence (number INTEGER PRIMARY KEY, entries TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS acknowledged (
    dispatcher TEXT PRIMARY KEY, seq INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS current (
    topic INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, seq INTEGER NOT NULL, until_ms INTEGER,
    committed_ms INTEGER NOT NULL, PRIMARY KEY (topic, key)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS current_until ON current (until_ms) WHERE until_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// In `meta` from when decisions were taken over until the next checkpoint.
pub(super) const TAKEN_OVER: &str = "taken_over";

/// SQLite's integers are signed; nothing here comes near their end.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads one value of `meta`.
pub(super) fn meta<T: DeserializeOwned>(
    db: &Connection,
    name: &'static str,
) -> Result<Option<T>, StoreError> {
    let text: Option<String> = db
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    text.map(|text| parse(name, opened(name, name, &text)?)).transpose()
}

/// The version of the form of everything else, in a form that every version reads.
pub(super) fn codec(db: &Connection) -> Result<Option<u16>, StoreError> {
    let text: Option<String> =
        db.query_row("SELECT value FROM meta WHERE name = 'codec'", [], |row| row.get(0)).optional()?;
    text.map(|text| parse("codec", &text)).transpose()
}

/// Writes it.
pub(super) fn set_codec(db: &Connection, codec: u16) -> Result<(), StoreError> {
    db.execute("INSERT OR REPLACE INTO meta VALUES ('codec', ?1)", [json(&codec)])?;
    Ok(())
}

/// Each entry of `meta` is sealed under its name: one that has another now would be missing. Who this is can be made anew.
pub(super) fn check_meta(db: &Connection) -> Result<(), StoreError> {
    let mut statement = db.prepare("SELECT name, value FROM meta WHERE name NOT IN ('codec', 'instance')")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, text): (String, String) = (row.get(0)?, row.get(1)?);
        opened("meta", &name, &text)?;
    }
    Ok(())
}

fn opened<'a>(table: &'static str, key: &str, sealed: &'a str) -> Result<&'a str, StoreError> {
    seal::open_text(key, sealed).ok_or(StoreError::Changed { table })
}

/// Writes one value of `meta`.
pub(super) fn set_meta(
    db: &Connection,
    name: &'static str,
    value: &impl Serialize,
) -> Result<(), StoreError> {
    let text = seal::seal_text(name, &json(value));
    db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?.execute(params![name, text])?;
    Ok(())
}

fn parse<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Unreadable { table, source })
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("records of the store have string keys only")
}

/// The recorded sequence since the last checkpoint.
pub(super) fn sequence(db: &Connection) -> Result<Vec<Entry>, StoreError> {
    let mut statement = db.prepare("SELECT entries, number FROM sequence ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let sealed = row.get_ref(0)?.as_str().unwrap_or_default();
        let text = opened("sequence", &row.get::<_, i64>(1)?.to_string(), sealed)?;
        all.append(&mut parse::<Vec<Entry>>("sequence", text)?);
    }
    Ok(all)
}

/// Writes outputs under consecutive numbers from `first` on, and what is current by topic and key. Of
/// decisions on a subject, the one with the greatest epoch is: gateways that read them in any order keep that one too.
///
/// When a record was committed (`wall_ms`) is kept beside it: who serves decisions judges their freshness by it.
pub(super) fn write_outputs(
    tx: &Transaction<'_>,
    first: u64,
    outputs: &[Output],
    wall_ms: u64,
) -> Result<(), StoreError> {
    let committed = signed(wall_ms);
    let mut insert = tx.prepare_cached("INSERT INTO outbox VALUES (?1, ?2, ?3, ?4)")?;
    let mut current = tx.prepare_cached("INSERT OR REPLACE INTO current VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut forget = tx.prepare_cached("DELETE FROM current WHERE topic = ?1 AND key = ?2")?;
    for (seq, output) in (first..).zip(outputs) {
        let topic = output.topic as u8;
        let sealed = seal::seal(&outbox_key(seq, topic, &output.key), &output.value);
        insert.execute(params![signed(seq), topic, output.key, sealed])?;
        if !matches!(output.topic, Topic::Incidents | Topic::Decisions) {
            continue;
        }
        if output.value.is_empty() {
            forget.execute(params![topic, output.key])?;
        } else if output.topic == Topic::Incidents || !is_superseded(tx, &output.key, &output.value)? {
            let until = match output.kept {
                Kept::Open => None,
                Kept::Until(ms) => Some(signed(ms)),
            };
            let sealed = seal::seal(&current_key(topic, &output.key, seq, until, committed), &output.value);
            current.execute(params![topic, output.key, sealed, signed(seq), until, committed])?;
        }
    }
    Ok(())
}

/// Whether decisions were taken over that no checkpoint contains yet.
pub(super) fn has_taken_over(db: &Connection) -> Result<bool, StoreError> {
    Ok(meta(db, TAKEN_OVER)?.unwrap_or_default())
}

/// The decisions whose time has passed, as the tombstones that are to follow them.
pub(super) fn tombstones(db: &Connection, watermark_ms: u64) -> Result<Vec<Output>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT key FROM current WHERE topic = ?1 AND until_ms < ?2 ORDER BY key")?;
    let rows =
        statement.query_map(params![Topic::Decisions as u8, signed(watermark_ms)], |row| row.get(0))?;
    let tombstone = |key| Output { topic: Topic::Decisions, key, value: Vec::new(), kept: Kept::Until(0) };
    Ok(rows.map(|key| key.map(tombstone)).collect::<Result<_, _>>()?)
}

/// Forgets the closed incidents whose time has passed.
pub(super) fn forget_closed(tx: &Transaction<'_>, watermark_ms: u64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM current WHERE topic = ?1 AND until_ms < ?2")?
        .execute(params![Topic::Incidents as u8, signed(watermark_ms)])?;
    Ok(())
}

/// Writes the commit's place and its piece of the sequence.
pub(super) fn write_progress(
    tx: &Transaction<'_>,
    progress: &Progress,
    sequence: &[Entry],
) -> Result<(), StoreError> {
    set_meta(tx, "progress", progress)?;
    if !sequence.is_empty() {
        let number = signed(progress.commit);
        tx.prepare_cached("INSERT INTO sequence VALUES (?1, ?2)")?
            .execute(params![number, seal::seal_text(&number.to_string(), &json(&sequence))])?;
    }
    Ok(())
}

/// Makes a mark the place where a replay starts, and cuts the sequence off before it.
pub(super) fn write_mark(tx: &Transaction<'_>, mark: &Mark) -> Result<(), StoreError> {
    set_meta(tx, "checkpoint", mark)?;
    tx.execute("DELETE FROM meta WHERE name = ?1", [TAKEN_OVER])?;
    tx.execute("DELETE FROM sequence WHERE number <= ?1", [signed(mark.progress.commit)])?;
    Ok(())
}

/// Forgets entries of the state.
pub(super) fn forget_state(tx: &Transaction<'_>, keys: &[Vec<u8>]) -> Result<(), StoreError> {
    let mut forget = tx.prepare_cached("DELETE FROM state WHERE key = ?1")?;
    for key in keys {
        forget.execute([key])?;
    }
    Ok(())
}
