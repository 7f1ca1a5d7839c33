//! Whether a source reaches what it reads, and what stands in the way.

use std::time::Duration;

/// A source counts as connected until it has been out of reach for so long: electing a leader or rotating a log takes
/// less.
pub const OUT_OF_REACH_MAX: Duration = Duration::from_secs(15);

/// How a source stands with what it reads. By default all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// How long ago everything that it reads was last in reach.
    pub age: Duration,
    /// What is out of reach, and why; `None` = nothing.
    pub fault: Option<String>,
    /// How long the same open transaction has kept committed records behind it from being read; zero = none does.
    pub blocked_for: Duration,
    /// What there is to read nothing from: a topic that is empty, a pattern that has found no file.
    pub nothing_there: Option<String>,
}

impl Contact {
    /// Whether everything is in reach, or was a moment ago.
    pub fn is_connected(&self) -> bool {
        self.age <= OUT_OF_REACH_MAX
    }
}

/// When a source was last well, and what has been wrong since. Times are those of [`Source::poll`](super::Source::poll).
#[derive(Debug, Default)]
pub(super) struct Reach {
    well_at: Option<Duration>,
    fault: Option<String>,
    blocked_for: Duration,
    nothing_there: Option<String>,
}

impl Reach {
    /// Reading begins: all is well until something else shows.
    pub fn begin(&mut self, now: Duration) {
        self.well_at.get_or_insert(now);
    }

    /// Everything was in reach at `at`.
    pub fn well(&mut self, at: Duration) {
        self.well_at = self.well_at.max(Some(at));
        self.fault = None;
    }

    /// Something is out of reach, and was in reach at `at` if that is known.
    pub fn fault(&mut self, at: Option<Duration>, text: String) {
        self.well_at = self.well_at.max(at);
        self.fault = Some(text);
    }

    /// For how long a transaction has been open that holds records back.
    pub fn blocked_for(&mut self, blocked_for: Duration) {
        self.blocked_for = blocked_for;
    }

    /// What there is to read nothing from.
    pub fn nothing_there(&mut self, text: Option<String>) {
        self.nothing_there = text;
    }

    pub fn contact(&self, now: Duration) -> Contact {
        let age = match self.well_at {
            // Between two looks all is taken to be well.
            Some(_) if self.fault.is_none() => Duration::ZERO,
            Some(at) => now.saturating_sub(at),
            None => Duration::ZERO,
        };
        let (fault, nothing_there) = (self.fault.clone(), self.nothing_there.clone());
        Contact { age, fault, blocked_for: self.blocked_for, nothing_there }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_absence_is_no_fault_and_a_long_one_is() {
        let at = Duration::from_secs;
        let mut reach = Reach::default();
        reach.begin(at(100));
        assert!(reach.contact(at(500)).is_connected());
        reach.fault(None, "away".to_owned());
        assert!(reach.contact(at(110)).is_connected());
        let contact = reach.contact(at(130));
        assert_eq!((contact.age, contact.fault.as_deref()), (at(30), Some("away")));
        assert!(!contact.is_connected());
        reach.well(at(131));
        assert_eq!(reach.contact(at(140)), Contact::default());
    }
}
