//! Invented use of a key, minute by minute or hour by hour, that nothing is wrong with.

use std::{f64::consts::TAU, sync::LazyLock};

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Gamma, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;

pub type Random = Xoshiro256PlusPlus;

/// A Monday, in minutes since the epoch.
pub const START: u32 = 29_889_000 - 29_889_000 % 10_080 + 4 * 1440;
pub const DAY: u32 = 1440;
/// Days that teach before anything is looked at, and days that are.
pub const TAUGHT: u32 = 10;
pub const SCORED: u32 = 20;

/// The wave of a day, by minute.
static SINE: LazyLock<Vec<f64>> =
    LazyLock::new(|| (0..DAY).map(|minute| (TAU * (f64::from(minute) / f64::from(DAY))).sin()).collect());

/// How a key is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Poisson,
    NegativeBinomial,
    Sessions,
    Batches,
    Cron,
    Weekdays,
    LevelShift,
    Sparse,
    Busy,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Poisson,
        Self::NegativeBinomial,
        Self::Sessions,
        Self::Batches,
        Self::Cron,
        Self::Weekdays,
        Self::LevelShift,
        Self::Sparse,
        Self::Busy,
    ];

    /// What a reader of the report has to know.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Poisson => "independent requests, a wave over the day",
            Self::NegativeBinomial => "the same with a dispersion of 0.01 to 0.5 in each minute",
            Self::Sessions => "sessions of 2 to 30 minutes, about fourteen a day, and nothing between them",
            Self::Batches => "seldom a request, and three times in two days 5 to 30 within a minute",
            Self::Cron => "a burst each quarter of an hour, hardly anything between",
            Self::Weekdays => "as Poisson, a fifth of it at weekends",
            Self::LevelShift => "as Poisson, from the middle on for good 1.7 times as much",
            Self::Sparse => "as Poisson, 0.03 to 0.1 a minute",
            Self::Busy => "300 to 1,500 a minute, dispersion 0.0005 to 0.01",
        }
    }
}

/// A key's requests, minute by minute.
#[derive(Clone)]
pub struct Source {
    pub kind: Kind,
    pub random: Random,
    /// Requests a minute, on average.
    pub rate: f64,
    /// How the requests of a minute scatter, as a dispersion.
    pub dispersion: f64,
    /// Depth of the day's wave, from 0 to 1.
    pub wave: f64,
    /// Minutes that the present session lasts yet.
    pub session: u32,
}

impl Source {
    pub fn new(kind: Kind, seed: u64) -> Self {
        let mut random = Random::seed_from_u64(seed);
        let between =
            |random: &mut Random, least: f64, most: f64| least * (most / least).powf(random.random::<f64>());
        let (rate, dispersion) = match kind {
            Kind::Poisson | Kind::Weekdays | Kind::LevelShift => (between(&mut random, 0.3, 60.0), 0.0),
            Kind::NegativeBinomial => (between(&mut random, 0.3, 60.0), between(&mut random, 0.01, 0.5)),
            Kind::Sessions => (between(&mut random, 1.0, 6.0), 0.0),
            Kind::Batches | Kind::Sparse => (between(&mut random, 0.03, 0.1), 0.0),
            Kind::Cron => (between(&mut random, 5.0, 60.0), 0.0),
            Kind::Busy => (between(&mut random, 300.0, 1500.0), between(&mut random, 0.0005, 0.01)),
        };
        let wave = random.random_range(0.0..0.7);
        Self { kind, random, rate, dispersion, wave, session: 0 }
    }

    /// Requests in a minute, which is counted from the start.
    pub fn next(&mut self, minute: u32) -> u32 {
        let Drawn { mean, batch } = self.draw(minute);
        batch + poisson(&mut self.random, mean)
    }

    /// Requests in an hour, which is counted from the start: as many as [`Source::next`] gives for its minutes, drawn with a
    /// few random numbers. Given their means, the counts of minutes are independent and Poisson, and so is their sum.
    pub fn next_hour(&mut self, hour: u32) -> Hour {
        let minutes: [Drawn; 60] = std::array::from_fn(|minute| self.draw(hour * 60 + minute as u32));
        let mut rest = &minutes[..];
        while let Some((last, before)) = rest.split_last() {
            let n = last.batch + poisson(&mut self.random, last.mean);
            if n > 0 {
                let mean = before.iter().map(|minute| minute.mean).sum();
                let batches: u32 = before.iter().map(|minute| minute.batch).sum();
                let before_it = batches + poisson(&mut self.random, mean);
                return Hour { before: before_it, last: before.len() as u32, in_last: n };
            }
            rest = before;
        }
        Hour::default()
    }

    /// All that is random in a minute but how its requests scatter around their mean.
    fn draw(&mut self, minute: u32) -> Drawn {
        let wave = 1.0 + self.wave * SINE[(minute % DAY) as usize];
        let mut batch = 0;
        let mean = match self.kind {
            Kind::Poisson | Kind::NegativeBinomial | Kind::Sparse | Kind::Busy => self.rate * wave,
            Kind::Weekdays => self.rate * wave * if minute / DAY % 7 >= 5 { 0.2 } else { 1.0 },
            Kind::LevelShift => {
                let shifted = minute >= (TAUGHT + SCORED / 2) * DAY;
                self.rate * wave * if shifted { 1.7 } else { 1.0 }
            }
            Kind::Sessions => {
                if self.session == 0 && self.random.random_bool((0.01 * wave).clamp(0.0, 1.0)) {
                    self.session = self.random.random_range(2..30);
                }
                self.session = self.session.saturating_sub(1);
                if self.session > 0 { self.rate } else { 0.0 }
            }
            Kind::Batches => {
                if self.random.random_bool(1.5 / f64::from(DAY)) {
                    batch = self.random.random_range(5..30);
                }
                self.rate * wave
            }
            Kind::Cron if minute.is_multiple_of(15) => self.rate,
            Kind::Cron => 0.05,
        };
        let mean = if self.dispersion > 0.0 {
            Gamma::new(1.0 / self.dispersion, self.dispersion * mean).unwrap().sample(&mut self.random)
        } else {
            mean
        };
        Drawn { mean, batch }
    }
}

/// What the requests of a minute are: some that come at once, and a Poisson count.
#[derive(Clone, Copy)]
struct Drawn {
    mean: f64,
    batch: u32,
}

/// The requests of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hour {
    /// Those before the last minute that has any.
    pub before: u32,
    /// That minute, from 0 to 59.
    pub last: u32,
    /// Requests in it; 0 if the hour has none.
    pub in_last: u32,
}

impl Hour {
    pub fn requests(&self) -> u32 {
        self.before + self.in_last
    }
}

fn poisson(random: &mut Random, mean: f64) -> u32 {
    if mean > 0.0 { Poisson::new(mean).unwrap().sample(random) as u32 } else { 0 }
}
