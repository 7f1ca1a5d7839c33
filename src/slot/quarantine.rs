//! Records at which the slot's thread panicked.
//!
//! A panic takes the state of the engine with it, and the next life reads the same records again. So what is being
//! judged is noted down before it is: after a panic, the next life reads the records of that batch one at a time, and
//! a second panic names its record. The life after that passes it over.
//!
//! A panic that depends on the state comes again with other records: with each of one key, or whenever time passes. So
//! what panics a second time within [`STRIKES_WITHIN`] is left out for an hour ([`super::exclusion`]): the requests of the
//! key, or what passing time brings in the partition. So each key, and each partition's timed work, costs four restarts
//! an hour at most. A caller may have ever new keys: after [`IMMATURE_KEYS_MAX`] of those that are not mature, the requests
//! of all of them are left out. A mature key took days to become one. A command that panics is gone with its engine: who
//! gave it gets an error, and it is not tried again.

use std::time::Duration;

use crate::store::{Excluded, Exclusion, Run};

/// Two panics at one thing within this time leave it out.
const STRIKES_WITHIN: Duration = Duration::from_hours(1);
/// So many keys that are not mature at which it panics within this time leave all of them out.
const IMMATURE_KEYS_MAX: usize = 8;
/// Panics that are remembered; the oldest go first.
const STRIKES_MAX: usize = 4096;

/// What is known of such records. It outlives the slot, and not the process: another process finds them anew.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// What is being judged right now.
    in_hand: Vec<Run>,
    /// Its name, where a single record is read.
    name: Option<String>,
    /// Records one of which panicked.
    suspects: Vec<Run>,
    /// Single records that panicked.
    condemned: Vec<Run>,
    /// What was being judged at the panic that comes next to be told, and that of which it is one.
    blamed: Vec<Excluded>,
    /// Earlier panics, by the wall clock in milliseconds.
    strikes: Vec<(Excluded, u64)>,
    /// Keys that were not mature at their panics, each once.
    immature: Vec<(Excluded, u64)>,
    /// What is to be left out, and whether already in a replay.
    exclusions: Vec<(Exclusion, bool)>,
    /// The slot is going again over what was committed.
    is_replay: bool,
}

/// What a panic has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// No record was being judged.
    None,
    /// No record's: this was being done since time had passed.
    Work(Excluded),
    /// One of so many records, or of the bytes that they take.
    Among(Vec<Run>),
    /// This one, of the input with this name: it is passed over from now on.
    Record(Run, String),
}

impl Quarantine {
    /// Whether records have to be read one at a time.
    pub fn is_on(&self) -> bool {
        !self.suspects.is_empty() || !self.condemned.is_empty()
    }

    /// Whether a record of these may be the one.
    pub fn may_hold(&self, runs: &[Run]) -> bool {
        let overlap =
            |run: &Run, other: &Run| run.input == other.input && run.from < other.to && other.from < run.to;
        let known = || self.suspects.iter().chain(&self.condemned);
        runs.iter().any(|run| known().any(|other| overlap(run, other)))
    }

    /// Whether this record has panicked.
    pub fn is_condemned(&self, record: &Run) -> bool {
        self.condemned.contains(record)
    }

    /// These are going to be judged. `name` is that of the input, where it is a single record.
    pub fn take_in_hand(&mut self, runs: &[Run], name: Option<String>) {
        self.let_go();
        self.in_hand.extend_from_slice(runs);
        self.name = name;
    }

    /// They have been.
    pub fn let_go(&mut self) {
        for passed in std::mem::take(&mut self.in_hand) {
            self.clear_up_to(passed);
        }
    }

    /// What is up to the end of this is judged or passed over, and suspected no more.
    pub fn clear_up_to(&mut self, passed: Run) {
        self.suspects.retain_mut(|suspect| {
            if suspect.input == passed.input {
                suspect.from = suspect.from.max(passed.to);
            }
            suspect.from < suspect.to
        });
    }

    /// What was passed over is committed: nobody will read it again.
    pub fn committed(&mut self, passed_over: Run) {
        self.condemned.retain(|record| *record != passed_over);
    }

    /// The panic that has just come was at this.
    pub fn blame(&mut self, what: Vec<Excluded>) {
        self.blamed = what;
    }

    /// Whether the slot is going again over what was committed.
    pub fn replays(&mut self, is_replay: bool) {
        self.is_replay = is_replay;
        if !is_replay {
            // What was left out of it is in no recorded sequence, and goes on as what is left out from now on.
            self.exclusions.iter_mut().for_each(|(_, of_replay)| *of_replay = false);
        }
    }

    /// What to leave out of a replay, since the slot panicked there in one.
    pub fn exclusions_of_replay(&self) -> Vec<Exclusion> {
        let of_replay = self.exclusions.iter().filter(|(_, of_replay)| *of_replay);
        of_replay.map(|(exclusion, _)| exclusion.clone()).collect()
    }

    /// What to leave out from now on.
    pub fn exclusions(&mut self, now_ms: u64) -> Vec<Exclusion> {
        self.exclusions.retain(|(exclusion, _)| exclusion.is_active(now_ms));
        self.exclusions.iter().map(|(exclusion, _)| exclusion.clone()).collect()
    }

    /// Notes a panic at this; at the second one it is to be left out.
    fn strike(&mut self, what: Excluded, now_ms: u64) {
        self.strikes.retain(|(_, at)| is_recent(*at, now_ms));
        if self.strikes.iter().any(|(known, _)| *known == what) {
            self.strikes.retain(|(known, _)| *known != what);
            self.leave_out(what, now_ms);
            return;
        }
        if self.strikes.len() >= STRIKES_MAX {
            self.strikes.remove(0);
        }
        self.strikes.push((what, now_ms));
    }

    /// Notes a panic at a key that is not mature; at so many different ones, all of these are to be left out.
    fn strike_immature(&mut self, key: Excluded, now_ms: u64) {
        self.immature.retain(|(known, at)| is_recent(*at, now_ms) && *known != key);
        self.immature.push((key, now_ms));
        if self.immature.len() >= IMMATURE_KEYS_MAX {
            self.immature.clear();
            self.leave_out(Excluded::ImmatureKeys, now_ms);
        }
    }

    fn leave_out(&mut self, what: Excluded, now_ms: u64) {
        self.exclusions.retain(|(known, _)| known.what != what);
        self.exclusions.push((Exclusion::new(what, now_ms), self.is_replay));
    }

    /// The slot's thread has panicked, at this time by the wall clock.
    pub fn panicked(&mut self, now_ms: u64) -> Culprit {
        let blamed = std::mem::take(&mut self.blamed);
        let Some(what) = blamed.first() else { return self.culprit() };
        self.strike(what.clone(), now_ms);
        match what {
            Excluded::TimedWork(_) | Excluded::AllTimedWork => {
                // The record at which time passed has no part in it.
                (self.in_hand, self.name) = (Vec::new(), None);
                Culprit::Work(what.clone())
            }
            Excluded::Key(_) | Excluded::ImmatureKeys => {
                if blamed.contains(&Excluded::ImmatureKeys) {
                    self.strike_immature(what.clone(), now_ms);
                }
                self.culprit()
            }
        }
    }

    fn culprit(&mut self) -> Culprit {
        let in_hand = std::mem::take(&mut self.in_hand);
        match (in_hand.as_slice(), self.name.take()) {
            ([], _) => Culprit::None,
            (&[record], Some(name)) => {
                self.condemned.push(record);
                Culprit::Record(record, name)
            }
            _ => {
                self.suspects.clone_from(&in_hand);
                Culprit::Among(in_hand)
            }
        }
    }
}

fn is_recent(at_ms: u64, now_ms: u64) -> bool {
    u128::from(now_ms.abs_diff(at_ms)) < STRIKES_WITHIN.as_millis()
}
