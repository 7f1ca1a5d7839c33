//! Judging requests so that a panic tells whose request it was, and rejecting those that are left out.

use std::collections::BTreeSet;

use super::judge::{Outcome, PANICKED, Rejection};
use crate::{
    engine::{AHEAD, Engines},
    event::{Event, KeyId},
    source::Record,
    store::{Excluded, Exclusion},
};

/// Where the judgement is: after a panic, what it came from.
#[derive(Debug, Default)]
pub(super) struct InHand {
    /// Whose request was judged last, where that is noted, and whether that key was mature.
    key: Option<(KeyId, bool)>,
    /// The engines are at work, and not a decoder.
    pub is_judging: bool,
}

impl InHand {
    /// Another kind of work begins: no key's.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What could be left out of it, and that of which it is one.
    pub fn of_key(&self) -> Vec<Excluded> {
        let Some((key, is_mature)) = self.key else { return Vec::new() };
        let key = Some(Excluded::Key(key.to_string()));
        key.into_iter().chain((!is_mature).then_some(Excluded::ImmatureKeys)).collect()
    }

    /// Judges requests in their order.
    pub fn apply(&mut self, engines: &mut Engines, chunk: &[Event<'_>], out: &mut Outcome) {
        self.is_judging = true;
        if out.notes_keys {
            self.apply_one_by_one(engines, chunk, out);
        } else {
            #[cfg(test)]
            super::planted::panic_in_judging(chunk);
            engines.apply_events(chunk, &mut out.effects);
        }
        self.is_judging = false;
    }

    /// Notes whose request each is, before it is judged.
    #[cold]
    fn apply_one_by_one(&mut self, engines: &mut Engines, chunk: &[Event<'_>], out: &mut Outcome) {
        for event in chunk {
            self.key = Some((event.key, engines.is_mature(&event.key)));
            #[cfg(test)]
            super::planted::panic_in_judging(std::slice::from_ref(event));
            engines.apply_events(std::slice::from_ref(event), &mut out.effects);
        }
    }
}

/// Requests that are left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    keys: BTreeSet<KeyId>,
    immature: bool,
}

impl LeftOut {
    /// What of these are requests.
    pub fn new(exclusions: &[Exclusion]) -> Self {
        let mut left_out = Self::default();
        for Exclusion { what, .. } in exclusions {
            match what {
                Excluded::Key(id) => left_out.keys.extend(id.parse::<KeyId>().ok()),
                Excluded::ImmatureKeys => left_out.immature = true,
                Excluded::TimedWork(_) | Excluded::AllTimedWork => {}
            }
        }
        left_out
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.immature
    }

    /// Requests that are gathered before they are judged. Whether a key is mature hangs on all records before, and may not
    /// hang on how they are gathered: a replay gathers them otherwise.
    pub fn ahead(&self) -> usize {
        if self.immature { 1 } else { AHEAD }
    }

    /// Takes the request that came last out again if it is left out, and rejects it.
    #[cold]
    pub fn take_out(
        &self,
        engines: &Engines,
        chunk: &mut Vec<Event<'_>>,
        record: &Record<'_>,
        out: &mut Outcome,
    ) {
        let is_left_out = |event: &mut Event<'_>| {
            self.keys.contains(&event.key) || self.immature && !engines.is_mature(&event.key)
        };
        let Some(event) = chunk.pop_if(is_left_out) else { return };
        reject_panicked(record, event.position.index, out);
    }
}

/// Nothing of what it holds is told, not even a hash: nobody may read it once more.
#[cold]
pub(super) fn reject_panicked(record: &Record<'_>, index: u32, out: &mut Outcome) {
    let (input, offset, length) = (record.input, record.offset, record.bytes.len());
    out.reject(record.source, Rejection { input, offset, index, reason: PANICKED, length, hash: 0 });
}
