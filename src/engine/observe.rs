//! One request: counted in its key's windows, compared with its key's profile.

use super::{
    admit::is_success,
    engine::Engine,
    group_counts::GroupCount,
    groups::second_of,
    seam::{Effect, Partial},
    shown::Shown,
    waiting::Waiting,
};
use crate::{
    detect::{
        self, crowd,
        delayed::{self, DelayedCounts},
    },
    event::{Event, EventTime, Flags, KeyId, Refusal},
    profile::{Beyond, Hot, Known, key::UNRESOLVED, warm::WARM_AFTER},
};

const DAY: u32 = 86_400;

impl Engine {
    /// Where the key's profile is in all likelihood; it is asked for ahead of [`Engine::observe`].
    pub(super) fn guess(&self, key: &KeyId) -> Option<u32> {
        let guess = self.table.guess(key);
        if let Some(index) = guess {
            self.table.prefetch(index);
        }
        guess
    }

    /// Asks for the rest of the profile.
    pub(super) fn prefetch_warm(&self, guess: Option<u32>) {
        if let Some(index) = guess {
            self.table.prefetch_warm(index);
        }
    }

    /// `guess`: what [`Engine::guess`] said, if it was asked.
    pub(super) fn observe(&mut self, event: &Event<'_>, guess: Option<u32>, effects: &mut Vec<Effect>) {
        if event.flags.has(Flags::UNREADABLE) {
            return self.observe_unreadable(event, effects);
        }
        if self.is_ours(event) {
            self.press(event);
            return;
        }
        if self.repeats.is_repeat(event) {
            self.counts.repeats += 1;
            return;
        }
        let second = second_of(event.time);
        let guess = guess.filter(|index| self.table.is_at(*index, &event.key));
        let index = match guess.or_else(|| self.table.find(&event.key)) {
            Some(index) => index,
            None if self.candidates.admit(event) => {
                if self.table.is_full_for(&event.key) {
                    self.make_room(&event.key, second);
                }
                self.table.insert(Hot::new(event.key, second))
            }
            None => {
                self.counts.waiting += 1;
                return;
            }
        };
        if let Some(alias) = event.alias {
            self.learn_alias(event.key, alias);
        }
        let known = Known { watermark: second_of(self.watermark), gaps: &self.gaps };
        let (hot, mut warm) = self.table.parts_mut(index);
        if second.saturating_add(DAY) < hot.last_seen {
            return self.note_late(event.position.input);
        }
        let frozen = hot.frozen;
        let (was_in_groups, hour) = (hot.is_in_groups(), hot.last_seen / 3600);
        let is_open = hot.advance(second, known, warm.as_deref_mut());
        let is_in_groups = hot.is_in_groups();
        if is_served(event.status) {
            hot.count(second, is_open, warm);
            if is_in_groups && is_open {
                self.count_for_group(index, event);
            }
        }
        if is_in_groups && !was_in_groups {
            let group = self.group_of(index, event);
            self.announce(index, group);
        }
        self.table.note_hour(index, hour);
        let beyond = self.compare_with_route(event, frozen);
        if !is_open {
            self.note_late(event.position.input);
        }
        self.note(index, event, is_open, beyond);
        self.judge(index, event, beyond, effects);
        if is_open && delayed::is_delayed(second, self.table.hot(index)) && is_served(event.status) {
            self.look_at_delayed(index, event);
        }
    }

    /// What failed is neither large nor slow of the key's doing, nor is there a route behind a path that somebody made up.
    fn compare_with_route(&mut self, event: &Event<'_>, frozen: bool) -> Beyond {
        if !is_success(event.status) {
            return Beyond::default();
        }
        let (second, watermark) = (second_of(event.time), second_of(self.watermark));
        let (latency, bytes) = (event.latency_us, event.response_bytes);
        self.routes.observe(event.route.hash, second, watermark, latency, bytes, frozen)
    }

    /// A request whose minute is closed, or that is older than its key's day.
    #[cold]
    fn note_late(&mut self, input: u32) {
        match self.late.last_mut() {
            Some((known, count)) if *known == input => *count += 1,
            _ => self.late.push((input, 1)),
        }
    }

    /// A record of which only the key, and perhaps the time, is known: nothing that it might be is counted for it. Without
    /// a time, it is as old as the key's newest request: the time of reading could be days later.
    #[cold]
    fn observe_unreadable(&mut self, event: &Event<'_>, effects: &mut Vec<Effect>) {
        let Some(index) = self.table.find(&event.key) else { return };
        let known = Known { watermark: second_of(self.watermark), gaps: &self.gaps };
        let (hot, warm) = self.table.parts_mut(index);
        let second = if event.time.0 == 0 { hot.last_seen } else { second_of(event.time) };
        let (was_in_groups, hour) = (hot.is_in_groups(), hot.last_seen / 3600);
        let is_open = hot.advance(second, known, warm);
        self.table.note_hour(index, hour);
        let hot = self.table.hot(index);
        let at = EventTime(event.time.0.max(u64::from(hot.last_seen) * 1000));
        if hot.is_in_groups() && !was_in_groups {
            let group = self.group_of(index, event);
            self.announce(index, group);
        }
        let (hot, warm) = self.table.parts_mut(index);
        let Some(warm) = warm else { return };
        warm.advance(second);
        warm.note_readable(second, true, is_open);
        if !is_worth_a_look(warm.unreadable.sum()) {
            return;
        }
        let mut signals = std::mem::take(&mut self.signals);
        signals.clear();
        detect::unreadable::judge(&self.now.reference.rules.watch, hot, warm, &mut signals);
        let shown = Shown::of(&Event { time: at, ..*event }, &self.inputs);
        self.take_in(index, at, &shown, &mut signals, effects);
        self.signals = signals;
    }

    fn count_for_group(&mut self, index: u32, event: &Event<'_>) {
        let hot = self.table.hot_mut(index);
        let second = second_of(event.time);
        let (n, quota) = (hot.hour.at(second), hot.group_quota(second));
        let joined = hot.join_groups(second);
        if n > crowd::WIDE * quota && joined.is_none() {
            return;
        }
        let group = self.group_of(index, event);
        let (strict, wide) = (u32::from(n <= quota), u32::from(n <= crowd::WIDE * quota));
        let count = GroupCount { strict, wide, joined: joined.unwrap_or(0) };
        let five = second / crowd::QUOTA_SECONDS;
        self.group_counts.add(0, five, count);
        if group > 0 {
            self.group_counts.add(group, five, count);
        }
    }

    /// The key's profile has become mature: from now on its groups expect its requests.
    #[cold]
    pub(super) fn announce(&mut self, index: u32, group: u16) {
        let hot = self.table.hot(index);
        let usual = hot.season.usual_day(hot.last_seen, hot.first_seen);
        for group in if group == 0 { vec![0] } else { vec![0, group] } {
            let sums = self.newcomers.entry(group).or_insert([0.0; 24]);
            sums.iter_mut().zip(usual).for_each(|(sum, usual)| *sum += usual);
        }
    }

    fn group_of(&mut self, index: u32, event: &Event<'_>) -> u16 {
        let mut group = self.table.hot(index).group;
        if group == UNRESOLVED {
            group = self.group_in_catalogue(&event.key, event.handles.credential);
            // The credential that finds the tenant may be what is missing.
            if !event.flags.has(Flags::UNREADABLE) && !event.flags.has(Flags::CUT) {
                self.table.hot_mut(index).group = group;
            }
        }
        group
    }

    /// The rest of what a request teaches: refusals, places, spread, cost.
    fn note(&mut self, index: u32, event: &Event<'_>, is_open: bool, beyond: Beyond) {
        let second = second_of(event.time);
        if self.table.hot(index).total == WARM_AFTER {
            self.table.warm_up(index);
        }
        let (hot, mut warm) = self.table.parts_mut(index);
        if is_refusal(event) {
            hot.count_refusal(second, is_open, warm.as_deref_mut());
        }
        let Some(warm) = warm else { return };
        warm.advance(second);
        let is_served = is_served(event.status);
        if is_served {
            warm.count(second);
        }
        warm.note_readable(second, event.flags.has(Flags::CUT), is_open);
        if is_open {
            warm.note_place(event, second, hot.first_seen / 3600);
            if is_served {
                warm.half_hours.note_cost(second, beyond.slow, beyond.large);
            }
        }
        if beyond.slow {
            warm.slow.add(warm.last_second, second, 1);
        }
        if beyond.large {
            warm.large.add(warm.last_second, second, 1);
        }
    }

    fn judge(&mut self, index: u32, event: &Event<'_>, beyond: Beyond, effects: &mut Vec<Effect>) {
        let watch = &*self.now.reference.rules.watch;
        let (hot, mut warm) = self.table.parts_mut(index);
        let near = detect::volume::is_near(watch, hot, warm.as_deref_mut());
        // Made only of what looks like something.
        let mut shown = None;
        let mut signals = std::mem::take(&mut self.signals);
        signals.clear();
        self.counters.count(&watch.counting, event, (&mut *hot, warm.as_deref()), &mut signals);
        if is_refusal(event) && is_worth_a_look(hot.refused.sum()) {
            detect::errors::judge(watch, hot, &mut signals);
        }
        if let Some(warm) = warm {
            let uses = warm.networks.uses(event.place.asn);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count, and not negative
            if is_worth_a_look(uses as u32) {
                detect::place::judge(watch, event, hot, warm, &mut signals);
            }
            if hot.total.is_multiple_of(8) {
                detect::breadth::judge(watch, hot, warm, &mut signals);
            }
            let slow = beyond.slow && is_worth_a_look(warm.slow.sum());
            let large = beyond.large && is_worth_a_look(warm.large.sum());
            detect::cost::judge(watch, hot, warm, Beyond { slow, large, ..beyond }, &mut signals);
            if event.flags.has(Flags::CUT) && is_worth_a_look(warm.unreadable.sum()) {
                detect::unreadable::judge(watch, hot, warm, &mut signals);
            }
        }
        if !signals.is_empty() {
            let shown = shown.get_or_insert_with(|| Shown::of(event, &self.inputs));
            self.take_in(index, event.time, shown, &mut signals, effects);
        }
        self.signals = signals;
        if near {
            self.await_context(event, DelayedCounts::default());
        }
        if near && self.cases.get(&event.key).is_some_and(crate::incident::Case::is_corroborated) {
            let shown = shown.unwrap_or_else(|| Shown::of(event, &self.inputs));
            self.judge_volume(&event.key, event.time, &mut Waiting::new(shown), effects);
        }
    }

    fn learn_alias(&mut self, key: KeyId, alias: KeyId) {
        if self.aliases.get(&key) != Some(&alias) {
            self.aliases.insert(key, alias);
            self.changed_cases.insert(key);
        }
    }

    /// Whether we refused it ourselves: the record says so, or the gateway refused it while a served step of ours
    /// was in force. Such requests are pressure, and never evidence.
    fn is_ours(&self, event: &Event<'_>) -> bool {
        match event.refusal {
            Refusal::Ours => true,
            Refusal::Gateway => {
                self.forces.get(&event.key).is_some_and(|force| force.was_served_at(event.time))
            }
            _ => false,
        }
    }

    fn press(&mut self, event: &Event<'_>) {
        self.counts.pressure += 1;
        if let Some(force) = self.forces.get_mut(&event.key) {
            force.press(second_of(event.time));
            self.changed_cases.insert(event.key);
        }
    }

    /// What was counted for the groups since the last time.
    pub(super) fn partial(&mut self, at: EventTime) -> Partial {
        Partial {
            at,
            counts: self.group_counts.take(),
            newcomers: std::mem::take(&mut self.newcomers).into_iter().collect(),
        }
    }
}

/// Requests that were served: a backend's failures and other limiters' refusals come in storms of retries, and
/// say nothing about who holds the key. A status that is not known counts as served: else whoever has his records cut
/// short would not be counted.
const fn is_served(status: Option<u16>) -> bool {
    match status {
        Some(status) => status > 0 && status < 500 && status != 429,
        None => true,
    }
}

const fn is_refusal(event: &Event<'_>) -> bool {
    matches!(event.status, Some(401 | 403))
}

/// The first few, every fifth, and from 64 on each time when there is about an eighth more.
const fn is_worth_a_look(n: u32) -> bool {
    match n {
        0..6 => true,
        6..64 => n.is_multiple_of(5),
        _ => n.is_multiple_of(1 << (n.ilog2() - 3)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        catalogue::{Catalogue, Entry},
        engine::{IdKey, MemoryLimits, Reference, Settings, engine::InForce},
        event::{Handles, KeyKind, testing::plain},
        respond::{Caps, FRESH_WITHIN},
    };

    #[test]
    fn a_record_without_its_credential_fixes_no_group() {
        let mut engine = Engine::new(Arc::new(Settings {
            partitions: 1,
            limits: MemoryLimits::of_keys(10),
            ids: IdKey([7; 32]),
            throttle_for: std::time::Duration::from_hours(1),
            fresh_within: FRESH_WITHIN,
            caps: Caps::default(),
        }));
        let credential = Some("c1".to_owned());
        let entry = Entry { credential, tenant: "acme".to_owned(), ..Entry::default() };
        let catalogue = Arc::new(Catalogue::new(vec![entry], "c".to_owned()).unwrap());
        let reference = Reference { catalogue, ..Reference::default() };
        engine.refer(InForce::new(reference));
        let key = KeyId { kind: KeyKind::Credential, hash: [1; 16] };
        let index = engine.table.insert(Hot::new(key, 1));
        let event = plain(key, EventTime(1_000));
        for flag in [Flags::UNREADABLE, Flags::CUT] {
            let mut cut = event;
            cut.flags.set(flag);
            assert_eq!(engine.group_of(index, &cut), 0);
        }
        let handles = Handles { credential: "c1", ..Handles::default() };
        assert_eq!(engine.group_of(index, &Event { handles, ..event }), 1);
    }

    #[test]
    fn a_count_that_stays_anywhere_has_been_looked_at_a_little_before() {
        for n in 10..100_000u32 {
            let looked = (1..=n).rev().find(|n| is_worth_a_look(*n)).unwrap();
            assert!(n - looked < 5 || f64::from(n - looked) < f64::from(n) / 8.0, "{n}: {looked}");
        }
    }
}
