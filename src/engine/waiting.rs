//! Spikes that wait: for the context of their time, and the lesser of them until a crowd could be seen.
//!
//! A flash crowd must not look like a theft of each of its keys, and the first of them has spiked before its group has. A count
//! far beyond what the key did is told at the next context. One that is little beyond it is looked at again half a minute
//! later, and forgotten if its group excuses it then.

use super::{engine::Engine, groups::second_of, seam::Effect, shown::Shown};
use crate::{
    detect::{
        self,
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
}

impl Waiting {
    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        // Plain data: it cannot fail to serialize.
        out.bytes(&serde_json::to_vec(&self.shown).unwrap_or_default());
        let lesser = self.lesser.0.iter();
        out.counts(lesser.flat_map(|waits| [waits.count, waits.second, waits.since]));
    }

    /// Reads what [`Waiting::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let shown = serde_json::from_slice(input.bytes()?).map_err(|_| CodecError::Impossible(0))?;
        let mut lesser = Lesser::default();
        for waits in &mut lesser.0 {
            *waits = LesserCount { count: input.u32()?, second: input.u32()?, since: input.u32()? };
        }
        Ok(Self { shown, lesser })
    }
}

impl Engine {
    /// A window of the key has come near a count that is a spike: it waits for the next context. Without room it is looked at
    /// when it has grown by an eighth or a pane has passed, as all are that come near.
    pub(super) fn await_context(&mut self, event: &Event<'_>) {
        if self.pending.contains_key(&event.key) {
            return;
        }
        if self.pending.len() >= WAITING_MAX {
            self.counts.postponed += 1;
            return;
        }
        let shown = Shown::of(event, &self.inputs);
        self.pending.insert(event.key, Waiting { shown, lesser: Lesser::default() });
    }

    /// Judges all spikes that wait, by how the groups are used at `at`. Those that are lesser and have not waited long enough
    /// stay.
    pub(super) fn judge_pending(&mut self, at: EventTime, effects: &mut Vec<Effect>) {
        for (key, mut waiting) in std::mem::take(&mut self.pending) {
            let Waiting { shown, lesser } = &mut waiting;
            self.judge_volume(&key, at, shown, lesser, effects);
            if lesser.is_any() {
                self.pending.insert(key, waiting);
            }
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
        detect::volume::judge(watch, key, &groups, (second_of(at), known), lesser, &mut signals);
        self.take_in(index, at, shown, &mut signals, effects);
        self.signals = signals;
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
