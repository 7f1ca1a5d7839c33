//! Rows of committed outputs with their checksums: what is current, and what waits in the outbox. A row whose checksum is
//! not that of all its columns is never used: it is taken out when the store is opened.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{
    KEPT_AFTER_END,
    database::StoreError,
    outbox::OutRecord,
    record::{Progress, Topic},
    seal,
    tables::{TAKEN_OVER, meta, set_meta, signed, unsigned},
};
use crate::respond::Decision;

/// Under what the value of a row of the outbox is sealed.
pub(super) fn outbox_key(seq: u64, topic: u8, key: &str) -> Vec<u8> {
    format!("{seq} {topic} {key}").into_bytes()
}

/// Under what the value of a row of `current` is sealed.
pub(super) fn current_key(
    topic: u8,
    key: &str,
    seq: u64,
    until_ms: Option<i64>,
    committed_ms: i64,
) -> Vec<u8> {
    format!("{topic} {seq} {until_ms:?} {committed_ms} {key}").into_bytes()
}

/// The columns of `current`, as [`current_row`] reads them.
pub(super) const CURRENT: &str = "topic, key, value, seq, until_ms, committed_ms";
/// The columns of the outbox, as [`outbox_row`] reads them.
pub(super) const OUTBOX: &str = "seq, topic, key, value";

/// A row of `current`, with when it was committed; `None` = it has other bytes than were written.
pub(super) fn current_row(row: &Row<'_>) -> rusqlite::Result<Option<(OutRecord, u64)>> {
    let (topic, Ok(key)) = (row.get(0)?, row.get_ref(1)?.as_str()) else { return Ok(None) };
    let (seq, committed_ms): (i64, i64) = (row.get(3)?, row.get(5)?);
    let under = current_key(topic, key, unsigned(seq), row.get(4)?, committed_ms);
    let value = row.get_ref(2)?.as_blob().ok().and_then(|sealed| seal::open(&under, sealed));
    let record = |topic, value: &[u8]| OutRecord {
        seq: unsigned(seq),
        topic,
        key: key.to_owned(),
        value: value.to_vec(),
    };
    let record = Topic::from_number(topic).zip(value).map(|(topic, value)| record(topic, value));
    Ok(record.map(|record| (record, unsigned(committed_ms))))
}

/// A row of the outbox; `None` = it has other bytes than were written.
pub(super) fn outbox_row(row: &Row<'_>) -> rusqlite::Result<Option<OutRecord>> {
    let (seq, topic, Ok(key)) = (unsigned(row.get(0)?), row.get(1)?, row.get_ref(2)?.as_str()) else {
        return Ok(None);
    };
    let sealed = row.get_ref(3)?.as_blob().unwrap_or_default();
    let value = seal::open(&outbox_key(seq, topic, key), sealed);
    let record =
        |(topic, value): (Topic, &[u8])| OutRecord { seq, topic, key: key.to_owned(), value: value.to_vec() };
    Ok(Topic::from_number(topic).zip(value).map(record))
}

/// Whether a row that is damaged so that its columns cannot be read as what they are is taken for one with other bytes.
fn is_sound<T>(read: &rusqlite::Result<Option<T>>) -> bool {
    matches!(read, Ok(Some(_)))
}

/// Takes the rows of `current` away that have other bytes than were written, and gives how many: one of them would stop
/// whoever reads the table. A row may lie where its key does not belong, so that the table is written anew.
pub(super) fn mend_current(tx: &Transaction<'_>) -> Result<usize, StoreError> {
    let mut damaged = 0;
    for is_sound in tx
        .prepare(&format!("SELECT {CURRENT} FROM current"))?
        .query_map([], |row| Ok(is_sound(&current_row(row))))?
    {
        damaged += usize::from(!is_sound?);
    }
    if damaged == 0 {
        return Ok(0);
    }
    let mut kept: Vec<[rusqlite::types::Value; 6]> = Vec::new();
    {
        let mut statement = tx.prepare(&format!("SELECT {CURRENT} FROM current"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if is_sound(&current_row(row)) {
                kept.push([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?]);
            }
        }
    }
    tx.execute("DELETE FROM current", [])?;
    let mut put =
        tx.prepare(&format!("INSERT OR REPLACE INTO current ({CURRENT}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"))?;
    for row in &kept {
        put.execute(rusqlite::params_from_iter(row))?;
    }
    set_meta(tx, TAKEN_OVER, &true)?;
    Ok(damaged)
}

/// The same of the outbox: what waited there is not delivered.
pub(super) fn mend_outbox(tx: &Transaction<'_>) -> Result<usize, StoreError> {
    let mut damaged: Vec<i64> = Vec::new();
    let mut statement = tx.prepare(&format!("SELECT {OUTBOX}, rowid FROM outbox"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !is_sound(&outbox_row(row)) {
            damaged.push(row.get(4)?);
        }
    }
    for row in &damaged {
        tx.execute("DELETE FROM outbox WHERE rowid = ?1", [row])?;
    }
    Ok(damaged.len())
}

/// Takes the decisions that have a greater epoch than what is current for their subjects: what a store that is gone, or
/// is newer than this copy of it, has decided. Gives how many. They are not part of the state until its next checkpoint.
pub(super) fn take_over(tx: &Transaction<'_>, decisions: Vec<(Vec<u8>, u64)>) -> Result<usize, StoreError> {
    let watermark_ms = meta::<Progress>(tx, "progress")?.map_or(0, |progress| progress.watermark_ms);
    let mut current = tx.prepare_cached("INSERT OR REPLACE INTO current VALUES (?1, ?2, ?3, 0, ?4, ?5)")?;
    let mut count = 0;
    for (value, committed_ms) in decisions {
        // Of a later version, perhaps: then it is one that gateways are told nothing of either.
        let Ok(decision) = serde_json::from_slice::<Decision>(&value) else { continue };
        let until = decision.expires().after(KEPT_AFTER_END).0;
        let (topic, key) = (Topic::Decisions as u8, &decision.subject.id);
        // What is long over may have been forgotten.
        if until < watermark_ms || current_epoch(tx, key)?.is_some_and(|epoch| epoch >= decision.epoch) {
            continue;
        }
        let (until, committed) = (signed(until), signed(committed_ms));
        let sealed = seal::seal(&current_key(topic, key, 0, Some(until), committed), &value);
        current.execute(params![topic, key, sealed, until, committed])?;
        count += 1;
    }
    if count > 0 {
        set_meta(tx, TAKEN_OVER, &true)?;
    }
    Ok(count)
}

/// The epoch of what is current for a subject.
fn current_epoch(tx: &Transaction<'_>, key: &str) -> Result<Option<u64>, StoreError> {
    let known = format!("SELECT {CURRENT} FROM current WHERE topic = ?1 AND key = ?2");
    let params = params![Topic::Decisions as u8, key];
    let before = tx.prepare_cached(&known)?.query_row(params, current_row).optional()?.flatten();
    Ok(before.and_then(|(record, _)| epoch(&record.value)))
}

/// Whether what is current for its subject has a greater epoch than this decision record.
pub(super) fn is_superseded(tx: &Transaction<'_>, key: &str, value: &[u8]) -> Result<bool, StoreError> {
    // A subject without one is the rule: nothing is parsed for it.
    let Some(known) = current_epoch(tx, key)? else { return Ok(false) };
    Ok(epoch(value).is_some_and(|epoch| epoch < known))
}

/// The epoch of a decision record.
fn epoch(value: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Decision>(value).ok().map(|decision| decision.epoch)
}

/// The number of the newest output that there was, and how far each of these dispatchers has come; `None` = it is new.
/// Of rows with other bytes than were written, nothing counts: then whoever has no sound row delivers all again.
pub(super) fn progress_of(
    db: &Connection,
    dispatchers: &[String],
) -> Result<(u64, Vec<Option<u64>>), StoreError> {
    let mut newest =
        unsigned(db.query_row("SELECT coalesce(max(seq), 0) FROM outbox", [], |row| row.get(0))?);
    let (mut sound, mut is_damaged): (Vec<(String, u64)>, bool) = (Vec::new(), false);
    let mut statement = db.prepare("SELECT dispatcher, seq, sum FROM acknowledged")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, seq, sum): (rusqlite::Result<String>, i64, i64) = (row.get(0), row.get(1)?, row.get(2)?);
        match name.ok().filter(|name| sum == acknowledged_sum(name, unsigned(seq))) {
            Some(name) => sound.push((name, unsigned(seq))),
            None => is_damaged = true,
        }
    }
    // A newest row that was damaged and taken out does not give its number to another output.
    newest = sound.iter().map(|(_, seq)| *seq).fold(newest, u64::max);
    let of = |name: &String| sound.iter().find(|(known, _)| known == name).map(|(_, seq)| *seq);
    let kept = dispatchers.iter().map(|name| of(name).or(is_damaged.then_some(0))).collect();
    Ok((newest, kept))
}

/// The checksum of a dispatcher's row.
pub(super) fn acknowledged_sum(dispatcher: &str, seq: u64) -> i64 {
    seal::sum_of(dispatcher.as_bytes(), &seq.to_le_bytes())
}

#[cfg(test)]
#[path = "current_tests.rs"]
mod tests;
