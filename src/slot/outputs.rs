//! From effects to outputs: canonical bytes, and the digest over all of them.
//!
//! The digest is a chain of SHA-256: of the digest before, the topic, the key and the value of each output. A replay
//! makes it again from the checkpoint on, with the outputs themselves suppressed.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::judge::{FurtherRejections, Rejection};
use crate::{
    detect::Finding,
    engine::{Action, Command, Effect},
    event::{EventTime, KeyId},
    store::{KEPT_AFTER_END, Kept, Output, Topic},
};

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
    index: u32,
    reason: &'static str,
    length: usize,
    hash: String,
}

/// Where more was rejected in one batch than is told one by one.
#[derive(Serialize)]
struct FurtherRejectedRecord<'a> {
    schema: &'static str,
    input: &'a str,
    reason: &'static str,
    offsets: &'a [u64],
}

/// An operator's command as its topic carries it, with what came of it.
#[derive(Serialize)]
struct AuditRecord<'a> {
    schema: &'static str,
    /// Its place among all commands.
    sequence: u64,
    at: String,
    by: &'a str,
    /// The address that it came from.
    from: &'a str,
    action: &'static str,
    /// Empty for pause and resume.
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_seconds: Option<u64>,
    reason: &'a str,
    /// `applied`, or `held: …` with the rail.
    outcome: String,
    decisions: Vec<&'a str>,
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

    /// Takes an effect over. Proposals and grants stay inside.
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
            Effect::Proposal(_) | Effect::Grant(_) => {}
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

    /// Takes the positions of further rejections over. `input` is the input's name.
    pub fn further_rejections(&mut self, further: &FurtherRejections, input: &str) {
        let FurtherRejections { reason, offsets, .. } = further;
        let record = FurtherRejectedRecord { schema: "keyhound.rejected_further/1", input, reason, offsets };
        self.push(Topic::Rejected, String::new(), json(&record), Kept::Until(0));
    }

    /// Takes over what an operator asked for, and what came of it.
    pub fn command(&mut self, command: &Command, effects: &[Effect]) {
        if effects.is_empty() && matches!(command.action, Action::TakeIn { .. }) {
            // It was known: nobody did anything.
            return;
        }
        let (action, key, for_seconds) = match &command.action {
            Action::Take { key, step, for_seconds } => (step.as_str(), key.as_str(), Some(*for_seconds)),
            Action::Lift { key } => ("lift", key.as_str(), None),
            Action::Pause => ("pause", "", None),
            Action::Resume => ("resume", "", None),
            Action::TakeIn { decision, .. } => ("take_in", decision.subject.id.as_str(), None),
            // No operator asked for it; the incident's record tells it.
            Action::NotServed { .. } => return,
        };
        let held = effects.iter().find_map(|effect| match effect {
            Effect::Grant(grant) => grant.outcome.as_ref().err(),
            _ => None,
        });
        let decisions = effects.iter().filter_map(|effect| match effect {
            Effect::Decision(decision) => Some(decision.id.0.as_str()),
            _ => None,
        });
        let record = AuditRecord {
            schema: "keyhound.audit/1",
            sequence: command.sequence,
            at: EventTime(command.at_ms).rfc3339(),
            by: &command.by,
            from: &command.from,
            action,
            key,
            for_seconds,
            reason: &command.reason,
            outcome: held.map_or_else(|| "applied".to_owned(), |rail| format!("held: {rail}")),
            decisions: decisions.collect(),
        };
        self.push(Topic::Audit, String::new(), json(&record), Kept::Until(0));
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
    Kept::Until(EventTime::parse(closed_at).unwrap_or_default().after(KEPT_AFTER_END).0)
}

/// The fields in the order of the type, numbers in their shortest form: the same value gives the same bytes.
fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("outputs have string keys only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::Grant, event::KeyKind, respond::Step};

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

    #[test]
    fn a_command_leaves_a_record_of_who_and_why_and_what_came_of_it() {
        let mut outputs = Outputs::default();
        let action = Action::Take { key: "kf1_00".to_owned(), step: Step::Revoke, for_seconds: 60 };
        let (by, from, reason) = ("ana".to_owned(), "10.0.0.7".to_owned(), "in a gist".to_owned());
        let command = Command { sequence: 7, at_ms: 1_795_317_100_000, by, from, reason, action };
        let key = KeyId { kind: KeyKind::Raw, hash: [0; 16] };
        let grant = Grant {
            key,
            step: Step::Revoke,
            at: EventTime(0),
            outcome: Err(crate::respond::Guardrail::Class),
        };
        outputs.command(&command, &[Effect::Grant(Box::new(grant))]);
        let written = outputs.take();
        assert_eq!(written[0].topic, Topic::Audit);
        assert_eq!(
            String::from_utf8_lossy(&written[0].value),
            concat!(
                r#"{"schema":"keyhound.audit/1","sequence":7,"at":"2026-11-22T03:11:40Z","by":"ana","#,
                r#""from":"10.0.0.7","action":"revoke","key":"kf1_00","for_seconds":60,"reason":"in a gist","outcome":"held: class","#,
                r#""decisions":[]}"#
            )
        );
    }
}
