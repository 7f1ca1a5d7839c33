//! The stages, and how records go through them.

use std::{hint::black_box, sync::Arc};

use bumpalo::Bump;
use keyhound::{
    config,
    decode::{Decoded, Decoder, Format, KeyPolicy, Pepper, Settings},
    engine::Reference,
    enrich::{Databases, Geo},
    event::EventTime,
    generate::{stream::StreamPlan, world},
    slot::{Judge as _, Outcome, Reading},
    source::Batch,
};

use crate::library;

/// As a slot's batches are.
const BATCH: usize = 4096;

/// What is done to records.
#[derive(Clone, Copy)]
pub enum Stage {
    /// Decodes requests of invented keys, in a gateway's form.
    DecodeTraffic(&'static str),
    /// Decodes a stream of the benchmark.
    Decode(StreamPlan),
    /// Decodes a stream of the benchmark, looks its places up and judges it by the shipped rules.
    Judge(StreamPlan),
}

impl Stage {
    /// Each with its name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("decode-nginx", Self::DecodeTraffic("nginx")),
        ("decode-kong", Self::DecodeTraffic("kong")),
        ("decode-envoy", Self::DecodeTraffic("envoy")),
        ("decode", Self::Decode(BENCHMARK)),
        ("judge", Self::Judge(BENCHMARK)),
        ("judge-busy", Self::Judge(BUSY)),
    ];

    pub fn named(wanted: &str) -> Self {
        let found = Self::ALL.iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("there is no stage \"{wanted}\"")).1
    }

    /// Takes the first records through the stage, and tells how many requests came of them.
    pub fn run(self, bytes: &[u8], count: usize) -> usize {
        let lines = first(bytes, count);
        let requests = match self {
            Self::DecodeTraffic(preset) => decode(decoder(preset), &lines),
            Self::Decode(_) => decode(decoder("nginx"), &lines),
            Self::Judge(plan) => judge(plan, &lines),
        };
        assert_eq!(requests, count, "some records are rejected");
        requests
    }
}

/// That of `make bench`: 100,000 keys by Zipf's law, 20,000 records a second.
const BENCHMARK: StreamPlan = StreamPlan {
    seed: 1,
    start: EventTime(1_793_577_600_000),
    keys: 100_000,
    records: 0,
    per_second: 20_000,
};

/// Few keys with some hundred requests a minute each, over so long that minutes end.
const BUSY: StreamPlan = StreamPlan { keys: 300, per_second: 1_000, ..BENCHMARK };

fn first(bytes: &[u8], count: usize) -> Vec<&[u8]> {
    let mut lines = Vec::with_capacity(count);
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', bytes).take(count) {
        lines.push(&bytes[from..end]);
        from = end + 1;
    }
    assert_eq!(lines.len(), count, "the file has fewer records");
    lines
}

fn decode(mut decoder: Decoder, lines: &[&[u8]]) -> usize {
    let mut requests = 0;
    for lines in lines.chunks(BATCH) {
        let arena = Bump::new();
        for line in lines {
            decoder.decode(line, &arena, |decoded| {
                requests += usize::from(matches!(black_box(&decoded), Decoded::Request(_)));
            });
        }
    }
    requests
}

fn judge(plan: StreamPlan, lines: &[&[u8]]) -> usize {
    let mut reading = reading();
    let mut batch = Batch::new(BATCH);
    let mut out = Outcome::default();
    let mut rejected = 0;
    let mut offset = 0;
    for lines in lines.chunks(BATCH) {
        let mut now = plan.start.0;
        for line in lines {
            now = plan.start.0 + offset * 1_000 / u64::from(plan.per_second);
            batch.push(library::record(offset, now, line));
            offset += 1;
        }
        out.effects.clear();
        out.rejections.clear();
        reading.read(&batch, now, &mut out);
        reading.settle(&mut out);
        rejected += out.rejections.len();
        batch.clear();
    }
    black_box(&out.effects);
    lines.len() - rejected
}

/// With the rules that come with Keyhound, and its default settings.
fn reading() -> Reading {
    let databases = Databases { city: Some(world::database()), ..Databases::default() };
    let geo = Geo::new(databases).expect("a database of our own making");
    let rules = config::rules(&["shipped".into()]).expect("the shipped rules");
    let reference = Reference { rules: Arc::new(rules), ..Reference::default() };
    Reading::new(
        vec![decoder("nginx")],
        Arc::new(geo),
        library::engines(),
        reference,
        String::new(),
        &pepper(),
    )
}

fn decoder(preset: &str) -> Decoder {
    let format = Format::preset(preset).expect("a preset");
    Decoder::new(&Settings::new(format, KeyPolicy::Raw), &pepper()).expect("a valid preset")
}

fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).expect("32 bytes")
}
