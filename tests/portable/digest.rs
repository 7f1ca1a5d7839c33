//! One number for all that the core says and learns: it must be the same on every processor and with every C library.
//!
//! ```text
//! digest make FILE   writes log lines: ten days of 60 keys, with each scenario once
//! digest control     prints a hash of logarithms and powers of std, which are not the same everywhere
//! digest FILE        reads them through decoder, places and engines; prints a hash of all effects and of all that was learnt
//! ```
//!
//! tests/portable/run compiles it with the core alone, which needs no C.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    sync::Arc,
    time::Duration,
};

use bumpalo::Bump;
use keyhound::{
    decode::{Decoded, Decoder, Format, KeyPolicy, Pepper, Request, Settings},
    engine::{self, Effect, Engines, IdKey, Input, MemoryLimits, Reference},
    enrich::{Databases, Enricher, Geo},
    event::{EventTime, Place},
    generate::{Injection, Plan, Scenario, Traffic, world},
    respond::{Caps, FRESH_WITHIN},
    rules::RuleSet,
};
use sha2::{Digest as _, Sha256};

const DAY: Duration = Duration::from_secs(86_400);
/// How often the watermark is told, and how far it is behind.
const TICK: Duration = Duration::from_secs(5);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", file] => make(file),
        ["control"] => println!("{}", control()),
        [file] => println!("{}", digest(&std::fs::read(file).expect("log lines"))),
        words => panic!("digest make FILE, digest control, or digest FILE, not {words:?}"),
    }
}

/// The generator is part of the core, but makes logarithms with the C library: lines are made once.
fn make(file: &str) {
    let plan = Plan { days: 10, keys: 60, lines_max: 1 << 19, ..Plan::default() };
    let mut traffic = Traffic::new(plan).expect("a plan within its range");
    for (n, scenario) in (0..).zip(Scenario::ALL) {
        let at = plan.start.after(DAY * 6 + Duration::from_hours(3) * n);
        let target = if scenario.is_for_tenant() { n as usize % plan.tenants } else { 10 + 3 * n as usize };
        traffic.inject(Injection { scenario, at, target }).expect("a scenario within the plan");
    }
    let mut out = BufWriter::new(File::create(file).expect("a file can be made"));
    while let Some(line) = traffic.next_line() {
        out.write_all(line.bytes).and_then(|()| out.write_all(b"\n")).expect("it can be written");
    }
    out.flush().expect("it can be written");
}

/// What the core may not use.
fn control() -> String {
    let mut hash = Sha256::new();
    for x in (1..500_000).map(|i| f64::from(i) * 0.001_237) {
        hash.update(x.ln().to_le_bytes());
        hash.update(x.powf(1.37).to_le_bytes());
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &[u8]) -> String {
    let format = Format::preset("nginx").expect("a preset");
    let pepper = Pepper::new(&[7; 32]).expect("32 bytes");
    let mut decoder = Decoder::new(&Settings::new(format, KeyPolicy::Raw), &pepper).expect("a valid preset");
    let mut reader = Reader::new();
    let mut arena = Bump::new();
    for (offset, line) in (0..).zip(text.split(|byte| *byte == b'\n')) {
        arena.reset();
        decoder.decode(line, &arena, |decoded| {
            if let Decoded::Request(request) = decoded {
                reader.read(request, offset);
            }
        });
    }
    reader.end()
}

struct Reader {
    enricher: Enricher,
    engines: Engines,
    effects: Vec<Effect>,
    told: EventTime,
    hash: Sha256,
    counts: [u64; 2],
}

impl Reader {
    fn new() -> Self {
        let databases = Databases { city: Some(world::database()), ..Databases::default() };
        let geo = Geo::new(databases).expect("a database of our own making");
        let mut engines = Engines::new(engine::Settings {
            partitions: 8,
            limits: MemoryLimits::of_keys(10_000),
            ids: IdKey([7; 32]),
            throttle_for: Duration::from_secs(1800),
            fresh_within: FRESH_WITHIN,
            caps: Caps::default(),
        });
        let reference = Reference { rules: Arc::new(RuleSet::shipped()), ..Reference::default() };
        engines.apply(Input::Reference(&reference), &mut Vec::new());
        Self {
            enricher: Enricher::new(Arc::new(geo)),
            engines,
            effects: Vec::new(),
            told: EventTime(0),
            hash: Sha256::new(),
            counts: [0; 2],
        }
    }

    fn read(&mut self, Request { mut event, client }: Request<'_>, offset: u64) {
        event.position.offset = offset;
        event.place = client.map_or_else(Place::default, |client| {
            let place = self.enricher.resolve(client);
            self.enricher.place(place)
        });
        self.counts[0] += 1;
        self.engines.apply_events(&[event], &mut self.effects);
        if event.time >= self.told.after(TICK) {
            self.told = event.time;
            self.engines.apply(Input::Watermark(event.time.before(TICK)), &mut self.effects);
            self.engines.settle(&mut self.effects);
            self.take();
        }
    }

    /// Floats are written with all of their digits.
    fn take(&mut self) {
        self.counts[1] += self.effects.len() as u64;
        for effect in self.effects.drain(..) {
            self.hash.update(format!("{effect:?}\n"));
        }
    }

    fn end(mut self) -> String {
        self.take();
        let mut learnt = 0;
        let hash = &mut self.hash;
        self.engines.checkpoint(&mut |key, value| {
            learnt += 1;
            hash.update(key);
            hash.update(value.unwrap_or_default());
        });
        let (hex, [requests, effects]) = (hex(self.hash), self.counts);
        format!("{hex}  {requests} requests, {effects} effects, {learnt} entries of state")
    }
}
