//! The judgement of the daemon: decode, enrich, and the engines of all partitions, in one thread.
//!
//! Requests go through in chunks of [`AHEAD`], so that the engines can fetch their profiles ahead. Nothing is allocated
//! for a request: texts lie in the batch or in an arena that is wiped after it, or before it grows too large.

use std::{
    hash::Hasher,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use bumpalo::Bump;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::{
    judge::{Judge, Outcome, Rejection, WriteEntry},
    left_out::{InHand, LeftOut, reject_panicked},
    marks::{count_several, mark_cut},
};
use crate::{
    decode::{Decoded, Decoder, Pepper, Reject, Request, credential_fingerprint},
    engine::{AHEAD, Command, Counts, Engines, GROUPS_MAX, Input, Reference, TimedPlace, Told},
    enrich::{Enricher, Geo, PLACES_KEPT},
    event::{Event, EventTime, Flags, KeyId, Place, Position, clamped},
    source::{Batch, Record},
    store::{Excluded, Exclusion, References},
    telemetry::{self, EngineCounts, PartitionReading, TableReading},
};

/// Once the arena holds so much, what was read so far is applied and the arena wiped: what a batch of compressed records
/// unpacks to may be a thousand times its size.
const ARENA_BYTES_MAX: usize = 16 << 20;
/// Requests that are decoded, at most, before they are applied.
const CHUNK_MAX: usize = 4096;
/// Files and partitions that are read at a time, and whose names are kept. More are read all the same: they are as many
/// as there are, and each takes some hundred bytes.
const INPUTS_EXPECTED: u64 = 100_000;
/// A wiped arena keeps its last piece for the next batch, up to this size.
const ARENA_BYTES_KEPT: usize = 4 << 20;

/// Other reference data, loaded and checked.
pub struct Change {
    pub reference: Reference,
    /// Other place databases, if they changed.
    pub geo: Option<Arc<Geo>>,
}

/// Decoders by source, places, engines.
pub struct Reading {
    decoders: Vec<Decoder>,
    enricher: Enricher,
    engines: Engines,
    reference: Reference,
    arena: Bump,
    /// The version of all other settings that the judgement hangs on.
    settings: String,
    /// For hashes of rejected records: secret, so that a raw key in one cannot be guessed from it.
    hash_key: [u8; 16],
    left_out: LeftOut,
    in_hand: InHand,
}

/// What is decoded and not applied yet, and the record that is being decoded.
struct Gathered<'a> {
    arena: &'a Bump,
    chunk: Vec<Event<'a>>,
    in_decoding: Option<Record<'a>>,
}

impl Reading {
    /// Begins with empty engines, and puts `reference` into force. `decoders` are in the order of the sources;
    /// `settings` is the version of what they and the engines were made with.
    pub fn new(
        decoders: Vec<Decoder>,
        geo: Arc<Geo>,
        mut engines: Engines,
        reference: Reference,
        settings: String,
        pepper: &Pepper,
    ) -> Self {
        // Empty engines have nothing to say about it.
        engines.apply(Input::Reference(&reference), &mut Vec::new());
        let hash_key = credential_fingerprint(pepper, "keyhound", "rejected records").hash;
        Self {
            decoders,
            enricher: Enricher::new(geo),
            engines,
            reference,
            arena: Bump::new(),
            settings,
            hash_key,
            left_out: LeftOut::default(),
            in_hand: InHand::default(),
        }
    }

    /// The engines, to look into.
    pub fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Reads and applies records, until there are no more or the arena is full. A record at which decoding panics is
    /// passed over: nothing that counts is half done by it, so that nobody stops the engines by what he writes there.
    fn read_until_full<'b>(
        &mut self,
        arena: &Bump,
        records: &mut impl Iterator<Item = Record<'b>>,
        at_ms: u64,
        out: &mut Outcome,
    ) {
        // Twice the chunk, so that a record with several requests does not make it grow.
        let mut gathered = Gathered { arena, chunk: Vec::with_capacity(2 * AHEAD), in_decoding: None };
        loop {
            let decode = || self.decode(&mut gathered, records, at_ms, out);
            let Err(panic) = catch_unwind(AssertUnwindSafe(decode)) else { break };
            match gathered.in_decoding.take().filter(|_| !self.in_hand.is_judging) {
                Some(record) => {
                    self.decoders[usize::from(record.source)].forget_layout();
                    reject_panicked(&record, 0, out);
                }
                None => resume_unwind(panic),
            }
        }
        self.in_hand.apply(&mut self.engines, &gathered.chunk, out);
    }

    /// Decodes records, and applies them but for the last few.
    fn decode<'a, 'b: 'a>(
        &mut self,
        gathered: &mut Gathered<'a>,
        records: &mut impl Iterator<Item = Record<'b>>,
        at_ms: u64,
        out: &mut Outcome,
    ) {
        let Self { decoders, enricher, engines, hash_key, left_out, in_hand, .. } = self;
        let Gathered { arena, chunk, in_decoding } = gathered;
        let (arena, ahead) = (*arena, left_out.ahead());
        for record in records {
            *in_decoding = Some(record);
            out.tally(record.source).count_record(record.bytes);
            // Whoever sets a record's time may have the same wrong clock as who wrote the log.
            let log_time = EventTime(record.log_time_ms.map_or(at_ms, |log_ms| log_ms.min(at_ms)));
            #[cfg(test)]
            super::planted::panic_in_decoding(record.bytes);
            let mut index = 0_u32;
            decoders[usize::from(record.source)].decode(record.bytes, arena, |decoded| {
                match decoded {
                    Decoded::Request(Request { event, client }) => {
                        // A record may be a batch of very many.
                        if chunk.len() >= CHUNK_MAX {
                            in_hand.apply(engines, chunk, out);
                            chunk.clear();
                        }
                        chunk.push(event);
                        if let Some(event) = chunk.last_mut() {
                            complete(event, &record, log_time, out);
                            event.place = client.map_or_else(Place::default, |client| {
                                let place = enricher.resolve(client);
                                enricher.place(place).kept_in(arena)
                            });
                        }
                    }
                    Decoded::Anonymous(time) => {
                        out.tally(record.source).anonymous += 1;
                        out.saw(record.input, time, clamped(time, log_time));
                    }
                    Decoded::Rejected { reason, key, time } => {
                        reject(&record, index, reason, hash_key, out);
                        chunk.extend(key.map(|key| unreadable(&record, index, key, time, log_time)));
                    }
                }
                if !left_out.is_empty() {
                    left_out.take_out(engines, chunk, &record, out);
                }
                index = index.saturating_add(1);
            });
            mark_cut(chunk, &record);
            if chunk.len() >= ahead {
                in_hand.apply(engines, chunk, out);
                chunk.clear();
            }
            if arena.allocated_bytes() >= ARENA_BYTES_MAX {
                break;
            }
        }
    }
}

/// What counts for the key of a record that cannot be read, so that nobody hides by breaking his records.
fn unreadable<'a>(
    record: &Record<'_>,
    index: u32,
    key: KeyId,
    time: Option<EventTime>,
    log_time: EventTime,
) -> Event<'a> {
    let time = time.map(|time| clamped(time, log_time).unwrap_or(time));
    let position = Position { input: record.input, offset: record.offset, index };
    Event::unreadable(key, time.unwrap_or_default(), position)
}

impl Judge for Reading {
    type Change = Change;

    fn read(&mut self, batch: &Batch, at_ms: u64, out: &mut Outcome) {
        self.engines.read_at(EventTime(at_ms));
        self.in_hand.clear();
        let mut records = batch.records().peekable();
        let mut arena = std::mem::take(&mut self.arena);
        while records.peek().is_some() {
            self.read_until_full(&arena, &mut records, at_ms, out);
            arena.reset();
            if arena.allocated_bytes() > ARENA_BYTES_KEPT {
                arena = Bump::new();
            }
        }
        self.arena = arena;
        self.engines.take_late(|input, count| {
            if let Some(record) = batch.records().find(|record| record.input == input) {
                out.tally(record.source).late += count;
            }
        });
    }

    fn watermark(&mut self, time: EventTime, out: &mut Outcome) {
        self.in_hand.clear();
        self.engines.apply(Input::Watermark(time), &mut out.effects);
    }

    fn command(&mut self, command: &Command, out: &mut Outcome) {
        self.in_hand.clear();
        self.engines.apply(Input::Command(command), &mut out.effects);
    }

    fn settle(&mut self, out: &mut Outcome) {
        self.engines.settle(&mut out.effects);
    }

    fn change(&mut self, change: Change, out: &mut Outcome) {
        if let Some(geo) = change.geo {
            self.enricher = Enricher::new(geo);
        }
        self.reference = change.reference;
        self.refer(out);
    }

    fn refer(&mut self, out: &mut Outcome) {
        self.engines.apply(Input::Reference(&self.reference), &mut out.effects);
    }

    fn references(&self) -> References {
        References {
            rules: self.reference.rules.version.clone(),
            catalogue: self.reference.catalogue.version().to_owned(),
            geo: self.reference.geo_version.clone(),
            mode: self.reference.mode.as_str().to_owned(),
            settings: self.settings.clone(),
        }
    }

    fn rule_id(&self, rule: u16) -> &str {
        self.reference.rules.rules.get(usize::from(rule)).map_or("", |rule| &rule.id)
    }

    fn name_input(&mut self, input: u32, name: &str) {
        self.engines.name_input(input, name);
    }

    fn forget_input(&mut self, input: u32) {
        self.engines.forget_input(input);
    }

    fn begin_checkpoint(&mut self) {
        self.engines.begin_checkpoint();
    }

    fn write_checkpoint(&mut self, most: usize, write: &mut WriteEntry<'_>) -> bool {
        self.engines.write_checkpoint(most, write)
    }

    fn unwritten(&self) -> usize {
        self.engines.unwritten()
    }

    fn measure(&self, reading: &mut telemetry::Reading) {
        measure(&self.engines, reading);
        let places = self.enricher.places().min(PLACES_KEPT) as u64;
        reading.tables.push(TableReading { table: "places", entries: places, limit: PLACES_KEPT as u64 });
        let inputs = self.engines.inputs() as u64;
        reading.tables.push(TableReading { table: "inputs", entries: inputs, limit: INPUTS_EXPECTED });
    }

    fn adopt(&mut self, told: &Told, out: &mut Outcome) {
        self.engines.adopt(told, &mut out.effects);
    }

    fn exclude(&mut self, exclusions: &[Exclusion]) {
        self.left_out = LeftOut::new(exclusions);
        let partitions = exclusions.iter().filter_map(|exclusion| match exclusion.what {
            Excluded::TimedWork(partition) => Some(partition),
            _ => None,
        });
        let all = exclusions.iter().any(|exclusion| exclusion.what == Excluded::AllTimedWork);
        self.engines.leave_out_timed(partitions, all);
    }

    fn in_hand(&self) -> Vec<Excluded> {
        match self.engines.timed_in_hand() {
            Some(TimedPlace::Partition(partition)) => vec![Excluded::TimedWork(partition)],
            Some(TimedPlace::Groups) => vec![Excluded::AllTimedWork],
            None => self.in_hand.of_key(),
        }
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.engines.restore(key, value).map_err(|error| error.to_string())
    }
}

fn measure(engines: &Engines, reading: &mut telemetry::Reading) {
    let (mut sum, mut evictions) = (Counts::default(), Vec::new());
    reading.partitions.clear();
    for (partition, counts) in (0u16..).zip(engines.counts()) {
        reading.partitions.push(PartitionReading {
            partition,
            watermark_ms: engines.watermark().0,
            keys: counts.keys,
        });
        evictions.push(counts.evicted);
        sum = sum.plus(&counts);
    }
    reading.engine = EngineCounts {
        events_repeated: sum.repeats,
        pressure: sum.pressure,
        waiting: sum.waiting,
        unjudged_routes: sum.unjudged_routes,
        log_gaps: engines.gaps_found(),
        counters_evicted: sum.counters_evicted,
        without_incident: sum.without_incident,
        postponed: sum.postponed,
        condition_errors: sum.condition_errors,
        evictions,
        ..EngineCounts::default()
    };
    reading.state_bytes = sum.bytes;
    reading.paused = engines.is_paused();
    (reading.memory_bytes, reading.memory_limit_bytes) = (sum.memory, sum.memory_max);
    let table = |table, entries, limit| TableReading { table, entries, limit };
    reading.tables = vec![
        table("keys", sum.keys, sum.keys_max),
        table("routes", sum.routes, sum.routes_max),
        table("incidents", sum.open_incidents, sum.open_incidents_max),
        table("spikes", sum.spikes, sum.spikes_max),
        table("candidates", sum.candidates, sum.candidates_max),
        table("groups", engines.groups() as u64, GROUPS_MAX as u64),
    ];
    reading.counter_bytes = sum.counter_bytes;
    reading.counter_bytes_max = sum.counter_bytes_max;
}

/// Completes a request with its position, and sets a time back that cannot be.
fn complete(event: &mut Event<'_>, record: &Record<'_>, log_time: EventTime, out: &mut Outcome) {
    event.position.input = record.input;
    event.position.offset = record.offset;
    let set_back = clamped(event.time, log_time);
    out.saw(record.input, event.time, set_back);
    let tally = out.tally(record.source);
    if let Some(time) = set_back {
        event.time = time;
        event.flags.set(Flags::CLAMPED);
        tally.clamped += u64::from(!event.flags.has(Flags::FURTHER_KEY));
    }
    if event.flags.has(Flags::SEVERAL_KEYS) && !count_several(event.flags, tally) {
        return;
    }
    tally.events += 1;
    tally.clear_keys += u64::from(event.flags.has(Flags::CLEAR_KEY));
}

fn reject(record: &Record<'_>, index: u32, reason: Reject, hash_key: &[u8; 16], out: &mut Outcome) {
    let hash = if out.has_room_for_rejections() {
        let mut hasher = SipHasher13::new_with_key(hash_key);
        hasher.write(record.bytes);
        hasher.finish128().as_u128()
    } else {
        0
    };
    let (input, offset, length) = (record.input, record.offset, record.bytes.len());
    out.reject(record.source, Rejection { input, offset, index, reason: reason.as_str(), length, hash });
}
