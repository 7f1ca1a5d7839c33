//! The judgement of the daemon, fed with generated lines: decode, enrich, engines, in batches.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    catalogue::Catalogue,
    decode::{self, Decoder, KeyPolicy, Pepper, credential_fingerprint},
    engine::{self, Effect, Engines, IdKey, MemoryLimits, Reference},
    enrich::{Databases, Geo},
    event::EventTime,
    generate::{Format, Line, world},
    respond::{Caps, FRESH_WITHIN, Mode},
    rules::RuleSet,
    slot::{Judge, Outcome, Reading},
    source::{Batch, Record},
};

const BATCH_RECORDS: usize = 512;
/// A batch spans no more than this in event time, and the watermark follows it by as much.
const TURN: Duration = Duration::from_secs(10);
/// How long an automatic throttle holds: the default of `response`.
const THROTTLE_FOR: Duration = Duration::from_hours(1);
const PARTITIONS: u16 = 8;

/// What was read so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub requests: u64,
    pub rejected: u64,
}

/// The daemon's way from lines to effects.
pub(super) struct Stage {
    reading: Reading,
    batch: Batch,
    outcome: Outcome,
    /// The next offset by input; the inputs are those of [`inputs`].
    offsets: [u64; 3],
    turn_ends: EventTime,
    newest: EventTime,
    pub totals: Totals,
}

impl Stage {
    /// Empty engines with the shipped rules in force.
    pub fn new(catalogue: Arc<Catalogue>, pepper: &Pepper) -> anyhow::Result<Self> {
        let geo = Geo::new(Databases { city: Some(world::database()), ..Databases::default() })?;
        let reference = Reference {
            rules: Arc::new(RuleSet::shipped()),
            catalogue,
            geo_version: geo.version().to_owned(),
            mode: Mode::Enforce,
        };
        let engines = Engines::new(engine::Settings {
            partitions: PARTITIONS,
            limits: MemoryLimits::of_keys(100_000),
            ids: id_key(pepper),
            throttle_for: THROTTLE_FOR,
            fresh_within: FRESH_WITHIN,
            caps: Caps::default(),
        });
        let mut decoders = Vec::new();
        for (_, preset) in INPUTS {
            let format = decode::Format::preset(preset);
            let format = format.ok_or_else(|| anyhow::anyhow!("there is no preset {preset}"))?;
            decoders.push(Decoder::new(&decode::Settings::new(format, KeyPolicy::Raw), pepper)?);
        }
        let mut reading = Reading::new(decoders, Arc::new(geo), engines, reference, String::new(), pepper);
        for (input, (_, preset)) in (0..).zip(INPUTS) {
            reading.name_input(input, &format!("demo:{preset}"));
        }
        Ok(Self {
            reading,
            batch: Batch::new(BATCH_RECORDS),
            outcome: Outcome::default(),
            offsets: [0; 3],
            turn_ends: EventTime(0),
            newest: EventTime(0),
            totals: Totals::default(),
        })
    }

    /// Takes a line. What comes of it is in `effects`, at once or with one of the next lines.
    pub fn take(&mut self, line: &Line<'_>, format: Format, effects: &mut Vec<Effect>) {
        if line.time >= self.turn_ends || self.batch.room() == 0 {
            self.turn(effects);
            self.turn_ends = line.time.after(TURN);
        }
        self.newest = line.time;
        let input = INPUTS.iter().position(|(of, _)| *of == format).unwrap_or_default();
        let offset = self.offsets[input];
        self.offsets[input] += 1;
        self.batch.push(Record {
            source: u16::try_from(input).unwrap_or_default(),
            input: u32::try_from(input).unwrap_or_default(),
            offset,
            next: offset + 1,
            log_time_ms: Some(line.time.0),
            bytes: line.bytes,
            cut: false,
        });
    }

    /// Reads what waits, and lets the watermark follow.
    pub fn turn(&mut self, effects: &mut Vec<Effect>) {
        let Self { reading, batch, outcome, newest, .. } = self;
        reading.read(batch, newest.0, outcome);
        reading.settle(outcome);
        reading.watermark(newest.before(TURN), outcome);
        reading.settle(outcome);
        batch.clear();
        for tally in &mut outcome.tallies {
            self.totals.requests += std::mem::take(&mut tally.events);
            self.totals.rejected += tally.rejected.drain(..).map(|(_, count)| count).sum::<u64>();
        }
        outcome.rejections.clear();
        outcome.further.clear();
        outcome.seen.clear();
        effects.append(&mut outcome.effects);
    }

    /// Does what an operator asked for.
    pub fn command(&mut self, command: &engine::Command) -> Vec<Effect> {
        self.reading.command(command, &mut self.outcome);
        self.reading.settle(&mut self.outcome);
        std::mem::take(&mut self.outcome.effects)
    }

    /// Keys that have a profile.
    pub fn profiles(&self) -> u64 {
        self.reading.engines().counts().map(|counts| counts.keys).sum()
    }
}

/// The inputs, each with the preset that reads it.
const INPUTS: [(Format, &str); 3] =
    [(Format::Nginx, "nginx"), (Format::Kong, "kong"), (Format::Envoy, "envoy")];

fn id_key(pepper: &Pepper) -> IdKey {
    let halves = ["ids, first half", "ids, second half"];
    let [first, second] = halves.map(|half| credential_fingerprint(pepper, "keyhound", half).hash);
    let mut key = [0; 32];
    key[..16].copy_from_slice(&first);
    key[16..].copy_from_slice(&second);
    IdKey(key)
}
