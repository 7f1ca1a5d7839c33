//! Tail probabilities of counts: how surprising "at least n" is under a negative binomial.
//!
//! Counts of requests are overdispersed, so that z-scores and Poisson tails cry wolf; the negative binomial with
//! mean m and dispersion φ has variance m + φ·m². All results are surprises: −log10 of a probability.

use std::f64::consts::LN_10;

/// Surprises are cut here: beyond it a number says nothing more.
pub const SURPRISE_MAX: f64 = 300.0;

/// −log10 P(X ≥ n) for X negative binomial with mean `mean` > 0 and dispersion `dispersion` ≥ 0, from 0 to 300.
///
/// The tail is the mass at n times the sum of the ratios of successive masses, which are
/// `(k + r) / (k + 1) · p` with r = 1/φ and p = m/(m + r) (Johnson, Kemp and Kotz, *Univariate Discrete
/// Distributions*, chapter 5). Below the mean, where that sum converges slowly, the surprise is under a half and
/// is given as 0.
pub fn surprise(n: u32, mean: f64, dispersion: f64) -> f64 {
    let n = f64::from(n);
    if n <= mean || mean <= 0.0 {
        return 0.0;
    }
    let size = 1.0 / dispersion.max(1e-6);
    let p = mean / (mean + size);
    let log_mass = libm::lgamma(n + size) - libm::lgamma(size) - libm::lgamma(n + 1.0)
        + size * (size / (mean + size)).ln()
        + n * p.ln();
    let mut term = 1.0;
    let mut sum = 1.0;
    let mut k = n;
    // Ratios fall towards p < 1, so the sum is geometric at worst; what is left out is under one per cent.
    for _ in 0..20_000 {
        term *= (k + size) / (k + 1.0) * p;
        sum += term;
        k += 1.0;
        if term < sum * 1e-6 {
            break;
        }
    }
    (-(log_mass + f64::ln(sum)) / LN_10).clamp(0.0, SURPRISE_MAX)
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
const DISPERSION_STEPS: usize = 25;
const LOG_MEAN_MIN: f64 = -3.0;
const LOG_MEAN_MAX: f64 = 7.0;
const LOG_DISPERSION_MIN: f64 = -4.0;
const LOG_DISPERSION_MAX: f64 = 1.0;

impl ThresholdTable {
    /// Tabulates the inversion for a bar of at least 1.
    ///
    /// Counts grow with the mean, so that each one is sought from its neighbour on; and they are let go a thousandth
    /// early, since finding the last digit of a large count would take most of the time.
    pub fn new(bar: f64) -> Self {
        let mut log_counts = vec![0.0; MEAN_STEPS * DISPERSION_STEPS];
        for j in 0..DISPERSION_STEPS {
            let dispersion = 10f64.powf(at(j, DISPERSION_STEPS, LOG_DISPERSION_MIN, LOG_DISPERSION_MAX));
            let mut least = 1;
            for i in 0..MEAN_STEPS {
                let mean = 10f64.powf(at(i, MEAN_STEPS, LOG_MEAN_MIN, LOG_MEAN_MAX));
                least = nearly_smallest_surprising(mean, dispersion, bar, least);
                #[allow(clippy::cast_possible_truncation)] // a logarithm of a u32
                {
                    log_counts[i * DISPERSION_STEPS + j] = f64::from(least).ln() as f32;
                }
            }
        }
        Self { log_counts }
    }

    /// A count at or a little under the smallest surprising one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the interpolated logarithm is of a u32
    pub fn threshold(&self, mean: f64, dispersion: f64) -> u32 {
        let (i, u) = cell(mean.max(1e-9).log10(), MEAN_STEPS, LOG_MEAN_MIN, LOG_MEAN_MAX);
        let (j, v) =
            cell(dispersion.max(1e-9).log10(), DISPERSION_STEPS, LOG_DISPERSION_MIN, LOG_DISPERSION_MAX);
        let get = |i: usize, j: usize| f64::from(self.log_counts[i * DISPERSION_STEPS + j]);
        let low = get(i, j) * (1.0 - v) + get(i, j + 1) * v;
        let high = get(i + 1, j) * (1.0 - v) + get(i + 1, j + 1) * v;
        ((low * (1.0 - u) + high * u).exp() * 0.97).floor() as u32
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_callable_counts_are_those_of_the_literature() {
        // detection.md: at 1e-6 these means and dispersions call from about 10, 35, 81 and 339.
        let check = |mean, dispersion, about: u32| {
            let n = smallest_surprising(mean, dispersion, 6.0);
            assert!(n.abs_diff(about) <= about / 4 + 1, "mean {mean}: {n}, expected about {about}");
        };
        check(12.0, 0.3, 81);
        check(100.0, 0.1, 339);
        check(2.0, 1.0, 35);
    }

    #[test]
    fn a_tail_is_a_sum_of_masses() {
        // Poisson limit: P(X >= 3 | mean 1) = 1 - e^-1 (1 + 1 + 1/2) = 0.0803.
        assert!((surprise(3, 1.0, 1e-6) - 1.0953).abs() < 1e-3);
        // Geometric (φ = 1): P(X >= n) = (m / (m + 1))^n.
        assert!((surprise(10, 1.0, 1.0) - 10.0 * 2f64.log10()).abs() < 1e-3);
    }

    static TABLES: std::sync::LazyLock<[(f64, ThresholdTable); 2]> =
        std::sync::LazyLock::new(|| [6.0, 8.0].map(|bar| (bar, ThresholdTable::new(bar))));

    proptest! {
        #[test]
        fn the_table_is_never_late_and_seldom_early(
            log_mean in -2.5f64..4.0, log_dispersion in -3.5f64..0.9, which in 0usize..2
        ) {
            let (mean, dispersion) = (10f64.powf(log_mean), 10f64.powf(log_dispersion));
            let (bar, table) = &TABLES[which];
            let exact = smallest_surprising(mean, dispersion, *bar);
            let got = table.threshold(mean, dispersion);
            prop_assert!(got <= exact + 1, "late: {got} > {exact}");
            prop_assert!(f64::from(got) >= f64::from(exact) * 0.80 - 2.0, "early: {got} < {exact}");
        }

        #[test]
        fn surprise_grows_with_the_count(n in 1u32..5000, mean in 0.01f64..1000.0, dispersion in 0.001f64..5.0) {
            prop_assert!(surprise(n + 1, mean, dispersion) >= surprise(n, mean, dispersion) - 1e-9);
        }
    }
}
