//! Which Keyhound this is: an id that stays with the state directory, and one of this start.

use rusqlite::Connection;

use super::{
    database::StoreError,
    tables::{meta, set_meta},
};

/// In `meta`.
const NAME: &str = "instance";
/// Hex digits of each of the two.
const DIGITS: usize = 16;

/// Who writes to Keyhound's own topics. Random, so that no two are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Made with the state directory, and the same after a restart. A copy of the directory has it too.
    pub id: String,
    /// Made when the state directory was opened: tells a copy of it from this one.
    pub start: String,
}

impl Instance {
    /// Whether this can be an id: whoever can write to a topic can write anything.
    pub fn is_id(text: &str) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == DIGITS && text.bytes().all(is_digit)
    }

    /// Reads the id, or makes one where there is none that is whole.
    pub(super) fn of_store(db: &Connection) -> Result<Self, StoreError> {
        let kept = match meta::<String>(db, NAME) {
            Err(StoreError::Changed { .. } | StoreError::Unreadable { .. }) => None,
            kept => kept?.filter(|id| Self::is_id(id)),
        };
        let id = if let Some(id) = kept {
            id
        } else {
            let id = random(db)?;
            set_meta(db, NAME, &id)?;
            id
        };
        Ok(Self { id, start: random(db)? })
    }
}

/// From SQLite's generator, which the operating system seeds.
fn random(db: &Connection) -> Result<String, StoreError> {
    Ok(db.query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::SCHEMA;

    #[test]
    fn the_id_stays_with_the_state_and_a_start_has_its_own() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let (first, second) = (Instance::of_store(&db).unwrap(), Instance::of_store(&db).unwrap());
        assert!(Instance::is_id(&first.id) && Instance::is_id(&first.start), "{first:?}");
        assert_eq!(first.id, second.id);
        assert_ne!(first.start, second.start);
        db.execute("UPDATE meta SET value = 'damaged' WHERE name = 'instance'", []).unwrap();
        let other = Instance::of_store(&db).unwrap();
        assert_ne!(other.id, first.id);
        assert_eq!(Instance::of_store(&db).unwrap().id, other.id);
    }
}
