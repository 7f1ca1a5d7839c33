//! Tests of learning from closed minutes: the order of records, incidents, silence, and what is late.

use proptest::prelude::*;

use super::*;
use crate::{
    event::{KeyId, KeyKind},
    profile::{Season, gaps::Gap},
};

const MONDAY: u32 = 1_795_392_000 - 1_795_392_000 % 604_800 + 4 * 86_400;
const HOUR: u32 = 3600;
const DAY: u32 = 86_400;

/// A key with its warm part, if it has one, and the watermark of a log that is read 10 s behind its newest record.
struct Key {
    hot: Hot,
    warm: Option<Warm>,
    late: u32,
}

impl Key {
    fn new(second: u32) -> Self {
        let key = KeyId { kind: KeyKind::Raw, hash: [1; 16] };
        Self { hot: Hot::new(key, second), warm: None, late: 0 }
    }

    fn warm(second: u32) -> Self {
        let key = Self::new(second);
        Self { warm: Some(Warm::new(&key.hot)), ..key }
    }

    /// A request, and what the watermark is when it comes.
    fn see(&mut self, second: u32, watermark: u32) {
        let is_open = self.hot.advance(second, Known::at(watermark), self.warm.as_mut());
        self.hot.count(second, is_open, self.warm.as_mut());
        self.late += u32::from(!is_open);
        if self.hot.total == 50 && self.warm.is_none() {
            self.warm = Some(Warm::new(&self.hot));
        }
    }

    /// So many requests in each minute, in order.
    fn play(&mut self, from: u32, to: u32, per_minute: impl Fn(u32) -> u32) {
        for minute in from / 60..to / 60 {
            (0..per_minute(minute * 60))
                .for_each(|_| self.see(minute * 60, (minute * 60).saturating_sub(10)));
        }
    }

    fn freeze(&mut self, frozen: bool, second: u32) {
        let warm = self.warm.as_mut().expect("a warm part");
        self.hot.set_frozen(frozen, Known::at(second - 10), second, warm);
    }

    /// What is expected of the minute that ends with the newest request.
    fn minute(&self) -> f64 {
        self.hot.expect(60).mean
    }

    /// What an hour that begins then is expected to have, whatever happened just before.
    fn hour(&self, begins: u32) -> f64 {
        self.hot.season.expect(begins + HOUR, HOUR, self.hot.first_seen, 1.0, 1.0).mean
    }

    /// What was learnt, once all is closed that can be closed at this watermark.
    fn learnt(mut self, watermark: u32) -> (Season, Vec<u32>) {
        self.hot.close_minutes(Known::at(watermark), self.warm.as_mut());
        let open: Vec<u32> = match &self.warm {
            Some(warm) => warm.open.served.raw().chain(warm.open.refused.raw()).collect(),
            None => self.hot.open.served.raw().chain(self.hot.open.refused.raw()).collect(),
        };
        (self.hot.season, open)
    }
}

/// A season that is fed in order with what came in each minute, and moved to full hours in between.
fn in_order(minutes: &[(u32, u32)], to: u32) -> Season {
    let mut season = Season::default();
    let first = minutes[0].0;
    let mut mark = first;
    let mut advance = |season: &mut Season, to: u32| {
        while mark < to {
            let next = ((mark / 60 + 1) * 60).min(to);
            season.advance(mark * 60, next * 60, first * 60, false);
            mark = next;
        }
    };
    for (minute, n) in minutes {
        advance(&mut season, *minute);
        season.count_many(*n);
    }
    advance(&mut season, to / 60 * 60);
    season
}

/// Minutes with requests: bursts, and gaps of up to some days.
fn minutes() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let gap = prop_oneof![8 => 1u32..4, 3 => 4u32..90, 1 => 90u32..3000];
    prop::collection::vec((gap, 1u32..40), 2..300).prop_map(|steps| {
        let mut minute = MONDAY / 60;
        let step = |(gap, n)| {
            minute += gap;
            (minute, n)
        };
        steps.into_iter().map(step).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_in_order_teach_what_a_season_learns_that_is_fed_in_order(minutes in minutes()) {
        let mut key = Key::new(minutes[0].0 * 60);
        for (minute, n) in &minutes {
            (0..*n).for_each(|_| key.see(minute * 60, minute * 60));
        }
        // Two days on, everything before is closed.
        let last = minutes[minutes.len() - 1].0 + 2 * 1440;
        key.see(last * 60, last * 60);
        let closed = last - LATENESS / 60;
        prop_assert_eq!(key.learnt(last * 60).0, in_order(&minutes, closed));
    }

    #[test]
    fn neither_the_order_within_the_bound_nor_when_minutes_are_closed_matters(
        minutes in minutes(), seed in prop::collection::vec(0u32..840, 64), looks in prop::collection::vec(any::<bool>(), 37),
    ) {
        let mut records: Vec<u32> =
            minutes.iter().flat_map(|(minute, n)| (0..*n).map(move |i| minute * 60 + i % 60)).collect();
        let newest = records.iter().copied().max().unwrap_or_default();
        let mut ordered = Key::new(records[0]);
        let mut watermark = 0;
        for second in &records {
            watermark = watermark.max(second.saturating_sub(10));
            ordered.see(*second, watermark);
        }
        // Each record comes up to 14 minutes late.
        let delays = seed.iter().cycle();
        let mut arrivals: Vec<(u32, u32)> =
            records.drain(..).zip(delays).map(|(second, delay)| (second + delay, second)).collect();
        arrivals.sort_unstable();
        let mut shuffled = Key::new(arrivals[0].1);
        let mut watermark = 0;
        for ((_, second), look) in arrivals.iter().zip(looks.iter().cycle()) {
            if *look {
                shuffled.hot.close_minutes(Known::at(watermark), shuffled.warm.as_mut());
            }
            shuffled.see(*second, watermark);
            watermark = watermark.max(second.saturating_sub(10));
        }
        prop_assert_eq!((ordered.late, shuffled.late), (0, 0));
        prop_assert_eq!(ordered.hot.first_seen, shuffled.hot.first_seen);
        prop_assert_eq!(ordered.learnt(newest), shuffled.learnt(newest));
    }
}

#[test]
fn an_incident_within_an_hour_leaves_the_hour_and_the_weekday_as_they_were() {
    let mut key = Key::warm(MONDAY);
    let start = MONDAY + 7 * DAY + 10 * HOUR;
    key.play(MONDAY, start + 360, |_| 2);
    let (hour, day) = (key.hour(start + DAY), key.hour(start + 7 * DAY));
    assert!((hour - 120.0).abs() < 6.0 && (day - 120.0).abs() < 6.0, "{hour} {day}");
    // Ten minutes at a thousand a minute; the incident opens with the first and closes a quarter of an hour after the last.
    key.play(start + 360, start + 420, |_| 1000);
    key.freeze(true, start + 420);
    key.play(start + 420, start + 960, |_| 1000);
    key.play(start + 960, start + 1800, |_| 2);
    key.freeze(false, start + 1800);
    key.play(start + 1800, start + DAY, |_| 2);
    assert!((key.hour(start + DAY) - hour).abs() < 3.0, "the next day: {}", key.hour(start + DAY));
    key.play(start + DAY, start + 7 * DAY, |_| 2);
    assert!((key.hour(start + 7 * DAY) - day).abs() < 3.0, "the next week: {}", key.hour(start + 7 * DAY));
}

#[test]
fn hours_that_are_not_learnt_do_not_move_the_weekday() {
    let mut key = Key::warm(MONDAY);
    let start = MONDAY + 7 * DAY + 9 * HOUR;
    key.play(MONDAY, start, |_| 2);
    key.freeze(true, start);
    key.play(start, start + 6 * HOUR, |_| 2);
    key.freeze(false, start + 6 * HOUR);
    key.play(start + 6 * HOUR, start + 6 * DAY, |_| 2);
    let next = key.hour(start + 7 * DAY);
    assert!((next - 120.0).abs() < 6.0, "a week later: {next}");
}

#[test]
fn a_silence_that_nobody_knows_of_is_no_silence() {
    let (mut quiet, mut unknown) = (Key::warm(MONDAY), Key::warm(MONDAY));
    let start = MONDAY + 7 * DAY + 9 * HOUR;
    for key in [&mut quiet, &mut unknown] {
        key.play(MONDAY, start, |_| 2);
    }
    unknown.freeze(true, start);
    unknown.freeze(false, start + 5 * HOUR);
    for key in [&mut quiet, &mut unknown] {
        key.play(start + 5 * HOUR, start + 12 * HOUR, |_| 2);
    }
    let (quiet, unknown) = (quiet.hour(start + DAY + 2 * HOUR), unknown.hour(start + DAY + 2 * HOUR));
    assert!(quiet < 100.0 && (unknown - 120.0).abs() < 6.0, "{quiet} {unknown}");
}

#[test]
fn what_comes_for_a_closed_minute_is_late_and_teaches_nothing() {
    let now = MONDAY + 3 * DAY;
    let played = || {
        let mut key = Key::warm(MONDAY);
        key.play(MONDAY, now, |_| 3);
        key
    };
    for behind in [LATENESS + 120, 2 * HOUR, DAY] {
        let mut key = played();
        (0..500).for_each(|_| key.see(now - behind, now));
        assert_eq!(key.late, 500, "{behind} s behind");
        assert_eq!(key.learnt(now), played().learnt(now), "{behind} s behind");
    }
    let mut key = played();
    key.see(now - LATENESS + 60, now);
    assert_eq!(key.late, 0);
}

#[test]
fn learning_goes_on_while_the_watermark_stands_still() {
    let (mut pinned, mut followed) = (Key::new(MONDAY), Key::new(MONDAY));
    for minute in MONDAY / 60..(MONDAY + 3 * DAY) / 60 {
        for key in [&mut pinned, &mut followed] {
            let watermark = if key.hot.key.hash[0] == 1 { minute * 60 } else { MONDAY };
            (0..5).for_each(|_| key.see(minute * 60, watermark));
        }
        pinned.hot.key.hash[0] = 2;
    }
    let now = MONDAY + 3 * DAY;
    assert!((pinned.hour(now + HOUR) - followed.hour(now + HOUR)).abs() < 1.0);
    assert!(pinned.hot.season.is_known());
    assert_eq!(pinned.hot.open_from, pinned.hot.last_seen / 60 + 1 - SPAN);
}

#[test]
fn a_key_whose_week_lies_behind_the_watermark_learns_it() {
    let (mut behind, mut live) = (Key::new(MONDAY), Key::new(MONDAY));
    for minute in MONDAY / 60..(MONDAY + 7 * DAY) / 60 {
        (0..4).for_each(|_| behind.see(minute * 60, MONDAY + 7 * DAY));
        (0..4).for_each(|_| live.see(minute * 60, minute * 60));
    }
    assert_eq!(behind.late, 0);
    assert_eq!(behind.learnt(MONDAY + 7 * DAY), live.learnt(MONDAY + 7 * DAY));
}

#[test]
fn a_key_of_ten_minutes_is_expected_to_go_on() {
    let mut key = Key::new(MONDAY + 600);
    key.play(MONDAY + 600, MONDAY + 1200, |_| 60);
    let mean = key.minute();
    assert!((15.0..=60.0).contains(&mean), "{mean}");
}

#[test]
fn the_level_of_an_hour_ago_excuses_no_spike() {
    let mut key = Key::warm(MONDAY);
    let busy = MONDAY + 8 * DAY + 10 * HOUR;
    key.play(MONDAY, busy, |_| 20);
    key.play(busy, busy + 2400, |_| 60);
    let level = |key: &Key| key.minute() / (key.hour(key.hot.last_seen - 1800) / 60.0);
    assert!(level(&key) > 1.5, "{}", level(&key));
    key.see(busy + 2400 + HOUR, busy + 2400 + HOUR);
    assert!(level(&key) < 1.2, "{}", level(&key));
    let mean = key.minute();
    assert!(mean > 10.0, "{mean}");
}

#[test]
fn the_usual_share_of_refusals_is_that_of_closed_minutes() {
    let shares = |delay: &dyn Fn(u32) -> u32| {
        let mut key = Key::warm(MONDAY);
        let mut records: Vec<(u32, u32)> =
            (0..6 * HOUR).step_by(6).map(|s| (s + delay(s), MONDAY + s)).collect();
        records.sort_unstable();
        for (_, second) in records {
            let is_open = key.hot.advance(second, Known::at(0), key.warm.as_mut());
            key.hot.count(second, is_open, key.warm.as_mut());
            if second % 30 == 0 {
                key.hot.count_refusal(second, is_open, key.warm.as_mut());
            }
        }
        key.hot.refused_usual
    };
    let ordered = shares(&|_| 0);
    assert!(ordered > 0.05, "{ordered}");
    assert_eq!(ordered.to_bits(), shares(&|second| second * 7 % 800).to_bits());
}

/// A key of 20 requests a minute on a weekday, with a gap of these minutes of ten hours in, and what it has learnt an hour later.
fn beside_a_gap(gaps: &[Gap]) -> Key {
    let mut key = Key::warm(MONDAY);
    let start = MONDAY + 8 * DAY + 10 * HOUR;
    key.play(MONDAY, start, |_| 20);
    for minute in (start + 90 * 60) / 60..(start + 5 * HOUR) / 60 {
        for _ in 0..20 {
            let known = Known { watermark: minute * 60 - 10, gaps };
            let is_open = key.hot.advance(minute * 60, known, key.warm.as_mut());
            key.hot.count(minute * 60, is_open, key.warm.as_mut());
        }
    }
    key
}

#[test]
fn a_gap_in_the_logs_leaves_what_is_usual_and_the_level_as_they_were() {
    let start = MONDAY + 8 * DAY + 10 * HOUR;
    let gap = Gap { from: start / 60, told: start / 60 + 11, until: start / 60 + 90, usual: 1e3, late: 0 };
    let (silent, passed) = (beside_a_gap(&[]), beside_a_gap(&[gap]));
    let hours = |key: &Key| [10, 11].map(|hour| key.hour(MONDAY + 9 * DAY + hour * HOUR));
    assert!(hours(&passed).iter().all(|hour| (hour - 1200.0).abs() < 5.0), "{:?}", hours(&passed));
    assert!(hours(&silent).iter().all(|hour| *hour < 1130.0), "{:?}", hours(&silent));
}
