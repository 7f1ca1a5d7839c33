//! What the slot drives: from a record's bytes to effects. Implemented by [`Reading`](super::Reading), and by a
//! small counting one in the tests of the slot.

use super::late::LateEvents;
use crate::{
    engine::{Command, Effect, Told},
    event::EventTime,
    source::Batch,
    store::{Excluded, Exclusion, References},
    telemetry::Reading,
};

/// Writes one entry of the state: its key, and its value or `None` if it is gone.
pub type WriteEntry<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// The judgement of one slot. Its state is a function of the calls and their order, and of nothing else.
pub trait Judge {
    /// Other reference data, ready to come into force.
    type Change: Send;

    /// Decodes the batch's records, and judges each request in their order. `at_ms` is the wall clock when the batch
    /// came, for records without a time of their log's. Called several times for one batch if it is read again.
    fn read(&mut self, batch: &Batch, at_ms: u64, out: &mut Outcome);

    /// Event time has come so far.
    fn watermark(&mut self, time: EventTime, out: &mut Outcome);

    /// An operator's command.
    fn command(&mut self, command: &Command, out: &mut Outcome);

    /// Lets proposals and grants go round until none is left. Called after every other input.
    fn settle(&mut self, out: &mut Outcome);

    /// Puts other reference data into force.
    fn change(&mut self, change: Self::Change, out: &mut Outcome);

    /// Tells the engines once more what is in force, as the recorded sequence says that it was told then.
    fn refer(&mut self, out: &mut Outcome);

    /// Versions of what is in force.
    fn references(&self) -> References;

    /// The id of a rule in force, for findings.
    fn rule_id(&self, rule: u16) -> &str;

    /// Names an input partition, for evidence. Called before the first of its records.
    fn name_input(&mut self, input: u32, name: &str);

    /// No record of an input will come any more, unless it is named again.
    fn forget_input(&mut self, input: u32);

    /// Begins a checkpoint of the state as it is now. The one before has been written.
    fn begin_checkpoint(&mut self);

    /// Writes entries that had changed since the checkpoint before, as they were when this one began: about `most` of
    /// them, and those that have changed again since the last call. `None` = evicted. Says whether all is written. Other
    /// calls may come in between.
    fn write_checkpoint(&mut self, most: usize, write: &mut WriteEntry<'_>) -> bool;

    /// About how many entries a whole checkpoint would write now: what the one that has begun has not written yet, and
    /// what has changed since.
    fn unwritten(&self) -> usize;

    /// Says how full it is, once a second. Counters and gauges of partitions and tables are its own to set.
    fn measure(&self, reading: &mut Reading);

    /// Takes in what was told before, after a replay that cannot vouch for it.
    fn adopt(&mut self, told: &Told, out: &mut Outcome);

    /// Leaves these out from now on, and nothing else. The requests of an excluded key are rejected.
    fn exclude(&mut self, exclusions: &[Exclusion]);

    /// What is being judged right now, as far as it could be left out: after a panic, what it came from. Then that of
    /// which it is one, to be left out where many of these panic.
    fn in_hand(&self) -> Vec<Excluded>;

    /// Takes one entry of a checkpoint back. The error says what is wrong with it.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String>;
}

/// A record, or a request in it, that could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub input: u32,
    pub offset: u64,
    /// Index within the record.
    pub index: u32,
    /// A fixed label.
    pub reason: &'static str,
    /// Of the record, in bytes.
    pub length: usize,
    /// Keyed hash of the record, so that equal ones can be told; the record itself may hold a raw key.
    pub hash: u128,
}

/// The reason of a record that is passed over, since the slot panicked at it, and of requests of a key that is left out.
pub const PANICKED: &str = "panicked";

/// Counts of one source in one batch, to be added to the metrics after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub records: u64,
    pub bytes: u64,
    pub events: u64,
    pub anonymous: u64,
    /// Events whose time was more than 60 s ahead of the log's.
    pub clamped: u64,
    /// Events that were dropped since they were a day older than their key's newest.
    pub late: u64,
    /// Events whose record showed a raw key in clear.
    pub clear_keys: u64,
    /// Requests that showed several keys, each of which has an event. `events` has them once.
    pub several_keys: u64,
    /// Requests that showed more keys than have an event.
    pub keys_left_out: u64,
    /// By reason.
    pub rejected: Vec<(&'static str, u64)>,
}

impl Tally {
    /// Counts a record.
    pub fn count_record(&mut self, bytes: &[u8]) {
        self.records += 1;
        self.bytes += bytes.len() as u64;
    }
}

/// Of one batch, at most so many rejections are produced one by one; of the rest the positions, by reason.
pub const REJECTIONS_PRODUCED_MAX: usize = 64;

/// Where the records of an input were rejected for one reason, when there were many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FurtherRejections {
    pub input: u32,
    pub reason: &'static str,
    /// Of each record once, in the order in which they were read.
    pub offsets: Vec<u64>,
}

/// What reading and judging led to. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Outcome {
    pub effects: Vec<Effect>,
    /// Greatest event time by input: few inputs, so a list.
    pub seen: Vec<(u32, u64)>,
    /// The same of times that stand in for ones that cannot be right.
    pub set_back: Vec<(u32, u64)>,
    /// The times that those stand in for.
    pub ahead: Vec<(u32, u64)>,
    pub rejections: Vec<Rejection>,
    /// Those beyond [`REJECTIONS_PRODUCED_MAX`].
    pub further: Vec<FurtherRejections>,
    /// Where the watermark stood when the batch came.
    pub watermark: EventTime,
    /// What was older than that, by input.
    pub late: Vec<(u32, LateEvents)>,
    /// By source.
    pub tallies: Vec<Tally>,
    /// Whoever judges notes whose request that is, one at a time.
    pub notes_keys: bool,
}

impl Outcome {
    /// The counts of a source.
    #[inline]
    pub fn tally(&mut self, source: u16) -> &mut Tally {
        let source = usize::from(source);
        if self.tallies.len() <= source {
            self.make_tallies(source + 1);
        }
        &mut self.tallies[source]
    }

    #[cold]
    fn make_tallies(&mut self, count: usize) {
        self.tallies.resize_with(count, Tally::default);
    }

    /// Notes the time of a request in its input; `set_back` stands in for it if it cannot be right. Such a one never
    /// moves the watermark as long as others do: one wrong clock would make all others late.
    pub fn saw(&mut self, input: u32, time: EventTime, set_back: Option<EventTime>) {
        if set_back.is_some() {
            newest(&mut self.ahead, input, time);
        }
        let (times, time) = set_back.map_or((&mut self.seen, time), |time| (&mut self.set_back, time));
        newest(times, input, time);
        if time < self.watermark {
            self.note_late(input, time);
        }
    }

    #[cold]
    fn note_late(&mut self, input: u32, time: EventTime) {
        let event = LateEvents::one(self.watermark.0.saturating_sub(time.0));
        match self.late.iter_mut().rev().find(|(known, _)| *known == input) {
            Some((_, events)) => events.add(event),
            None => self.late.push((input, event)),
        }
    }

    /// Whether a further rejection would be produced, so that its hash is worth its while.
    pub fn has_room_for_rejections(&self) -> bool {
        self.rejections.len() < REJECTIONS_PRODUCED_MAX
    }

    /// Counts a rejection, and keeps it to be produced; where there were many in this batch, its position only.
    pub fn reject(&mut self, source: u16, rejection: Rejection) {
        let rejected = &mut self.tally(source).rejected;
        match rejected.iter_mut().find(|(reason, _)| *reason == rejection.reason) {
            Some((_, count)) => *count += 1,
            None => rejected.push((rejection.reason, 1)),
        }
        if self.has_room_for_rejections() {
            self.rejections.push(rejection);
            return;
        }
        let Rejection { input, offset, reason, .. } = rejection;
        match self.further.iter_mut().find(|group| group.input == input && group.reason == reason) {
            // Many requests of one record have one offset.
            Some(group) if group.offsets.last() == Some(&offset) => {}
            Some(group) => group.offsets.push(offset),
            None => self.further.push(FurtherRejections { input, reason, offsets: vec![offset] }),
        }
    }
}

/// Notes the greatest time of an input.
fn newest(times: &mut Vec<(u32, u64)>, input: u32, time: EventTime) {
    match times.iter_mut().rev().find(|(known, _)| *known == input) {
        Some((_, newest)) => *newest = (*newest).max(time.0),
        None => times.push((input, time.0)),
    }
}
