//! What the events of a record say of it and of each other: that it is cut, that they are one request.

use super::judge::Tally;
use crate::{
    event::{Event, Flags},
    source::Record,
};

/// Counts a request that shows several keys, and says whether this is the first event of it.
#[cold]
pub(super) fn count_several(flags: Flags, tally: &mut Tally) -> bool {
    if flags.has(Flags::FURTHER_KEY) {
        return false;
    }
    tally.several_keys += 1;
    tally.keys_left_out += u64::from(flags.has(Flags::KEYS_LEFT_OUT));
    true
}

/// Marks what came last of a record if its source has cut it: what stood before is whole.
#[inline]
pub(super) fn mark_cut(chunk: &mut [Event<'_>], record: &Record<'_>) {
    if record.cut {
        mark_last(chunk, record);
    }
}

#[cold]
fn mark_last(chunk: &mut [Event<'_>], record: &Record<'_>) {
    let is_of_record =
        |event: &Event<'_>| (event.position.input, event.position.offset) == (record.input, record.offset);
    for event in chunk.iter_mut().rev().take_while(|event| is_of_record(event)) {
        event.flags.set(Flags::CUT);
        if !event.flags.has(Flags::FURTHER_KEY) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventTime, KeyId, KeyKind, Position, testing::plain};

    #[test]
    fn of_a_record_that_its_source_has_cut_the_last_request_is_marked() {
        let record =
            Record { source: 0, input: 1, offset: 9, next: 10, log_time_ms: None, bytes: b"", cut: true };
        let key = KeyId { kind: KeyKind::Raw, hash: [7; 16] };
        let event = |offset, flags| {
            let position = Position { input: 1, offset, index: 0 };
            Event { position, flags: Flags(flags), ..plain(key, EventTime(1)) }
        };
        let (several, further) = (Flags::SEVERAL_KEYS, Flags::SEVERAL_KEYS | Flags::FURTHER_KEY);
        let mut chunk = [event(8, 0), event(9, 0), event(9, several), event(9, further)];
        mark_cut(&mut chunk, &record);
        assert_eq!(chunk.map(|event| event.flags.has(Flags::CUT)), [false, false, true, true]);
        let mut none_of_it = [event(8, 0)];
        mark_cut(&mut none_of_it, &record);
        assert!(!none_of_it[0].flags.has(Flags::CUT));
    }
}
