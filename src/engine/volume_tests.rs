//! Tests of spikes that are little beyond what a key did, on each scale.

use crate::{
    detect::volume::*,
    event::{KeyId, KeyKind},
    profile::{Hot, Known, Warm},
    rules::RuleSet,
};

const START: u32 = 1_800_000_000;

/// A key that has one request each half a minute for four days, and whose highest counts are these.
fn used(highest: [u32; 4]) -> Hot {
    let mut hot = Hot::new(KeyId { kind: KeyKind::Credential, hash: [7; 16] }, START);
    for n in 0..4 * 2880 {
        request(&mut hot, START + n * 30);
    }
    hot.season.highest.accept(highest);
    hot
}

fn request(hot: &mut Hot, second: u32) {
    let is_open = hot.advance(second, Known::at(second), None);
    hot.count(second, is_open, None);
}

/// Judges a key each five seconds, so many times, which goes on with a request each half a minute. Gives what was told, and how
/// many seconds after the first time.
fn judged(hot: &mut Hot, lesser: &mut Lesser, times: u32) -> Vec<(u32, String)> {
    let (watch, from) = (RuleSet::shipped().watch, hot.last_seen);
    let mut told = Vec::new();
    for second in (0..times).map(|n| n * 5) {
        if second % 30 == 25 {
            request(hot, from + second);
        }
        let (at, mut signals) = (from + second, Vec::new());
        judge(&watch, (hot, None), &[], (at, Known::at(at)), lesser, &mut signals);
        told.extend(signals.into_iter().map(|signal| (second, signal.observed)));
    }
    told
}

const EVER: u32 = 10_000;

#[test]
fn a_lesser_spike_of_five_minutes_is_told_though_it_grows_while_it_waits() {
    let mut hot = used([EVER, 36, EVER, EVER]);
    let from = hot.last_seen;
    (0..45).for_each(|n| request(&mut hot, from + 1 + n / 3));
    let mut lesser = Lesser::default();
    assert_eq!(judged(&mut hot, &mut lesser, 1), Vec::new());
    // 45, and ten in the five minutes before it; then five more.
    (0..5).for_each(|n| request(&mut hot, from + 20 + n));
    let told = judged(&mut hot, &mut lesser, 8);
    let [(_, observed)] = &told[..] else { panic!("{told:?}") };
    assert!(observed.starts_with("60 requests in 5 min until "), "{observed}");
    assert!(observed.ends_with(" UTC"), "{observed}");
}

#[test]
fn a_burst_is_sudden_though_it_is_beyond_only_some_minutes_later() {
    let mut hot = used([EVER, 36, EVER, EVER]);
    let from = hot.last_seen;
    (0..34).for_each(|n| request(&mut hot, from + 1 + n / 3));
    let mut lesser = Lesser::default();
    assert_eq!(judged(&mut hot, &mut lesser, 2), Vec::new());
    assert!(!lesser.is_any(), "44 are not beyond 36");
    // Ten a minute more, for two minutes.
    (0..16).for_each(|n| request(&mut hot, from + 30 + n * 6));
    assert!(hot.sums[0] < hot.sums[1] / 2);
    assert_eq!(judged(&mut hot, &mut lesser, 8).len(), 1);
}

#[test]
fn a_rise_over_minutes_is_none() {
    let mut hot = used([EVER, 36, EVER, EVER]);
    let from = hot.last_seen;
    (0..60).for_each(|n| request(&mut hot, from + 1 + n * 5));
    assert_eq!(hot.sums[1], 61);
    assert_eq!(judged(&mut hot, &mut Lesser::default(), 8), Vec::new());
}

#[test]
fn a_burst_late_in_a_pane_is_near_though_the_rise_before_it_was_none() {
    let watch = RuleSet::shipped().watch;
    let mut hot = used([EVER, 36, EVER, EVER]);
    let mut warm = Warm::new(&hot);
    let mut from = hot.last_seen / 30 * 30 + 30;
    for _ in 0..8 {
        (0..6).for_each(|n| request(&mut hot, from + n * 5));
        from += 30;
    }
    warm.advance(from);
    is_near(&watch, &hot, Some(&mut warm));
    // All within one pane of half a minute.
    (0..15).for_each(|n| request(&mut hot, from + n / 3));
    warm.advance(from + 5);
    assert!(is_near(&watch, &hot, Some(&mut warm)), "{:?} {:?}", hot.sums, warm.thresholds);
}

#[test]
fn each_scale_waits_for_itself() {
    let mut hot = used([16, 36, EVER, EVER]);
    let from = hot.last_seen;
    (0..27).for_each(|n| request(&mut hot, from + 1 + n / 3));
    let mut lesser = Lesser::default();
    let mut told = judged(&mut hot, &mut lesser, 5);
    assert!(lesser.0[0].count > 0 && lesser.0[1].count == 0, "{lesser:?}");
    let after = hot.last_seen - from - 9;
    (0..12).for_each(|n| request(&mut hot, from + 30 + n));
    let later = judged(&mut hot, &mut lesser, 8).into_iter();
    told.extend(later.map(|(second, observed)| (second + after, observed)));
    let first = |text| told.iter().find(|(_, observed)| observed.contains(text)).map(|(second, _)| *second);
    let (minute, five) = (first("in 1 min").unwrap(), first("in 5 min").unwrap());
    // The five minutes became one some twenty seconds later.
    assert!(minute + 15 < five, "{told:?}");
}
