//! What of the work that passing time brings is in hand, and what of it is left out.
//!
//! Such work is no request's, so that a panic in it would come again after each restart. Who restarts the engines learns
//! here where the panic was, and may leave that partition's timed work out. State is left as it is meanwhile.

use std::collections::BTreeSet;

use super::Engines;

/// Where timed work was when it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedPlace {
    Partition(u16),
    /// Where the groups of all partitions are summed.
    Groups,
}

/// What is in hand, and what is left out.
#[derive(Debug, Default)]
pub(super) struct TimedWork {
    pub in_hand: Option<TimedPlace>,
    pub left_out: BTreeSet<u16>,
    pub is_all_left_out: bool,
    /// A test has planted a panic in this partition.
    #[cfg(test)]
    planted: Option<u16>,
}

impl TimedWork {
    /// Begins with a partition. Gives whether its work is to be done.
    pub fn begin(&mut self, partition: u16) -> bool {
        self.in_hand = Some(TimedPlace::Partition(partition));
        let is_in = !self.is_all_left_out && !self.left_out.contains(&partition);
        #[cfg(test)]
        assert!(!is_in || self.planted != Some(partition), "planted");
        is_in
    }
}

impl Engines {
    /// Where timed work is right now: after a panic, where it came from.
    pub const fn timed_in_hand(&self) -> Option<TimedPlace> {
        self.timed.in_hand
    }

    /// Leaves the timed work of these partitions out, or that of all. Not part of the state.
    pub fn leave_out_timed(&mut self, partitions: impl IntoIterator<Item = u16>, all: bool) {
        self.timed.left_out = partitions.into_iter().collect();
        self.timed.is_all_left_out = all;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::TimedPlace;
    use crate::{
        engine::{Engines, Input, testing::settings},
        event::{EventTime, KeyId, KeyKind, testing::plain},
    };

    const START: EventTime = EventTime(1_800_000_000_000);

    fn with_a_planted_panic() -> Engines {
        let mut engines = Engines::new(settings());
        engines.timed.planted = Some(2);
        engines
    }

    #[test]
    fn after_a_panic_the_partition_whose_time_passed_is_known_and_can_be_left_out() {
        let event = plain(KeyId { kind: KeyKind::Raw, hash: [1; 16] }, START);
        let works: [&dyn Fn(&mut Engines); 2] = [
            &|engines| engines.apply(Input::Watermark(START), &mut Vec::new()),
            // A request at which a tick has passed.
            &|engines| engines.apply_events(&[event], &mut Vec::new()),
        ];
        for work in works {
            let mut engines = with_a_planted_panic();
            assert!(catch_unwind(AssertUnwindSafe(|| work(&mut engines))).is_err());
            assert_eq!(engines.timed_in_hand(), Some(TimedPlace::Partition(2)));
            for (partitions, all) in [(vec![2], false), (vec![], true)] {
                let mut engines = with_a_planted_panic();
                engines.leave_out_timed(partitions, all);
                work(&mut engines);
                assert_eq!(engines.timed_in_hand(), None, "a later panic is not of it");
                engines.apply(Input::Watermark(START), &mut Vec::new());
                assert_eq!(engines.watermark(), START, "time passes all the same");
            }
        }
    }
}
