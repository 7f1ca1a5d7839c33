//! Spikes that wait: for the context of their time, and the lesser of them until a crowd could be seen.
//!
//! A flash crowd must not look like a theft of each of its keys, and the first of them has spiked before its group has. A count
//! far beyond what the key did is told at the next context. One that is little beyond it is looked at again at each context
//! for half a minute, and forgotten when its group excuses it.

use std::time::Duration;

use super::{engine::Engine, groups::second_of, seam::Effect, shown::Shown};
use crate::{
    detect::{self, volume::Lesser},
    event::{EventTime, KeyId},
    profile::{CodecError, Known, Reader, Writer},
};

/// How long a lesser spike waits, by the time of the contexts.
const LESSER_WAITS: Duration = Duration::from_secs(30);

/// A spike that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The first request that looked like one.
    shown: Shown,
    /// At which context it was first one that is lesser; 0 before that.
    since: EventTime,
    lesser: Lesser,
}

impl Waiting {
    pub const fn new(shown: Shown) -> Self {
        Self { shown, since: EventTime(0), lesser: Lesser { counts: [0; 4], is_told: false } }
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        // Plain data: it cannot fail to serialize.
        out.bytes(&serde_json::to_vec(&self.shown).unwrap_or_default());
        out.uint(self.since.0);
        out.counts(self.lesser.counts.into_iter());
    }

    /// Reads what [`Waiting::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let shown = serde_json::from_slice(input.bytes()?).map_err(|_| CodecError::Impossible(0))?;
        let mut waiting = Self { since: EventTime(input.uint()?), ..Self::new(shown) };
        for count in &mut waiting.lesser.counts {
            *count = input.u32()?;
        }
        Ok(waiting)
    }
}

impl Engine {
    /// Judges all spikes that wait, by how the groups are used at `at`. Those that are lesser and have not waited long enough
    /// stay.
    pub(super) fn judge_pending(&mut self, at: EventTime, effects: &mut Vec<Effect>) {
        for (key, mut waiting) in std::mem::take(&mut self.pending) {
            let Waiting { shown, since, lesser } = &mut waiting;
            lesser.is_told = *since > EventTime(0) && since.after(LESSER_WAITS) <= at;
            self.judge_volume(&key, at, shown, lesser, effects);
            if !lesser.is_any() {
                continue;
            }
            if *since == EventTime(0) {
                *since = at;
            }
            self.pending.insert(key, waiting);
        }
    }

    /// Judges a key's windows with what is known of its group. What is told, and what waits on, stands in `lesser`.
    pub(super) fn judge_volume(
        &mut self,
        key: &KeyId,
        at: EventTime,
        shown: &Shown,
        lesser: &mut Lesser,
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.table.find(key) else {
            *lesser = Lesser::default();
            return;
        };
        let mut signals = std::mem::take(&mut self.signals);
        signals.clear();
        let hot = self.table.hot(index);
        let own = self.groups.get(usize::from(hot.group)).copied().unwrap_or_default();
        let groups = [self.groups.first().copied().unwrap_or_default(), own];
        let key = (hot, self.table.warm(index));
        let watch = &self.now.reference.rules.watch;
        let known = Known { watermark: second_of(self.watermark), gaps: &self.gaps };
        detect::volume::judge(watch, key, &groups, known, lesser, &mut signals);
        self.take_in(index, at, shown, &mut signals, effects);
        self.signals = signals;
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
