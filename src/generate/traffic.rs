//! The traffic of all keys, line by line in the order of time.

use std::collections::BTreeMap;

use rand::Rng;

use super::{
    keys::{ClientKind, KeyProfile, Tenant, keys, tenants},
    lines::{self, Stamp},
    plan::{Plan, PlanError},
    random::{Random, arrivals, log_normal, random_for},
    request::{Style, request},
    scenario::{Alteration, Injection, InjectionError, Label, Phase, Scene},
    world::World,
};
use crate::event::EventTime;

/// Deviation of the logarithm of a key's daily level.
const DAY_SIGMA: f64 = 0.06;
const MINUTE_MS: u32 = 60_000;

/// One log line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub time: EventTime,
    /// Index of the key.
    pub key: usize,
    /// Index of the [`Label`] whose scenario made or changed this request.
    pub label: Option<usize>,
    /// Without a line break.
    pub bytes: &'a [u8],
}

/// Makes the lines of a plan, a minute at a time. Scenarios change nothing but what they are about.
#[derive(Debug)]
pub struct Traffic {
    plan: Plan,
    world: World,
    tenants: Vec<Tenant>,
    keys: Vec<KeyProfile>,
    levels: Vec<Level>,
    phases: Vec<Labelled<Phase>>,
    alterations: Vec<Labelled<Alteration>>,
    labels: Vec<Label>,
    usual: Style,
    /// The minute that `pending` is of, counted from the Unix epoch, is the one before.
    next_minute: u64,
    end_minute: u64,
    pending: Vec<Pending>,
    taken: usize,
    stamp: Stamp,
    path: String,
    line: String,
}

/// A key's own generator and its level today.
#[derive(Debug)]
struct Level {
    random: Random,
    day: u64,
    factor: f64,
}

#[derive(Debug)]
struct Labelled<T> {
    label: usize,
    what: T,
}

/// A request to come. The order of the fields is the order of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    /// Within the minute.
    ms: u32,
    key: usize,
    cause: Cause,
    nth: u32,
}

/// Why there is a request; indices into the lists of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Usual,
    Altered(u32),
    Extra(u32),
}

impl Traffic {
    /// Makes the tenants and keys of a plan.
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let world = World::new();
        let tenants = tenants(&plan);
        let keys = keys(&plan, &tenants, &world);
        let level = |key: &KeyProfile| Level {
            random: random_for(plan.seed, &[4, key.index as u64]),
            day: u64::MAX,
            factor: 1.0,
        };
        Ok(Self {
            levels: keys.iter().map(level).collect(),
            next_minute: plan.start_minute(),
            end_minute: plan.start_minute() + u64::from(plan.days) * 1_440,
            plan,
            world,
            tenants,
            keys,
            phases: Vec::new(),
            alterations: Vec::new(),
            labels: Vec::new(),
            usual: Style::default(),
            pending: Vec::new(),
            taken: 0,
            stamp: Stamp::default(),
            path: String::new(),
            line: String::new(),
        })
    }

    /// Lets a scenario happen. What it would have changed before the present minute is left as it was.
    pub fn inject(&mut self, injection: Injection) -> Result<&Label, InjectionError> {
        let scene = Scene {
            seed: self.plan.seed,
            start: self.plan.start,
            end: self.plan.end(),
            world: &self.world,
            tenants: &self.tenants,
            keys: &self.keys,
        };
        let (script, made) = scene.stage(injection)?;
        let label = self.labels.len();
        self.phases.extend(script.phases.into_iter().map(|what| Labelled { label, what }));
        self.alterations.extend(script.alterations.into_iter().map(|what| Labelled { label, what }));
        self.labels.push(made);
        Ok(&self.labels[label])
    }

    /// The truth about all scenarios, in the order of their injection.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// All keys, the busiest first.
    pub fn keys(&self) -> &[KeyProfile] {
        &self.keys
    }

    /// All tenants.
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// The plan that it follows.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The key of a kind whose rate is nearest, as a ratio, to `per_minute`, among those without a scenario.
    pub fn key_like(&self, kind: ClientKind, per_minute: f64) -> Option<usize> {
        let taken = |key: usize| self.labels.iter().any(|label| label.keys.iter().any(|of| of.index == key));
        let distance = |key: &KeyProfile| (key.per_minute / per_minute).ln().abs();
        self.keys
            .iter()
            .filter(|key| key.kind == kind && !taken(key.index))
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .map(|key| key.index)
    }

    /// How much of the plan's time has passed, from 0 to 1.
    pub fn progress(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // minutes of a year at most
        let (done, all) = (
            self.next_minute.saturating_sub(self.plan.start_minute()) as f64,
            f64::from(self.plan.days) * 1_440.0,
        );
        (done / all).min(1.0)
    }

    /// The next line, or nothing at the end of the plan.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        while self.taken == self.pending.len() {
            if self.next_minute >= self.end_minute {
                return None;
            }
            self.fill();
        }
        let pending = self.pending[self.taken];
        self.taken += 1;
        Some(self.write(pending))
    }

    /// Draws all requests of the next minute.
    fn fill(&mut self) {
        self.pending.clear();
        self.taken = 0;
        let minute = self.next_minute;
        self.next_minute += 1;
        let altered = self.altered_in(minute);
        for key in 0..self.keys.len() {
            let (cause, factor) = altered.get(&key).copied().unwrap_or((Cause::Usual, 1.0));
            self.draw_usual(key, minute, cause, factor);
        }
        for index in 0..self.phases.len() {
            self.draw_extra(index, minute);
        }
        self.pending.sort_unstable();
    }

    /// The keys that are altered in a minute: by the last alteration, their rate by all of them together.
    fn altered_in(&self, minute: u64) -> BTreeMap<usize, (Cause, f64)> {
        let ms = minute * u64::from(MINUTE_MS);
        let mut altered = BTreeMap::new();
        for (index, Labelled { what, .. }) in self.alterations.iter().enumerate() {
            if ms + u64::from(MINUTE_MS) <= what.from_ms || what.to_ms <= ms {
                continue;
            }
            let factor = what.factor(ms);
            for key in &what.keys {
                let entry = altered.entry(*key).or_insert((Cause::Usual, 1.0));
                *entry = (Cause::Altered(small(index)), entry.1 * factor);
            }
        }
        altered
    }

    fn draw_usual(&mut self, key: usize, minute: u64, cause: Cause, factor: f64) {
        let profile = &self.keys[key];
        let level = &mut self.levels[key];
        if level.day != minute / 1_440 {
            level.day = minute / 1_440;
            level.factor = log_normal(&mut level.random, 1.0, DAY_SIGMA);
        }
        let mean = profile.per_minute * profile.rhythm.factor(minute) * level.factor * factor;
        for nth in 0..arrivals(&mut level.random, mean, profile.dispersion) {
            let ms = level.random.random_range(0..MINUTE_MS);
            self.pending.push(Pending { ms, key, cause, nth });
        }
    }

    fn draw_extra(&mut self, index: usize, minute: u64) {
        let Labelled { what: phase, .. } = &self.phases[index];
        let begin = minute * u64::from(MINUTE_MS);
        let (from, to) = (phase.from_ms.max(begin), phase.to_ms.min(begin + u64::from(MINUTE_MS)));
        if from >= to {
            return;
        }
        let mut random = random_for(self.plan.seed, &[5, index as u64, minute, phase.key as u64]);
        let (offset, span) = (small64(from - begin), small64(to - from));
        let mean = phase.per_minute * f64::from(span) / f64::from(MINUTE_MS);
        let count = arrivals(&mut random, mean, if phase.paced { 0.0 } else { 0.01 });
        for nth in 0..count {
            let ms = if phase.paced {
                // A step each, give or take a tenth of one.
                let step = f64::from(span) / f64::from(count);
                let at = (f64::from(nth) + random.random_range(0.4..0.6)) * step;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below a minute
                {
                    at as u32
                }
            } else {
                random.random_range(0..span)
            };
            let cause = Cause::Extra(small(index));
            self.pending.push(Pending { ms: offset + ms, key: phase.key, cause, nth });
        }
    }

    fn write(&mut self, pending: Pending) -> Line<'_> {
        let Pending { ms, key, cause, nth } = pending;
        let minute = self.next_minute - 1;
        let (style, label, purpose) = match cause {
            Cause::Usual => (&self.usual, None, 0),
            Cause::Altered(index) => {
                let Labelled { label, what } = &self.alterations[index as usize];
                (&what.style, Some(*label), 0)
            }
            Cause::Extra(index) => {
                let Labelled { label, what } = &self.phases[index as usize];
                (&what.style, Some(*label), u64::from(index) + 1)
            }
        };
        let time = EventTime(minute * u64::from(MINUTE_MS) + u64::from(ms));
        let mut random = random_for(self.plan.seed, &[6, purpose << 32 | u64::from(nth), minute, key as u64]);
        let profile = &self.keys[key];
        let tenant = &self.tenants[profile.tenant];
        let number = minute % 100_000 * 10_000 + u64::from(nth);
        let request =
            request((profile, tenant, &self.world), style, (time, number), &mut random, &mut self.path);
        self.line.clear();
        lines::write(tenant.format, &request, tenant, &mut self.stamp, &mut self.line);
        Line { time, key, label, bytes: self.line.as_bytes() }
    }
}

/// Lists of scenarios are short.
fn small(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Spans within a minute.
fn small64(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(MINUTE_MS)
}

#[cfg(test)]
mod tests;
