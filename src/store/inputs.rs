//! The table of inputs: names to indices, and where reading goes on.
//!
//! An index is given once and never again, so that a position in old evidence never means another input.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, Row, Transaction, params};

use super::{
    database::StoreError,
    record::InputPosition,
    seal,
    tables::{meta, set_meta, signed, unsigned},
};
use crate::source::{InputName, Inputs};

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub source: u16,
    pub name: String,
    /// Where reading goes on; `None` = it was never said.
    pub next: Option<u64>,
    pub newest_ms: u64,
    /// The size of the file at which it holds nothing more; `None` = it may.
    pub finished: Option<u64>,
}

/// All inputs that are known. Changes wait in it until a commit writes them.
#[derive(Debug, Default)]
pub(super) struct InputTable {
    known: BTreeMap<u32, Known>,
    by_name: HashMap<(u16, String), u32>,
    /// The next index to give.
    next_index: u32,
    /// Opened in this process.
    open: HashSet<u32>,
    opened: Vec<u32>,
    ended: Vec<u32>,
    /// Ended, and the slot has been told: forgotten with the next checkpoint that begins.
    leaving: Vec<u32>,
    /// Had ended when the checkpoint began that is being written: forgotten when it is complete.
    gone: Vec<u32>,
    /// Positions that logs no longer have, and that the next commit may still bring.
    left: HashMap<u32, u64>,
    /// Changed outside of positions: to be written with the next commit.
    changed: Vec<u32>,
}

impl InputTable {
    /// Reads what was kept.
    pub fn load(db: &Connection) -> Result<Self, StoreError> {
        let mut table = Self { next_index: meta(db, "next_input")?.unwrap_or(0), ..Self::default() };
        let mut statement =
            db.prepare("SELECT input, source, name, next, newest_ms, finished, sum FROM inputs")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // Where reading goes on cannot be guessed, so that one changed row is too many.
            let (input, known) = read(row).ok().flatten().ok_or(StoreError::Changed { table: "inputs" })?;
            table.add(input, known);
        }
        Ok(table)
    }

    /// Puts every input at the place that its source has now; `None` = it is kept no longer. What is read and what is
    /// written has its checksum.
    pub fn place(tx: &Transaction<'_>, place: impl Fn(&Known) -> Option<u16>) -> Result<(), StoreError> {
        let mut table = Self::load(tx)?;
        tx.execute("DELETE FROM inputs", [])?;
        let inputs: Vec<u32> = table.known.keys().copied().collect();
        let mut names = HashSet::new();
        for input in inputs {
            let Some(known) = table.known.get_mut(&input) else { continue };
            let Some(source) = place(known) else { continue };
            known.source = source;
            // One that was read by two sources and is now by one keeps the older position's row.
            if names.insert((source, known.name.clone())) {
                table.changed.push(input);
            }
        }
        table.write(tx, false)
    }

    fn add(&mut self, input: u32, known: Known) {
        self.by_name.insert((known.source, known.name.clone()), input);
        self.known.insert(input, known);
    }

    pub fn get(&self, input: u32) -> Option<&Known> {
        self.known.get(&input)
    }

    pub fn take_opened(&mut self, into: &mut Vec<u32>) {
        into.append(&mut self.opened);
    }

    pub fn take_ended(&mut self, into: &mut Vec<u32>) {
        self.leaving.extend_from_slice(&self.ended);
        into.append(&mut self.ended);
    }

    /// A checkpoint begins: no replay from it needs what has ended.
    pub fn begin_checkpoint(&mut self) {
        self.gone.append(&mut self.leaving);
    }

    /// Whether something has to be written that no position record carries.
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Takes positions over. To be followed by [`Self::write`] in the same commit.
    pub fn advance(&mut self, positions: &[InputPosition]) {
        for position in positions {
            if let Some(known) = self.known.get_mut(&position.input) {
                if self.left.get(&position.input) != Some(&position.next) {
                    known.next = Some(position.next);
                }
                known.newest_ms = known.newest_ms.max(position.newest_ms);
                self.changed.push(position.input);
            }
        }
    }

    /// Writes what changed; with a complete checkpoint, forgets the inputs that had ended when it began.
    pub fn write(&mut self, tx: &Transaction<'_>, checkpoint: bool) -> Result<(), StoreError> {
        if checkpoint {
            for input in self.gone.drain(..) {
                let Some(known) = self.known.remove(&input) else { continue };
                self.by_name.remove(&(known.source, known.name));
                self.open.remove(&input);
                tx.execute("DELETE FROM inputs WHERE input = ?1", [input])?;
            }
        }
        self.left.clear();
        self.changed.sort_unstable();
        self.changed.dedup();
        let mut put =
            tx.prepare_cached("INSERT OR REPLACE INTO inputs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for input in self.changed.drain(..) {
            let Some(known) = self.known.get(&input) else { continue };
            let (next, finished) = (known.next.map(signed), known.finished.map(signed));
            let (newest_ms, sum) = (signed(known.newest_ms), sum(input, known));
            put.execute(params![input, known.source, known.name, next, newest_ms, finished, sum])?;
        }
        set_meta(tx, "next_input", &self.next_index)
    }
}

/// A row; `None` = it has other bytes than were written.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<(u32, Known)>> {
    let input = row.get(0)?;
    let known = Known {
        source: row.get(1)?,
        name: row.get(2)?,
        next: row.get::<_, Option<i64>>(3)?.map(unsigned),
        newest_ms: unsigned(row.get(4)?),
        finished: row.get::<_, Option<i64>>(5)?.map(unsigned),
    };
    Ok((row.get::<_, i64>(6)? == sum(input, &known)).then_some((input, known)))
}

/// The checksum of a row.
fn sum(input: u32, known: &Known) -> i64 {
    let Known { source, name, next, newest_ms, finished } = known;
    seal::sum_of(name.as_bytes(), format!("{input} {source} {next:?} {newest_ms} {finished:?}").as_bytes())
}

impl Inputs for InputTable {
    fn input(&mut self, source: u16, name: &InputName) -> (u32, Option<u64>) {
        let input = self.by_name.get(&(source, name.0.clone())).copied().unwrap_or_else(|| {
            let input = self.next_index;
            self.next_index += 1;
            let name = name.0.clone();
            self.add(input, Known { source, name, next: None, newest_ms: 0, finished: None });
            self.changed.push(input);
            input
        });
        // One that had ended and is back is opened again, and keeps its position.
        let ending = |table: &Self| table.ended.len() + table.leaving.len() + table.gone.len();
        let before = ending(self);
        for list in [&mut self.ended, &mut self.leaving, &mut self.gone] {
            list.retain(|ended| *ended != input);
        }
        let is_back = ending(self) < before;
        if self.open.insert(input) || is_back {
            self.opened.push(input);
        }
        (input, self.known.get(&input).and_then(|known| known.next))
    }

    fn each_known(&self, source: u16, see: &mut dyn FnMut(u32, &str)) {
        let known = self.known.iter().filter(|(_, known)| known.source == source);
        known.for_each(|(input, known)| see(*input, &known.name));
    }

    fn knows_any(&self, source: u16) -> bool {
        self.known.values().any(|known| known.source == source)
    }

    fn newest_ms(&self, input: u32) -> Option<u64> {
        self.known.get(&input).map(|known| known.newest_ms).filter(|newest| *newest > 0)
    }

    fn starts_at(&mut self, input: u32, next: u64) {
        if let Some(known) = self.known.get_mut(&input) {
            known.next = Some(next);
            self.changed.push(input);
        }
    }

    fn moved(&mut self, input: u32, from: u64, to: u64) {
        self.left.insert(input, from);
        self.starts_at(input, to);
    }

    fn ended(&mut self, input: u32) {
        if ![&self.ended, &self.leaving, &self.gone].iter().any(|list| list.contains(&input)) {
            self.ended.push(input);
        }
    }

    fn finished_at(&mut self, input: u32, size: u64) {
        if let Some(known) = self.known.get_mut(&input) {
            known.finished = Some(size);
            self.changed.push(input);
        }
    }

    fn finished_size(&self, input: u32) -> Option<u64> {
        self.known.get(&input)?.finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_its_log_lost_is_not_brought_back_by_the_commit_on_its_way() {
        let mut table = InputTable::default();
        let name = InputName("kafka:logs/0".to_owned());
        let (input, _) = table.input(0, &name);
        let commit = |table: &mut InputTable, next: u64| {
            table.advance(&[InputPosition { input, next, newest_ms: 0 }]);
            let mut db = Connection::open_in_memory().unwrap();
            db.execute_batch(
                "CREATE TABLE inputs (input, source, name, next, newest_ms, finished, sum); \
                 CREATE TABLE meta (name, value)",
            )
            .unwrap();
            table.write(&db.transaction().unwrap(), false).unwrap();
            table.input(0, &name).1
        };
        assert_eq!(commit(&mut table, 1_000), Some(1_000));
        table.moved(input, 1_000, 0);
        assert!(table.is_changed(), "so that a restart before the first record goes on there too");
        assert_eq!(commit(&mut table, 1_000), Some(0));
        assert_eq!(commit(&mut table, 3), Some(3));
        assert_eq!(commit(&mut table, 1_000), Some(1_000), "of the new log");
    }
}
