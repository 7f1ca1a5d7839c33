//! Tests of what a group learns: in whatever order, beside gaps, and with newcomers.

use super::*;

const MONDAY: u32 = 1_795_392_000 - 1_795_392_000 % 604_800 + 4 * 86_400;
const FIVE_SECONDS: u32 = 300;
const DAY: u32 = 86_400 / FIVE_SECONDS;
const START: u32 = MONDAY / FIVE_SECONDS;

fn count(n: u32) -> GroupCount {
    GroupCount { strict: n, wide: n, joined: 0 }
}

/// So much in each five minutes, which close three later.
fn played(season: &mut GroupSeason, from: u32, to: u32, gaps: &[Gap], n: impl Fn(u32) -> u32) {
    for five in from..to {
        if n(five) > 0 {
            season.count(five, count(n(five)));
            season.close(five - 3, gaps);
        }
    }
}

fn gap(from: u32, until: u32) -> Gap {
    let minute = |five: u32| five * FIVE;
    Gap { from: minute(from), told: minute(from) + 10, until: minute(until), usual: 1e3, late: 0 }
}

/// Of five minutes that end there.
fn usual(season: &GroupSeason, five: u32) -> f64 {
    season.expected(five * FIVE_SECONDS, FIVE_SECONDS)
}

#[test]
fn when_five_minutes_are_closed_does_not_matter() {
    let n = |five: u32| if five % 100 < 30 { five % 17 } else { five % 3 };
    let gaps = [gap(START + 2 * DAY + 7, START + 2 * DAY + 31)];
    let (mut often, mut seldom) = (GroupSeason::default(), GroupSeason::default());
    let (from, to) = (START, START + 4 * DAY);
    played(&mut often, from, to, &gaps, n);
    for five in (from..to).rev().filter(|five| n(*five) > 0) {
        seldom.open.insert(five, count(n(five)));
    }
    let written = |mut season: GroupSeason| {
        season.close(to, &gaps);
        let mut out = Writer::default();
        season.write(&mut out);
        out.0
    };
    assert_eq!(written(often), written(seldom));
}

#[test]
fn a_gap_in_the_logs_is_no_silence_of_a_group() {
    let gaps = [gap(START + 8 * DAY + 120, START + 8 * DAY + 156)];
    let is_gap = |five: u32| (START + 8 * DAY + 120..START + 8 * DAY + 156).contains(&five);
    let usual_at = |gaps: &[Gap]| {
        let mut season = GroupSeason::default();
        played(&mut season, START, START + 9 * DAY, gaps, |five| if is_gap(five) { 0 } else { 50 });
        usual(&season, START + 9 * DAY + 138)
    };
    let (silent, passed) = (usual_at(&[]), usual_at(&gaps));
    assert!((passed - 50.0).abs() < 1.0 && silent < 46.0, "{passed} {silent}");
}

#[test]
fn a_newcomer_is_expected_at_once_and_counted_once() {
    let mut season = GroupSeason::default();
    played(&mut season, START, START + 9 * DAY, &[], |_| 50);
    // As much again an hour.
    season.announce(&[600.0; 24]);
    let mut at = START + 9 * DAY;
    assert!((usual(&season, at) - 100.0).abs() < 2.0, "{}", usual(&season, at));
    for five in at..at + DAY {
        let joined = if five % 12 == 3 { 600 * 16 } else { 0 };
        season.count(five, GroupCount { joined, ..count(100) });
        season.close(five - 3, &[]);
        // The hour of the day that closes just when they come, the last of this day, has given up half.
        let least = if five < at + 18 || five > at + DAY - 18 { 70.0 } else { 95.0 };
        assert!((least..106.0).contains(&usual(&season, five)), "{}", usual(&season, five));
    }
    at += DAY;
    for _ in 0..20 {
        played(&mut season, at, at + DAY, &[], |_| 100);
        at += DAY;
        assert!((95.0..106.0).contains(&usual(&season, at)), "{}", usual(&season, at));
    }
}

#[test]
fn the_first_keys_of_a_group_foretell_hours_that_it_has_not_seen() {
    let mut season = GroupSeason::default();
    let by_day = |hour: usize| if (8..20).contains(&hour) { 1200.0 } else { 120.0 };
    season.announce(&std::array::from_fn(by_day));
    assert!((usual(&season, START + 12 * 12) - 100.0).abs() < 2.0);
    // From midnight to six in the morning.
    for five in START..START + 72 {
        let joined = if five % 12 == 0 { 120 * 16 } else { 0 };
        season.count(five, GroupCount { joined, ..count(10) });
        season.close(five - 3, &[]);
    }
    assert!((usual(&season, START + 60) - 10.0).abs() < 2.0, "{}", usual(&season, START + 60));
    assert!((usual(&season, START + 12 * 12) - 100.0).abs() < 2.0, "{}", usual(&season, START + 12 * 12));
}
