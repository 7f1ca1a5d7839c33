//! Which requests count: keys that are new, and requests that were counted already.

use std::collections::{BTreeMap, VecDeque};

use super::checkpoint::{id_bytes, id_of};
use crate::{
    event::{Event, Flags, KeyId},
    profile::{CodecError, Reader, Writer},
};

/// Keys that were never served, and are not worth a profile yet.
pub const CANDIDATES_MAX: usize = 4096;
/// A key that was never served gets a profile at this sighting.
const SIGHTINGS: u8 = 3;
const REPEATS: usize = 1 << 14;

/// Keys on their way into the table: a flood of invented keys must not push out the real ones.
#[derive(Debug, Default)]
pub struct Candidates {
    sightings: BTreeMap<KeyId, u8>,
    order: VecDeque<KeyId>,
    changed: bool,
}

impl Candidates {
    /// Whether a key that is not in the table gets a profile with this request: at once if it was served, else at its
    /// third sighting. A key that somebody made up is not served, whatever it is told: no route, no right, no backend; nor
    /// is it known to be if it came beside another.
    pub fn admit(&mut self, event: &Event<'_>) -> bool {
        if is_success(event.status) && !event.flags.has(Flags::SEVERAL_KEYS) {
            self.changed |= self.sightings.remove(&event.key).is_some();
            return true;
        }
        self.changed = true;
        let count = self.sightings.entry(event.key).or_insert(0);
        if *count == 0 {
            self.order.push_back(event.key);
        }
        *count += 1;
        let admitted = *count >= SIGHTINGS;
        if admitted {
            self.sightings.remove(&event.key);
        }
        while self.sightings.len() > CANDIDATES_MAX || self.order.len() > 2 * CANDIDATES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.sightings.remove(&oldest);
        }
        admitted
    }

    /// Keys that wait.
    pub fn len(&self) -> usize {
        self.sightings.len()
    }

    /// All of it as one entry, if it changed since the last call.
    pub fn checkpoint(&mut self) -> Option<Writer> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut out = Writer::versioned();
        out.uint(self.order.len() as u64);
        for key in &self.order {
            out.raw(&id_bytes(key));
            out.uint(self.sightings.get(key).copied().unwrap_or(0).into());
        }
        Some(out)
    }

    /// Takes it back.
    pub fn restore(&mut self, input: &mut Reader<'_>) -> Result<(), CodecError> {
        for _ in 0..input.uint()? {
            let key = id_of(input.raw(17)?)?;
            let count = u8::try_from(input.uint()?).map_err(|_| CodecError::Impossible(0))?;
            self.order.push_back(key);
            if count > 0 {
                self.sightings.insert(key, count);
            }
        }
        Ok(())
    }
}

/// Set in a slot once a copy of its record was suppressed.
const SUPPRESSED: u64 = 1 << 63;

/// Recognises a second copy of a record: a producer that delivers at least once may write one twice, with another offset.
/// What is read twice at the same position never gets here: positions are committed with what came of them.
///
/// One copy at most is suppressed, and none where two requests may be the same in all that is compared: where the caller
/// chose the request id, or times are whole seconds. It is a table of the last record in each slot.
#[derive(Debug)]
pub struct Repeats {
    slots: Vec<u64>,
    changed: bool,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { slots: vec![0; REPEATS], changed: false }
    }
}

impl Repeats {
    /// Whether this is the second copy of a record that came before.
    #[allow(clippy::cast_possible_truncation)] // the low bits choose the slot
    pub fn is_repeat(&mut self, event: &Event<'_>) -> bool {
        let may_repeat = Flags::GATEWAY_ID | Flags::WHOLE_SECONDS;
        if event.request_id == 0 || event.flags.0 & may_repeat != Flags::GATEWAY_ID {
            return false;
        }
        self.changed = true;
        let id = fingerprint(event) & !SUPPRESSED;
        let slot = &mut self.slots[id as usize & (REPEATS - 1)];
        let is_known = *slot & !SUPPRESSED == id;
        let was_suppressed = is_known && *slot & SUPPRESSED != 0;
        *slot = if is_known { id | SUPPRESSED } else { id };
        is_known && !was_suppressed
    }

    /// The fingerprints in it as one entry, if any came since the last call.
    pub fn checkpoint(&mut self) -> Option<Writer> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut out = Writer::versioned();
        let ids = || self.slots.iter().filter(|id| **id != 0);
        out.uint(ids().count() as u64);
        ids().for_each(|id| out.raw(&id.to_le_bytes()));
        Some(out)
    }

    /// Takes them back. An id's low bits say which slot it was in.
    #[allow(clippy::cast_possible_truncation)] // the low bits choose the slot
    pub fn restore(&mut self, input: &mut Reader<'_>) -> Result<(), CodecError> {
        for _ in 0..input.uint()? {
            let id = u64::from_le_bytes(input.array()?);
            self.slots[id as usize & (REPEATS - 1)] = id;
        }
        Ok(())
    }
}

/// Whether a request is known to have got what it asked for: no refusal, no error, and no path that somebody made up.
pub fn is_success(status: Option<u16>) -> bool {
    status.is_some_and(|status| (1..400).contains(&status))
}

/// A hash over what two deliveries of one record have in common and two requests have not; never 0.
fn fingerprint(event: &Event<'_>) -> u64 {
    let size = (number(event.latency_us) << 32) ^ number(event.response_bytes);
    let key = u64::from_le_bytes(event.key.hash[..8].try_into().unwrap_or_default());
    [event.time.0, size, number(event.status.map(u32::from)), event.route.hash, event.address.hash, key]
        .into_iter()
        // Not keyed, like the hash of the id itself; a collision costs one request.
        .fold(event.request_id, |hash, part| (hash.rotate_left(5) ^ part).wrapping_mul(0x517c_c1b7_2722_0a95))
        .max(1)
}

/// A number of a record, or another that none has.
fn number(value: Option<u32>) -> u64 {
    value.map_or(u64::MAX, u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventTime, KeyKind, Position, testing::plain};

    const KEY: KeyId = KeyId { kind: KeyKind::Raw, hash: [7; 16] };

    /// Under an id that the gateway chose, with milliseconds.
    fn request(ms: u64) -> Event<'static> {
        Event { request_id: 1, flags: Flags(Flags::GATEWAY_ID), ..plain(KEY, EventTime(ms)) }
    }

    #[test]
    fn one_copy_of_a_record_is_suppressed() {
        let mut repeats = Repeats::default();
        assert!(!repeats.is_repeat(&request(1_000)));
        let copy = Event { position: Position { offset: 9, ..Position::default() }, ..request(1_000) };
        assert!(repeats.is_repeat(&copy), "the same record once more, at another offset");
        assert!(!repeats.is_repeat(&copy) && !repeats.is_repeat(&copy), "one copy at most");
        assert!(
            (1..500).all(|n| !repeats.is_repeat(&request(1_000 + n))),
            "other requests under the same id"
        );
        assert!(!repeats.is_repeat(&Event { status: Some(404), ..request(1_000) }));
        assert!(!repeats.is_repeat(&Event { request_id: 0, ..request(1) }));
        assert!(!repeats.is_repeat(&Event { request_id: 0, ..request(1) }), "nothing to tell them by");
    }

    #[test]
    fn the_events_of_one_request_with_several_keys_are_no_copies_of_each_other() {
        let mut repeats = Repeats::default();
        let keys = [1, 2, 3].map(|n| KeyId { hash: [n; 16], ..KEY });
        let events = keys.map(|key| Event { key, ..request(1_000) });
        assert_eq!(events.map(|event| repeats.is_repeat(&event)), [false; 3]);
        assert_eq!(events.map(|event| repeats.is_repeat(&event)), [true; 3], "the record once more");
    }

    #[test]
    fn who_fixes_the_request_id_is_counted() {
        for flags in [0, Flags::WHOLE_SECONDS, Flags::WHOLE_SECONDS | Flags::GATEWAY_ID] {
            let mut repeats = Repeats::default();
            // Forty requests a second with one id, in whole seconds.
            let fixed = |n: u64| Event { flags: Flags(flags), ..request(n / 40 * 1_000) };
            let counted = (0..1_120).filter(|n| !repeats.is_repeat(&fixed(*n))).count();
            assert_eq!(counted, 1_120, "{flags}");
        }
        // A gateway that takes a caller's id for its own: all but one in a second.
        let mut repeats = Repeats::default();
        let counted = (0..1_120).filter(|n| !repeats.is_repeat(&request(n / 40 * 1_000))).count();
        assert_eq!(counted, 1_120 - 28);
    }

    #[test]
    fn what_was_suppressed_is_known_after_a_restart() {
        let mut repeats = Repeats::default();
        assert!(!repeats.is_repeat(&request(1)) && repeats.is_repeat(&request(1)));
        assert!(!repeats.is_repeat(&request(2)));
        let entry = repeats.checkpoint().unwrap();
        let mut restored = Repeats::default();
        restored.restore(&mut Reader::versioned(&entry.0).unwrap()).unwrap();
        assert!(!restored.is_repeat(&request(1)) && restored.is_repeat(&request(2)));
    }

    #[test]
    fn a_key_is_admitted_when_it_was_served_or_came_three_times() {
        let with = |hash, status| Event {
            status: Some(status),
            ..plain(KeyId { hash: [hash; 16], ..KEY }, EventTime(1))
        };
        let mut candidates = Candidates::default();
        for (hash, status) in (1u8..).zip([400, 401, 403, 404, 429, 500, 503, 0]) {
            let admitted = [0; 3].map(|_| candidates.admit(&with(hash, status)));
            assert_eq!(admitted, [false, false, true], "{status}");
        }
        assert!(candidates.admit(&with(100, 200)) && candidates.admit(&with(101, 302)));
        let beside = Event { flags: Flags(Flags::SEVERAL_KEYS), ..with(102, 200) };
        assert_eq!([0; 3].map(|_| candidates.admit(&beside)), [false, false, true]);
    }
}
