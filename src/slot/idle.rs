//! Which inputs nobody waits for: that comes from outside, so it is recorded.
//!
//! An input is idle when it holds nothing; when its next record waits for earlier ones of others; when nothing that it
//! brings has a time that can be right; and when it is said to hold something and brings nothing: a partition without a
//! leader must not hold up all others. The last are behind all the same, and their lag is told.

use std::{collections::BTreeMap, time::Duration};

use super::{Judge, Slot};
use crate::store::{Clock, Entry, Log};

impl<L: Log, J: Judge, C: Clock> Slot<L, J, C> {
    /// An input has brought records, or never will any more: whatever its silence was is over.
    pub(super) fn end_silence(&mut self, input: u32) {
        self.quiet.remove(&input);
        self.barren.remove(&input);
        self.stalled.remove(&input);
    }

    /// Takes down which inputs have become idle.
    pub(super) fn take_idle(&mut self) {
        let now = self.clock.now();
        let from = self.ended.len();
        self.log.ended(&mut self.ended);
        let (mut idle, mut timeless) = (Vec::new(), Vec::new());
        for input in self.course.watermarks.active() {
            let holds_nothing = self.log.idle(input);
            let since =
                |times: &mut BTreeMap<u32, Duration>| now.saturating_sub(*times.entry(input).or_insert(now));
            let is_quiet = if holds_nothing || self.log.waits(input) {
                self.log.finished() || since(&mut self.quiet) >= self.settings.idle_after
            } else {
                self.quiet.remove(&input);
                false
            };
            let is_stalled = since(&mut self.barren) >= self.settings.stalled_after;
            match self.timeless.get(&input) {
                Some(known) if now.saturating_sub(known.since) >= self.settings.timeless_after => {
                    timeless.push((input, known.log_ms));
                }
                _ if is_quiet || is_stalled || self.ended[from..].contains(&input) => {
                    if !holds_nothing {
                        self.stalled.insert(input);
                    }
                    idle.push(input);
                }
                _ => {}
            }
        }
        for input in timeless.iter().map(|(input, _)| input).chain(&idle).chain(&self.ended[from..]) {
            self.barren.remove(input);
        }
        if !timeless.is_empty() {
            self.enter(Entry::Timeless(timeless));
        }
        if !idle.is_empty() {
            self.enter(Entry::Idle(idle));
        }
    }

    /// How far the newest event of an input is behind the wall clock: 0 = it holds nothing, `None` = nothing was read yet.
    pub(super) fn lag_ms(&self, input: u32, wall_ms: u64) -> Option<u64> {
        self.course.watermarks.lag_ms(input, wall_ms, self.stalled.contains(&input))
    }
}
