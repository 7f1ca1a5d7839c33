//! What each stage costs in this process, without a broker: for finding out where the cycles go.
//!
//! Each pass makes the same records and takes them one stage further, so that the difference of two passes is the
//! stage. One thread; the time is the processor's, not the clock's.

use std::sync::Arc;

use bumpalo::Bump;
use keyhound::{
    config,
    decode::{Decoded, Decoder, Format, KeyPolicy, Pepper, Settings},
    engine::Reference,
    enrich::{Databases, Enricher, Geo},
    generate::{
        stream::{Stream, StreamPlan},
        world,
    },
    slot::{Judge as _, Outcome, Reading},
    source::Batch,
};

use crate::{library, process};

/// As a slot's batches are.
const BATCH: usize = 4096;

/// Runs the passes and prints a line each.
pub fn run(records: u64, keys: u32) {
    let plan = StreamPlan { records, keys, ..StreamPlan::default() };
    let generated = pass(&plan, |_| {});
    print(plan, "generate and copy into a batch", generated, 0);
    let mut decoder = decoder();
    let decoded = pass(&plan, |batch| decode(&mut decoder, batch, |_| {}));
    print(plan, "decode", decoded, generated);
    let (mut decoder, mut enricher) = (self::decoder(), Enricher::new(Arc::new(geo())));
    let enriched = pass(&plan, |batch| {
        decode(&mut decoder, batch, |decoded| {
            if let Decoded::Request(request) = decoded
                && let Some(client) = request.client
            {
                std::hint::black_box(enricher.resolve(client));
            }
        });
    });
    print(plan, "look the place up", enriched, decoded);
    let before = process::resident_bytes("self");
    let mut reading = reading();
    let mut out = Outcome::default();
    let mut effects = 0;
    let judged = pass(&plan, |batch| {
        out.effects.clear();
        out.rejections.clear();
        reading.read(batch, plan.start.0 + 1_000_000, &mut out);
        reading.settle(&mut out);
        effects += out.effects.len();
    });
    print(plan, "judge", judged, enriched);
    let kept: u64 = reading.engines().counts().map(|counts| counts.keys).sum();
    let bytes: u64 = reading.engines().counts().map(|counts| counts.bytes).sum();
    let resident = process::resident_bytes("self").saturating_sub(before);
    println!("all but generating: {} ns an event; {effects} effects", (judged - generated) / records);
    println!("{kept} keys: {} B a key in tables, {} B a key resident", bytes / kept, resident / kept);
}

fn print(plan: StreamPlan, stage: &str, nanoseconds: u64, before: u64) {
    println!("{stage:<32} {:>5} ns an event", nanoseconds.saturating_sub(before) / plan.records);
}

/// The processor's time of making the plan's records and handing them to `take` in batches.
fn pass(plan: &StreamPlan, mut take: impl FnMut(&Batch)) -> u64 {
    let mut stream = Stream::new(*plan);
    let mut batch = Batch::new(BATCH);
    let mut offset = 0;
    let started = process::thread_nanoseconds();
    while let Some(record) = stream.next_record() {
        batch.push(library::record(offset, record.time.0, record.bytes));
        offset += 1;
        if batch.room() == 0 {
            take(&batch);
            batch.clear();
        }
    }
    take(&batch);
    process::thread_nanoseconds() - started
}

fn decode<'b>(decoder: &mut Decoder, batch: &'b Batch, mut sink: impl FnMut(&Decoded<'_>)) {
    let arena = Bump::new();
    for record in batch.records() {
        let bytes: &'b [u8] = record.bytes;
        decoder.decode(bytes, &arena, |decoded| sink(std::hint::black_box(&decoded)));
    }
}

fn decoder() -> Decoder {
    let format = Format::preset("nginx").expect("a preset");
    Decoder::new(&Settings::new(format, KeyPolicy::Raw), &pepper()).expect("a valid preset")
}

fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).expect("32 bytes")
}

fn geo() -> Geo {
    let databases = Databases { city: Some(world::database()), ..Databases::default() };
    Geo::new(databases).expect("a database of our own making")
}

/// With the rules that come with Keyhound, and its default settings.
fn reading() -> Reading {
    let rules = config::rules(&["shipped".into()]).expect("the shipped rules");
    let reference = Reference { rules: Arc::new(rules), ..Reference::default() };
    Reading::new(vec![decoder()], Arc::new(geo()), library::engines(), reference, String::new(), &pepper())
}
