//! Follows Keyhound's own topic of decisions: who else writes there, and what operators decided at other instances.
//!
//! The topic is read from its beginning at every start, since it is compacted: of each key there is little more than the
//! newest decision, and what was decided while nobody ran here is in it too. Nothing that goes wrong here ends anything.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::daemon::Shared;
use crate::{
    deliver::{
        Seldom, Stop,
        topics::{
            Heartbeat, OtherInstances,
            instances::{HEARTBEAT_KEY, INSTANCE_HEADER, START_HEADER},
        },
    },
    engine::{Action, Command, Effect},
    respond::Decision,
    serve::read_back::{self, OUTCOMES, Standing},
    slot::Ask,
    source::kafka::{TopicReader, TopicRecord},
    store::Instance,
    telemetry::start_at_zero,
};

/// The name in `keyhound_output_connected`.
const NAME: &str = "read_back";
/// How long to wait for a record.
const WAIT: Duration = Duration::from_millis(100);
/// Records after which there is time for all else.
const RECORDS_MAX: usize = 1_000;
/// Decisions that wait to be taken in, one a key.
const WAITING_MAX: usize = 100_000;
/// Of these, how many the slot is given at a time: its queue is for operators too.
const ASKED_MAX: usize = 16;

/// A decision that was handed to the slot, and where its answer comes.
struct Asked {
    decision: Decision,
    answer: oneshot::Receiver<Vec<Effect>>,
}

/// What the thread `keyhound-read-back` owns.
pub struct ReadBack {
    reader: TopicReader,
    heartbeat: Arc<Heartbeat>,
    others: OtherInstances,
    shared: Arc<Shared>,
    began: Instant,
    /// Others were told that this one is there, so that they answer.
    is_announced: bool,
    /// The newest decision on each key that is still to be taken in.
    waiting: BTreeMap<String, Decision>,
    asked: Vec<Asked>,
    refusals: Seldom,
    arrivals: Seldom,
}

impl ReadBack {
    /// Begins with the topic's first record.
    pub fn new(reader: TopicReader, heartbeat: Arc<Heartbeat>, shared: Arc<Shared>) -> Self {
        start_at_zero(&shared.metrics.instances.decisions_read, &[&OUTCOMES]);
        shared.metrics.instances.set_others(0, None);
        Self {
            reader,
            others: OtherInstances::new(heartbeat.instance.clone(), Duration::ZERO),
            heartbeat,
            shared,
            began: Instant::now(),
            is_announced: false,
            waiting: BTreeMap::new(),
            asked: Vec::new(),
            refusals: Seldom::default(),
            arrivals: Seldom::default(),
        }
    }

    /// Follows the topic until it is stopped. A defect ends this and nothing else: what is on the topic must not take down
    /// what stands before every API.
    pub fn run_whatever_happens(self, stop: &Stop) {
        let metrics = self.shared.metrics.clone();
        if catch_unwind(AssertUnwindSafe(|| self.run(stop))).is_err() {
            let text = "it panicked, which is a defect: report the line *panicked* of the log. Decisions of other \
                        instances are not taken in until a restart";
            tracing::error!(event = "read_back_panicked", "{text}");
            metrics.outputs.attempted(NAME, Some(text.to_owned()));
        }
        metrics.instances.set_others(0, None);
    }

    fn run(mut self, stop: &Stop) {
        while !stop.is_stopped() {
            let mut wait = WAIT;
            for _ in 0..RECORDS_MAX {
                let Some(record) = self.reader.poll(wait) else { break };
                self.take(&record);
                wait = Duration::ZERO;
            }
            self.take_answers();
            // Until then, a decision may come that ends one that waits.
            if self.reader.has_caught_up() || self.reader.fault().is_some() {
                self.ask();
            }
            self.tell();
        }
    }

    fn take(&mut self, record: &TopicRecord) {
        let writer = Instance { id: record.header(INSTANCE_HEADER), start: record.header(START_HEADER) };
        let instance = if Instance::is_id(&writer.id) { writer.id.as_str() } else { "unknown" };
        if record.is_live && self.others.hear(&writer, self.began.elapsed()) {
            self.heartbeat.want();
            if let Some(count) = self.arrivals.add(1) {
                tracing::warn!(
                    event = "other_instance",
                    instance,
                    count,
                    topic = self.reader.topic(),
                    "another Keyhound writes to the same topics; /readyz says what that means"
                );
            }
        }
        let Some(value) = &record.value else { return };
        if self.others.is_own(&writer) || record.key.starts_with(HEARTBEAT_KEY.as_bytes()) {
            return;
        }
        let mode = self.shared.in_force.load().0.mode;
        match read_back::read(&record.key, value, instance, mode, self.shared.clock.now()) {
            Ok(decision) => self.wait_for(decision),
            Err(read_back::NotTakenIn::Automatic) => {}
            Err(refused) => {
                self.count(refused.as_str());
                if refused.is_odd()
                    && let Some(count) = self.refusals.add(1)
                {
                    tracing::warn!(
                        event = "decision_not_taken_in",
                        instance,
                        count,
                        outcome = refused.as_str(),
                        error = %refused,
                        "a decision on the topic of decisions is not taken in"
                    );
                }
            }
        }
    }

    /// Keeps a decision to be taken in, unless a later one is known, or it ends nothing.
    fn wait_for(&mut self, decision: Decision) {
        let subject = &decision.subject.id;
        if let Some(waiting) = self.waiting.get_mut(subject) {
            if waiting.epoch < decision.epoch {
                *waiting = decision;
            }
            return self.count("known");
        }
        if self.standing(&decision) == Standing::Known {
            return self.count("known");
        }
        if self.waiting.len() >= WAITING_MAX {
            return self.count("full");
        }
        self.waiting.insert(subject.clone(), decision);
    }

    /// Beside what is shown, or what the slot was given just now.
    fn standing(&self, decision: &Decision) -> Standing {
        let subject = &decision.subject.id;
        let asked = self.asked.iter().rev().find(|asked| asked.decision.subject.id == *subject);
        let shown = self.shared.board.current(subject);
        read_back::standing(decision, asked.map(|asked| &asked.decision).or(shown.as_deref()))
    }

    /// Hands decisions to the slot, once it takes any.
    fn ask(&mut self) {
        if self.waiting.is_empty() || !self.shared.status.is_restored() {
            return;
        }
        let Some(asks) = self.shared.asks.load_full() else { return };
        while self.asked.len() < ASKED_MAX {
            let Some((subject, decision)) = self.waiting.pop_first() else { return };
            let over = match self.standing(&decision) {
                Standing::Known => {
                    self.count("known");
                    continue;
                }
                Standing::Later => 0,
                Standing::Over(epoch) => epoch,
            };
            let (done, answer) = oneshot::channel();
            let command = Command {
                sequence: 0,
                at_ms: self.shared.clock.now().0,
                by: format!("instance {}", decision.instance),
                from: String::new(),
                reason: decision.reason.clone(),
                action: Action::TakeIn { decision: Box::new(decision.clone()), over },
            };
            if asks.try_send(Ask::Command { command, done }).is_err() {
                self.waiting.insert(subject, decision);
                return;
            }
            self.asked.push(Asked { decision, answer });
        }
    }

    /// Counts and logs what came of those that were handed over.
    fn take_answers(&mut self) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain_mut(|Asked { decision, answer }| match answer.try_recv() {
            Ok(effects) => {
                let outcome = outcome(&effects);
                self.count(outcome);
                tracing::info!(
                    event = "decision_taken_in",
                    decision = decision.id.0,
                    instance = decision.instance,
                    step = decision.step.as_str(),
                    key = decision.subject.id,
                    rule = decision.rule,
                    reason = decision.reason,
                    expires_at = decision.expires_at,
                    outcome,
                    "an operator's decision at another instance"
                );
                false
            }
            Err(TryRecvError::Empty) => true,
            // The life ends; the next one reads the topic again.
            Err(TryRecvError::Closed) => false,
        });
        self.asked = asked;
    }

    fn tell(&mut self) {
        if self.reader.has_begun() && !self.is_announced {
            self.is_announced = true;
            self.heartbeat.want();
        }
        let metrics = &self.shared.metrics;
        metrics.outputs.attempted(NAME, self.reader.fault().map(str::to_owned));
        let now = self.began.elapsed();
        let warning = self.others.warning(self.reader.topic(), now);
        metrics.instances.set_others(self.others.there(now).len(), warning);
    }

    fn count(&self, outcome: &str) {
        self.shared.metrics.instances.decisions_read.with_label_values(&[outcome]).inc();
    }
}

fn outcome(effects: &[Effect]) -> &'static str {
    let is_decision = |effect: &Effect| matches!(effect, Effect::Decision(_));
    match effects {
        [] => "known",
        effects if effects.iter().any(is_decision) => "taken_in",
        _ => "full",
    }
}
