//! Tests of what is usual for a key's counts.

use super::*;
use crate::profile::{Reader, Writer};

const MONDAY: u32 = 1_795_392_000 - 1_795_392_000 % 604_800 + 4 * 86_400;

fn learn(days: u32, per_minute: impl Fn(u32) -> u32) -> (Season, u32) {
    let (mut season, since) = (Season::default(), MONDAY);
    let mut at = since;
    for minute in 0..days * 1440 {
        let to = since + minute * 60;
        season.advance(at, to, since, false);
        at = to;
        season.count_many(per_minute(to));
    }
    (season, at)
}

#[test]
fn a_steady_key_is_expected_to_go_on() {
    let (season, now) = learn(14, |_| 12);
    let e = season.expect(now, 60, MONDAY, 1.0, 1.0);
    assert!((e.mean - 12.0).abs() < 1.0, "{e:?}");
    assert!(e.dispersion < 0.05, "{e:?}");
    let day = season.expect(now, 86_400, MONDAY, 1.0, 1.0);
    assert!((day.mean / (12.0 * 1440.0) - 1.0).abs() < 0.05, "{day:?}");
}

#[test]
fn a_fleet_is_expected_to_go_on_whatever_its_size() {
    for per_second in [1, 119, 358, 1_000, 30_000, 1_000_000] {
        let (mut season, mut at) = (Season::default(), MONDAY);
        for minute in 0..14 * 1440 {
            let to = MONDAY + minute * 60;
            season.advance(at, to, MONDAY, false);
            at = to;
            season.count_many(per_second * 60);
        }
        let e = season.expect(at, 3600, MONDAY, 1.0, 1.0);
        assert!((e.mean / (f64::from(per_second) * 3600.0) - 1.0).abs() < 0.02, "{per_second}: {e:?}");
    }
}

#[test]
fn a_root_is_packed_to_a_hundredth_or_one_in_two_thousand() {
    for hundredths in (0..200_000).chain((1..700).map(|n| n * 10_000)) {
        #[allow(clippy::cast_precision_loss)]
        let root = hundredths as f32 / 100.0;
        let off = (unpacked(packed(root)) - root).abs();
        assert!(off <= 0.005_001 + root / 2_000.0 && packed(root) != UNSEEN, "{root}: off by {off}");
        assert!(root > 40.9 || off < 0.005_1, "{root}: off by {off}");
    }
}

#[test]
fn the_hour_of_the_day_is_learnt() {
    let busy = |second: u32| if (9..17).contains(&((second / 3600) % 24)) { 40 } else { 2 };
    let (season, now) = learn(10, busy);
    let midnight = now - now % 86_400 + 86_400;
    let noon = season.expect(midnight + 12 * 3600, 3600, MONDAY, 1.0, 1.0).mean;
    let night = season.expect(midnight + 2 * 3600, 3600, MONDAY, 1.0, 1.0).mean;
    assert!(noon > 15.0 * night, "noon {noon}, night {night}");
}

#[test]
fn bursts_at_the_full_hour_scatter_over_five_minutes_too() {
    let (season, now) = learn(7, |second| if (second / 60).is_multiple_of(60) { 24 } else { 0 });
    let e = season.expect(now - now % 3600 + 120, 300, MONDAY, 1.0, 1.0);
    assert!((e.mean - 2.0).abs() < 0.5, "{e:?}");
    // A twelfth of the windows has 24, the others nothing: (24² / 12 − 2² − 2) / 2² = 10.5.
    assert!((8.0..=12.0).contains(&e.dispersion), "{e:?}");
    let (steady, now) = learn(7, |_| 12);
    assert!(steady.expect(now, 300, MONDAY, 1.0, 1.0).dispersion < 0.05);
}

#[test]
fn a_few_people_who_come_seldom_and_ask_ten_times_are_expected_to() {
    // Every two hours or so, at no fixed time, ten requests within a minute.
    let (season, now) = learn(7, |second| {
        let (hours, minute) = (second / 7200, second / 60 % 120);
        if minute == hours.wrapping_mul(37) % 120 { 10 } else { 0 }
    });
    for (length, twice) in [(60, 25), (300, 25), (3600, 30)] {
        let e = season.expect(now - now % 3600 + 1800, length, MONDAY, 1.0, 1.0);
        let surprise = crate::profile::tail::surprise(twice, e.mean, e.dispersion);
        assert!(surprise < 6.0, "{twice} requests in {length} s: {surprise}, {e:?}");
        let many = crate::profile::tail::surprise(40 * twice, e.mean, e.dispersion);
        assert!(many > 8.0, "{} requests in {length} s: {many}, {e:?}", 40 * twice);
    }
}

#[test]
fn a_frozen_profile_learns_nothing() {
    let (mut season, now) = learn(7, |_| 5);
    let before = season.expect(now + 7200, 3600, MONDAY, 1.0, 1.0);
    let mut at = now;
    for minute in 1..=120 {
        season.advance(at, now + minute * 60, MONDAY, true);
        at = now + minute * 60;
        season.count_many(500);
    }
    let after = season.expect(now + 7200, 3600, MONDAY, 1.0, 1.0);
    assert!((after.mean - before.mean).abs() < before.mean * 0.02, "{before:?} {after:?}");
}

#[test]
fn what_is_written_is_read_back() {
    let (season, _) = learn(2, |s| s % 7);
    let mut out = Writer::versioned();
    season.write(&mut out);
    let mut input = Reader::versioned(&out.0).unwrap();
    assert_eq!(Season::read(&mut input).unwrap(), season);
    assert!(input.is_done());
}
