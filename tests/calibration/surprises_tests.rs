//! What the hours that are drawn as a whole have in common with their minutes.

use super::*;
use crate::source::{Kind, SCORED, START, Source, TAUGHT};

const SPAN: Span = Span { start: START, taught: TAUGHT, scored: SCORED };
/// Keys of each kind.
const KEYS: u64 = 4;

/// A window of an hour or a day, the surprises of its count and of one more, what the key's own tail makes of both, and
/// whether it would be called.
type Window = (Closed, (f64, f64), (f64, f64), bool);

/// The windows of an hour and of a day that `see` makes.
fn windows(minutes: u32, see: impl FnMut(&mut Key, u32) -> u32) -> Vec<Window> {
    let mut windows = Vec::new();
    each_window(SPAN, minutes, see, &mut |key, closed| {
        let (scale, n, minute) = closed;
        if matches!(scale, Scale::Hour | Scale::Day) {
            let (low, high) = key.surprises(scale, n, minute);
            let own = (key.own(scale, low), key.own(scale, high));
            windows.push((closed, (low, high), own, key.calls(scale, n, minute)));
        }
    });
    windows
}

/// The hours of these minutes.
fn hour(minutes: &[u32]) -> Hour {
    let Some(last) = minutes.iter().rposition(|n| *n > 0) else { return Hour::default() };
    Hour { before: minutes[..last].iter().sum(), last: last as u32, in_last: minutes[last] }
}

#[test]
fn an_hour_in_two_parts_has_the_surprises_of_its_minutes() {
    for (kind, seed) in Kind::ALL.into_iter().flat_map(|kind| (1..=KEYS).map(move |seed| (kind, seed))) {
        let mut source = Source::new(kind, seed);
        let counts: Vec<u32> = (0..(TAUGHT + SCORED) * DAY).map(|minute| source.next(minute)).collect();
        let by_minutes = windows(1, |key, minute| {
            key.see(START + minute, counts[minute as usize]);
            counts[minute as usize]
        });
        let by_hours = windows(60, |key, minute| {
            let hour = hour(&counts[minute as usize..][..60]);
            key.see_hour(START + minute, hour);
            hour.requests()
        });
        assert_eq!(by_minutes.len(), SCORED as usize * 25);
        for (minutes, hours) in by_minutes.iter().zip(&by_hours) {
            assert_eq!(minutes, hours, "{kind:?}, seed {seed}");
        }
    }
}

/// Means and standard errors of requests, of their squared distance from the mean, of whether there are none, and of the last
/// minute with any.
struct Means([(f64, f64); 4]);

impl Means {
    fn of(hours: &[Hour]) -> Self {
        let n = hours.len() as f64;
        let mean = |of: &dyn Fn(&Hour) -> f64| {
            let mean = hours.iter().map(of).sum::<f64>() / n;
            let variance = hours.iter().map(|hour| (of(hour) - mean).powi(2)).sum::<f64>() / n;
            (mean, (variance / n).sqrt())
        };
        let requests = mean(&|hour| hour.requests().into());
        let off = |hour: &Hour| (f64::from(hour.requests()) - requests.0).powi(2);
        let empty = |hour: &Hour| f64::from(u8::from(hour.in_last == 0));
        Self([requests, mean(&off), mean(&empty), mean(&|hour| hour.last.into())])
    }
}

#[test]
fn an_hour_drawn_as_a_whole_is_like_the_sum_of_its_minutes() {
    for kind in Kind::ALL {
        let (mut minutes, mut hours) = (Source::new(kind, 1), Source::new(kind, 1));
        hours.random = Random::seed_from_u64(2);
        let days = 20 * (TAUGHT + SCORED);
        let of_minutes = |at: u32| {
            let counts: Vec<u32> = (at * 60..(at + 1) * 60).map(|minute| minutes.next(minute)).collect();
            hour(&counts)
        };
        let by_minutes: Vec<Hour> = (0..days * 24).map(of_minutes).collect();
        let by_hours: Vec<Hour> = (0..days * 24).map(|at| hours.next_hour(at)).collect();
        let both = Means::of(&by_minutes).0.into_iter().zip(Means::of(&by_hours).0);
        for (i, ((one, error), (other, other_error))) in both.enumerate() {
            let least = 4.0 * error.hypot(other_error);
            assert!((one - other).abs() <= least, "{kind:?}, {i}: {one} and {other}, ±{least}");
        }
    }
}
