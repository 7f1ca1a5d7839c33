//! What goes into an engine and what comes out of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::group_counts::GroupCount;
use crate::{
    catalogue::Catalogue,
    detect::{Finding, GroupUse},
    event::{Event, EventTime, KeyId},
    incident::Incident,
    respond::{Decision, Guardrail, Mode, Step},
    rules::RuleSet,
};

/// Reference data: changes only between batches, and each version is named in what is emitted.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub rules: Arc<RuleSet>,
    pub catalogue: Arc<Catalogue>,
    /// Version of the place databases that events are enriched with.
    pub geo_version: String,
    pub mode: Mode,
}

/// What an operator asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The command's place in the ordered inputs; part of the ids that it leads to.
    pub sequence: u64,
    /// When it was given, by the wall clock of who took it.
    pub at_ms: u64,
    /// Who gave it.
    pub by: String,
    /// The address that it came from; empty if it is not known.
    #[serde(default)]
    pub from: String,
    pub reason: String,
    pub action: Action,
}

/// The kinds of command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Take the step on a key now, for so long (`revoke`, or milder for a trial).
    Take { key: String, step: Step, for_seconds: u64 },
    /// End what is in force on a key.
    Lift { key: String },
    /// Grant nothing automatic until resumed.
    Pause,
    /// End the pause.
    Resume,
    /// Take a decision in that an operator gave to another instance, under its id. It counts if its epoch is above all that
    /// is known, or if nothing is known but the automatic decision of the epoch `over`, which it takes the place of.
    TakeIn { decision: Box<Decision>, over: u64 },
    /// No operator's: the table for gateways did not take the decision of this epoch, so that it is not in force. The
    /// guardrail says why.
    NotServed { key: String, epoch: u64, by: Guardrail },
}

/// A step that a subject's partition wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub key: KeyId,
    pub step: Step,
    pub at: EventTime,
    /// The epoch that the decision must exceed.
    pub epoch: u64,
    /// The decision as it would be written.
    pub decision: Box<Decision>,
    /// An operator asked for it: caps and the pause do not hold it back.
    pub by_operator: bool,
}

/// What a partition counted for the groups of its keys since the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partial {
    pub at: EventTime,
    /// By group and by five minutes of the clock.
    pub counts: Vec<(u16, u32, GroupCount)>,
    /// What the keys whose profile has become mature usually do in each hour of the day, by group.
    pub newcomers: Vec<(u16, [f32; 24])>,
}

/// How every group is used now, against its usual, by the group's number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    pub at: EventTime,
    pub groups: Vec<GroupUse>,
    /// How it was used when it was up most, in the last half hour or more.
    pub most: Vec<GroupUse>,
}

/// The fleet's answer to a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub key: KeyId,
    pub step: Step,
    pub at: EventTime,
    /// Granted, with the decision that was written, or held and by which rail.
    pub outcome: Result<Box<Decision>, Guardrail>,
}

/// One input of the ordered sequence that a partition's state is a function of.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    Event(&'a Event<'a>),
    Proposal(&'a Proposal),
    Grant(&'a Grant),
    Context(&'a Context),
    Reference(&'a Reference),
    Command(&'a Command),
    Watermark(EventTime),
}

/// One output. Findings, incidents and decisions leave the process; proposals and grants go round.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Finding(KeyId, Box<Finding>),
    /// The full current record, written anew at each change.
    Incident(Box<Incident>),
    Proposal(Box<Proposal>),
    Grant(Box<Grant>),
    Decision(Box<Decision>),
}
