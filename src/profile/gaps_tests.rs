//! Tests of gaps in the logs: what is one, what is none, and what keys learn beside one.

use super::*;

const MONDAY: u32 = 1_795_392_000 - 1_795_392_000 % 604_800 + 4 * 86_400;
const HOUR: u32 = 3600;
const DAY: u32 = 86_400;

/// Minutes of a log that is read 10 s behind its newest record.
#[derive(Default)]
struct Log(LogMinutes);

impl Log {
    /// So many requests in each minute, in order.
    fn play(&mut self, from: u32, to: u32, per_minute: impl Fn(u32) -> u32) {
        for second in (from..to).step_by(60) {
            let n = per_minute(second);
            (0..n).for_each(|_| {
                self.0.count(second, || second.saturating_sub(10));
            });
            if n > 0 {
                self.0.pass(second - 10);
            }
        }
    }

    /// Its gaps, in minutes after `since`.
    fn gaps(&self, since: u32) -> Vec<(u32, u32)> {
        self.0.gaps().iter().map(|gap| (gap.from - since / 60, gap.until - since / 60)).collect()
    }
}

/// More by day than by night, and hardly ever twice the same.
fn busy(second: u32) -> u32 {
    let hour = second % DAY / HOUR;
    let scattered = (second / 60).wrapping_mul(2_654_435_761) >> 28;
    if (8..20).contains(&hour) { 40 + scattered } else { 12 + scattered / 2 }
}

#[test]
fn what_is_silent_by_day_is_a_gap_from_its_first_minute() {
    let start = MONDAY + 3 * DAY + 10 * HOUR + 5 * 60;
    let mut log = Log::default();
    log.play(MONDAY, start, busy);
    log.play(start + 19 * 60, start + 3 * HOUR, busy);
    assert_eq!(log.gaps(start), [(0, 19)]);
    assert_eq!(log.0.found(), 1);
}

#[test]
fn a_gap_that_is_told_in_the_next_half_hour_begins_with_that() {
    let start = MONDAY + 3 * DAY + 10 * HOUR + 25 * 60;
    let mut log = Log::default();
    log.play(MONDAY, start, busy);
    log.play(start + 2 * HOUR, start + 4 * HOUR, busy);
    assert_eq!(log.gaps(start), [(5, 120)]);
}

#[test]
fn a_gap_of_ten_minutes_is_one_wherever_it_begins() {
    for begins in 0..60 {
        let start = MONDAY + 3 * DAY + 10 * HOUR + begins * 60;
        let mut log = Log::default();
        let often = |second: u32| 4 * busy(second);
        log.play(MONDAY, start, often);
        log.play(start + 10 * 60, start + HOUR, often);
        let first = ((start / 60 + 9) / 30 * 30).saturating_sub(start / 60);
        assert_eq!(log.gaps(start), [(first, 10)], "{begins} min past the hour");
    }
}

#[test]
fn a_probe_that_goes_on_does_not_hide_a_gap() {
    let start = MONDAY + 3 * DAY + 10 * HOUR;
    let mut log = Log::default();
    log.play(MONDAY, start, |second| 4 * busy(second));
    log.play(start, start + HOUR, |_| 1);
    log.play(start + HOUR, start + 3 * HOUR, |second| 4 * busy(second));
    assert_eq!(log.gaps(start), [(0, 60)]);
}

#[test]
fn a_short_silence_a_slow_hour_and_a_seldom_used_fleet_have_no_gap() {
    let start = MONDAY + 3 * DAY + 10 * HOUR;
    let mut short = Log::default();
    short.play(MONDAY, start, busy);
    short.play(start + 8 * 60, start + 3 * HOUR, busy);
    assert_eq!(short.gaps(start), []);
    let mut slow = Log::default();
    slow.play(MONDAY, start, busy);
    slow.play(start, start + 3 * HOUR, |second| busy(second) / 10);
    slow.play(start + 3 * HOUR, start + 6 * HOUR, busy);
    assert_eq!(slow.gaps(start), []);
    // One request in eight minutes; an hour without any comes now and then.
    let mut seldom = Log::default();
    let scattered = |second: u32| u32::from((second / 60).wrapping_mul(2_654_435_761) >> 29 == 0);
    seldom.play(MONDAY, start, scattered);
    seldom.play(start + 40 * 60, start + DAY, scattered);
    assert_eq!(seldom.gaps(start), []);
}

#[test]
fn a_fleet_that_rests_on_sundays_has_a_gap_on_the_first_only() {
    let rests = |second: u32| if (second - MONDAY) / DAY % 7 == 6 { 0 } else { busy(second) };
    let mut log = Log::default();
    log.play(MONDAY, MONDAY + 8 * DAY, rests);
    assert_eq!(log.gaps(MONDAY + 6 * DAY), [(0, 1440)]);
    log.play(MONDAY + 8 * DAY, MONDAY + 30 * DAY, rests);
    assert_eq!(log.0.found(), 1);
}

#[test]
fn nights_of_which_nothing_is_known_yet_are_no_gap() {
    let by_day = |second: u32| if busy(second) >= 40 { 2000 } else { 0 };
    let mut log = Log::default();
    log.play(MONDAY + 8 * HOUR, MONDAY + 5 * DAY, by_day);
    assert_eq!(log.0.found(), 0);
}

#[test]
fn what_comes_after_a_flood_is_no_gap() {
    let start = MONDAY + 3 * DAY;
    let mut log = Log::default();
    log.play(MONDAY, start, busy);
    log.play(start, start + DAY, |second| 1000 * busy(second));
    log.play(start + DAY, start + 3 * DAY, busy);
    assert_eq!(log.0.found(), 0);
}

#[test]
fn a_clock_that_was_ahead_makes_no_gap_for_long() {
    let start = MONDAY + 3 * DAY + 10 * HOUR;
    let mut log = Log::default();
    log.play(MONDAY, start, busy);
    log.0.count(start + 5 * HOUR, || start - 10);
    assert_eq!(log.gaps(start).len(), 1);
    log.play(start, start + HOUR, busy);
    assert_eq!(log.gaps(start), []);
}

#[test]
fn a_clock_that_is_eighty_years_ahead_takes_no_time() {
    let start = MONDAY + 3 * DAY;
    let mut log = Log::default();
    log.play(MONDAY, start, busy);
    log.0.count(u32::MAX, || start);
    assert_eq!(log.0.open_from, u32::MAX / 60 + 1 - SPAN);
    assert!(log.0.in_a_row <= SILENT_MAX);
}

#[test]
fn it_is_read_as_it_was_written() {
    let start = MONDAY + 3 * DAY + 10 * HOUR;
    let mut log = Log::default();
    log.play(MONDAY, start, busy);
    log.play(start + 50 * 60, start + 52 * 60, busy);
    let written = |minutes: &LogMinutes| {
        let mut out = Writer::versioned();
        minutes.write(&mut out);
        out.0
    };
    let bytes = written(&log.0);
    let mut read = LogMinutes::read(&mut Reader::versioned(&bytes).unwrap()).unwrap();
    assert_eq!(written(&read), bytes);
    assert_eq!(log.gaps(start).len(), 1);
    for minutes in [&mut log.0, &mut read] {
        assert!(minutes.count(start + HOUR, || start + HOUR));
    }
    assert_eq!(written(&read), written(&log.0));
}

#[test]
fn the_bound_is_above_the_probability() {
    // Of a Poisson count of 20, nothing at all: e^-20, which Chernoff's bound gives exactly.
    assert!((rarity(0, 20.0, 1e-9) - 20.0 / std::f64::consts::LN_10).abs() < 1e-3);
    // Negative binomial, nothing at all: (1 + k·μ)^(-1/k).
    assert!((rarity(0, 20.0, 0.5) - 2.0 * libm::log10(11.0)).abs() < 1e-9);
    // Poisson of 20, at most 5: 7.19e-5.
    let bound = rarity(5, 20.0, 1e-9);
    assert!(bound > 3.0 && bound < -libm::log10(7.19e-5), "{bound}");
    assert!(rarity(30, 20.0, 0.1) == 0.0);
}
