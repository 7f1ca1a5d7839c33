//! Random numbers from a seed, and the distributions that traffic has.

use rand::Rng;
use rand_distr::{Distribution, Gamma, Poisson, StandardNormal};
use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::SeedableRng};

/// The generator used throughout: fast, and the same numbers on every machine.
pub(super) type Random = Xoshiro256PlusPlus;

/// Below this mean, counts are drawn by inversion: one uniform number, mostly without any logarithm.
const INVERSION_MEAN_MAX: f64 = 10.0;

/// A generator for one purpose: other purposes, and their number, do not change what it gives.
pub(super) fn random_for(seed: u64, purpose: &[u64]) -> Random {
    Random::seed_from_u64(mix(seed, purpose))
}

/// A number that depends on all of `parts` (the finaliser of `SplitMix64` after each).
pub(super) fn mix(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(seed, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    })
}

/// A log-normal number with this median; `sigma` is the deviation of its logarithm.
pub(super) fn log_normal(random: &mut Random, median: f64, sigma: f64) -> f64 {
    let normal: f64 = StandardNormal.sample(random);
    median * (sigma * normal).exp()
}

/// A number whose logarithm is uniform between those of `least` and `most`.
pub(super) fn log_uniform(random: &mut Random, least: f64, most: f64) -> f64 {
    least * (most / least).powf(random.random::<f64>())
}

/// A whole number from `least` to `most`, both included.
pub(super) fn between(random: &mut Random, least: usize, most: usize) -> usize {
    random.random_range(least..=most.max(least))
}

/// One of the items, each equally likely.
pub(super) fn pick<'a, T>(random: &mut Random, items: &'a [T]) -> &'a T {
    &items[random.random_range(0..items.len())]
}

/// `count` different items, or all of them if there are fewer.
pub(super) fn pick_some<T: Copy>(random: &mut Random, items: &[T], count: usize) -> Vec<T> {
    let mut items = items.to_vec();
    let count = count.min(items.len());
    for index in 0..count {
        let other = random.random_range(index..items.len());
        items.swap(index, other);
    }
    items.truncate(count);
    items
}

/// An index below `count`; the first ones are likelier, nearly as 1/(index + 1).
pub(super) fn early_index(random: &mut Random, count: usize) -> usize {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = ((count as f64 + 1.0).powf(random.random::<f64>()) - 1.0) as usize;
    index.min(count.saturating_sub(1))
}

/// A negative binomial count: variance = mean + dispersion × mean². A dispersion of 0 is Poisson.
pub(super) fn arrivals(random: &mut Random, mean: f64, dispersion: f64) -> u32 {
    if mean <= 0.0 {
        return 0;
    }
    if mean < INVERSION_MEAN_MAX {
        return arrivals_by_inversion(random, mean, dispersion);
    }
    let level = Gamma::new(1.0 / dispersion.max(1e-9), dispersion.max(1e-9) * mean)
        .map_or(mean, |gamma| gamma.sample(random));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    Poisson::new(level.max(1e-9)).map_or(0, |poisson| poisson.sample(random) as u32)
}

fn arrivals_by_inversion(random: &mut Random, mean: f64, dispersion: f64) -> u32 {
    let tail: f64 = random.random();
    // P(X ≥ 1) ≤ mean, so most draws for a rare key end here.
    if tail >= mean {
        return 0;
    }
    let dispersion = dispersion.max(1e-9);
    let size = 1.0 / dispersion;
    let ratio = dispersion * mean / (1.0 + dispersion * mean);
    let mut probability = (-size * (dispersion * mean).ln_1p()).exp();
    let mut left = 1.0 - tail - probability;
    let mut count = 0_u32;
    while left > 0.0 && count < 1_000 {
        probability *= (f64::from(count) + size) / f64::from(count + 1) * ratio;
        left -= probability;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mean: f64, dispersion: f64) {
        let mut random = random_for(7, &[mean.to_bits()]);
        let draws: Vec<f64> =
            (0..40_000).map(|_| f64::from(arrivals(&mut random, mean, dispersion))).collect();
        let found = draws.iter().sum::<f64>() / 40_000.0;
        let variance = draws.iter().map(|count| (count - found).powi(2)).sum::<f64>() / 40_000.0;
        let expected = mean + dispersion * mean * mean;
        assert!((found / mean - 1.0).abs() < 0.05, "mean {found}, expected {mean}");
        assert!((variance / expected - 1.0).abs() < 0.1, "variance {variance}, expected {expected}");
    }

    #[test]
    fn counts_have_the_mean_and_the_variance_asked_for() {
        check(0.2, 0.1);
        check(0.2, 0.0002);
        check(5.0, 0.1);
        check(12.0, 0.1);
        check(400.0, 0.02);
    }

    #[test]
    fn some_items_are_different_ones() {
        let mut random = random_for(1, &[]);
        let mut some = pick_some(&mut random, &[1, 2, 3, 4, 5], 3);
        some.sort_unstable();
        some.dedup();
        assert_eq!(some.len(), 3);
        assert_eq!(pick_some(&mut random, &[1, 2], 9).len(), 2);
    }
}
