//! The same tables in each of the databases.

use std::path::Path;

/// What one commit writes.
#[derive(Default)]
pub struct Rows {
    pub positions: Vec<(u32, Vec<u8>)>,
    pub sequence: (u64, Vec<u8>),
    pub outbox: Vec<(u64, Vec<u8>)>,
    pub trim: u64,
    pub truncate: Option<u64>,
    pub state: Vec<([u8; 17], Vec<u8>)>,
}

pub trait Store {
    fn commit(&mut self, rows: Rows);
    fn scan(&mut self) -> (u64, u64);
}

pub fn open(name: &str, dir: &Path, sync: bool) -> Box<dyn Store> {
    match name {
        "redb" => Box::new(Redb::open(dir, false)),
        "redb-quick" => Box::new(Redb::open(dir, true)),
        "fjall" => Box::new(Fjall::open(dir, sync)),
        "sqlite" => Box::new(Sqlite::open(dir, sync, false)),
        "sqlite-pieces" => Box::new(Sqlite::open(dir, sync, true)),
        _ => panic!("redb, redb-quick, fjall, sqlite or sqlite-pieces"),
    }
}

const POSITIONS: redb::TableDefinition<u32, &[u8]> = redb::TableDefinition::new("positions");
const SEQUENCE: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("sequence");
const OUTBOX: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("outbox");
const STATE: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("state");

struct Redb { db: redb::Database, quick: bool }

impl Redb {
    fn open(dir: &Path, quick: bool) -> Self {
        let db = redb::Database::builder().set_cache_size(64 << 20).create(dir.join("db.redb")).unwrap();
        Self { db, quick }
    }
}

impl Store for Redb {
    fn commit(&mut self, rows: Rows) {
        let mut tx = self.db.begin_write().unwrap();
        tx.set_quick_repair(self.quick);
        {
            let mut positions = tx.open_table(POSITIONS).unwrap();
            for (k, v) in &rows.positions { positions.insert(k, v.as_slice()).unwrap(); }
            let mut sequence = tx.open_table(SEQUENCE).unwrap();
            sequence.insert(rows.sequence.0, rows.sequence.1.as_slice()).unwrap();
            if let Some(to) = rows.truncate { sequence.retain_in(..=to, |_, _| false).unwrap(); }
            let mut outbox = tx.open_table(OUTBOX).unwrap();
            for (k, v) in &rows.outbox { outbox.insert(k, v.as_slice()).unwrap(); }
            outbox.retain_in(..rows.trim, |_, _| false).unwrap();
            let mut state = tx.open_table(STATE).unwrap();
            for (k, v) in &rows.state { state.insert(k.as_slice(), v.as_slice()).unwrap(); }
        }
        tx.commit().unwrap();
    }

    fn scan(&mut self) -> (u64, u64) {
        use redb::{ReadableDatabase, ReadableTable};
        let tx = self.db.begin_read().unwrap();
        let table = tx.open_table(STATE).unwrap();
        table.iter().unwrap().fold((0, 0), |(n, b), row| {
            (n + 1, b + row.unwrap().1.value().len() as u64)
        })
    }
}

struct Fjall { db: fjall::Database, tables: [fjall::Keyspace; 4], sync: bool, trimmed: u64, truncated: u64 }

impl Fjall {
    fn open(dir: &Path, sync: bool) -> Self {
        let db = fjall::Database::builder(dir).open().unwrap();
        let table = |name| db.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        let tables = [table("positions"), table("sequence"), table("outbox"), table("state")];
        Self { db, tables, sync, trimmed: 0, truncated: 0 }
    }
}

impl Store for Fjall {
    fn commit(&mut self, rows: Rows) {
        let mode = if self.sync { fjall::PersistMode::SyncData } else { fjall::PersistMode::Buffer };
        let mut batch = self.db.batch().durability(Some(mode));
        let [positions, sequence, outbox, state] = &self.tables;
        for (k, v) in rows.positions { batch.insert(positions, k.to_be_bytes(), v); }
        batch.insert(sequence, rows.sequence.0.to_be_bytes(), rows.sequence.1);
        if let Some(to) = rows.truncate {
            for n in self.truncated..=to { batch.remove(sequence, n.to_be_bytes()); }
            self.truncated = to + 1;
        }
        for (k, v) in rows.outbox { batch.insert(outbox, k.to_be_bytes(), v); }
        for n in self.trimmed..rows.trim { batch.remove(outbox, n.to_be_bytes()); }
        self.trimmed = rows.trim;
        for (k, v) in rows.state { batch.insert(state, k, v); }
        batch.commit().unwrap();
    }

    fn scan(&mut self) -> (u64, u64) {
        self.tables[3].iter().fold((0, 0), |(n, b), guard| {
            let (_, value) = guard.into_inner().unwrap();
            (n + 1, b + value.len() as u64)
        })
    }
}

struct Sqlite { db: rusqlite::Connection, pieces: bool }

impl Sqlite {
    fn open(dir: &Path, sync: bool, pieces: bool) -> Self {
        let db = rusqlite::Connection::open(dir.join("db.sqlite")).unwrap();
        db.execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous={}; PRAGMA cache_size=-65536; PRAGMA mmap_size=0;
             CREATE TABLE IF NOT EXISTS positions (k INTEGER PRIMARY KEY, v BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS sequence (k INTEGER PRIMARY KEY, v BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS outbox (k INTEGER PRIMARY KEY, v BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS pieces (k INTEGER PRIMARY KEY, v BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS state (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;",
            if sync { "FULL" } else { "NORMAL" }
        )).unwrap();
        Self { db, pieces }
    }

    /// Moves the oldest `most` pieces to the table.
    fn fold(tx: &rusqlite::Transaction<'_>, most: usize) {
        for _ in 0..most {
            let piece = tx.prepare_cached("SELECT k, v FROM pieces ORDER BY k LIMIT 1").unwrap()
                .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
            let Ok((number, piece)) = piece else { return };
            let mut put = tx.prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2)").unwrap();
            for entry in piece.chunks_exact(217) { put.execute([&entry[..17], &entry[17..]]).unwrap(); }
            tx.prepare_cached("DELETE FROM pieces WHERE k = ?1").unwrap().execute([number]).unwrap();
        }
    }
}

impl Store for Sqlite {
    fn commit(&mut self, rows: Rows) {
        let tx = self.db.transaction().unwrap();
        let run = |sql: &str, k: &dyn rusqlite::ToSql, v: &[u8]| {
            tx.prepare_cached(sql).unwrap().execute(rusqlite::params![k, v]).unwrap();
        };
        for (k, v) in &rows.positions { run("INSERT OR REPLACE INTO positions VALUES (?1, ?2)", k, v); }
        run("INSERT INTO sequence VALUES (?1, ?2)", &(rows.sequence.0 as i64), &rows.sequence.1);
        if let Some(to) = rows.truncate { tx.execute("DELETE FROM sequence WHERE k <= ?1", [to as i64]).unwrap(); }
        for (k, v) in &rows.outbox { run("INSERT INTO outbox VALUES (?1, ?2)", &(*k as i64), v); }
        tx.prepare_cached("DELETE FROM outbox WHERE k < ?1").unwrap().execute([rows.trim as i64]).unwrap();
        if self.pieces {
            Self::fold(&tx, if rows.state.is_empty() { 3 } else { usize::MAX });
            for entries in rows.state.chunks(1_000) {
                let piece: Vec<u8> = entries.iter().flat_map(|(k, v)| k.iter().chain(v).copied()).collect();
                tx.prepare_cached("INSERT INTO pieces (v) VALUES (?1)").unwrap().execute([piece]).unwrap();
            }
        } else {
            for (k, v) in &rows.state { run("INSERT OR REPLACE INTO state VALUES (?1, ?2)", &k.as_slice(), v); }
        }
        tx.commit().unwrap();
    }

    fn scan(&mut self) -> (u64, u64) {
        let mut statement = self.db.prepare("SELECT k, v FROM state ORDER BY k").unwrap();
        let mut rows = statement.query([]).unwrap();
        let (mut n, mut b) = (0, 0);
        while let Some(row) = rows.next().unwrap() {
            n += 1;
            b += row.get_ref(1).unwrap().as_blob().unwrap().len() as u64;
        }
        (n, b)
    }
}
