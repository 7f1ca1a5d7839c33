//! A partition's state as entries of a checkpoint, and back.
//!
//! Keys of entries: `k` + key id (profile), `i` + key id (incident, step, lift, alias), `n` + key id (counters of counting
//! rules), `r` + route hash, `w` (watermark), `c` (keys on their way into the table), `q` (request ids seen lately).
//! When a checkpoint is taken hangs on the wall clock, so nothing may be forgotten at one: what comes after would
//! depend on it.
//!
//! A checkpoint has the state of one moment. It is written in pieces, since all at once the loop would stand still for
//! seconds where millions of keys are new; what changes before its turn is put aside as it was.

use serde::{Deserialize, Serialize};

use super::{engine::Engine, force::Force, group_counts::GroupCounts, waiting::Waiting};
use crate::{
    event::{EventTime, KeyId, KeyKind},
    incident::Case,
    profile::{CodecError, KeyTable, Reader, Writer},
};

/// Where an entry goes: its key, and its value or `None` for what is gone.
pub type WriteEntry<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// What a key has besides its profile.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Side {
    case: Option<Case>,
    force: Option<Force>,
    alias: Option<String>,
    /// The epoch of a lift.
    #[serde(default)]
    lifted: Option<u64>,
}

impl Side {
    const fn is_empty(&self) -> bool {
        matches!(self, Self { case: None, force: None, alias: None, lifted: None })
    }
}

/// What the checkpoint that has begun has still to write of a partition. Table and counters keep theirs themselves.
#[derive(Debug, Default)]
pub(super) struct EngineCheckpoint {
    /// Keys of entries without their prefix, and what they hold.
    small: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    sides: Vec<(KeyId, Side)>,
}

impl Engine {
    /// Begins a checkpoint of the state as it is now, of what changed since the last one began. That one has to be
    /// written. What there is little of is copied; the rest is written while the state goes on changing.
    pub(super) fn begin_checkpoint(&mut self) {
        self.table.begin_checkpoint();
        self.counters.begin_checkpoint();
        let changed = std::mem::take(&mut self.changed_cases);
        self.cut.sides = changed.iter().rev().map(|key| (*key, self.side(key))).collect();
        let small = &mut self.cut.small;
        let mut add = |kind: u8, rest: &[u8], entry: Option<Writer>| {
            small.push((entry_key(&[], kind, rest), entry.map(|entry| entry.0)));
        };
        self.routes.checkpoint(|route, entry| add(b'r', &route.to_be_bytes(), entry));
        let mut out = Writer::versioned();
        out.uint(self.watermark.0);
        self.group_counts.write(&self.now.tenants, &mut out);
        out.uint(self.newcomers.len() as u64);
        for (group, usual) in &self.newcomers {
            out.raw(&self.now.tenants.hash(*group).to_le_bytes());
            for usual in usual {
                out.float(*usual);
            }
        }
        out.uint(self.pending.len() as u64);
        for (key, waiting) in &self.pending {
            out.raw(&id_bytes(key));
            waiting.write(&mut out);
        }
        self.routes.write_waiting(&mut out);
        out.uint(self.settings.limits.keys as u64);
        add(b'w', &[], Some(out));
        if let Some(out) = self.candidates.checkpoint() {
            add(b'c', &[], Some(out));
        }
        if let Some(out) = self.repeats.checkpoint() {
            add(b'q', &[], Some(out));
        }
    }

    fn side(&self, key: &KeyId) -> Side {
        Side {
            case: self.cases.get(key).cloned(),
            force: self.forces.get(key).cloned(),
            alias: self.aliases.get(key).map(ToString::to_string),
            lifted: self.lifted.get(key).copied(),
        }
    }

    /// Writes entries of the checkpoint that has begun under `prefix`: at most `left` of them, and those that have
    /// changed since. Takes what it wrote off `left`, and says whether all is written.
    pub(super) fn write_checkpoint(
        &mut self,
        prefix: &[u8],
        left: &mut usize,
        write: &mut WriteEntry<'_>,
    ) -> bool {
        for (key, value) in self.cut.small.drain(..) {
            *left = left.saturating_sub(1);
            write(&[prefix, &key].concat(), value.as_deref());
        }
        while let Some((key, side)) = (*left > 0).then(|| self.cut.sides.pop()).flatten() {
            *left -= 1;
            // Plain data with text keys: it cannot fail to serialize.
            let bytes = serde_json::to_vec(&side).unwrap_or_default();
            write(&entry_key(prefix, b'i', &id_bytes(&key)), (!side.is_empty()).then_some(bytes.as_slice()));
        }
        let mut of_key = |kind, key: &KeyId, entry: Option<Writer>| {
            let value = entry.as_ref().map(|entry| entry.0.as_slice());
            write(&entry_key(prefix, kind, &id_bytes(key)), value);
        };
        let table = self.table.write_checkpoint(left, |key, entry| of_key(b'k', key, entry));
        let counters = self.counters.write_checkpoint(left, |key, entry| of_key(b'n', key, entry));
        self.cut.sides.is_empty() && counters && table
    }

    /// About how many entries a checkpoint of all that has changed would write, what is left of the one that has begun
    /// among them.
    pub(super) fn unwritten(&self) -> usize {
        let small = self.cut.small.len() + self.cut.sides.len() + self.changed_cases.len();
        small + self.table.unwritten() + self.counters.unwritten()
    }

    /// Takes one entry back; `key` without its prefix.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CodecError> {
        let (kind, rest) = key.split_first().ok_or(CodecError::Truncated(0))?;
        match kind {
            b'k' => {
                let read = KeyTable::read(&mut Reader::versioned(value)?)?;
                // A table may be over its limit: keys with an incident or a step stay. It is far over it where there was
                // more memory before: all of them may not fit, until the rest is trimmed.
                if self.table.is_overfull_for(&read.0.key, self.cases.len() + self.forces.len()) {
                    self.make_room(&read.0.key, read.0.last_seen);
                }
                self.table.restore(read);
                Ok(())
            }
            b'i' => self.restore_side(id_of(rest)?, value),
            b'r' => {
                let route = u64::from_be_bytes(rest.try_into().map_err(|_| CodecError::Truncated(1))?);
                self.routes.restore(route, &mut Reader::versioned(value)?)
            }
            b'n' => {
                let counting = &self.now.reference.rules.watch.counting;
                let key = id_of(rest)?;
                self.counters.restore(key, counting, &mut Reader::versioned(value)?)?;
                if self.table.find(&key).is_none() {
                    self.counters.remove(&key);
                }
                Ok(())
            }
            b'w' => self.restore_watermark(&mut Reader::versioned(value)?),
            b'c' => self.candidates.restore(&mut Reader::versioned(value)?),
            b'q' => self.repeats.restore(&mut Reader::versioned(value)?),
            _ => Err(CodecError::Impossible(0)),
        }
    }

    fn restore_watermark(&mut self, input: &mut Reader<'_>) -> Result<(), CodecError> {
        self.watermark = EventTime(input.uint()?);
        self.group_counts = GroupCounts::read(&self.now.tenants, input)?;
        for _ in 0..input.uint()? {
            let group = self.now.tenants.number_of_hash(u64::from_le_bytes(input.array()?));
            let mut usual = [0.0; 24];
            for usual in &mut usual {
                *usual = input.float()?;
            }
            if let Some(group) = group {
                self.newcomers.insert(group, usual);
            }
        }
        for _ in 0..input.uint()? {
            let key = id_of(input.raw(17)?)?;
            self.pending.insert(key, Waiting::read(input)?);
        }
        self.routes.read_waiting(input)?;
        // It comes after the keys.
        let limit = if input.is_done() { u64::MAX } else { input.uint()? };
        if limit > self.settings.limits.keys as u64 {
            self.trim();
        }
        Ok(())
    }

    fn restore_side(&mut self, key: KeyId, value: &[u8]) -> Result<(), CodecError> {
        let side: Side = serde_json::from_slice(value).map_err(|_| CodecError::Impossible(0))?;
        if let Some(case) = side.case {
            self.cases.insert(key, case);
        }
        if let Some(force) = side.force {
            self.forces.insert(key, force);
        }
        if let Some(epoch) = side.lifted {
            self.lifted.insert(key, epoch);
        }
        if let Some(alias) = side.alias {
            self.aliases.insert(key, alias.parse().map_err(|_| CodecError::Impossible(0))?);
        }
        Ok(())
    }
}

fn entry_key(prefix: &[u8], kind: u8, rest: &[u8]) -> Vec<u8> {
    [prefix, &[kind], rest].concat()
}

pub(super) fn id_bytes(key: &KeyId) -> [u8; 17] {
    let mut bytes = [key.kind as u8; 17];
    bytes[1..].copy_from_slice(&key.hash);
    bytes
}

pub(super) fn id_of(bytes: &[u8]) -> Result<KeyId, CodecError> {
    let (kind, hash) = bytes.split_first().ok_or(CodecError::Truncated(0))?;
    let kind = match kind {
        1 => KeyKind::Raw,
        2 => KeyKind::Credential,
        _ => return Err(CodecError::Impossible(0)),
    };
    Ok(KeyId { kind, hash: hash.try_into().map_err(|_| CodecError::Truncated(1))? })
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
