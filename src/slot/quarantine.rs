//! Records at which the slot's thread panicked.
//!
//! A panic takes the state of the engine with it, and the next life reads the same records again. So what is being
//! judged is noted down before it is: after a panic, the next life reads the records of that batch one at a time, and
//! a second panic names its record. The life after that passes it over. A panic that comes while no record is being
//! judged (at a watermark, at a command) is nobody's in particular: nothing is passed over for it.

use crate::store::Run;

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
}

/// What a panic has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// No record was being judged.
    None,
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

    /// The slot's thread has panicked.
    pub fn panicked(&mut self) -> Culprit {
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
