//! `count`: all counting rules as bits of one mask, and the judgement of one counter.
//!
//! Each counting rule is a bit. For each field of a request a table says which rules its value leaves standing, so that
//! a request is compared with all rules at once, and nearly always dropped after the first look-up.

use super::{
    count::{Count, Match, Pattern, Statuses},
    signal::{Signal, share_text},
};
use crate::{
    event::{Country, Event, Method, NetworkType, stable_hash},
    profile::tally::{Counter, Window},
};

/// The most counting rules in a set: a bit each.
pub const RULES_MAX: usize = 64;
/// The surprise of a count just over its limit.
///
/// A limit that a person sets has no probability: going over it is taken for one in a thousand, and each doubling
/// for a factor of ten more.
const JUST_OVER: f64 = 3.0;
/// Status codes that a table has to know.
const STATUSES: usize = 600;

/// A counting rule.
#[derive(Clone, Debug)]
pub struct CountUse {
    /// The rule's index in the rule set.
    pub rule: u16,
    /// Names its counters: a hash of the rule's id and of what is counted.
    pub name: u64,
    pub count: Count,
}

impl CountUse {
    /// The rule of this index and id.
    pub fn new(rule: u16, id: &str, count: Count) -> Self {
        let what = format!("{id}\n{:?}\n{:?}\n{:?}", count.matches, count.over, count.distinct);
        Self { rule, name: stable_hash(what.as_bytes()), count }
    }

    /// A counter that has counted nothing.
    pub fn counter(&self) -> Counter {
        Counter::new(self.name, self.count.distinct.is_some())
    }

    /// The window that ends with this second.
    pub const fn window(&self, now: u32) -> Window {
        let (panes, width) = self.count.over.panes();
        Window { newest: now / width, panes }
    }

    /// Whether there is anything in a request of `second` that matched to count: it may be too late, or have no value.
    pub fn is_countable(&self, event: &Event<'_>, now: u32, second: u32) -> bool {
        let has_value = self.count.distinct.is_none_or(|distinct| distinct.value(event) != 0);
        has_value && self.window(now).holds(second / self.count.over.panes().1)
    }

    /// Counts a request of `second`.
    pub fn count(&self, counter: &mut Counter, event: &Event<'_>, matched: bool, now: u32, second: u32) {
        let (window, pane) = (self.window(now), second / self.count.over.panes().1);
        let value = self.count.distinct.map_or(0, |distinct| distinct.value(event));
        if matched {
            counter.matched.add(window, pane, value);
        } else {
            counter.matched.forget(window);
        }
        if self.count.share_of.is_some() {
            counter.whole(now).tally.add(window, pane, value);
        } else {
            counter.whole = None;
        }
    }

    /// Judges a counter. `served` is what the key's own window has: requests from before the counter began.
    pub fn judge(&self, counter: &mut Counter, served: u32, now: u32) -> Option<Signal> {
        let Some(over) = self.over_limit(counter, served, now) else {
            counter.is_within();
            return None;
        };
        // Only now: texts cost more than all the rest.
        counter.is_worth_a_look(now).then(|| self.signal(over))
    }

    fn over_limit(&self, counter: &Counter, served: u32, now: u32) -> Option<OverLimit> {
        let (n, limit) = (counter.matched.count(), self.count.more_than);
        if self.count.share_of.is_none() {
            let times = f64::from(n) / (f64::from(limit) + 1.0);
            return (n > limit).then_some(OverLimit { n, whole: None, times });
        }
        let whole = counter.whole.as_ref().filter(|_| n >= self.count.at_least())?;
        // Which different values there were before it began is not known. Requests are, as far as they were served.
        let is_young = now - whole.since.min(now) < self.count.over.seconds();
        if self.count.distinct.is_some() && (is_young || whole.tally.is_over_full()) {
            return None;
        }
        let before = if self.count.distinct.is_some() { 0 } else { served };
        let whole = whole.tally.count().max(before).max(n);
        // In integers, so that a share at its limit is within it.
        let is_over = u64::from(n) * 100 > u64::from(whole) * u64::from(limit);
        let times = f64::from(n) / f64::from(whole.max(1)) * 100.0 / f64::from(limit.max(1));
        is_over.then_some(OverLimit { n, whole: Some(whole), times })
    }

    fn signal(&self, over: OverLimit) -> Signal {
        let Count { matches, over: window, more_than, distinct, .. } = &self.count;
        let what = distinct.map_or_else(|| "requests".to_owned(), |d| format!("different {}", d.plural()));
        let within = format!("in {} with {matches}", window.as_str());
        let OverLimit { n, whole, times } = over;
        let (observed, expected) = match whole {
            None => (format!("{n} {what} {within}"), format!("limit {more_than}")),
            Some(whole) => {
                let share = share_text(f64::from(n) / f64::from(whole.max(1)));
                (format!("{n} of {whole} {what} ({share}) {within}"), format!("limit {more_than} %"))
            }
        };
        Signal { rule: self.rule, score: JUST_OVER + libm::log2(times), observed, expected }
    }
}

/// A counter that is over its limit.
#[derive(Clone, Copy, Debug)]
struct OverLimit {
    n: u32,
    /// What it is a share of.
    whole: Option<u32>,
    /// How many times its limit it is: at least 1.
    times: f64,
}

/// Every counting rule of a rule set. Built once and shared by all partitions.
#[derive(Clone, Debug)]
pub struct Counting {
    pub uses: Vec<CountUse>,
    /// Those about a share, for which what does not match counts too.
    pub shares: u64,
    status: Box<[u64]>,
    method: [u64; Method::COUNT],
    network_type: [u64; NetworkType::ALL.len()],
    country: Field<Country>,
    network: Field<u32>,
    route: Field<Pattern>,
    agent: Field<Pattern>,
}

impl Default for Counting {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Counting {
    /// The counting rules of a set, at most [`RULES_MAX`].
    pub fn new(uses: Vec<CountUse>) -> Self {
        let all = bits(&uses, |_| true);
        let matches = || uses.iter().take(RULES_MAX).map(|one| &one.count.matches);
        let mut status = vec![all; STATUSES].into_boxed_slice();
        let mut method = [all; Method::COUNT];
        let mut network_type = [all; NetworkType::ALL.len()];
        for (bit, one) in matches().enumerate() {
            let bit = 1 << bit;
            let is_within = |range: &Statuses, code| (range.least.into()..=range.most.into()).contains(&code);
            leave(&mut status, bit, &one.status, is_within);
            leave(&mut method, bit, &one.method, |name, value| name.0 as usize == value);
            leave(&mut network_type, bit, &one.network_type, |kind, value| kind.0 as usize == value);
        }
        Self {
            status,
            method,
            network_type,
            country: Field::new(matches(), |one| one.country.iter().map(|country| country.0).collect()),
            network: Field::new(matches(), |one| one.network.iter().map(|network| network.0).collect()),
            route: Field::new(matches(), |one| one.route.clone()),
            agent: Field::new(matches(), |one| one.agent.clone()),
            shares: bits(&uses, |one| one.count.share_of.is_some()),
            uses,
        }
    }

    /// Which rules count this request: bit i is that of `uses[i]`.
    pub fn mask(&self, event: &Event<'_>) -> u64 {
        // A status of 0, the client having gone away, or none at all, is in the table as any other that no rule names.
        let status = self.status.get(usize::from(event.status.unwrap_or(0))).or(self.status.first());
        let mut mask = status.copied().unwrap_or_default();
        mask &= self.method[event.method as usize];
        mask &= self.network_type[event.place.network_type as usize];
        mask = self.country.left(mask, |country| *country == event.place.country);
        mask = self.network.left(mask, |network| *network == event.place.asn);
        mask = self.route.left(mask, |pattern| pattern.fits(event.route.text));
        self.agent.left(mask, |pattern| pattern.fits(event.agent.text))
    }

    /// The rules of these bits, each with its bit.
    pub fn of_bits(&self, mut bits: u64) -> impl Iterator<Item = (u64, &CountUse)> {
        std::iter::from_fn(move || {
            let index = bits.trailing_zeros();
            let one = self.uses.get(index as usize).filter(|_| bits != 0)?;
            bits &= bits - 1;
            Some((1 << index, one))
        })
    }

    /// The rule in force that has counters of this name.
    pub fn of_name(&self, name: u64) -> Option<&CountUse> {
        self.uses.iter().find(|one| one.name == name)
    }
}

/// Takes a rule's bit out of the table where the value fits none of those that it names, if it names any.
fn leave<T>(table: &mut [u64], bit: u64, named: &[T], fits: impl Fn(&T, usize) -> bool) {
    for (value, rules) in table.iter_mut().enumerate() {
        if !named.is_empty() && !named.iter().any(|one| fits(one, value)) {
            *rules &= !bit;
        }
    }
}

/// The bits of the rules that are so.
fn bits(uses: &[CountUse], are: impl Fn(&CountUse) -> bool) -> u64 {
    let numbered = uses.iter().take(RULES_MAX).enumerate();
    numbered.filter(|(_, one)| are(one)).fold(0, |bits, (bit, _)| bits | 1 << bit)
}

/// The rules that name values of one field.
#[derive(Clone, Debug)]
struct Field<T> {
    /// Rules that do not name the field: any value will do.
    free: u64,
    /// Values with the rules that name them.
    named: Vec<(T, u64)>,
}

impl<T: PartialEq> Field<T> {
    fn new<'m>(matches: impl Iterator<Item = &'m Match>, of: impl Fn(&Match) -> Vec<T>) -> Self {
        let mut field = Self { free: 0, named: Vec::new() };
        for (bit, one) in matches.enumerate() {
            let values = of(one);
            if values.is_empty() {
                field.free |= 1 << bit;
            }
            for value in values {
                match field.named.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, rules)) => *rules |= 1 << bit,
                    None => field.named.push((value, 1 << bit)),
                }
            }
        }
        field
    }

    /// What is left of a mask. Values are compared only for rules that still stand and name the field.
    fn left(&self, mask: u64, fits: impl Fn(&T) -> bool) -> u64 {
        if mask & !self.free == 0 {
            return mask;
        }
        let named = self.named.iter().filter(|(value, rules)| mask & rules != 0 && fits(value));
        mask & named.fold(self.free, |left, (_, rules)| left | rules)
    }
}

#[cfg(test)]
#[path = "counting_tests.rs"]
mod tests;
