//! Sources by what they read, so that the list of sources can be put into another order, and an entry added or taken
//! out, without one source beginning anew or taking over the positions of another.
//!
//! Everything else in the store knows a source by its place in the list. So this is settled once, when it is opened.

use rusqlite::Connection;

use super::{
    database::StoreError,
    inputs::InputTable,
    tables::{meta, set_meta},
};

/// Sources that are not in the settings any more and whose positions are kept, in case they come back.
const ABSENT_MAX: usize = 64;

/// What each source reads, by place: see [`Source::reads`](crate::source::Source::reads).
type Reads = Vec<Vec<String>>;

/// Moves what is kept to the places that its sources have now.
pub(super) fn settle(db: &Connection, now: &Reads) -> Result<(), StoreError> {
    let before: Reads = meta(db, "sources")?.unwrap_or_default();
    if before.starts_with(now) {
        return Ok(());
    }
    let tx = db.unchecked_transaction()?;
    let places = places(&before, now);
    InputTable::place(&tx, |known| {
        // A topic is read by one source, whichever that was before.
        let reads = |topic: &String| topic.starts_with("kafka:") && is_of(&known.name, topic);
        let topic = now.iter().position(|source| source.iter().any(reads));
        let place = || match places.get(usize::from(known.source)) {
            Some(place) => *place,
            None => Some(usize::from(known.source)),
        };
        topic.or_else(place).and_then(|place| u16::try_from(place).ok())
    })?;
    let absent = places.iter().zip(&before).filter(|(new, _)| new.is_some_and(|new| new >= now.len()));
    let reads: Reads = now.iter().chain(absent.map(|(_, reads)| reads)).cloned().collect();
    set_meta(&tx, "sources", &reads)?;
    Ok(tx.commit()?)
}

/// Whether an input is a partition of this topic.
fn is_of(name: &str, topic: &str) -> bool {
    name.strip_prefix(topic).is_some_and(|rest| rest.starts_with('/'))
}

/// The new place of each source that was there before: where the same is read; else where some of it is read; else,
/// since its settings may have been changed, the place that it had; else behind those that there are. `None` = there
/// are more than [`ABSENT_MAX`] of those.
fn places(before: &Reads, now: &Reads) -> Vec<Option<usize>> {
    let mut places = vec![None; before.len()];
    let kind = |reads: &[String]| reads.first().and_then(|reads| reads.split(':').next().map(str::to_owned));
    let same = |old: usize, new: usize| before[old] == now[new];
    let same_here = |old: usize, new: usize| old == new && same(old, new);
    let overlapping = |old: usize, new: usize| before[old].iter().any(|reads| now[new].contains(reads));
    let here = |old: usize, new: usize| old == new && kind(&before[old]) == kind(&now[new]);
    let passes: [&dyn Fn(usize, usize) -> bool; 4] = [&same_here, &same, &overlapping, &here];
    for is_it in passes {
        for old in 0..before.len() {
            if places[old].is_none() {
                places[old] = (0..now.len()).find(|new| !places.contains(&Some(*new)) && is_it(old, *new));
            }
        }
    }
    let absent = places.iter_mut().filter(|place| place.is_none()).take(ABSENT_MAX);
    for (place, new) in absent.zip(now.len()..) {
        *place = Some(new);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{InputName, Inputs as _};

    fn reads(list: &[&str]) -> Reads {
        list.iter().map(|reads| reads.split('+').map(str::to_owned).collect()).collect()
    }

    /// Settles each list in turn; `inputs` are there after the first. What is kept in the end, as `name@place`.
    #[track_caller]
    fn settled(lists: &[&[&str]], inputs: &[(u16, &str)]) -> Vec<String> {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(crate::store::tables::SCHEMA).unwrap();
        for (n, list) in lists.iter().enumerate() {
            settle(&db, &reads(list)).unwrap();
            if n == 0 {
                let mut table = InputTable::default();
                for (source, name) in inputs {
                    table.input(*source, &InputName((*name).to_owned()));
                }
                let tx = db.unchecked_transaction().unwrap();
                table.write(&tx, false).unwrap();
                tx.commit().unwrap();
            }
        }
        let mut kept = db.prepare("SELECT name, source FROM inputs ORDER BY name").unwrap();
        let kept =
            kept.query_map([], |row| Ok(format!("{}@{}", row.get::<_, String>(0)?, row.get::<_, u16>(1)?)));
        kept.unwrap().map(Result::unwrap).collect()
    }

    const FILES: [&str; 3] = ["file:/a", "file:/b", "stdin"];
    const INPUTS: [(u16, &str); 3] = [(0, "inode-1"), (1, "inode-2"), (2, "stdin")];

    #[test]
    fn positions_follow_their_source_to_its_new_place() {
        assert_eq!(settled(&[&FILES], &INPUTS), ["inode-1@0", "inode-2@1", "stdin@2"]);
        let turned = ["stdin", "file:/a", "file:/b"];
        assert_eq!(settled(&[&FILES, &turned], &INPUTS), ["inode-1@1", "inode-2@2", "stdin@0"]);
        let first = ["file:/new", "file:/a", "file:/b", "stdin"];
        assert_eq!(settled(&[&FILES, &first], &INPUTS), ["inode-1@1", "inode-2@2", "stdin@3"]);
    }

    #[test]
    fn one_that_is_taken_out_has_its_positions_when_it_comes_back() {
        let without = ["file:/b", "stdin"];
        assert_eq!(settled(&[&FILES, &without], &INPUTS), ["inode-1@2", "inode-2@0", "stdin@1"]);
        let back = ["file:/b", "stdin", "file:/new", "file:/a"];
        assert_eq!(settled(&[&FILES, &without, &back], &INPUTS), ["inode-1@3", "inode-2@0", "stdin@1"]);
    }

    #[test]
    fn a_source_whose_settings_change_stays_what_it_is() {
        let more = ["file:/new", "file:/b+file:/c", "stdin"];
        assert_eq!(settled(&[&FILES, &more], &INPUTS), ["inode-1@0", "inode-2@1", "stdin@2"]);
        let more_and_turned = ["file:/b+file:/c", "file:/a", "stdin"];
        assert_eq!(settled(&[&FILES, &more_and_turned], &INPUTS), ["inode-1@1", "inode-2@0", "stdin@2"]);
        let another_kind = ["kafka:logs", "file:/b", "stdin"];
        assert_eq!(settled(&[&FILES, &another_kind], &INPUTS), ["inode-1@3", "inode-2@1", "stdin@2"]);
    }

    #[test]
    fn topics_keep_their_positions_when_a_source_is_split_or_joined() {
        let one = ["kafka:a+kafka:ab"];
        let inputs = [(0, "kafka:a/0"), (0, "kafka:ab/0")];
        let split = ["kafka:ab", "kafka:a"];
        assert_eq!(settled(&[&one, &split], &inputs), ["kafka:a/0@1", "kafka:ab/0@0"]);
        assert_eq!(settled(&[&one, &split, &one], &inputs), ["kafka:a/0@0", "kafka:ab/0@0"]);
        let gone = ["kafka:ab"];
        assert_eq!(settled(&[&one, &split, &gone, &split], &inputs), ["kafka:a/0@1", "kafka:ab/0@0"]);
    }

    #[test]
    fn absent_sources_are_bounded() {
        let many: Vec<String> = (0..100).map(|n| format!("file:/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
        let inputs: Vec<(u16, &str)> = (0..).zip(names.iter().map(String::as_str)).collect();
        let kept = settled(&[&many, &["stdin"]], &inputs);
        assert_eq!((kept.len(), kept[0].as_str()), (ABSENT_MAX, "000@1"));
        assert_eq!(settled(&[&many, &["stdin"], &["stdin", "file:/63"]], &inputs)[63], "063@1");
    }
}
