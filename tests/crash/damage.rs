//! Bytes of the database changed while the daemon does not run, as a disk does it: each is noticed, or harms nothing.
//!
//! `KEYHOUND_FLIPS` says how many; `KEYHOUND_SEED` repeats a run.

use std::{fs, path::Path};

use super::{
    daemon::{Daemon, FileSource, Site, http, sum},
    gone::{append, commit, is_ready, lines, wait},
    lives::{STOLEN, check, revoke},
    next, seed,
};

const DATABASE: &str = "keyhound.sqlite";

/// The tables, each with its columns that matter.
const ROWS: [(&str, &[&str]); 7] = [
    ("inputs", &["input", "source", "name", "next", "newest_ms", "sum"]),
    ("outbox", &["seq", "topic", "key", "value"]),
    ("acknowledged", &["dispatcher", "seq", "sum"]),
    ("current", &["topic", "key", "value", "seq", "until_ms", "committed_ms"]),
    ("meta", &["name", "value"]),
    ("state", &["key", "value"]),
    ("sequence", &["number", "entries"]),
];

/// Flips one bit of one value of one row. Gives which; `None` = SQLite itself does not let such a value in.
fn flip(database: &Path, random: &mut u64) -> Option<String> {
    let db = rusqlite::Connection::open(database).expect("opened");
    let (table, columns) = ROWS[pick(random, ROWS.len())];
    let column = columns[pick(random, columns.len())];
    let rows: i64 =
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("rows");
    let rows = usize::try_from(rows).expect("few");
    if rows == 0 {
        return None;
    }
    let row = pick(random, rows);
    let select = format!("SELECT {column} FROM {table} ORDER BY 1 LIMIT 1 OFFSET {row}");
    let value: rusqlite::types::Value = db.query_row(&select, [], |row| row.get(0)).expect("a value");
    let changed = changed(&value, random)?;
    let update = format!("UPDATE {table} SET {column} = ?1 WHERE {column} = ?2");
    let done = db.execute(&update, rusqlite::params![changed, value]).ok()?;
    (done > 0).then(|| format!("{table}.{column}: {value:?} to {changed:?}"))
}

fn pick(random: &mut u64, of: usize) -> usize {
    usize::try_from(next(random) % of as u64).expect("small")
}

fn changed(value: &rusqlite::types::Value, random: &mut u64) -> Option<rusqlite::types::Value> {
    use rusqlite::types::Value;
    Some(match value {
        Value::Integer(number) => Value::Integer(number ^ (1 << pick(random, 63))),
        Value::Text(text) => {
            let mut bytes = text.clone().into_bytes();
            let at = pick(random, bytes.len().max(1));
            *bytes.get_mut(at)? ^= 1 << pick(random, 7);
            Value::Text(String::from_utf8(bytes).ok()?)
        }
        Value::Blob(blob) => {
            let mut bytes = blob.clone();
            let at = pick(random, bytes.len().max(1));
            *bytes.get_mut(at)? ^= 1 << pick(random, 8);
            Value::Blob(bytes)
        }
        Value::Null | Value::Real(_) => return None,
    })
}

/// What the daemon says is wrong: a fault, a reason, or that it left something out.
fn notices(site: &Site) -> Option<String> {
    let ready = http::get(&site.listen, "/readyz")?;
    let metrics = http::get(&site.listen, "/metrics")?;
    // The listener for gateways is closed at every start for a while, so that this says nothing.
    let faults = ["engine_stopped", "state_lost"]
        .into_iter()
        .find(|fault| sum(&metrics, "keyhound_fault", &[&format!("fault=\"{fault}\"")]) == Some(1));
    let differs = sum(&metrics, "keyhound_digest_mismatches_total", &[]) > Some(0);
    let gap = sum(&metrics, "keyhound_replay_gaps_total", &[]) > Some(0);
    faults.map(|fault| format!("{fault}: {ready}")).or_else(|| (differs || gap).then_some(ready))
}

/// Copies all files of a folder to another one.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn a_flipped_bit_of_the_database_is_noticed_at_the_start_or_harms_nothing() {
    let flips: u32 = std::env::var("KEYHOUND_FLIPS").map_or(8, |flips| flips.parse().expect("a number"));
    let mut random = seed();
    println!("KEYHOUND_SEED={random}");
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let site = Site::new(&[source], true, "response: { mode: enforce }");
    let all = lines(221);
    append(&site.path("access.log"), &all[..100]);
    let daemon = site.start(&[]);
    wait(&site, "100 records", || site.metric("keyhound_records_total") == Some(100));
    assert!(revoke(&site, STOLEN).starts_with("HTTP/1.1 200"));
    wait(&site, "it is refused", || check(&site, STOLEN) == "403");
    // It ends with a checkpoint, and is then killed, so that there is a sequence to replay.
    assert!(daemon.stop().success(), "{}", site.last_words());
    let daemon = site.start(&[]);
    append(&site.path("access.log"), &all[100..200]);
    wait(&site, "100 more", || site.metric("keyhound_records_total") == Some(100));
    commit(&site, &site.path("access.log"), &all[200]);
    daemon.kill();
    append(&site.path("access.log"), &all[201..]);
    copy(&site.path("state"), &site.path("kept"));
    // The same without a flip: how much is new.
    let daemon = site.start(&[]);
    wait(&site, "ready", || is_ready(&site) && site.metric("keyhound_records_total") >= Some(20));
    let expected = site.metric("keyhound_records_total");
    assert_eq!(notices(&site), None, "nothing is wrong without a flip");
    daemon.kill();

    let (mut done, mut noticed) = (0, 0);
    while done < flips {
        copy(&site.path("kept"), &site.path("state"));
        let Some(what) = flip(&site.path("state").join(DATABASE), &mut random) else { continue };
        done += 1;
        noticed += u32::from(is_noticed(&site, site.start(&[]), expected, &what));
    }
    println!("{noticed} of {done} noticed, the others harmless");
}

/// Waits until the daemon is ready or says what is wrong. Gives whether it says so; what it says nothing of must have
/// harmed nothing.
fn is_noticed(site: &Site, mut daemon: Daemon, expected: Option<u64>, what: &str) -> bool {
    let mut said = None;
    wait(site, what, || {
        assert_ne!(check(site, STOLEN), "200", "{what}: {}", site.last_words());
        said = notices(site);
        let has_ended = daemon.end_within(std::time::Duration::ZERO).is_some();
        if has_ended {
            said = Some(site.last_words());
        }
        said.is_some() || is_ready(site)
    });
    if let Some(said) = said {
        let is_told = ["keyhound.sqlite", "state.dir", "keyhound.decisions", "state"];
        assert!(is_told.iter().any(|words| said.contains(words)), "{what}: {said}");
        return true;
    }
    // What is new since then comes once, no more and no less: positions are right.
    wait(site, what, || site.metric("keyhound_records_total") >= expected);
    let records = site.metric("keyhound_records_total");
    assert!(
        records == expected || notices(site).is_some(),
        "{what}: {records:?} records are new\n{}",
        site.last_words()
    );
    assert_eq!(check(site, STOLEN), "403", "{what}: {}", site.last_words());
    false
}
