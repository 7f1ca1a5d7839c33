//! Tests of tails, against sums, closed forms and an independent computation.

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

/// Counts, means, dispersions, and −log10 of the tail: the density of the beta distribution integrated by mpmath 1.3 with
/// 40 digits (`mp.quad` over the logit of its variable), which shares nothing with the continued fraction. These are days
/// of keys with 1e6 to 1e8 requests.
#[allow(clippy::unreadable_literal)] // as mpmath gives them
const BY_QUADRATURE: &[(u32, f64, f64, f64)] = &[
    (1_001_415, 1_000_000.0, 1e-06, 0.7996797332),
    (1_008_486, 1_000_000.0, 1e-06, 8.973342117),
    (1_028_285, 1_000_000.0, 1e-06, 87.35303278),
    (1_031_639, 1_000_000.0, 0.001, 0.799651799),
    (1_189_832, 1_000_000.0, 0.001, 8.141401145),
    (1_632_772, 1_000_000.0, 0.001, 63.53246893),
    (1_223_610, 1_000_000.0, 0.05, 0.8043393127),
    (2_341_655, 1_000_000.0, 0.05, 5.467366903),
    (5_472_181, 1_000_000.0, 0.05, 25.78908026),
    (1_547_724, 1_000_000.0, 0.3, 0.8241025663),
    (4_286_341, 1_000_000.0, 0.3, 3.882471108),
    (11_954_470, 1_000_000.0, 0.3, 13.9897881),
    (2_414_214, 1_000_000.0, 2.0, 0.9199569105),
    (9_485_284, 1_000_000.0, 2.0, 2.68376361),
    (29_284_279, 1_000_000.0, 2.0, 7.204113338),
    (3_003_465, 3_000_000.0, 1e-06, 0.7996217788),
    (3_020_785, 3_000_000.0, 1e-06, 8.974397098),
    (3_069_283, 3_000_000.0, 1e-06, 87.40871607),
    (3_094_885, 3_000_000.0, 0.001, 0.7996559848),
    (3_569_305, 3_000_000.0, 0.001, 8.141393449),
    (4_897_683, 3_000_000.0, 0.001, 63.53248423),
    (3_670_823, 3_000_000.0, 0.05, 0.8043379894),
    (7_024_936, 3_000_000.0, 0.05, 5.46736485),
    (16_416_453, 3_000_000.0, 0.05, 25.78908132),
    (4_643_169, 3_000_000.0, 0.3, 0.8241025129),
    (12_859_012, 3_000_000.0, 0.3, 3.882471499),
    (35_863_372, 3_000_000.0, 0.3, 13.98978788),
    (7_242_642, 3_000_000.0, 2.0, 0.9199570683),
    (28_455_847, 3_000_000.0, 2.0, 2.683763629),
    (87_852_821, 3_000_000.0, 2.0, 7.204113274),
    (10_010_489, 10_000_000.0, 1e-06, 0.7995716238),
    (10_062_929, 10_000_000.0, 1e-06, 8.974757934),
    (10_209_762, 10_000_000.0, 1e-06, 87.417613),
    (10_316_244, 10_000_000.0, 0.001, 0.7996533643),
    (11_897_462, 10_000_000.0, 0.001, 8.141401805),
    (16_324_872, 10_000_000.0, 0.001, 63.53250047),
    (12_236_071, 10_000_000.0, 0.05, 0.8043381758),
    (23_416_422, 10_000_000.0, 0.05, 5.467365451),
    (54_721_405, 10_000_000.0, 0.05, 25.7890817),
    (15_477_227, 10_000_000.0, 0.3, 0.8241025402),
    (42_863_359, 10_000_000.0, 0.3, 3.882471452),
    (119_544_530, 10_000_000.0, 0.3, 13.98978793),
    (24_142_136, 10_000_000.0, 2.0, 0.9199570126),
    (94_852_816, 10_000_000.0, 2.0, 2.683763601),
    (292_842_720, 10_000_000.0, 2.0, 7.204113296),
    (30_030_496, 30_000_000.0, 1e-06, 0.7995369402),
    (30_182_976, 30_000_000.0, 1e-06, 8.974804643),
    (30_609_919, 30_000_000.0, 1e-06, 87.41907938),
    (30_948_700, 30_000_000.0, 0.001, 0.7996537895),
    (35_692_195, 30_000_000.0, 0.001, 8.141401163),
    (48_973_983, 30_000_000.0, 0.001, 63.53250293),
    (36_708_207, 30_000_000.0, 0.05, 0.8043381301),
    (70_249_238, 30_000_000.0, 0.05, 5.467365421),
    (164_164_124, 30_000_000.0, 0.05, 25.78908156),
    (46_431_678, 30_000_000.0, 0.3, 0.8241025348),
    (128_590_066, 30_000_000.0, 0.3, 3.882471491),
    (358_633_553, 30_000_000.0, 0.3, 13.98978796),
    (72_426_408, 30_000_000.0, 2.0, 0.9199570284),
    (284_558_444, 30_000_000.0, 2.0, 2.68376361),
    (878_528_145, 30_000_000.0, 2.0, 7.204113298),
    (100_100_499, 100_000_000.0, 1e-06, 0.7995439643),
    (100_602_993, 100_000_000.0, 1e-06, 8.974799414),
    (102_009_976, 100_000_000.0, 1e-06, 87.41911479),
    (103_162_294, 100_000_000.0, 0.001, 0.7996535282),
    (118_973_761, 100_000_000.0, 0.001, 8.141401299),
    (163_245_870, 100_000_000.0, 0.001, 63.53250128),
    (122_360_683, 100_000_000.0, 0.05, 0.8043381141),
    (234_164_093, 100_000_000.0, 0.05, 5.467365358),
    (547_213_641, 100_000_000.0, 0.05, 25.78908155),
    (154_772_257, 100_000_000.0, 0.3, 0.8241025376),
    (428_633_540, 100_000_000.0, 0.3, 3.882471498),
    (1_195_445_134, 100_000_000.0, 0.3, 13.98978797),
    (241_421_357, 100_000_000.0, 2.0, 0.9199570256),
    (948_528_140, 100_000_000.0, 2.0, 2.683763609),
    (2_928_427_132, 100_000_000.0, 2.0, 7.204113297),
];

#[test]
fn the_tail_of_a_large_count_is_that_of_an_independent_computation() {
    for &(n, mean, dispersion, expected) in BY_QUADRATURE {
        let got = surprise(n, mean, dispersion);
        assert!(
            (got - expected).abs() < 1e-5,
            "{n}, mean {mean}, dispersion {dispersion}: {got}, {expected}"
        );
    }
}

/// The sum of the masses from n on.
fn summed(n: u32, mean: f64, dispersion: f64) -> f64 {
    let size = 1.0 / dispersion;
    let p = mean / (mean + size);
    let mut log_mass = size * libm::log(size / (mean + size));
    for k in 0..n {
        log_mass += libm::log((f64::from(k) + size) / f64::from(k + 1) * p);
    }
    let (mut term, mut sum, mut k) = (1.0, 0.0, f64::from(n));
    while term > sum * 1e-14 {
        sum += term;
        term *= (k + size) / (k + 1.0) * p;
        k += 1.0;
    }
    -(log_mass + libm::log(sum)) / LN_10
}

#[test]
fn state_hangs_on_no_machine_s_functions() {
    // These bits hold with every C library and every processor: libm computes with the operations of IEEE 754 alone.
    let table = ThresholdTable::new(8.0);
    let bits: Vec<u64> = [
        surprise(214, 38.0, 0.1),
        surprise(3, 1.0, 1e-6),
        surprise(94_852_816, 1e7, 2.0),
        f64::from(table.threshold(38.0, 0.1)),
        f64::from(table.threshold(3.3e6, 0.02)),
    ]
    .map(f64::to_bits)
    .to_vec();
    let fixed = [
        0x4028_87fd_25eb_7886,
        0x3ff1_8640_8c31_dded,
        0x4005_7859_131b_3ab0,
        0x4063_c000_0000_0000,
        0x4158_8a86_4000_0000,
    ];
    assert_eq!(bits, fixed, "{bits:#x?}");
}

#[test]
fn a_tail_is_a_sum_of_masses() {
    // Poisson limit: P(X >= 3 | mean 1) = 1 - e^-1 (1 + 1 + 1/2) = 0.0803.
    assert!((surprise(3, 1.0, 1e-6) - 1.0953).abs() < 1e-3);
    // Geometric (φ = 1): P(X >= n) = (m / (m + 1))^n.
    assert!((surprise(10, 1.0, 1.0) - 10.0 * libm::log10(2.0)).abs() < 1e-3);
}

static TABLES: std::sync::LazyLock<[(f64, ThresholdTable); 2]> =
    std::sync::LazyLock::new(|| [6.0, 8.0].map(|bar| (bar, ThresholdTable::new(bar))));

proptest! {
    #[test]
    fn the_table_is_never_late_and_seldom_early(
        log_mean in -2.5f64..4.0, log_dispersion in -3.5f64..2.5, which in 0usize..2
    ) {
        let (mean, dispersion) = (libm::exp10(log_mean), libm::exp10(log_dispersion));
        let (bar, table) = &TABLES[which];
        let exact = smallest_surprising(mean, dispersion, *bar);
        let got = table.threshold(mean, dispersion);
        prop_assert!(got <= exact + 1, "late: {got} > {exact}");
        prop_assert!(f64::from(got) >= f64::from(exact) * 0.80 - 2.0, "early: {got} < {exact}");
    }

    #[test]
    fn the_tail_is_the_sum_of_its_masses(
        over in 1.0f64..6.0, log_mean in -2.0f64..3.5, log_dispersion in -4.0f64..1.0
    ) {
        let (mean, dispersion) = (libm::exp10(log_mean), libm::exp10(log_dispersion));
        let n = ceil_to_u32(mean * over) + 1;
        let (got, expected) = (surprise(n, mean, dispersion), summed(n, mean, dispersion));
        prop_assert!((got - expected.min(SURPRISE_MAX)).abs() < 1e-7, "{}, {}: {} {}", n, mean, got, expected);
    }

    #[test]
    fn surprise_grows_with_the_count(n in 1u32..5000, mean in 0.01f64..1000.0, dispersion in 0.001f64..5.0) {
        prop_assert!(surprise(n + 1, mean, dispersion) >= surprise(n, mean, dispersion) - 1e-9);
    }
}
