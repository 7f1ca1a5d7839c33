//! How often a window has a surprise of s or more.

use keyhound::detect::Scale;
use rand::{Rng, SeedableRng};

use crate::{
    key::Key,
    source::{DAY, Hour, Random},
};

/// Surprises are told apart to a quarter, up to 7.
pub const STEPS_PER_UNIT: usize = 4;
const STEPS: usize = 7 * STEPS_PER_UNIT + 1;

/// The windows of one kind of use and one scale.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    pub windows: u64,
    /// How many had a surprise of so many quarters, cut.
    by_step: [u64; STEPS],
    /// How many the shipped rules would call.
    pub called: u64,
}

impl Shares {
    /// How many windows had a surprise of so many quarters or more.
    pub fn at_least(&self, step: usize) -> u64 {
        self.by_step[step..].iter().sum()
    }

    /// [`Shares::at_least`] as a ratio to what it should be.
    pub fn ratio(&self, step: usize) -> f64 {
        self.at_least(step) as f64 / self.ideal(step)
    }

    /// How many windows should have had a surprise of so many quarters or more.
    pub fn ideal(&self, step: usize) -> f64 {
        self.windows.max(1) as f64 * 10f64.powf(-(step as f64) / STEPS_PER_UNIT as f64)
    }

    fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.called += other.called;
        self.by_step.iter_mut().zip(other.by_step).for_each(|(sum, n)| *sum += n);
    }
}

/// What is known of one or more keys of a kind.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// By scale.
    pub shares: [Shares; 4],
    /// Requests a minute of each key.
    pub rates: Vec<f64>,
}

impl Played {
    pub fn add(&mut self, other: &Self) {
        self.shares.iter_mut().zip(&other.shares).for_each(|(sum, shares)| sum.add(shares));
        self.rates.extend(&other.rates);
    }
}

/// The time that a key is looked at: minutes since the epoch, from midnight on; the first days only teach.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: u32,
    pub taught: u32,
    pub scored: u32,
}

/// Plays a key, given its requests in each minute since the start.
pub fn play(span: Span, seed: u64, mut next: impl FnMut(u32) -> u32) -> Played {
    let see = |key: &mut Key, minute| {
        let n = next(minute);
        key.see(span.start + minute, n);
        n
    };
    scored(span, seed, |close| each_window(span, 1, see, close))
}

/// Plays a key, given its requests in each hour since the start; windows of less than an hour are not looked at.
pub fn play_hours(span: Span, seed: u64, mut next: impl FnMut(u32) -> Hour) -> Played {
    let see = |key: &mut Key, minute| {
        let hour = next(minute / 60);
        key.see_hour(span.start + minute, hour);
        hour.requests()
    };
    scored(span, seed, |close| each_window(span, 60, see, close))
}

/// A window that has closed: its scale, its count, and its last minute since the epoch.
type Closed = (Scale, u32, u32);

/// Scores what `play` closes; that gives how many requests there were.
fn scored(span: Span, seed: u64, play: impl FnOnce(&mut dyn FnMut(&Key, Closed)) -> f64) -> Played {
    // Not the numbers that the requests come from.
    let mut drawn = Random::seed_from_u64(!seed);
    let mut shares = [Shares::default(); 4];
    let requests = play(&mut |key, closed| {
        note(&mut shares[closed.0 as usize], key, closed, drawn.random::<f64>());
    });
    Played { shares, rates: vec![requests / f64::from((span.taught + span.scored) * DAY)] }
}

/// Lets `see` show a key so many minutes at a time, from one since the start on, and say how many requests they have. Gives
/// `close` each window that has closed and is no shorter, in the days that are scored. Says how many requests there were.
fn each_window(
    span: Span,
    minutes: u32,
    mut see: impl FnMut(&mut Key, u32) -> u32,
    close: &mut dyn FnMut(&Key, Closed),
) -> f64 {
    assert!(span.start.is_multiple_of(DAY), "windows end with a day: {span:?}");
    let (mut key, mut counts, mut requests) = (Key::new(span.start), [0u32; 4], 0.0);
    for at in (0..(span.taught + span.scored) * DAY).step_by(minutes as usize) {
        let n = see(&mut key, at);
        requests += f64::from(n);
        let end = span.start + at + minutes;
        for (scale, count) in Scale::ALL.into_iter().zip(&mut counts) {
            *count += n;
            if (end * 60).is_multiple_of(scale.seconds()) {
                let n = std::mem::take(count);
                if at >= span.taught * DAY && scale.seconds() >= minutes * 60 {
                    close(&key, (scale, n, end - 1));
                }
            }
        }
    }
    requests
}

/// A count has a range of probabilities; where in it is drawn (randomised probability integral transform).
fn note(shares: &mut Shares, key: &Key, (scale, n, minute): Closed, drawn: f64) {
    let (low, high) = key.surprises(scale, n, minute);
    let (more, beyond) = (10f64.powf(-low), 10f64.powf(-high));
    let surprise = key.own(scale, -(beyond + drawn * (more - beyond)).log10());
    let step = (surprise * STEPS_PER_UNIT as f64).max(0.0) as usize;
    shares.windows += 1;
    shares.by_step[step.min(STEPS - 1)] += 1;
    shares.called += u64::from(key.calls(scale, n, minute));
}

#[cfg(test)]
#[path = "surprises_tests.rs"]
mod tests;
