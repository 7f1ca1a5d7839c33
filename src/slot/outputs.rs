//! From effects to outputs: canonical bytes, and the digest over all of them.
//!
//! The digest is a chain of SHA-256: of the digest before, the topic, the key and the value of each output. A replay
//! makes it again from the checkpoint on, with the outputs themselves suppressed.

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::judge::Rejection;
use crate::{
    detect::Finding,
    engine::Effect,
    event::{EventTime, KeyId},
    store::{Kept, Output, Topic},
};

/// What has ended is still shown for so long, and a decision's tombstone comes then.
const KEPT_AFTER_END: Duration = Duration::from_hours(7 * 24);

/// A finding as its topic carries it.
#[derive(Serialize)]
struct FindingRecord<'a> {
    schema: &'static str,
    key: String,
    at: String,
    rule: &'a str,
    family: &'static str,
    detector: &'static str,
    score: f64,
    observed: &'a str,
    expected: &'a str,
}

/// A rejection as its topic carries it: never with the payload, which may hold a raw key.
#[derive(Serialize)]
struct RejectedRecord<'a> {
    schema: &'static str,
    input: &'a str,
    offset: u64,
    index: u16,
    reason: &'static str,
    length: usize,
    hash: String,
}

/// Outputs that wait for a commit.
#[derive(Debug, Default)]
pub struct Outputs {
    waiting: Vec<Output>,
    bytes: usize,
    /// Something waits that should not wait for the interval.
    urgent: bool,
    /// A replay: the digest goes on, nothing waits.
    suppressed: bool,
    digest: [u8; 32],
    /// Outputs so far, suppressed ones too, since the process began.
    made: u64,
}

impl Outputs {
    /// Suppresses what is made from now on, or no longer does.
    pub fn suppress(&mut self, suppressed: bool) {
        self.suppressed = suppressed;
    }

    /// Takes an effect over. Proposals, grants and partials stay inside.
    pub fn effect(&mut self, effect: &Effect, rule_id: impl Fn(u16) -> String) {
        match effect {
            Effect::Finding(key, finding) => self.finding(*key, finding, &rule_id(finding.rule)),
            Effect::Incident(incident) => {
                let key = incident.id.0.clone();
                self.push(Topic::Incidents, key, json(incident), kept_after(incident.closed_at.as_deref()));
            }
            Effect::Decision(decision) => {
                self.urgent |= !self.suppressed;
                let kept = Kept::Until(decision.expires().after(KEPT_AFTER_END).0);
                self.push(Topic::Decisions, decision.subject.id.clone(), json(decision), kept);
            }
            Effect::Proposal(_) | Effect::Grant(_) | Effect::Partial(_) => {}
        }
    }

    fn finding(&mut self, key: KeyId, finding: &Finding, rule: &str) {
        let record = FindingRecord {
            schema: "keyhound.finding/1",
            key: key.to_string(),
            at: finding.at.rfc3339(),
            rule,
            family: finding.family.as_str(),
            detector: finding.detector,
            score: finding.score,
            observed: &finding.observed,
            expected: &finding.expected,
        };
        self.push(Topic::Findings, String::new(), json(&record), Kept::Until(0));
    }

    /// Takes a rejection over. `input` is the input's name.
    pub fn rejection(&mut self, rejection: &Rejection, input: &str) {
        let record = RejectedRecord {
            schema: "keyhound.rejected/1",
            input,
            offset: rejection.offset,
            index: rejection.index,
            reason: rejection.reason,
            length: rejection.length,
            hash: format!("{:032x}", rejection.hash),
        };
        self.push(Topic::Rejected, String::new(), json(&record), Kept::Until(0));
    }

    fn push(&mut self, topic: Topic, key: String, value: Vec<u8>, kept: Kept) {
        self.digest = Sha256::new()
            .chain_update(self.digest)
            .chain_update([topic as u8])
            .chain_update((key.len() as u64).to_be_bytes())
            .chain_update(&key)
            .chain_update(&value)
            .finalize()
            .into();
        self.made += 1;
        if !self.suppressed {
            self.bytes += key.len() + value.len();
            self.waiting.push(Output { topic, key, value, kept });
        }
    }

    /// Whether something should not wait for the commit's interval.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Hands over everything that waits.
    pub fn take(&mut self) -> Vec<Output> {
        self.bytes = 0;
        self.urgent = false;
        std::mem::take(&mut self.waiting)
    }

    /// The digest in hex.
    pub fn digest(&self) -> String {
        self.digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            use std::fmt::Write;
            write!(hex, "{byte:02x}").expect("a String takes everything");
            hex
        })
    }

    /// Goes on from a digest in hex; anything else than 64 digits begins anew.
    pub fn set_digest(&mut self, hex: &str) {
        self.digest = [0; 32];
        for (byte, pair) in self.digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
        }
    }
}

/// How long an incident is kept that was closed then, or was not.
fn kept_after(closed_at: Option<&str>) -> Kept {
    let Some(closed_at) = closed_at else { return Kept::Open };
    let closed_ms = closed_at.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
    Kept::Until(EventTime(u64::try_from(closed_ms).unwrap_or(0)).after(KEPT_AFTER_END).0)
}

/// The fields in the order of the type, numbers in their shortest form: the same value gives the same bytes.
fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("outputs have string keys only")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(offset: u64) -> Rejection {
        Rejection { input: 0, offset, index: 0, reason: "not_json", length: 7, hash: 5 }
    }

    #[test]
    fn the_digest_is_the_same_whether_or_not_outputs_are_suppressed() {
        let (mut live, mut replayed) = (Outputs::default(), Outputs::default());
        replayed.suppress(true);
        for outputs in [&mut live, &mut replayed] {
            outputs.rejection(&rejected(1), "tape:0");
            outputs.rejection(&rejected(2), "tape:0");
        }
        assert_eq!(live.digest(), replayed.digest());
        assert!(replayed.is_empty() && live.take().len() == 2);
        let mut resumed = Outputs::default();
        resumed.set_digest(&live.digest());
        assert_eq!(resumed.digest(), live.digest());
    }
}
