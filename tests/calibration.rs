//! Whether a surprise is a probability: counts without anomalies through a key's own profile, and how often a window has a
//! surprise of s or more. Beside it, what is found of counts with an anomaly.
//!
//! `CALIBRATION_WINDOWS` is the number of minutes of each kind (default: 40,000), `CALIBRATION_SEED` where the random
//! numbers begin. `CALIBRATION_OUT=FILE` writes the tables there. `make calibrate` is the whole of it.

use std::fmt::Write as _;

use keyhound::{
    detect::{Scale, volume::callable},
    event::{KeyId, KeyKind},
    profile::{Expected, Hot, Warm, tail, warm::WARM_AFTER},
};
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Gamma, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;

type Random = Xoshiro256PlusPlus;

/// A Monday, in minutes since the epoch.
const START: u32 = 29_889_000 - 29_889_000 % 10_080 + 4 * 1440;
const DAY: u32 = 1440;
/// Days that teach before anything is looked at, and days that are.
const TAUGHT: u32 = 10;
const SCORED: u32 = 20;
/// The bar of the shipped rules.
const BAR: f64 = 8.0;
const SHOWN: [f64; 5] = [2.0, 3.0, 4.0, 5.0, 6.0];

/// How a key is used that nothing is wrong with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
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
    const ALL: [Self; 9] = [
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
}

/// A key's requests, minute by minute.
struct Source {
    kind: Kind,
    random: Random,
    /// Requests a minute, on average.
    rate: f64,
    /// How the requests of a minute scatter, as a dispersion.
    dispersion: f64,
    /// Depth of the day's wave, from 0 to 1.
    wave: f64,
    /// Minutes that the present session lasts yet.
    session: u32,
}

impl Source {
    fn new(kind: Kind, seed: u64) -> Self {
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

    fn draw(&mut self, mean: f64) -> u32 {
        let mean = if self.dispersion > 0.0 {
            Gamma::new(1.0 / self.dispersion, self.dispersion * mean).unwrap().sample(&mut self.random)
        } else {
            mean
        };
        if mean > 0.0 { Poisson::new(mean).unwrap().sample(&mut self.random) as u32 } else { 0 }
    }

    /// Requests in a minute, which is counted from the start.
    fn next(&mut self, minute: u32) -> u32 {
        let of_day = f64::from(minute % DAY) / f64::from(DAY);
        let wave = 1.0 + self.wave * (std::f64::consts::TAU * of_day).sin();
        match self.kind {
            Kind::Poisson | Kind::NegativeBinomial | Kind::Sparse | Kind::Busy => self.draw(self.rate * wave),
            Kind::Weekdays => self.draw(self.rate * wave * if minute / DAY % 7 >= 5 { 0.2 } else { 1.0 }),
            Kind::LevelShift => {
                let shifted = minute >= (TAUGHT + SCORED / 2) * DAY;
                self.draw(self.rate * wave * if shifted { 1.7 } else { 1.0 })
            }
            Kind::Sessions => {
                if self.session == 0 && self.random.random_bool((0.01 * wave).clamp(0.0, 1.0)) {
                    self.session = self.random.random_range(2..30);
                }
                self.session = self.session.saturating_sub(1);
                if self.session > 0 { self.draw(self.rate) } else { 0 }
            }
            Kind::Batches => {
                let batch = if self.random.random_bool(1.5 / f64::from(DAY)) {
                    self.random.random_range(5..30)
                } else {
                    0
                };
                batch + self.draw(self.rate * wave)
            }
            Kind::Cron => {
                if minute.is_multiple_of(15) {
                    self.draw(self.rate)
                } else {
                    self.draw(0.05)
                }
            }
        }
    }
}

/// A key and its profile.
struct Key {
    hot: Hot,
    warm: Option<Warm>,
}

impl Key {
    fn new() -> Self {
        Self { hot: Hot::new(KeyId { kind: KeyKind::Raw, hash: [1; 16] }, START * 60), warm: None }
    }

    /// `n` requests, evenly over a minute since the start.
    fn see(&mut self, minute: u32, n: u32) {
        for i in 0..n {
            let second = (START + minute) * 60 + i * 60 / n;
            let is_open = self.hot.advance(second, second, self.warm.as_mut());
            self.hot.count(second, is_open, self.warm.as_mut());
            if self.hot.total == WARM_AFTER {
                self.warm = Some(Warm::new(&self.hot));
            }
        }
    }

    /// The surprises of n and of n + 1 requests in a window that ends now.
    fn surprises(&self, scale: Scale, n: u32) -> (f64, f64) {
        let Expected { mean, dispersion } = self.hot.expect(scale.seconds());
        (tail::surprise(n, mean, dispersion), tail::surprise(n + 1, mean, dispersion))
    }

    /// Whether so many requests in a window of a scale would be called.
    fn calls(&self, scale: Scale, n: u32) -> bool {
        n >= callable(&self.hot, scale) && self.surprises(scale, n).0 >= BAR
    }
}

/// How often windows of one kind and scale had a surprise of each of [`SHOWN`] or more.
#[derive(Clone, Copy, Debug, Default)]
struct Shares {
    windows: u64,
    at_least: [u64; SHOWN.len()],
    called: u64,
}

impl Shares {
    fn share(&self, i: usize) -> f64 {
        self.at_least[i] as f64 / self.windows.max(1) as f64
    }
}

/// Plays keys of a kind until so many minutes were scored.
fn calibrate(kind: Kind, minutes: u64, seed: u64) -> [Shares; 4] {
    let mut shares = [Shares::default(); 4];
    let mut number = 0;
    while shares[0].windows < minutes {
        number += 1;
        let mut source = Source::new(kind, seed ^ (number << 8) ^ kind as u64);
        let (mut key, mut counts) = (Key::new(), [0u32; 4]);
        for minute in 0..(TAUGHT + SCORED) * DAY {
            let n = source.next(minute);
            key.see(minute, n);
            for ((scale, shares), count) in Scale::ALL.into_iter().zip(&mut shares).zip(&mut counts) {
                *count += n;
                if !((minute + 1) * 60).is_multiple_of(scale.seconds()) {
                    continue;
                }
                let n = std::mem::take(count);
                if minute >= TAUGHT * DAY {
                    let drawn = source.random.random::<f64>();
                    note(shares, &key, scale, n, drawn);
                }
            }
        }
    }
    shares
}

/// A count has a range of probabilities; where in it is drawn (randomised probability integral transform).
fn note(shares: &mut Shares, key: &Key, scale: Scale, n: u32, drawn: f64) {
    shares.windows += 1;
    if n == 0 {
        return;
    }
    let (low, high) = key.surprises(scale, n);
    let (more, beyond) = (10f64.powf(-low), 10f64.powf(-high));
    let surprise = -(beyond + drawn * (more - beyond)).log10();
    for (i, bar) in SHOWN.into_iter().enumerate() {
        shares.at_least[i] += u64::from(surprise >= bar);
    }
    shares.called += u64::from(key.calls(scale, n));
}

/// How many of some keys of a rate are called when they are used so many times as much for some minutes.
fn found(rate: f64, times: f64, minutes: u32, keys: u64, seed: u64) -> u64 {
    (0..keys).map(|n| u64::from(is_found(rate, times, minutes, seed ^ (n << 16)))).sum()
}

fn is_found(rate: f64, times: f64, minutes: u32, seed: u64) -> bool {
    let mut source = Source { rate, dispersion: 0.1, wave: 0.5, ..Source::new(Kind::NegativeBinomial, seed) };
    let mut key = Key::new();
    let begins = TAUGHT * DAY + DAY / 2;
    for minute in 0..begins + minutes {
        if minute == begins {
            source.rate *= times;
        }
        let n = source.next(minute);
        key.see(minute, n);
        if minute >= begins
            && n > 0
            && Scale::ALL.into_iter().zip(key.hot.sums).any(|(scale, sum)| key.calls(scale, sum))
        {
            return true;
        }
    }
    false
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

fn tables(all: &[(Kind, [Shares; 4])], minutes: u64, seed: u64) -> String {
    let mut out = format!(
        "# How often a surprise comes\n\nWritten by `make calibrate` (tests/calibration.rs). How often windows of use without \
         anomalies had a surprise of s or more, as a ratio to 10^−s: 1 is ideal, more is too often. *Called* are those that \
         the shipped rules would call a spike. {minutes} minutes of each kind, seed {seed}.\n\n"
    );
    let heads: Vec<String> = SHOWN.iter().map(|s| format!("s ≥ {s}")).collect();
    let _ = writeln!(out, "| Kind | Window | Windows | {} | Called |", heads.join(" | "));
    let _ = writeln!(out, "|---|---|---|{}---|", "---|".repeat(SHOWN.len()));
    for (kind, shares) in all {
        for (scale, of) in Scale::ALL.into_iter().zip(shares) {
            let name = scale.as_str();
            let ratios: Vec<String> =
                (0..SHOWN.len()).map(|i| format!("{:.2}", of.share(i) * 10f64.powf(SHOWN[i]))).collect();
            let _ = writeln!(
                out,
                "| {kind:?} | {name} | {} | {} | {} |",
                of.windows,
                ratios.join(" | "),
                of.called
            );
        }
    }
    out
}

fn power(keys: u64, seed: u64) -> String {
    let mut out = format!("\n{keys} keys each, dispersion 0.1 a minute: how many are called.\n\n");
    out += "| Requests a minute | ×3, 1 min | ×10, 1 min | ×30, 1 min | ×3, 1 h | ×10, 1 h | ×30, 1 h | ×3, 1 d |\n";
    out += "|---|---|---|---|---|---|---|---|\n";
    for rate in [0.05, 0.5, 5.0, 50.0] {
        let _ = write!(out, "| {rate} |");
        for (times, minutes) in
            [(3.0, 1), (10.0, 1), (30.0, 1), (3.0, 60), (10.0, 60), (30.0, 60), (3.0, DAY)]
        {
            let _ = write!(out, " {} |", found(rate, times, minutes, keys, seed));
        }
        out.push('\n');
    }
    out
}

#[test]
fn a_surprise_is_a_probability_and_what_is_odd_is_found() {
    let (minutes, seed) = (number("CALIBRATION_WINDOWS", 40_000), number("CALIBRATION_SEED", 1));
    let all: Vec<_> = Kind::ALL.into_iter().map(|kind| (kind, calibrate(kind, minutes, seed))).collect();
    let text = tables(&all, minutes, seed) + &power((minutes / 10_000).clamp(4, 100), seed);
    println!("{text}");
    if let Ok(path) = std::env::var("CALIBRATION_OUT") {
        std::fs::write(path, &text).expect("written");
    }
    for (kind, shares) in &all {
        // One window of 24 h in a thousand and less cannot be told apart from none here.
        for (scale, of) in Scale::ALL.into_iter().zip(shares).take(3) {
            let name = scale.as_str();
            assert!(of.share(0) <= 0.1, "{kind:?}, {name}: {of:?}");
            // A key whose use shifts for good to ×1.7 has an hour that is called now and then.
            let most = if *kind == Kind::LevelShift { of.windows / 5_000 } else { 0 };
            assert!(of.called <= most, "{kind:?}, {name}: {of:?}");
        }
    }
    assert_eq!(found(5.0, 30.0, 1, 4, seed), 4);
    assert_eq!(found(0.5, 30.0, 60, 4, seed), 4);
}
