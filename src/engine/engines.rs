//! All partitions of a process, and what goes round between them in memory, in a fixed order.

use std::{sync::Arc, time::Duration};

use super::{
    adopt::{self, Told, ToldHere},
    checkpoint::WriteEntry,
    engine::{Counts, Engine, InForce, Settings},
    groups::{Groups, second_of},
    input_names::InputNames,
    seam::{Effect, Grant, Input, Proposal, Reference},
    timed::{TimedPlace, TimedWork},
};
use crate::{
    event::{Event, EventTime, KeyId},
    profile::{CodecError, LogMinutes, Reader, Writer, gaps::Gap},
    respond::Fleet,
};

/// Groups are summed and spikes judged against them each so often, in event time.
const TICK_MS: u64 = 5_000;
/// Requests whose profiles are fetched ahead.
pub const AHEAD: usize = 32;
/// The entry key of what belongs to no partition.
const FLEET_ENTRY: &[u8] = b"fleet";

/// P engines, the groups and the fleet.
#[derive(Debug)]
#[allow(clippy::struct_field_names)] // they are engines, and nothing else here is
pub struct Engines {
    pub(super) settings: Arc<Settings>,
    pub(super) engines: Vec<Engine>,
    inputs: InputNames,
    pub(super) groups: Groups,
    /// Requests of all keys, for gaps in the logs.
    pub(super) minutes: LogMinutes,
    pub(super) fleet: Fleet,
    /// The tick that comes next.
    tick_ms: u64,
    /// When the records that are being judged were read.
    read_at: EventTime,
    now: InForce,
    scratch: Vec<Effect>,
    pub(super) timed: TimedWork,
    /// Of the checkpoint that has begun, what belongs to no partition.
    fleet_entry: Option<Writer>,
}

impl Engines {
    /// Engines that have seen nothing.
    pub fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let inputs = InputNames::default();
        let engine = |_| Engine { inputs: inputs.clone(), ..Engine::new(Arc::clone(&settings)) };
        let engines = (0..settings.partitions.max(1)).map(engine).collect();
        let mut groups = Groups::default();
        groups.renumber(InForce::default().tenants.hashes());
        Self {
            settings,
            engines,
            inputs,
            groups,
            minutes: LogMinutes::default(),
            fleet: Fleet::default(),
            tick_ms: 0,
            read_at: EventTime(u64::MAX),
            now: InForce::default(),
            scratch: Vec::new(),
            timed: TimedWork::default(),
            fleet_entry: None,
        }
    }

    /// Takes one input to the partitions that it is for.
    pub fn apply(&mut self, input: Input<'_>, effects: &mut Vec<Effect>) {
        match input {
            Input::Event(event) => self.apply_events(std::slice::from_ref(event), effects),
            Input::Watermark(time) => {
                self.tick(time, effects);
                self.pass(time, effects);
            }
            Input::Reference(reference) => self.refer(reference),
            Input::Command(command) => self.command(command, effects),
            Input::Grant(grant) => self.owner(&grant.key).apply(input, effects),
            Input::Proposal(proposal) => self.decide(proposal, effects),
            Input::Context(_) => self.engines.iter_mut().for_each(|engine| engine.apply(input, effects)),
        }
    }

    /// The requests that come next were read then, as the sequence of inputs has it. Not part of the state: the
    /// checkpoint's mark has it.
    pub fn read_at(&mut self, at: EventTime) {
        self.read_at = at;
        self.engines.iter_mut().for_each(|engine| engine.read_at = at);
    }

    /// Judges requests in their order. Their profiles are fetched ahead, [`AHEAD`] at a time.
    pub fn apply_events(&mut self, events: &[Event<'_>], effects: &mut Vec<Effect>) {
        for events in events.chunks(AHEAD) {
            // Each request's partition, and where its key is in all likelihood.
            let mut places = [(0, None); AHEAD];
            for (place, event) in places.iter_mut().zip(events) {
                let partition = self.partition(&event.key);
                *place = (partition, self.engines[partition].guess(&event.key));
            }
            for (partition, guess) in &places[..events.len()] {
                self.engines[*partition].prefetch_warm(*guess);
            }
            for ((partition, guess), event) in places.into_iter().zip(events) {
                if event.time.0 >= self.tick_ms {
                    self.tick(event.time, effects);
                }
                self.count_minute(event);
                self.engines[partition].observe(event, guess, effects);
            }
        }
    }

    /// Counts a request in its minute. What it closes shows the gaps to its key, too. Requests that are refused do not count:
    /// whoever invents keys would have a say in what is usual.
    #[inline]
    fn count_minute(&mut self, event: &Event<'_>) {
        let time = event.time;
        let engines = &self.engines;
        let watermark = || second_of(engines.first().map_or(EventTime(0), |engine| engine.watermark));
        // A record that cannot be read may be without a time.
        let counts = time.0 > 0 && !matches!(event.status, Some(401 | 403));
        if counts && self.minutes.count(second_of(time), watermark) {
            self.tell_gaps();
        }
    }

    #[cold]
    fn tell_gaps(&mut self) {
        let gaps: Arc<[Gap]> = self.minutes.gaps().into();
        self.engines.iter_mut().for_each(|engine| engine.gaps = Arc::clone(&gaps));
    }

    /// Lets proposals and grants go round until none is left. They stay in the process.
    pub fn settle(&mut self, effects: &mut Vec<Effect>) {
        if !effects.iter().any(|effect| matches!(effect, Effect::Proposal(_) | Effect::Grant(_))) {
            return;
        }
        let mut queue = std::mem::take(effects);
        let mut next = std::mem::take(&mut self.scratch);
        while !queue.is_empty() {
            for effect in queue.drain(..) {
                match effect {
                    Effect::Proposal(proposal) => self.decide(&proposal, &mut next),
                    Effect::Grant(grant) => self.owner(&grant.key).apply(Input::Grant(&grant), &mut next),
                    other => effects.push(other),
                }
            }
            std::mem::swap(&mut queue, &mut next);
        }
        self.scratch = next;
    }

    /// Sums the groups and tells every partition, if a tick has passed by `time`. A request whose clock is ahead is as old
    /// as when it was read: after a tick of its own time, none would come until the others are there.
    #[cold]
    fn tick(&mut self, time: EventTime, effects: &mut Vec<Effect>) {
        let time = time.min(self.read_at);
        if time.0 < self.tick_ms {
            return;
        }
        let at = EventTime(time.0 - time.0 % TICK_MS);
        // What was counted since the last tick belongs to the pane before this one, or to an older one.
        let counted = EventTime(self.tick_ms.saturating_sub(1).min(at.0));
        self.tick_ms = at.after(Duration::from_millis(TICK_MS)).0;
        for (partition, engine) in (0..).zip(&mut self.engines) {
            if self.timed.begin(partition) {
                self.groups.add(&engine.partial(if counted.0 == 0 { at } else { counted }));
            }
        }
        self.timed.in_hand = Some(TimedPlace::Groups);
        self.groups.close(self.minutes.open_from(), self.minutes.gaps());
        if !self.timed.is_all_left_out {
            let context = self.groups.context(at);
            for (partition, engine) in (0..).zip(&mut self.engines) {
                if self.timed.begin(partition) {
                    engine.apply(Input::Context(&context), effects);
                }
            }
        }
        self.timed.in_hand = None;
    }

    /// Event time has come so far in every partition.
    fn pass(&mut self, time: EventTime, effects: &mut Vec<Effect>) {
        if self.minutes.pass(second_of(time.max(self.watermark()))) {
            self.tell_gaps();
        }
        for (partition, engine) in (0..).zip(&mut self.engines) {
            if self.timed.begin(partition) {
                engine.apply(Input::Watermark(time), effects);
            } else {
                engine.watermark = engine.watermark.max(time);
            }
        }
        self.timed.in_hand = None;
    }

    fn refer(&mut self, reference: &Reference) {
        self.now = InForce::new(reference.clone());
        self.groups.renumber(self.now.tenants.hashes());
        for engine in &mut self.engines {
            engine.refer(self.now.clone());
        }
    }

    /// Grants a proposal or says which rail holds it; a granted one is the decision.
    fn decide(&mut self, proposal: &Proposal, effects: &mut Vec<Effect>) {
        let second = second_of(proposal.at);
        let active: usize = self.engines.iter().map(|engine| engine.table.active(second)).sum();
        let granted = if proposal.by_operator {
            // Whatever an operator decides on a key, no automatic step is in force on it any more.
            self.fleet.release(&proposal.key);
            Ok(())
        } else {
            let until = proposal.decision.expires();
            self.fleet.grant(&self.settings.caps, &proposal.key, proposal.at, until, active)
        };
        let outcome = granted.map(|()| proposal.decision.clone());
        if let Ok(decision) = &outcome {
            effects.push(Effect::Decision(decision.clone()));
        }
        let grant = Grant { key: proposal.key, step: proposal.step, at: proposal.at, outcome };
        effects.push(Effect::Grant(Box::new(grant)));
    }

    /// Makes steps and incidents those that were told, after a replay that cannot vouch for them.
    pub fn adopt(&mut self, told: &Told, effects: &mut Vec<Effect>) {
        let mut here: Vec<ToldHere<'_>> = self.engines.iter().map(|_| ToldHere::default()).collect();
        let partition = |id: &str| {
            let key = id.parse::<KeyId>().ok()?;
            Some((key, self.partition(&key)))
        };
        for decision in &told.decisions {
            if let Some((key, partition)) = partition(&decision.subject.id) {
                here[partition].decisions.insert(key, decision);
            }
        }
        for incident in &told.incidents {
            if let Some((key, partition)) = partition(&incident.subject.id) {
                here[partition].incidents.push((key, incident));
            }
        }
        for (engine, told) in self.engines.iter_mut().zip(&here) {
            engine.adopt(told, effects);
        }
        self.fleet.adopt(adopt::in_force(told, self.watermark()));
    }

    pub(super) fn owner(&mut self, key: &KeyId) -> &mut Engine {
        let partition = self.partition(key);
        &mut self.engines[partition]
    }

    pub(super) fn partition(&self, key: &KeyId) -> usize {
        usize::from(key.partition(self.settings.partitions))
    }

    /// Names an input, for evidence.
    pub fn name_input(&mut self, input: u32, name: &str) {
        self.inputs.set(input, name);
    }

    /// Forgets an input's name: no record of it will come any more.
    pub fn forget_input(&mut self, input: u32) {
        self.inputs.forget(input);
    }

    /// Inputs that have a name.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Begins a checkpoint of the state as it is now: of what changed since the last one began, which has to be written.
    pub fn begin_checkpoint(&mut self) {
        self.engines.iter_mut().for_each(Engine::begin_checkpoint);
        let mut out = Writer::versioned();
        out.uint(self.tick_ms);
        // Plain data with text keys: it cannot fail to serialize.
        out.bytes(&serde_json::to_vec(&self.fleet).unwrap_or_default());
        self.groups.write(&mut out);
        self.minutes.write(&mut out);
        self.fleet_entry = Some(out);
    }

    /// Writes entries of the checkpoint that has begun: about `most` of them, and whatever has changed since it began.
    /// Says whether all is written.
    pub fn write_checkpoint(&mut self, most: usize, write: &mut WriteEntry<'_>) -> bool {
        let (mut left, mut done) = (most, true);
        for (partition, engine) in (0u16..).zip(&mut self.engines) {
            let prefix = [b'p', partition.to_be_bytes()[0], partition.to_be_bytes()[1]];
            done &= engine.write_checkpoint(&prefix, &mut left, write);
        }
        if let Some(out) = self.fleet_entry.take() {
            write(FLEET_ENTRY, Some(&out.0));
        }
        done
    }

    /// About how many entries a whole checkpoint would write now.
    pub fn unwritten(&self) -> usize {
        self.engines.iter().map(Engine::unwritten).sum()
    }

    /// A whole checkpoint at once.
    pub fn checkpoint(&mut self, write: &mut WriteEntry<'_>) {
        self.begin_checkpoint();
        self.write_checkpoint(usize::MAX, write);
    }

    /// Takes one entry of a checkpoint back. Reference data must be in force before.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CodecError> {
        if key == FLEET_ENTRY {
            let mut input = Reader::versioned(value)?;
            self.tick_ms = input.uint()?;
            self.fleet = serde_json::from_slice(input.bytes()?).map_err(|_| CodecError::Impossible(0))?;
            self.groups = Groups::read(&mut input)?;
            self.minutes = LogMinutes::read(&mut input)?;
            self.tell_gaps();
            self.groups.renumber(self.now.tenants.hashes());
            let context = self.groups.context(EventTime(self.tick_ms.saturating_sub(TICK_MS)));
            self.engines.iter_mut().for_each(|engine| engine.know_groups(&context));
            return Ok(());
        }
        match key {
            [b'p', high, low, rest @ ..] => {
                let partition = usize::from(u16::from_be_bytes([*high, *low]));
                self.engines.get_mut(partition).ok_or(CodecError::Impossible(1))?.restore(rest, value)
            }
            _ => Err(CodecError::Impossible(0)),
        }
    }

    /// How full each partition is, by its number.
    pub fn counts(&self) -> impl Iterator<Item = Counts> {
        self.engines.iter().map(Engine::counts)
    }

    /// Event time up to which everything was seen.
    pub fn watermark(&self) -> EventTime {
        self.engines.first().map_or(EventTime(0), |engine| engine.watermark)
    }

    /// Takes how many requests were dropped since the last call, as older than their key's day, by input.
    pub fn take_late(&mut self, mut take: impl FnMut(u32, u64)) {
        for engine in &mut self.engines {
            engine.late.drain(..).for_each(|(input, count)| take(input, count));
        }
    }

    /// Gaps in the logs that were found, those too that were none.
    pub const fn gaps_found(&self) -> u64 {
        self.minutes.found()
    }

    /// Whether an operator has paused what is automatic.
    pub fn is_paused(&self) -> bool {
        self.fleet.paused
    }

    /// Groups that are told apart.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// What is in force as reference data.
    pub fn reference(&self) -> &Reference {
        &self.now.reference
    }

    /// How each group is used, as the partitions were told last.
    #[cfg(test)]
    pub(super) fn uses(&self) -> &[crate::detect::GroupUse] {
        self.engines.first().map_or(&[], |engine| &engine.groups)
    }

    /// The open incident of a key.
    #[cfg(test)]
    pub(super) fn case_mut(&mut self, key: &str) -> &mut crate::incident::Case {
        let key: KeyId = key.parse().expect("a key id");
        self.owner(&key).cases.get_mut(&key).expect("an open incident")
    }
}
