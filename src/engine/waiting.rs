//! Spikes that wait: for the context of their time, and the lesser of them until a crowd could be seen.
//!
//! A flash crowd must not look like a theft of each of its keys, and the first of them has spiked before its group has. A count
//! far beyond what the key did is told at the next context. One that is little beyond it is looked at again half a minute
//! later, and forgotten if its group excuses it then.

use super::{engine::Engine, groups::second_of, seam::Effect, shown::Shown};
use crate::{
    detect::{
        self, GroupUse,
        delayed::{DelayedCount, DelayedCounts},
        volume::{Lesser, LesserCount},
    },
    event::{Event, EventTime, KeyId},
    profile::{CodecError, Known, Reader, Writer},
};

/// Keys whose spikes wait in a partition, at most: about a kilobyte and some microseconds at a context each.
pub const SPIKES_MAX: usize = 512;
/// Those of them that are lesser, at most: they wait for half a minute, and the others for five seconds.
const LESSER_MAX: usize = SPIKES_MAX / 2;
/// A key whose newest request is so far behind the contexts, in seconds, is judged by its own time.
const FAR_BEHIND: u32 = 60;

/// A key's spikes that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The first request that looked like one.
    shown: Shown,
    lesser: Lesser,
    delayed: DelayedCounts,
}

impl Waiting {
    /// Of a key that looks like one by this request.
    pub fn new(shown: Shown) -> Self {
        Self { shown, lesser: Lesser::default(), delayed: DelayedCounts::default() }
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut Writer) {
        // Plain data: it cannot fail to serialize.
        out.bytes(&serde_json::to_vec(&self.shown).unwrap_or_default());
        let lesser = self.lesser.0.iter();
        out.counts(lesser.flat_map(|waits| [waits.count, waits.second, waits.since]));
        out.counts(self.delayed.0.iter().flat_map(|delayed| [delayed.count, delayed.second]));
    }

    /// Reads what [`Waiting::write`] wrote.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let shown = serde_json::from_slice(input.bytes()?).map_err(|_| CodecError::Impossible(0))?;
        let mut waiting = Self::new(shown);
        for waits in &mut waiting.lesser.0 {
            *waits = LesserCount { count: input.u32()?, second: input.u32()?, since: input.u32()? };
        }
        for delayed in &mut waiting.delayed.0 {
            *delayed = DelayedCount { count: input.u32()?, second: input.u32()? };
        }
        Ok(waiting)
    }
}

impl Engine {
    /// A window of the key has come near a count that is a spike: it waits for the next context. Without room it is looked at
    /// when it has grown by an eighth or a pane has passed, as all are that come near.
    pub(super) fn await_context(&mut self, event: &Event<'_>, delayed: DelayedCounts) {
        if let Some(waiting) = self.pending.get_mut(&event.key) {
            return waiting.delayed.raise(delayed);
        }
        if self.pending.len() >= SPIKES_MAX {
            self.counts.postponed += 1;
            return;
        }
        let shown = Shown::of(event, &self.inputs);
        self.pending.insert(event.key, Waiting { delayed, ..Waiting::new(shown) });
    }

    /// A request has come when its minute was no longer in the key's windows.
    #[cold]
    pub(super) fn look_at_delayed(&mut self, index: u32, event: &Event<'_>) {
        let delayed = DelayedCounts::of(self.table.hot(index), self.table.warm(index), second_of(event.time));
        if delayed.is_any() {
            self.await_context(event, delayed);
        }
    }

    /// Judges all spikes that wait, by how the groups are used at `at`. Those that are lesser and have not waited long enough
    /// stay.
    pub(super) fn judge_pending(&mut self, at: EventTime, effects: &mut Vec<Effect>) {
        for (key, mut waiting) in std::mem::take(&mut self.pending) {
            self.judge_volume(&key, at, &mut waiting, effects);
            if !waiting.lesser.is_any() {
                continue;
            }
            if self.pending.len() < LESSER_MAX {
                self.pending.insert(key, waiting);
            } else {
                self.counts.postponed += 1;
            }
        }
    }

    /// Judges a key's windows, and what was delayed, with what is known of its group. What waits on stands in `waiting`.
    pub(super) fn judge_volume(
        &mut self,
        key: &KeyId,
        at: EventTime,
        Waiting { shown, lesser, delayed }: &mut Waiting,
        effects: &mut Vec<Effect>,
    ) {
        let delayed = std::mem::take(delayed);
        let Some(index) = self.table.find(key) else {
            *lesser = Lesser::default();
            return;
        };
        let mut signals = std::mem::take(&mut self.signals);
        signals.clear();
        let hot = self.table.hot(index);
        let groups_of_key = |groups: &[GroupUse]| {
            [0, usize::from(hot.group)].map(|n| groups.get(n).copied().unwrap_or_default())
        };
        let (groups, most) = (groups_of_key(&self.groups), groups_of_key(&self.groups_most));
        let (second, newest) = (second_of(at), hot.last_seen);
        let watch = self.now.reference.rules.watch.clone();
        let known = Known { watermark: second_of(self.watermark), gaps: &self.gaps };
        let parts = (hot, self.table.warm(index));
        detect::volume::judge(&watch, parts, &groups, (second, known), lesser, &mut signals);
        // What was read hours later is told, and acted on, as what it is.
        let behind = second.saturating_sub(newest) > FAR_BEHIND;
        let at = if behind { EventTime(u64::from(newest) * 1000) } else { at };
        self.take_in(index, at, shown, &mut signals, effects);
        if delayed.is_any() {
            let parts = (self.table.hot(index), self.table.warm(index));
            detect::delayed::judge(&watch, parts, &most, delayed, &mut signals);
            let at = EventTime(u64::from(delayed.second()) * 1000);
            self.take_in(index, at, shown, &mut signals, effects);
        }
        self.signals = signals;
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;

// Of the detectors, by the shipped rules.
#[cfg(test)]
#[path = "delayed_tests.rs"]
mod delayed_tests;
#[cfg(test)]
#[path = "volume_tests.rs"]
mod volume_tests;
