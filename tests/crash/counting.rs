//! A judge that counts by key; each 7th request of a key changes its incident.

use std::collections::{BTreeMap, BTreeSet};

use keyhound::{
    engine::{Command, Effect, Told},
    event::EventTime,
    incident::{Incident, IncidentId},
    slot::{Judge, Outcome, Rejection, WriteEntry},
    source::Batch,
    store::{Excluded, Exclusion, References},
    telemetry::Reading,
};

#[derive(Default)]
pub struct Counting {
    counts: BTreeMap<String, u64>,
    changed: BTreeSet<String>,
    /// What a checkpoint that has begun has to write.
    cut: Vec<(Vec<u8>, u64)>,
    watermark: EventTime,
}

impl Judge for Counting {
    type Change = ();

    fn read(&mut self, batch: &Batch, _at_ms: u64, out: &mut Outcome) {
        for record in batch.records() {
            out.tally(record.source).records += 1;
            let text = String::from_utf8_lossy(record.bytes);
            let Some((time, key)) = text.split_once(' ') else {
                let (input, offset, length) = (record.input, record.offset, record.bytes.len());
                out.reject(
                    record.source,
                    Rejection { input, offset, index: 0, reason: "broken", length, hash: 0 },
                );
                continue;
            };
            out.saw(record.input, EventTime(time.parse().unwrap()), None);
            let count = self.counts.entry(key.to_owned()).or_default();
            *count += 1;
            if count.is_multiple_of(7) {
                let (id, verdict) =
                    (IncidentId(format!("inc_{key}")), format!("{count} at {}", self.watermark.0));
                out.effects.push(Effect::Incident(Box::new(Incident { id, verdict, ..Incident::default() })));
            }
            self.changed.insert(key.to_owned());
        }
    }

    fn watermark(&mut self, time: EventTime, _out: &mut Outcome) {
        self.watermark = time;
    }

    fn command(&mut self, _command: &Command, _out: &mut Outcome) {}

    fn settle(&mut self, _out: &mut Outcome) {}

    fn change(&mut self, _change: (), _out: &mut Outcome) {}

    fn refer(&mut self, _out: &mut Outcome) {}

    fn references(&self) -> References {
        References::default()
    }

    fn name_input(&mut self, _input: u32, _name: &str) {}

    fn forget_input(&mut self, _input: u32) {}

    fn rule_id(&self, _rule: u16) -> &'static str {
        ""
    }

    fn begin_checkpoint(&mut self) {
        self.cut.push((Vec::new(), self.watermark.0));
        let changed = std::mem::take(&mut self.changed).into_iter();
        self.cut.extend(changed.map(|key| (key.as_bytes().to_vec(), self.counts[&key])));
    }

    fn write_checkpoint(&mut self, most: usize, write: &mut WriteEntry<'_>) -> bool {
        for (key, value) in self.cut.drain(self.cut.len().saturating_sub(most)..) {
            write(&key, Some(&value.to_be_bytes()));
        }
        self.cut.is_empty()
    }

    fn unwritten(&self) -> usize {
        self.cut.len() + self.changed.len()
    }

    fn measure(&self, _reading: &mut Reading) {}

    fn adopt(&mut self, _told: &Told, _out: &mut Outcome) {}

    fn exclude(&mut self, _exclusions: &[Exclusion]) {}

    fn in_hand(&self) -> Vec<Excluded> {
        Vec::new()
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let number = u64::from_be_bytes(value.try_into().map_err(|_| "not 8 bytes".to_owned())?);
        if key.is_empty() {
            self.watermark = EventTime(number);
        } else {
            self.counts.insert(String::from_utf8_lossy(key).into_owned(), number);
        }
        Ok(())
    }
}
