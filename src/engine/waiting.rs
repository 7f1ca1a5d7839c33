//! Spikes that wait: for the context of their time, and the lesser of them until a crowd could be seen.
//!
//! A flash crowd must not look like a theft of each of its keys, and the first of them has spiked before its group has. A count
//! far beyond what the key did is told at the next context. One that is little beyond it is looked at again half a minute
//! later, and forgotten if its group excuses it then.

use super::{engine::Engine, groups::second_of, seam::Effect, shown::Shown};
use crate::{
    detect::{
        self, GroupUse,
        late::{LateCount, LateCounts},
        volume::{Lesser, LesserCount},
    },
    event::{Event, EventTime, KeyId},
    profile::{CodecError, Known, Reader, Writer},
};

/// Keys whose spikes wait in a partition, at most: some hundred bytes and some microseconds at a context each.
pub const WAITING_MAX: usize = 1_024;

/// A key's spikes that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The first request that looked like one.
    shown: Shown,
    lesser: Lesser,
    late: LateCounts,
}

impl Waiting {
    /// Of a key that looks like one by this request.
    pub fn new(shown: Shown) -> Self {
        Self { shown, lesser: Lesser::default(), late: LateCounts::default() }
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        // Plain data: it cannot fail to serialize.
        out.bytes(&serde_json::to_vec(&self.shown).unwrap_or_default());
        let lesser = self.lesser.0.iter();
        out.counts(lesser.flat_map(|waits| [waits.count, waits.second, waits.since]));
        out.counts(self.late.0.iter().flat_map(|late| [late.count, late.second]));
    }

    /// Reads what [`Waiting::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let shown = serde_json::from_slice(input.bytes()?).map_err(|_| CodecError::Impossible(0))?;
        let mut waiting = Self::new(shown);
        for waits in &mut waiting.lesser.0 {
            *waits = LesserCount { count: input.u32()?, second: input.u32()?, since: input.u32()? };
        }
        for late in &mut waiting.late.0 {
            *late = LateCount { count: input.u32()?, second: input.u32()? };
        }
        Ok(waiting)
    }
}

impl Engine {
    /// A window of the key has come near a count that is a spike: it waits for the next context. Without room it is looked at
    /// when it has grown by an eighth or a pane has passed, as all are that come near.
    pub(super) fn await_context(&mut self, event: &Event<'_>, late: LateCounts) {
        if let Some(waiting) = self.pending.get_mut(&event.key) {
            return waiting.late.raise(late);
        }
        if self.pending.len() >= WAITING_MAX {
            self.counts.postponed += 1;
            return;
        }
        let shown = Shown::of(event, &self.inputs);
        self.pending.insert(event.key, Waiting { late, ..Waiting::new(shown) });
    }

    /// A request has come when its minute was no longer in the key's windows.
    #[cold]
    pub(super) fn look_at_late(&mut self, index: u32, event: &Event<'_>) {
        let late = LateCounts::of(self.table.hot(index), self.table.warm(index), second_of(event.time));
        if late.is_any() {
            self.await_context(event, late);
        }
    }

    /// Judges all spikes that wait, by how the groups are used at `at`. Those that are lesser and have not waited long enough
    /// stay.
    pub(super) fn judge_pending(&mut self, at: EventTime, effects: &mut Vec<Effect>) {
        for (key, mut waiting) in std::mem::take(&mut self.pending) {
            self.judge_volume(&key, at, &mut waiting, effects);
            if waiting.lesser.is_any() {
                self.pending.insert(key, waiting);
            }
        }
    }

    /// Judges a key's windows, and what came late, with what is known of its group. What waits on stands in `waiting`.
    pub(super) fn judge_volume(
        &mut self,
        key: &KeyId,
        at: EventTime,
        Waiting { shown, lesser, late }: &mut Waiting,
        effects: &mut Vec<Effect>,
    ) {
        let late = std::mem::take(late);
        let Some(index) = self.table.find(key) else {
            *lesser = Lesser::default();
            return;
        };
        let mut signals = std::mem::take(&mut self.signals);
        signals.clear();
        let hot = self.table.hot(index);
        let number = usize::from(hot.group);
        let of_key = |groups: &[GroupUse]| [0, number].map(|n| groups.get(n).copied().unwrap_or_default());
        let key = (hot, self.table.warm(index));
        let watch = &self.now.reference.rules.watch;
        let known = Known { watermark: second_of(self.watermark), gaps: &self.gaps };
        let at_second = second_of(at);
        detect::volume::judge(watch, key, &of_key(&self.groups), (at_second, known), lesser, &mut signals);
        if late.is_any() {
            detect::late::judge(watch, key, &of_key(&self.groups_most), late, &mut signals);
        }
        self.take_in(index, at, shown, &mut signals, effects);
        self.signals = signals;
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
