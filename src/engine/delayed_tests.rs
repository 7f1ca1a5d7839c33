//! Tests of spikes whose requests come minutes late.

use crate::{
    detect::{GroupUse, delayed::*},
    event::{KeyId, KeyKind},
    profile::Hot,
    profile::Known,
    rules::RuleSet,
};

/// Where five minutes of the clock begin.
const START: u32 = 1_800_000_000;
const NOW: u32 = START + 4 * 86_400;

fn request(hot: &mut Hot, second: u32) {
    let is_open = hot.advance(second, Known::at(hot.last_seen), None);
    hot.count(second, is_open, None);
}

/// A key that has two requests a minute, four days long, and then so many of a minute that is eight minutes ago.
fn delayed(n: u32) -> (Hot, DelayedCounts) {
    let mut hot = Hot::new(KeyId { kind: KeyKind::Credential, hash: [7; 16] }, START);
    (0..=4 * 2880).for_each(|n| request(&mut hot, START + n * 30));
    hot.season.highest.accept([16, 20, 200, 10_000]);
    let mut counts = DelayedCounts::default();
    for n in 0..n {
        let second = NOW - 480 + n % 30;
        request(&mut hot, second);
        counts.raise(DelayedCounts::of(&hot, None, second));
    }
    (hot, counts)
}

fn told(hot: &Hot, most: &[GroupUse], delayed: DelayedCounts) -> Vec<String> {
    let mut signals = Vec::new();
    judge(&RuleSet::shipped().watch, (hot, None), most, delayed, &mut signals);
    signals.into_iter().map(|signal| signal.observed).collect()
}

/// How a group was used some minutes ago that has a hundred requests in five minutes.
fn group(times: f64) -> GroupUse {
    let usual = [20.0, 100.0, 1200.0];
    GroupUse { second: NOW - 400, strict: 200.0 * times, observed: usual.map(|n| n * times), expected: usual }
}

#[test]
fn a_spike_that_comes_late_is_found_by_its_minute() {
    let (hot, counts) = delayed(60);
    assert!(hot.sums[0] <= 3 && hot.sums[1] <= 12, "{:?}", hot.sums);
    let told = told(&hot, &[group(1.0)], counts);
    assert_eq!(told, ["62 requests in 1 min until 07:52:29 UTC", "70 requests in 5 min until 07:52:29 UTC"]);
}

#[test]
fn what_is_little_beyond_what_the_key_did_is_none() {
    let (_, counts) = delayed(30);
    assert_eq!(counts.0[0], DelayedCount { count: 0, second: NOW - 480 + 29 });
}

#[test]
fn a_crowd_that_is_over_excuses_it_as_far_as_it_went() {
    let (hot, counts) = delayed(60);
    assert_eq!(told(&hot, &[group(1.0), group(20.0)], counts), Vec::<String>::new());
    let told = told(&hot, &[group(1.0), group(2.0)], counts);
    assert_eq!(told, ["62 requests in 1 min until 07:52:29 UTC"]);
}

#[test]
fn a_key_does_not_excuse_itself() {
    let (hot, counts) = delayed(60);
    let quota = hot.group_quota(NOW - 120);
    assert!((30..60).contains(&quota), "{quota}");
    // All of its tenant is this key, whose delayed requests, up to its quota, were counted as they came.
    let usual = [2.0, 10.0, 120.0];
    let own = GroupUse {
        second: NOW - 120,
        strict: f64::from(20 + quota - 10),
        observed: [62.0, 70.0, 180.0],
        expected: usual,
    };
    let told = told(&hot, &[group(1.0), own], counts);
    assert_eq!(told, ["62 requests in 1 min until 07:52:29 UTC", "70 requests in 5 min until 07:52:29 UTC"]);
}

#[test]
fn what_is_in_the_windows_is_not_delayed() {
    let (mut hot, _) = delayed(0);
    (0..100).for_each(|_| request(&mut hot, NOW - 20));
    assert!(!DelayedCounts::of(&hot, None, NOW - 20).is_any());
}

#[test]
fn closed_minutes_are_not_looked_at() {
    let (mut hot, _) = delayed(60);
    // The minute has closed, and its place in the ring is that of another one.
    request(&mut hot, NOW + 1200);
    assert!(!DelayedCounts::of(&hot, None, NOW - 480).is_any());
}
