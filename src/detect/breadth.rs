//! `breadth.addresses` and `breadth.networks`: how many different addresses and /24 or /48 use a key at once.

use super::{
    FanOut,
    signal::{Signal, count_text},
    watch::{Use, Watch},
};
use crate::profile::{
    Hot, Warm,
    half_hours::UsualCount,
    tail::{self, SURPRISE_MAX},
};

/// Half hours that must have been seen before anything is called usual.
const WINDOWS_KNOWN: u16 = 4;

/// Judges how widely the key is spread over the last 30 to 60 min.
pub fn judge(watch: &Watch, hot: &Hot, warm: &Warm, signals: &mut Vec<Signal>) {
    let usual = warm.usual;
    one(&watch.addresses, "addresses", warm.address_count(), usual.addresses, (hot, warm), signals);
    one(&watch.networks, "networks (/24, /48)", warm.prefix_count(), usual.prefixes, (hot, warm), signals);
}

fn one(
    uses: &[Use<FanOut>],
    what: &str,
    count: f64,
    usual: UsualCount,
    (hot, warm): (&Hot, &Warm),
    signals: &mut Vec<Signal>,
) {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an estimate of at most 64 registers
    let n = count.round().clamp(0.0, 1e9) as u32;
    for (rule, p) in uses {
        if n < p.at_least || usual.windows < WINDOWS_KNOWN {
            continue;
        }
        let mean = f64::from(usual.mean).max(1.0);
        let dispersion =
            f64::from(usual.dispersion()) + 1.0 / (1.0 + f64::from(usual.windows.min(200)) / 4.0);
        let raw = tail::surprise(n, mean, dispersion).min(SURPRISE_MAX);
        let score = warm.calibrated(raw, hot.last_seen / 3600, hot.age_days(), 3600);
        if score >= p.surprise {
            signals.push(Signal {
                rule: *rule,
                score,
                observed: format!("{n} {what} in an hour"),
                expected: format!("usual {}", count_text(mean)),
            });
        }
    }
}
