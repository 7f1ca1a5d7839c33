//! What one way of decoding makes of a sample: counts and positions, no raw key and no address.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use anyhow::bail;
use bumpalo::Bump;

use super::{
    input::{At, Piece},
    keying::{Keying, RecordKey, Seen},
};
use crate::{
    decode::{
        Coverage, Decoded, Decoder, Fingerprinter, Format, KeyNames, KeyPolicy, Pepper, Reject, Settings,
        Slot, presets,
    },
    event::{Event, Flags, KeyId},
};

/// How many records the presets are tried on.
const TRIAL_RECORDS: usize = 200;
/// Positions shown for each reason of rejection.
const EXAMPLES: usize = 3;
const CACHE_ENTRIES: usize = 1 << 12;

/// The preset that reads the most records, and of those the one that finds the most facts in them.
pub fn guess(sample: &[Piece], names: &KeyNames, pepper: &Pepper) -> anyhow::Result<Format> {
    let trial = &sample[..sample.len().min(TRIAL_RECORDS)];
    let mut best: Option<(u64, u64, Format)> = None;
    for name in presets::names() {
        let Some(format) = Format::preset(name) else { continue };
        let settings = Settings::new(format.clone(), KeyPolicy::Raw);
        let settings = Settings { key_names: names.clone(), ..settings };
        let survey = Survey::of(trial, &settings, pepper)?;
        let facts = Slot::ALL.iter().map(|slot| survey.coverage.seen(*slot)).sum();
        let read = survey.read();
        if best.as_ref().is_none_or(|(most, most_facts, _)| (read, facts) > (*most, *most_facts)) {
            best = Some((read, facts, format));
        }
    }
    match best {
        Some((read, _, format)) if read > 0 => Ok(format),
        _ => bail!(
            "no preset reads any of the first {} records; write a mapping: docs/formats.md",
            trial.len()
        ),
    }
}

/// Counts over a sample.
#[derive(Default)]
pub struct Survey {
    pub requests: u64,
    pub anonymous: u64,
    pub clear_keys: u64,
    pub keys_in_query: u64,
    pub keys: HashSet<KeyId>,
    private_clients: u64,
    clients: u64,
    pub rejected: BTreeMap<Reject, (u64, Vec<At>)>,
    pub coverage: Coverage,
    pub keying: Keying,
}

impl Survey {
    pub fn of(sample: &[Piece], settings: &Settings, pepper: &Pepper) -> anyhow::Result<Self> {
        let fingerprinter = Fingerprinter::with_entries(pepper, CACHE_ENTRIES);
        let mut decoder = Decoder::with_fingerprinter(settings, fingerprinter)?.counting_coverage();
        let mut record_keys = Fingerprinter::with_entries(pepper, CACHE_ENTRIES);
        let mut survey = Self::default();
        let mut arena = Bump::new();
        for (record, piece) in (0..).zip(sample) {
            arena.reset();
            let key = piece.key.as_deref().map(|bytes| RecordKey { bytes, id: record_keys.raw(bytes) });
            decoder.decode(&piece.bytes, &arena, |decoded| survey.count(&decoded, record, piece.at, key));
        }
        survey.coverage = decoder.coverage().cloned().unwrap_or_default();
        Ok(survey)
    }

    fn count(&mut self, decoded: &Decoded<'_>, record: u64, at: At, key: Option<RecordKey<'_>>) {
        match decoded {
            Decoded::Request(request) => {
                self.keys.insert(request.event.key);
                if request.event.flags.has(Flags::FURTHER_KEY) {
                    return;
                }
                self.requests += 1;
                self.clear_keys += u64::from(request.event.flags.has(Flags::CLEAR_KEY));
                self.keys_in_query += u64::from(request.event.flags.has(Flags::KEY_IN_QUERY));
                self.clients += u64::from(request.client.is_some());
                self.private_clients += u64::from(request.client.is_some_and(is_private));
                if let At::Offset { partition, .. } = at {
                    let Event { key: id, alias, handles, .. } = request.event;
                    self.keying.note(record, partition, key, &Seen { key: id, alias, handles });
                }
            }
            Decoded::Anonymous(_) => self.anonymous += 1,
            Decoded::Rejected { reason, .. } => {
                let (count, examples) = self.rejected.entry(*reason).or_default();
                *count += 1;
                if examples.len() < EXAMPLES {
                    examples.push(at);
                }
            }
        }
    }

    /// Requests that could be read, with a key or without.
    pub fn read(&self) -> u64 {
        self.requests + self.anonymous
    }

    /// Whether the socket's peers look like proxies: inside, and speaking for others.
    pub fn is_behind_proxies(&self) -> bool {
        let forwarded = self.coverage.seen(Slot::ForwardedFor);
        self.clients > 0 && self.private_clients * 10 >= self.clients * 9 && forwarded * 2 >= self.clients
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    }
}
