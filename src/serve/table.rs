//! The decisions that gateways are told, by key id.
//!
//! One current decision a subject: the one with the greatest epoch that came in time. Records may come twice and in
//! any order. A decision is served until it ends by the wall clock; in shadow mode it is counted and never served.
//! An automatic decision that came later than a limit ([`FRESH_WITHIN`] by default) after its evidence neither begins
//! nor ends anything: a backlog must not act. What has ended stays until nothing older could come back, for its epoch;
//! and until its time has passed by a clock that is never set, too: if the wall clock was ahead for a while, what it
//! ended then is in force again once it is right.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::bucket::Bucket;
use crate::{
    deliver::WallTime,
    event::KeyId,
    respond::{Decision, DecisionId, FRESH_WITHIN, Mode, Step},
};

/// How long a lift is remembered, for its epoch: as long as its tombstone takes.
const LIFT_KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// A power of two, so that one insertion or sweep holds up few readers.
const SHARDS: usize = 256;
/// Other ids of the key that are taken from one decision.
const ALIASES: usize = 8;

/// What the table made of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is told to gateways from now on.
    Served,
    /// It is current, in shadow mode: counted, not told.
    Shadow,
    /// It ended what was in force.
    Lifted,
    /// It is current and over already.
    Ended,
    /// One with the same or a greater epoch was there.
    Superseded,
    /// Automatic, and its evidence was too old when it came.
    Stale,
    /// Its subject is not a key, or not one that this version knows.
    NotAKey,
    /// The table holds as many as it takes.
    Full,
}

impl Applied {
    /// All outcomes.
    pub const ALL: [Self; 8] = [
        Self::Served,
        Self::Shadow,
        Self::Lifted,
        Self::Ended,
        Self::Superseded,
        Self::Stale,
        Self::NotAKey,
        Self::Full,
    ];

    /// The label in metrics and in the operators' API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Shadow => "shadow",
            Self::Lifted => "lifted",
            Self::Ended => "ended",
            Self::Superseded => "superseded",
            Self::Stale => "stale",
            Self::NotAKey => "not_a_key",
            Self::Full => "full",
        }
    }
}

/// A current decision, ready to answer.
#[derive(Debug)]
pub struct InForce {
    pub id: DecisionId,
    pub step: Step,
    pub mode: Mode,
    pub expires_at: WallTime,
    epoch: u64,
    aliases: Vec<KeyId>,
    known: Bucket,
    kept_until: WallTime,
    /// The same by the clock that nobody sets.
    kept_for: Duration,
}

/// The answer about one key.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Nothing is in force.
    Allowed,
    /// A throttle is in force, and this request is within it.
    WithinRate(Arc<InForce>),
    /// A throttle is in force, and this request is beyond it.
    Throttled(Arc<InForce>, Duration),
    /// Suspended or revoked.
    Refused(Arc<InForce>),
    /// Restricted to networks, agents or routes that cannot be seen here: let through, and counted.
    Unjudged(Arc<InForce>),
}

/// Time since some fixed moment, by a clock that nobody sets.
type Elapsed = Box<dyn Fn() -> Duration + Send + Sync>;

/// The table. Readers share; writers go one at a time, and hold up one shard for one insertion.
pub struct Decisions {
    shards: Box<[RwLock<Shard>]>,
    limit: usize,
    fresh_for: Duration,
    /// How many decisions there are. Its lock is also what makes writers go one at a time.
    writer: Mutex<usize>,
    elapsed: Elapsed,
    /// How often it has changed.
    changes: AtomicU64,
}

#[derive(Default)]
struct Shard {
    decisions: HashMap<KeyId, Arc<InForce>>,
    /// From an alias to the subject whose decision counts for it too.
    aliases: HashMap<KeyId, KeyId>,
}

impl Decisions {
    /// A table for at most `limit` subjects.
    pub fn new(limit: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let start = Instant::now();
        let elapsed: Elapsed = Box::new(move || start.elapsed());
        Self {
            elapsed,
            shards,
            limit,
            fresh_for: FRESH_WITHIN,
            writer: Mutex::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// The same, with another age of evidence up to which an automatic decision acts.
    #[must_use]
    pub fn fresh_for(mut self, fresh_for: Duration) -> Self {
        self.fresh_for = fresh_for;
        self
    }

    /// The same, with another way to tell how much time has passed.
    #[must_use]
    pub fn elapsed_by(mut self, elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.elapsed = Box::new(elapsed);
        self
    }

    /// Takes a decision record. `committed_at` is when it was committed or first came, and is the same after a restart,
    /// so that what was fresh once stays so and what was stale once never acts.
    pub fn apply(&self, decision: &Decision, committed_at: WallTime, now: WallTime) -> Applied {
        let Ok(key) = decision.subject.id.parse::<KeyId>() else { return Applied::NotAKey };
        if decision.subject.kind != "key" {
            return Applied::NotAKey;
        }
        let mut count = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.read(&key).decisions.get(&key).cloned();
        if before.as_ref().is_some_and(|before| before.epoch >= decision.epoch) {
            return Applied::Superseded;
        }
        if is_stale(decision, committed_at, self.fresh_for) {
            return Applied::Stale;
        }
        if before.is_none() && *count >= self.limit {
            *count -= self.drop_ended(now);
            if *count >= self.limit {
                return Applied::Full;
            }
        }
        *count += usize::from(before.is_none());
        let in_force = Arc::new(InForce::of(decision, before.as_deref(), now, (self.elapsed)()));
        let applied = in_force.applied(now);
        self.insert(key, in_force, before.as_deref());
        self.changes.fetch_add(1, Relaxed);
        applied
    }

    /// The answers about a question that shows `keys`, one for each decision that is active for any of them. A
    /// throttle's token is taken by asking, and one is taken from each, however many ids of its key are shown.
    pub fn check(&self, keys: &[KeyId], now: WallTime) -> Vec<Verdict> {
        let mut active: Vec<Arc<InForce>> = Vec::new();
        for key in keys {
            for found in self.found(key).into_iter().flatten().filter(|found| found.is_active(now)) {
                if !active.iter().any(|known| known.id == found.id) {
                    active.push(found);
                }
            }
        }
        active.into_iter().map(|found| found.verdict(now)).collect()
    }

    /// The decisions on `key`: under it, and under another id of which it is an alias.
    fn found(&self, key: &KeyId) -> [Option<Arc<InForce>>; 2] {
        let (own, subject) = {
            let shard = self.read(key);
            (shard.decisions.get(key).cloned(), shard.aliases.get(key).copied())
        };
        [own, subject.and_then(|subject| self.read(&subject).decisions.get(&subject).cloned())]
    }

    /// Drops what has ended and can have no older record behind it. Gives how many are left.
    pub fn sweep(&self, now: WallTime) -> usize {
        let mut count = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= self.drop_ended(now);
        *count
    }

    /// How often it has taken a decision: whoever keeps a copy compares.
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// How many subjects have a decision, those that ended lately included.
    pub fn len(&self) -> usize {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most subjects that it takes.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    fn insert(&self, key: KeyId, in_force: Arc<InForce>, before: Option<&InForce>) {
        for alias in before.map_or(&[][..], |before| &before.aliases) {
            self.forget_alias(alias, &key);
        }
        for alias in &in_force.aliases {
            self.write(alias).aliases.insert(*alias, key);
        }
        self.write(&key).decisions.insert(key, in_force);
    }

    fn drop_ended(&self, now: WallTime) -> usize {
        let elapsed = (self.elapsed)();
        self.drop_where(|_, found| found.kept_until <= now && found.kept_for <= elapsed)
    }

    fn drop_where(&self, is_out: impl Fn(&KeyId, &InForce) -> bool) -> usize {
        let mut dropped = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            dropped.extend(shard.decisions.extract_if(|key, found| is_out(key, found)));
        }
        for (key, found) in &dropped {
            for alias in &found.aliases {
                self.forget_alias(alias, key);
            }
        }
        dropped.len()
    }

    /// An alias that has since come to stand for another subject stays.
    fn forget_alias(&self, alias: &KeyId, subject: &KeyId) {
        let mut shard = self.write(alias);
        if shard.aliases.get(alias) == Some(subject) {
            shard.aliases.remove(alias);
        }
    }

    fn read(&self, key: &KeyId) -> RwLockReadGuard<'_, Shard> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &KeyId) -> RwLockWriteGuard<'_, Shard> {
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner)
    }

    /// By the hash's last byte: its first eight choose the partition.
    fn shard(&self, key: &KeyId) -> &RwLock<Shard> {
        &self.shards[usize::from(key.hash[15]) % SHARDS]
    }
}

impl InForce {
    fn of(decision: &Decision, before: Option<&Self>, now: WallTime, elapsed: Duration) -> Self {
        let expires_at = WallTime(decision.expires().0);
        let remembered = if decision.step.is_enforced() {
            expires_at
        } else {
            WallTime(decision.as_of().0).after(LIFT_KEPT_FOR)
        };
        // Until then, a record that this one supersedes could still be delivered again and not be over.
        let kept_until = before.map_or(remembered, |before| before.kept_until.max(remembered));
        let kept_for = elapsed.saturating_add(kept_until.since(now));
        let rate = decision.rate.map_or(0.0, |rate| rate.known);
        let aliases = decision.subject.aliases.iter().filter_map(|alias| alias.parse().ok());
        Self {
            id: decision.id.clone(),
            step: decision.step,
            mode: decision.mode,
            expires_at,
            epoch: decision.epoch,
            aliases: aliases.take(ALIASES).collect(),
            known: before.map_or_else(|| Bucket::new(rate), |before| Bucket::renewed(rate, &before.known)),
            kept_until,
            kept_for: before.map_or(kept_for, |before| before.kept_for.max(kept_for)),
        }
    }

    fn is_active(&self, now: WallTime) -> bool {
        self.step.is_enforced() && now < self.expires_at
    }

    fn applied(&self, now: WallTime) -> Applied {
        match (self.step.is_enforced(), self.is_active(now), self.mode) {
            (false, ..) => Applied::Lifted,
            (true, false, _) => Applied::Ended,
            (true, true, Mode::Shadow) => Applied::Shadow,
            (true, true, Mode::Enforce) => Applied::Served,
        }
    }

    fn verdict(self: Arc<Self>, now: WallTime) -> Verdict {
        match self.step {
            Step::Observe | Step::Alert => Verdict::Allowed,
            Step::Throttle => match self.known.take(now) {
                Ok(()) => Verdict::WithinRate(self),
                Err(wait) => Verdict::Throttled(self, wait),
            },
            Step::Restrict => Verdict::Unjudged(self),
            Step::Suspend | Step::Revoke => Verdict::Refused(self),
        }
    }
}

/// Whether a decision came too late to act. A lift is never too late, and neither is what an operator decided.
fn is_stale(decision: &Decision, committed_at: WallTime, fresh_for: Duration) -> bool {
    let late = committed_at.since(WallTime(decision.as_of().0)) > fresh_for;
    decision.step.is_enforced() && decision.cause == "policy" && late
}

#[cfg(test)]
#[path = "table_tests.rs"]
pub(crate) mod tests;
