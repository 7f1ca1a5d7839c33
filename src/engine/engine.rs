//! The state of one partition, and where each input goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    admit::{CANDIDATES_MAX, Candidates, Repeats},
    checkpoint::EngineCheckpoint,
    counters::Counters,
    force::Force,
    group_counts::GroupCounts,
    groups::second_of,
    ids::IdKey,
    input_names::InputNames,
    memory::{self, MemoryLimits},
    seam::{Context, Effect, Input, Reference},
    tenants::Tenants,
    waiting::{SPIKES_MAX, Waiting},
};
use crate::{
    detect::{GroupUse, Signal},
    event::{EventTime, KeyId},
    incident::Case,
    profile::{KeyTable, RouteTable, gaps::Gap, routes::ROUTES_MAX},
    respond::Caps,
};

/// What does not change while a process runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// P: how many partitions the state is cut into.
    pub partitions: u16,
    /// The most that each partition keeps.
    pub limits: MemoryLimits,
    pub ids: IdKey,
    /// How long an automatic throttle holds.
    pub throttle_for: Duration,
    /// How old evidence may be when it is read for anything automatic to come of it.
    pub fresh_within: Duration,
    pub caps: Caps,
}

/// How full the tables are and what was passed over, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub keys: u64,
    pub keys_max: u64,
    pub bytes: u64,
    /// What is accounted of the memory that the settings allow, in bytes.
    pub memory: u64,
    pub memory_max: u64,
    pub routes: u64,
    pub routes_max: u64,
    pub open_incidents: u64,
    pub open_incidents_max: u64,
    /// Findings of keys that got no incident, since there were as many as memory is for.
    pub without_incident: u64,
    /// Keys whose spike waits.
    pub spikes: u64,
    pub spikes_max: u64,
    /// Spikes that were not looked at in their time, since there were as many.
    pub postponed: u64,
    pub in_force: u64,
    pub candidates: u64,
    pub candidates_max: u64,
    /// Bytes that the counters of counting rules take.
    pub counter_bytes: u64,
    pub counter_bytes_max: u64,
    /// Keys whose counters went before their windows were over.
    pub counters_evicted: u64,
    /// Requests seen before, by their id.
    pub repeats: u64,
    /// Requests that our own decisions refused.
    pub pressure: u64,
    /// Requests of keys without a profile yet.
    pub waiting: u64,
    /// Profiles that went to make room, in the order of [`Worth`](crate::profile::Worth).
    pub evicted: [u64; 4],
    /// Requests on routes beyond the table.
    pub unjudged_routes: u64,
    pub condition_errors: u64,
}

const fn sums<const N: usize>(mut sum: [u64; N], other: [u64; N]) -> [u64; N] {
    let mut at = 0;
    while at < N {
        sum[at] += other[at];
        at += 1;
    }
    sum
}

impl Counts {
    /// The sum of two partitions' counts.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            keys: self.keys + other.keys,
            keys_max: self.keys_max + other.keys_max,
            bytes: self.bytes + other.bytes,
            memory: self.memory + other.memory,
            memory_max: self.memory_max.saturating_add(other.memory_max),
            routes: self.routes + other.routes,
            routes_max: self.routes_max + other.routes_max,
            open_incidents: self.open_incidents + other.open_incidents,
            open_incidents_max: self.open_incidents_max.saturating_add(other.open_incidents_max),
            without_incident: self.without_incident + other.without_incident,
            spikes: self.spikes + other.spikes,
            spikes_max: self.spikes_max + other.spikes_max,
            postponed: self.postponed + other.postponed,
            in_force: self.in_force + other.in_force,
            candidates: self.candidates + other.candidates,
            candidates_max: self.candidates_max + other.candidates_max,
            counter_bytes: self.counter_bytes + other.counter_bytes,
            counter_bytes_max: self.counter_bytes_max + other.counter_bytes_max,
            counters_evicted: self.counters_evicted + other.counters_evicted,
            repeats: self.repeats + other.repeats,
            pressure: self.pressure + other.pressure,
            waiting: self.waiting + other.waiting,
            evicted: sums(self.evicted, other.evicted),
            unjudged_routes: self.unjudged_routes + other.unjudged_routes,
            condition_errors: self.condition_errors + other.condition_errors,
        }
    }
}

/// What the reference data comes to, made once and shared by all partitions.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    pub reference: Reference,
    pub tenants: Tenants,
}

impl InForce {
    /// Prepares reference data: the tenants' numbers.
    pub fn new(reference: Reference) -> Self {
        let tenants = Tenants::new(&reference.catalogue.tenants());
        Self { reference, tenants }
    }
}

/// All of the judgement for one partition.
#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Arc<Settings>,
    pub(super) now: InForce,
    pub(super) table: KeyTable,
    pub(super) routes: RouteTable,
    pub(super) cases: BTreeMap<KeyId, Case>,
    pub(super) forces: BTreeMap<KeyId, Force>,
    /// Epochs of the lifts of the last day.
    pub(super) lifted: BTreeMap<KeyId, u64>,
    pub(super) aliases: BTreeMap<KeyId, KeyId>,
    /// Keys whose case, step, lift or alias changed since the last checkpoint: once each, however often that was.
    pub(super) changed_cases: BTreeSet<KeyId>,
    pub(super) cut: EngineCheckpoint,
    pub(super) candidates: Candidates,
    pub(super) repeats: Repeats,
    pub(super) counters: Counters,
    /// Keys whose spike waits for the next context, or the next few.
    pub(super) pending: BTreeMap<KeyId, Waiting>,
    pub(super) groups: Vec<GroupUse>,
    /// When they were up most, in the last half hour or more.
    pub(super) groups_most: Vec<GroupUse>,
    pub(super) group_counts: GroupCounts,
    /// What keys usually do that have become mature since the last tick, by group.
    pub(super) newcomers: BTreeMap<u16, [f32; 24]>,
    pub(super) signals: Vec<Signal>,
    pub(super) counts: Counts,
    /// Requests older than their key's day, by input, since they were last taken.
    pub(super) late: Vec<(u32, u64)>,
    pub(super) watermark: EventTime,
    /// The newest gaps in the logs, of all partitions.
    pub(super) gaps: Arc<[Gap]>,
    /// When the records that are being judged were read, as the sequence of inputs has it. Only for telling a backlog
    /// from what happens now: nothing else hangs on it.
    pub(super) read_at: EventTime,
    /// Names of the inputs, for evidence; of all partitions.
    pub(super) inputs: InputNames,
}

impl Engine {
    /// A partition that has seen nothing.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            table: KeyTable::new(settings.limits.keys),
            now: InForce::default(),
            routes: RouteTable::new(settings.ids.bytes(&[b"routes"])),
            cases: BTreeMap::new(),
            forces: BTreeMap::new(),
            lifted: BTreeMap::new(),
            aliases: BTreeMap::new(),
            changed_cases: BTreeSet::new(),
            cut: EngineCheckpoint::default(),
            candidates: Candidates::default(),
            repeats: Repeats::default(),
            counters: Counters::new(settings.limits.counter_bytes),
            settings,
            pending: BTreeMap::new(),
            groups: Vec::new(),
            groups_most: Vec::new(),
            group_counts: GroupCounts::default(),
            newcomers: BTreeMap::new(),
            signals: Vec::new(),
            counts: Counts::default(),
            late: Vec::new(),
            watermark: EventTime(0),
            gaps: Arc::default(),
            read_at: EventTime(0),
            inputs: InputNames::default(),
        }
    }

    /// Takes one input; what comes of it is appended to `effects`.
    pub fn apply(&mut self, input: Input<'_>, effects: &mut Vec<Effect>) {
        match input {
            Input::Event(event) => self.observe(event, None, effects),
            Input::Context(context) => self.see(context, effects),
            Input::Watermark(time) => self.pass(time, effects),
            Input::Grant(grant) => self.granted(grant, effects),
            // For whoever holds all partitions: it grants proposals, and knows which key a command means.
            Input::Proposal(_) | Input::Command(_) => {}
            Input::Reference(reference) => {
                let now = InForce::new(reference.clone());
                self.refer(now);
            }
        }
    }

    /// Puts reference data into force.
    pub(super) fn refer(&mut self, now: InForce) {
        // A reload, or the first telling after a restart, must not lose what was counted since the last tick.
        if !now.tenants.is_same(&self.now.tenants) {
            let (before, tenants) = (&self.now.tenants, &now.tenants);
            self.group_counts.renumber(before, tenants);
            self.newcomers = tenants.moved_entries(before, std::mem::take(&mut self.newcomers));
            self.groups = tenants.moved(before, std::mem::take(&mut self.groups));
            self.groups_most = tenants.moved(before, std::mem::take(&mut self.groups_most));
        }
        self.table.forget_groups();
        self.counters.refer(&now.reference.rules.watch.counting);
        self.now = now;
    }

    /// The newest requests have come so far: steps end and are extended, and the spikes that waited are judged by how the
    /// groups are used.
    fn see(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        self.know_groups(context);
        self.end_forces(context.at, effects);
        self.judge_pending(context.at, effects);
        self.extend_forces(context.at, effects);
    }

    /// From now on the groups are used so.
    pub(super) fn know_groups(&mut self, context: &Context) {
        self.groups.clone_from(&context.groups);
        self.groups_most.clone_from(&context.most);
    }

    /// Nothing older will come: incidents close, what is over is forgotten.
    fn pass(&mut self, time: EventTime, effects: &mut Vec<Effect>) {
        self.watermark = self.watermark.max(time);
        self.end_forces(self.watermark, effects);
        self.forget_lifts();
        self.close_cases(effects);
        self.counters.sweep(&self.now.reference.rules.watch.counting, second_of(self.watermark));
    }

    /// Forgets keys until there is room for another one: a tenth of those that share its shard, the least known first, but
    /// none with an incident, a step in force, or a spike that waits.
    #[cold]
    pub(super) fn make_room(&mut self, key: &KeyId, now: u32) {
        if !self.table.is_full_for(key) {
            return;
        }
        let gone = self.table.make_room(key, now, in_use(&self.forces, &self.cases, &self.pending));
        self.forget(gone);
    }

    /// Forgets keys until there are no more than may be, since there may be fewer than before.
    pub(super) fn trim(&mut self) {
        let now = second_of(self.watermark);
        let gone = self.table.trim(now, in_use(&self.forces, &self.cases, &self.pending));
        self.forget(gone);
    }

    fn forget(&mut self, gone: Vec<KeyId>) {
        for key in gone {
            self.counters.remove(&key);
            if self.aliases.remove(&key).is_some() {
                self.changed_cases.insert(key);
            }
        }
    }

    /// How full it is, and what it passed over.
    pub fn counts(&self) -> Counts {
        let limits = &self.settings.limits;
        Counts {
            keys: self.table.len() as u64,
            keys_max: limits.keys as u64,
            bytes: (self.table.bytes() + self.counters.bytes()) as u64,
            memory: memory::accounted(self.table.len(), self.counters.bytes(), self.cases.len()),
            memory_max: memory::accounted(limits.keys, limits.counter_bytes, limits.incidents),
            routes: self.routes.len() as u64,
            routes_max: ROUTES_MAX as u64,
            candidates_max: CANDIDATES_MAX as u64,
            open_incidents: self.cases.len() as u64,
            open_incidents_max: limits.incidents as u64,
            spikes: self.pending.len() as u64,
            spikes_max: SPIKES_MAX as u64,
            in_force: self.forces.values().filter(|force| !force.ended).count() as u64,
            candidates: self.candidates.len() as u64,
            counter_bytes: self.counters.bytes() as u64,
            counter_bytes_max: limits.counter_bytes as u64,
            counters_evicted: self.counters.evicted,
            unjudged_routes: self.routes.unjudged,
            evicted: self.table.evictions(),
            ..self.counts
        }
    }
}

/// Whether a key has a step in force, an incident, or a spike that waits: its profile stays.
fn in_use<'a>(
    forces: &'a BTreeMap<KeyId, Force>,
    cases: &'a BTreeMap<KeyId, Case>,
    pending: &'a BTreeMap<KeyId, Waiting>,
) -> impl Fn(&KeyId) -> bool + 'a {
    |key| forces.contains_key(key) || cases.contains_key(key) || pending.contains_key(key)
}
