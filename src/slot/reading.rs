//! The judgement of the daemon: decode, enrich, and the engines of all partitions, in one thread.
//!
//! Requests go through in chunks of 32: their places are looked up together, and the engines fetch their profiles
//! ahead. Nothing is allocated for a request: texts lie in the batch or in an arena that is wiped after it.

use std::{hash::Hasher, net::IpAddr, sync::Arc};

use bumpalo::Bump;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::{
    judge::{Judge, Outcome, Rejection, WriteEntry},
    time::clamped,
};
use crate::{
    decode::{Decoded, Decoder, Pepper, Reject, Request, credential_fingerprint},
    engine::{Command, Counts, Engines, Input, Reference},
    enrich::{Enricher, Geo},
    event::{Event, EventTime, Flags, Position},
    source::{Batch, Record},
    store::References,
    telemetry::{self, PartitionReading, TableReading},
};

/// Requests that go through together.
const CHUNK: usize = 32;

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
    /// For hashes of rejected records: secret, so that a raw key in one cannot be guessed from it.
    hash_key: [u8; 16],
}

/// A request on its way, and the address to look its place up with.
#[derive(Clone, Copy)]
struct Pending<'a> {
    event: Event<'a>,
    client: Option<IpAddr>,
}

impl Reading {
    /// Begins with empty engines, and puts `reference` into force. `decoders` are in the order of the sources.
    pub fn new(
        decoders: Vec<Decoder>,
        geo: Arc<Geo>,
        mut engines: Engines,
        reference: Reference,
        pepper: &Pepper,
    ) -> Self {
        // Empty engines have nothing to say about it.
        engines.apply(Input::Reference(&reference), &mut Vec::new());
        let hash_key = credential_fingerprint(pepper, "keyhound", "rejected records").hash;
        Self { decoders, enricher: Enricher::new(geo), engines, reference, arena: Bump::new(), hash_key }
    }

    /// The engines, to look into.
    pub fn engines(&self) -> &Engines {
        &self.engines
    }
}

impl Judge for Reading {
    type Change = Change;

    fn read(&mut self, batch: &Batch, at_ms: u64, out: &mut Outcome) {
        let Self { decoders, enricher, engines, arena, hash_key, .. } = self;
        let mut chunk: Vec<Pending<'_>> = Vec::with_capacity(2 * CHUNK);
        for record in batch.records() {
            let tally = out.tally(record.source);
            tally.records += 1;
            tally.bytes += record.bytes.len() as u64;
            let log_time = EventTime(record.log_time_ms.unwrap_or(at_ms));
            let mut index = 0u16;
            decoders[usize::from(record.source)].decode(record.bytes, arena, |decoded| {
                match decoded {
                    Decoded::Request(request) => chunk.push(pending(request, &record, log_time, out)),
                    Decoded::Anonymous => out.tally(record.source).anonymous += 1,
                    Decoded::Rejected(reason) => reject(&record, index, reason, hash_key, out),
                }
                index = index.saturating_add(1);
            });
            while chunk.len() >= CHUNK {
                judge(&chunk[..CHUNK], enricher, engines, out);
                chunk.drain(..CHUNK);
            }
        }
        judge(&chunk, enricher, engines, out);
        drop(chunk);
        self.arena.reset();
    }

    fn watermark(&mut self, time: EventTime, out: &mut Outcome) {
        self.engines.apply(Input::Watermark(time), &mut out.effects);
    }

    fn command(&mut self, command: &Command, out: &mut Outcome) {
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
        }
    }

    fn rule_id(&self, rule: u16) -> &str {
        self.reference.rules.rules.get(usize::from(rule)).map_or("", |rule| &rule.id)
    }

    fn name_input(&mut self, input: u32, name: &str) {
        self.engines.name_input(input, name);
    }

    fn checkpoint(&mut self, write: &mut WriteEntry<'_>) {
        self.engines.checkpoint(write);
    }

    fn measure(&self, reading: &mut telemetry::Reading) {
        measure(&self.engines, reading);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.engines.restore(key, value).map_err(|error| error.to_string())
    }
}

fn measure(engines: &Engines, reading: &mut telemetry::Reading) {
    let mut sum = Counts::default();
    reading.partitions.clear();
    for (partition, counts) in (0u16..).zip(engines.counts()) {
        reading.partitions.push(PartitionReading {
            partition,
            watermark_ms: engines.watermark().0,
            keys: counts.keys,
            evictions: counts.evicted,
        });
        sum = sum.plus(&counts);
    }
    reading.events_late = sum.too_late;
    reading.events_repeated = sum.repeats;
    reading.state_bytes = sum.bytes;
    let table = |table, entries, limit| TableReading { table, entries, limit };
    reading.tables = vec![
        table("keys", sum.keys, sum.keys_max),
        table("routes", sum.routes, sum.routes_max),
        table("candidates", sum.candidates, sum.candidates_max),
    ];
    reading.pressure = sum.pressure;
    reading.condition_errors = sum.condition_errors;
    reading.unjudged_routes = sum.unjudged_routes;
    reading.waiting = sum.waiting;
}

/// Completes a request with its position, and sets a time back that cannot be.
fn pending<'a>(
    request: Request<'a>,
    record: &Record<'_>,
    log_time: EventTime,
    out: &mut Outcome,
) -> Pending<'a> {
    let Request { mut event, client } = request;
    let Position { index, .. } = event.position;
    event.position = Position { input: record.input, offset: record.offset, index };
    if let Some(time) = clamped(event.time, log_time) {
        event.time = time;
        event.flags.set(Flags::CLAMPED);
        out.tally(record.source).clamped += 1;
    } else {
        out.saw(record.input, event.time);
    }
    let tally = out.tally(record.source);
    tally.events += 1;
    tally.clear_keys += u64::from(event.flags.has(Flags::CLEAR_KEY));
    Pending { event, client }
}

fn reject(record: &Record<'_>, index: u16, reason: Reject, hash_key: &[u8; 16], out: &mut Outcome) {
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

/// Looks the places of at most [`CHUNK`] requests up, and judges them.
fn judge(chunk: &[Pending<'_>], enricher: &mut Enricher, engines: &mut Engines, out: &mut Outcome) {
    let Some(first) = chunk.first() else { return };
    let mut places = [None; CHUNK];
    for (place, pending) in places.iter_mut().zip(chunk) {
        *place = pending.client.map(|client| enricher.resolve(client));
    }
    let enricher = &*enricher;
    // On the stack; what lies beyond the chunk's length is not looked at.
    let events: [Event<'_>; CHUNK] = std::array::from_fn(|n| {
        let event = chunk.get(n).unwrap_or(first).event;
        match places[n] {
            Some(place) => Event { place: enricher.place(place), ..event },
            None => event,
        }
    });
    engines.apply_events(&events[..chunk.len()], &mut out.effects);
}
