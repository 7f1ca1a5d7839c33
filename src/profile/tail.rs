//! Tail probabilities of counts: how surprising "at least n" is under a negative binomial.
//!
//! Counts of requests are overdispersed, so that z-scores and Poisson tails cry wolf; the negative binomial with
//! mean m and dispersion φ has variance m + φ·m². All results are surprises: −log10 of a probability.

use std::f64::consts::LN_10;

/// Surprises are cut here: beyond it a number says nothing more.
pub const SURPRISE_MAX: f64 = 300.0;

/// −log10 P(X ≥ n) for X negative binomial with mean `mean` > 0 and dispersion `dispersion` ≥ 0, from 0 to 300.
///
/// P(X ≥ n) is the regularised incomplete beta function I(n, r) at p = m/(m + r), with r = 1/φ: the mass at n times a
/// continued fraction ([`tail_in_masses`]). Below the mean the surprise is under a half, and is given as 0.
pub fn surprise(n: u32, mean: f64, dispersion: f64) -> f64 {
    let n = f64::from(n);
    if n <= mean || mean <= 0.0 {
        return 0.0;
    }
    let size = 1.0 / dispersion.max(1e-6);
    let p = mean / (mean + size);
    let log_mass = libm::lgamma(n + size) - libm::lgamma(size) - libm::lgamma(n + 1.0)
        + size * libm::log(size / (mean + size))
        + n * libm::log(p);
    (-(log_mass + libm::log(tail_in_masses(n, size, p))) / LN_10).clamp(0.0, SURPRISE_MAX)
}

/// P(X ≥ n) as a multiple of P(X = n).
///
/// The continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method (Press et al., *Numerical
/// Recipes*, 6.4). Above the mean, 800 rounds are enough for all that is asked here, and near the bars of rules 20 are,
/// however large the mean; a sum of masses would take as many terms as the count has standard deviations.
fn tail_in_masses(count: f64, size: f64, p: f64) -> f64 {
    let not_zero = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let mut below = 1.0 / not_zero(1.0 - (count + size) * p / (count + 1.0));
    let (mut above, mut fraction) = (1.0, below);
    for round in 1..2_000 {
        let k = f64::from(round);
        let even = k * (size - k) * p / ((count + 2.0 * k - 1.0) * (count + 2.0 * k));
        let odd = -(count + k) * (count + size + k) * p / ((count + 2.0 * k) * (count + 2.0 * k + 1.0));
        for step in [even, odd] {
            below = 1.0 / not_zero(1.0 + step * below);
            above = not_zero(1.0 + step / above);
            fraction *= below * above;
        }
        if (below * above - 1.0).abs() < 1e-10 {
            break;
        }
    }
    fraction
}

/// The smallest n with `surprise(n, mean, dispersion) >= bar`, by doubling and bisection.
pub fn smallest_surprising(mean: f64, dispersion: f64, bar: f64) -> u32 {
    let mut high = ceil_to_u32(mean).max(4);
    while surprise(high, mean, dispersion) < bar {
        if high > u32::MAX / 4 {
            return u32::MAX;
        }
        high *= 2;
    }
    let mut low = ceil_to_u32(mean).min(high);
    while low < high {
        let middle = low + (high - low) / 2;
        if surprise(middle, mean, dispersion) >= bar {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}

/// [`smallest_surprising`], or up to a thousandth less. It is known to be at least `low`.
fn nearly_smallest_surprising(mean: f64, dispersion: f64, bar: f64, low: u32) -> u32 {
    let mut low = low.max(ceil_to_u32(mean));
    let mut high = low;
    while surprise(high, mean, dispersion) < bar {
        if high > u32::MAX / 4 {
            return u32::MAX;
        }
        low = high + 1;
        high += high / 2 + 1;
    }
    while high - low > high / 1000 {
        let middle = low + (high - low) / 2;
        if surprise(middle, mean, dispersion) >= bar {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to the range of u32 first
fn ceil_to_u32(value: f64) -> u32 {
    value.ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// The smallest surprising count for one bar, tabulated over log mean and log dispersion.
///
/// Between grid points log n is interpolated, and three per cent are taken off: the table is asked on the hot
/// path when to look closer, and the exact surprise decides. It may be early and must not be late.
#[derive(Clone, Debug)]
pub struct ThresholdTable {
    log_counts: Vec<f32>,
}

const MEAN_STEPS: usize = 61;
const DISPERSION_STEPS: usize = 33;
const LOG_MEAN_MIN: f64 = -3.0;
const LOG_MEAN_MAX: f64 = 7.0;
const LOG_DISPERSION_MIN: f64 = -4.0;
const LOG_DISPERSION_MAX: f64 = 2.6;

impl ThresholdTable {
    /// Tabulates the inversion for a bar of at least 1.
    ///
    /// Counts grow with the mean, so that each one is sought from its neighbour on; and they are let go a thousandth
    /// early, since finding the last digit of a large count would take most of the time.
    pub fn new(bar: f64) -> Self {
        let mut log_counts = vec![0.0; MEAN_STEPS * DISPERSION_STEPS];
        for j in 0..DISPERSION_STEPS {
            let dispersion = libm::exp10(at(j, DISPERSION_STEPS, LOG_DISPERSION_MIN, LOG_DISPERSION_MAX));
            let mut least = 1;
            for i in 0..MEAN_STEPS {
                let mean = libm::exp10(at(i, MEAN_STEPS, LOG_MEAN_MIN, LOG_MEAN_MAX));
                least = nearly_smallest_surprising(mean, dispersion, bar, least);
                #[allow(clippy::cast_possible_truncation)] // a logarithm of a u32
                {
                    log_counts[i * DISPERSION_STEPS + j] = libm::log(f64::from(least)) as f32;
                }
            }
        }
        Self { log_counts }
    }

    /// A count at or a little under the smallest surprising one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the interpolated logarithm is of a u32
    pub fn threshold(&self, mean: f64, dispersion: f64) -> u32 {
        let (i, u) = cell(libm::log10(mean.max(1e-9)), MEAN_STEPS, LOG_MEAN_MIN, LOG_MEAN_MAX);
        let (j, v) =
            cell(libm::log10(dispersion.max(1e-9)), DISPERSION_STEPS, LOG_DISPERSION_MIN, LOG_DISPERSION_MAX);
        let get = |i: usize, j: usize| f64::from(self.log_counts[i * DISPERSION_STEPS + j]);
        let low = get(i, j) * (1.0 - v) + get(i, j + 1) * v;
        let high = get(i + 1, j) * (1.0 - v) + get(i + 1, j + 1) * v;
        (libm::exp(low * (1.0 - u) + high * u) * 0.97).floor() as u32
    }
}

#[allow(clippy::cast_precision_loss)] // grid indices
fn at(index: usize, steps: usize, least: f64, most: f64) -> f64 {
    least + (most - least) * index as f64 / (steps - 1) as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
// The position is clamped to the grid before it is cut.
fn cell(value: f64, steps: usize, least: f64, most: f64) -> (usize, f64) {
    let position = ((value - least) / (most - least)).clamp(0.0, 1.0) * (steps - 1) as f64;
    let index = (position as usize).min(steps - 2);
    (index, position - index as f64)
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
