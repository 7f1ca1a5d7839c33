use std::sync::Arc;

use super::*;
use crate::{
    detect::{Detector, Watch},
    event::{EventTime, KeyKind, Name, testing::plain},
    profile::Known,
    rules::RuleSet,
};

const START: u32 = 1_800_000_000;

/// A rule that counts, with tests that say nothing.
pub(in crate::engine) fn rule(id: &str, body: &str) -> String {
    let tests = "  tests:\n    - { name: x, log: \"1m a 1/min\", expect: nothing }\n    - { name: y, log: \"1m a 1/min\", expect: alert a within 1m }\n";
    format!(
        "- id: {id}\n  title: t\n  detector: count\n{body}  severity: low\n  respond: alert\n  runbook: x.md\n{tests}"
    )
}

fn counting(rules: &[String]) -> Arc<Watch> {
    let set = RuleSet::compile(&[("r.yaml".to_owned(), rules.concat())]).unwrap();
    assert!(set.rules.iter().all(|rule| matches!(rule.detector, Detector::Count(_))));
    Arc::new(Watch::new(set.rules.iter().map(|rule| (rule.id.as_str(), &rule.detector))))
}

fn refused(more_than: u32) -> String {
    rule("refused", &format!("  match: {{ status: [403] }}\n  over: 1m\n  more_than: {more_than}\n"))
}

fn on_admin() -> String {
    rule("on-admin", "  match: { route: [/admin*] }\n  over: 5m\n  more_than: 5\n  share_of: all\n")
}

fn key(n: u32) -> KeyId {
    let mut hash = [7; 16];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    KeyId { kind: KeyKind::Credential, hash }
}

fn request(key: KeyId, second: u32, status: u16, route: &'static str) -> Event<'static> {
    Event { status: Some(status), route: Name::new(route), ..plain(key, EventTime(u64::from(second) * 1000)) }
}

/// Counters with the profiles that they go with.
struct Counted {
    watch: Arc<Watch>,
    counters: Counters,
    hots: BTreeMap<KeyId, Hot>,
}

impl Counted {
    fn new(watch: Arc<Watch>) -> Self {
        Self { watch, counters: Counters::new(BYTES_MAX), hots: BTreeMap::new() }
    }

    fn see(&mut self, event: &Event<'_>) -> Vec<Signal> {
        let second = second_of(event.time);
        let hot = self.hots.entry(event.key).or_insert_with(|| Hot::new(event.key, second));
        hot.advance(second, Known::at(second), None);
        hot.count(second, true, None);
        let mut signals = Vec::new();
        self.counters.count(&self.watch.counting, event, (hot, None), &mut signals);
        signals
    }

    fn written(&mut self) -> Vec<(KeyId, Option<Vec<u8>>)> {
        let mut entries = Vec::new();
        let mut left = usize::MAX;
        self.counters.begin_checkpoint();
        self.counters.write_checkpoint(&mut left, |key, entry| {
            entries.push((*key, entry.map(|entry| entry.0)));
        });
        entries
    }

    /// What comes back of a checkpoint under these rules.
    fn restored(&self, entries: &[(KeyId, Option<Vec<u8>>)], watch: Arc<Watch>) -> Self {
        let mut back = Self::new(watch);
        back.hots = self.hots.clone();
        back.hots.values_mut().for_each(|hot| hot.set_counted(true));
        for (key, value) in entries {
            let Some(value) = value else { continue };
            let mut reader = Reader::versioned(value).unwrap();
            back.counters.restore(*key, &back.watch.counting, &mut reader).unwrap();
            assert!(reader.is_done());
        }
        back
    }
}

#[test]
fn a_counter_slides_and_says_so_at_the_request_that_goes_over() {
    let mut counted = Counted::new(counting(&[refused(5)]));
    let mut said = Vec::new();
    for n in 0..8 {
        // The first two have left the window when the rest come.
        let second = START + if n < 2 { n } else { 100 + n };
        assert!(counted.see(&request(key(1), second, 200, "/")).is_empty());
        said.extend(counted.see(&request(key(1), second, 403, "/")).iter().map(|_| n));
    }
    assert_eq!(said, [7]);
    assert!(counted.see(&request(key(2), START + 107, 403, "/")).is_empty(), "another key has its own");
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let rules = counting(&[on_admin(), refused(5)]);
    let mut before = Counted::new(rules.clone());
    let play = |counted: &mut Counted, from: u32| {
        let mut said = Vec::new();
        for n in from..from + 60 {
            let admin = if n % 3 == 0 { "/admin/users" } else { "/" };
            let status = if n % 5 == 0 { 403 } else { 200 };
            let signals = counted.see(&request(key(n % 3), START + n, status, admin));
            said.extend(signals.into_iter().map(|signal| (n, signal)));
        }
        said
    };
    play(&mut before, 0);
    let entries = before.written();
    assert_eq!(entries.len(), 3);
    let mut after = before.restored(&entries, rules);
    assert_eq!(after.counters.bytes(), before.counters.bytes());
    let said = play(&mut before, 60);
    assert!(!said.is_empty());
    assert_eq!(play(&mut after, 60), said);
    assert_eq!(after.written(), before.written());
}

#[test]
fn a_changed_rule_starts_at_nothing_and_the_others_go_on() {
    let mut counted = Counted::new(counting(&[on_admin(), refused(5)]));
    for n in 0..5 {
        assert!(counted.see(&request(key(1), START + n, 403, "/admin")).is_empty());
    }
    let other = rule("on-admin", "  match: { route: [/admin/*] }\n  over: 5m\n  more_than: 5\n");
    let entries = counted.written();
    for reloaded in [true, false] {
        let watch = counting(&[other.clone(), refused(4)]);
        let mut after = counted.restored(&entries, watch.clone());
        if reloaded {
            after = counted.restored(&entries, counted.watch.clone());
            after.counters.refer(&watch.counting);
            after.watch = watch;
        }
        assert_eq!(after.counters.of_key[&key(1)].counters.len(), 1, "what is not counted any more is gone");
        let signals = after.see(&request(key(1), START + 5, 403, "/admin/x"));
        let observed: Vec<_> = signals.iter().map(|signal| signal.observed.as_str()).collect();
        assert_eq!(observed, ["6 requests in 1 min with status 403"]);
        assert_eq!(after.counters.of_key[&key(1)].counters.len(), 2);
    }
    let mut after = counted.restored(&entries, counting(&[other]));
    let written = after.written();
    assert_eq!(written, [(key(1), None)], "and the store forgets it");
}

#[test]
fn what_they_take_is_bounded_and_what_has_most_in_it_stays() {
    let watch = counting(&[refused(5)]);
    let mut counted = Counted::new(watch.clone());
    // One that is watched, and then a flood of keys that match once.
    (0..4).for_each(|n| drop(counted.see(&request(key(u32::MAX), START + n, 403, "/"))));
    let one =
        OfKey { counters: vec![watch.counting.uses[0].counter()], ..OfKey::default() }.bytes() + ENTRY_BYTES;
    let keys = u32::try_from(BYTES_MAX / one + 10).unwrap();
    for n in 0..keys {
        counted.see(&request(key(n), START + 4 + n / 10_000, 403, "/"));
    }
    assert!(counted.counters.bytes() > BYTES_MAX);
    counted.counters.sweep(&watch.counting, START + 20);
    let kept = counted.counters.bytes();
    assert!((BYTES_MAX / 10 * 9 - one..=BYTES_MAX / 10 * 9 + one).contains(&kept), "{kept}");
    assert!(counted.counters.evicted > 0);
    let is_kept = |counted: &Counted, n: u32| counted.counters.of_key.contains_key(&key(n));
    assert!(is_kept(&counted, u32::MAX) && is_kept(&counted, keys - 1) && !is_kept(&counted, 0));
    let sum: usize = counted.counters.of_key.values().map(OfKey::bytes).sum();
    assert_eq!(counted.counters.bytes(), sum);
    // Once their windows are over, they all may go, and none was lost.
    let evicted = counted.counters.evicted;
    for n in keys..keys + keys / 5 {
        counted.see(&request(key(n), START + 200, 403, "/"));
    }
    counted.counters.sweep(&watch.counting, START + 200);
    assert_eq!(counted.counters.evicted, evicted);
    assert_eq!(counted.counters.of_key.len(), keys as usize / 5);
}

#[test]
fn a_share_of_nothing_is_not_kept() {
    let mut counted = Counted::new(counting(&[on_admin(), refused(5)]));
    counted.see(&request(key(1), START, 200, "/admin"));
    assert_eq!(counted.counters.of_key.len(), 1);
    counted.see(&request(key(1), START + 299, 200, "/"));
    assert_eq!(counted.counters.of_key.len(), 1);
    counted.written();
    counted.see(&request(key(1), START + 400, 200, "/"));
    assert_eq!((counted.counters.of_key.len(), counted.counters.bytes()), (0, 0));
    assert_eq!(counted.written(), [(key(1), None)]);
    assert!(!counted.hots[&key(1)].may_be_counted(), "and is not looked for again");
    counted.see(&request(key(1), START + 401, 200, "/admin"));
    assert_eq!(counted.counters.of_key.len(), 1);
}

#[test]
fn what_has_nothing_to_count_makes_no_counter() {
    let networks =
        rule("networks", "  match: { status: [403] }\n  over: 1m\n  more_than: 5\n  distinct: network\n");
    let mut counted = Counted::new(counting(&[networks, on_admin()]));
    counted.see(&request(key(1), START + 600, 403, "/"));
    counted.see(&request(key(1), START + 100, 200, "/admin"));
    assert_eq!((counted.counters.of_key.len(), counted.counters.bytes()), (0, 0), "no network, and too late");
    assert!(counted.written().is_empty());
}

#[test]
fn what_is_over_by_its_own_rule_goes_before_what_is_watched() {
    let day = rule("day", "  match: { route: [/never] }\n  over: 24h\n  more_than: 5\n");
    let watch = counting(&[day, refused(100)]);
    let mut counted = Counted::new(watch.clone());
    for n in 0..9 {
        counted.see(&request(key(1), START + n, 403, "/"));
    }
    counted.see(&request(key(2), START + 300, 403, "/"));
    let of_key = |n| &counted.counters.of_key[&key(n)];
    assert_eq!(of_key(1).greatest(&watch.counting, START + 300), 0);
    assert_eq!(of_key(2).greatest(&watch.counting, START + 300), 1);
}
