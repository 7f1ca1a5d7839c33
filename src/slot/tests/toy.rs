//! A judge that counts requests by key, and whose effects hang on the watermark too.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    engine::{Command, Effect, Told},
    event::{EventTime, clamped},
    incident::{Incident, IncidentId},
    respond::{Decision, DecisionId, Mode, Step, SubjectRef},
    slot::{Judge, Outcome, Rejection, WriteEntry, judge::PANICKED},
    source::Batch,
    store::{Excluded, Exclusion, References},
    telemetry::Reading,
};

/// Requests, late ones among them, and the watermark at the last one.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    late: u64,
    last_ms: u64,
}

/// Every third request of a key changes its incident; every fifth asks for a decision, made when things settle.
#[derive(Default)]
pub struct Toy {
    counts: BTreeMap<String, Count>,
    changed: BTreeSet<String>,
    /// What a checkpoint that has begun has to write.
    cut: Vec<(Vec<u8>, String)>,
    wanted: BTreeSet<String>,
    watermark: EventTime,
    commands: u64,
    read_at_ms: u64,
    rules: String,
    names: BTreeSet<u32>,
    told: Told,
    /// Of a version that panics at what others do not.
    pub fragile: bool,
    /// From this watermark on it panics at each, in milliseconds; 0 = never.
    panics_from_ms: u64,
    excluded: Vec<Excluded>,
    in_hand: Option<String>,
}

impl Toy {
    /// One that panics at each watermark from this one on.
    pub fn panicking_from(ms: u64) -> Self {
        Self { panics_from_ms: ms, ..Self::default() }
    }

    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// What was told before, if it had to be taken in.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Inputs that have a name.
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// When the last batch was read.
    pub fn read_at_ms(&self) -> u64 {
        self.read_at_ms
    }

    fn observe(&mut self, key: &str, time: EventTime, out: &mut Outcome) {
        let count = self.counts.entry(key.to_owned()).or_default();
        count.all += 1;
        count.late += u64::from(time < self.watermark);
        count.last_ms = count.last_ms.max(time.0);
        self.changed.insert(key.to_owned());
        if count.all.is_multiple_of(3) {
            let verdict = format!("{} late at {}", count.late, self.watermark.0);
            let id = IncidentId(format!("inc_{key}"));
            #[allow(clippy::cast_precision_loss)]
            let score = count.all as f64;
            out.effects.push(Effect::Incident(Box::new(Incident {
                id,
                verdict,
                score,
                ..Incident::default()
            })));
        }
        if count.all.is_multiple_of(5) {
            self.wanted.insert(key.to_owned());
        }
    }
}

fn decision(key: String, count: &Count) -> Decision {
    Decision {
        schema: Decision::SCHEMA.to_owned(),
        id: DecisionId(format!("dec_{key}_{}", count.all)),
        epoch: count.all,
        subject: SubjectRef { id: key, ..SubjectRef::default() },
        handles: Vec::new(),
        step: Step::Throttle,
        mode: Mode::Shadow,
        only: None,
        rate: None,
        as_of: EventTime(count.last_ms).rfc3339(),
        expires_at: EventTime(count.last_ms + 3_600_000).rfc3339(),
        incident: String::new(),
        cause: "policy".to_owned(),
        rule: "toy".to_owned(),
        rule_version: "1".to_owned(),
        reason: format!("{} late", count.late),
        versions: crate::respond::decision::Versions::default(),
        instance: String::new(),
    }
}

impl Judge for Toy {
    type Change = String;

    fn read(&mut self, batch: &Batch, at_ms: u64, out: &mut Outcome) {
        self.read_at_ms = at_ms;
        for record in batch.records() {
            out.tally(record.source).records += 1;
            let text = String::from_utf8_lossy(record.bytes);
            assert!(!text.contains("panic"), "planted, with {text}");
            assert!(!(self.fragile && text.contains("fragile")), "planted, with {text}");
            let Some((seconds, key)) =
                text.split_once(' ').and_then(|(t, key)| Some((t.parse::<u64>().ok()?, key)))
            else {
                out.reject(
                    record.source,
                    Rejection {
                        input: record.input,
                        offset: record.offset,
                        index: 0,
                        reason: "toy",
                        length: record.bytes.len(),
                        hash: 1,
                    },
                );
                continue;
            };
            out.tally(record.source).events += 1;
            let is_immature = key.starts_with("new");
            if self.excluded.contains(&Excluded::Key(key.to_owned()))
                || is_immature && self.excluded.contains(&Excluded::ImmatureKeys)
            {
                let (input, offset, length) = (record.input, record.offset, record.bytes.len());
                out.reject(
                    record.source,
                    Rejection { input, offset, index: 0, reason: PANICKED, length, hash: 0 },
                );
                continue;
            }
            self.in_hand = out.notes_keys.then(|| key.to_owned());
            // By its state: each request but the first few.
            assert!(!key.starts_with("new-cursed"), "planted");
            assert!(key != "cursed" || self.counts.get(key).is_none_or(|count| count.all < 3), "planted");
            let time = EventTime(super::START_MS + seconds * 1000);
            let log_time = EventTime(record.log_time_ms.unwrap_or(at_ms));
            let set_back = clamped(time, log_time);
            out.saw(record.input, time, set_back);
            self.observe(key, set_back.unwrap_or(time), out);
        }
    }

    fn watermark(&mut self, time: EventTime, _out: &mut Outcome) {
        self.in_hand = None;
        if self.excluded.contains(&Excluded::AllTimedWork) {
            return;
        }
        assert!(self.panics_from_ms == 0 || time.0 < self.panics_from_ms, "planted at {}", time.0);
        self.watermark = time;
    }

    fn command(&mut self, command: &Command, _out: &mut Outcome) {
        self.in_hand = None;
        assert!(command.reason != "planted-panic", "planted");
        self.commands += 1;
    }

    fn settle(&mut self, out: &mut Outcome) {
        for key in std::mem::take(&mut self.wanted) {
            let count = self.counts[&key];
            out.effects.push(Effect::Decision(Box::new(decision(key, &count))));
        }
    }

    fn change(&mut self, change: String, _out: &mut Outcome) {
        self.rules = change;
    }

    fn refer(&mut self, _out: &mut Outcome) {}

    fn references(&self) -> References {
        References { rules: self.rules.clone(), ..References::default() }
    }

    fn name_input(&mut self, input: u32, _name: &str) {
        self.names.insert(input);
    }

    fn forget_input(&mut self, input: u32) {
        self.names.remove(&input);
    }

    fn rule_id(&self, _rule: u16) -> &'static str {
        "toy"
    }

    fn begin_checkpoint(&mut self) {
        assert!(self.cut.is_empty(), "the one before has to be written");
        self.cut.push((b"\0watermark".to_vec(), self.watermark.0.to_string()));
        for key in std::mem::take(&mut self.changed) {
            let Count { all, late, last_ms } = self.counts[&key];
            self.cut.push((key.into_bytes(), format!("{all} {late} {last_ms}")));
        }
    }

    fn write_checkpoint(&mut self, most: usize, write: &mut WriteEntry<'_>) -> bool {
        for (key, value) in self.cut.drain(self.cut.len().saturating_sub(most)..) {
            write(&key, Some(value.as_bytes()));
        }
        self.cut.is_empty()
    }

    fn unwritten(&self) -> usize {
        self.cut.len() + self.changed.len()
    }

    fn measure(&self, _reading: &mut Reading) {}

    fn adopt(&mut self, told: &Told, _out: &mut Outcome) {
        self.told = told.clone();
    }

    fn exclude(&mut self, exclusions: &[Exclusion]) {
        self.excluded = exclusions.iter().map(|exclusion| exclusion.what.clone()).collect();
    }

    fn in_hand(&self) -> Vec<Excluded> {
        let Some(key) = self.in_hand.clone() else { return Vec::new() };
        let is_immature = key.starts_with("new");
        [Some(Excluded::Key(key)), is_immature.then_some(Excluded::ImmatureKeys)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let value = String::from_utf8(value.to_vec()).map_err(|error| error.to_string())?;
        let numbers: Vec<u64> = value.split(' ').filter_map(|number| number.parse().ok()).collect();
        match (key, numbers.as_slice()) {
            (b"\0watermark", [ms]) => self.watermark = EventTime(*ms),
            (key, [all, late, last_ms]) => {
                let count = Count { all: *all, late: *late, last_ms: *last_ms };
                self.counts.insert(String::from_utf8_lossy(key).into_owned(), count);
            }
            _ => return Err(format!("\"{value}\" is not a count")),
        }
        Ok(())
    }
}
