//! `cost.latency` and `cost.size`: many requests beyond their route's 99th percentile.
//!
//! The expected share is the greatest of one in a hundred, the key's own usual share and the route's recent
//! share over everybody: a slow backend is nobody's fault.

use super::{
    BeyondRoute,
    signal::{Signal, share_text},
    watch::{Use, Watch},
};
use crate::profile::{Beyond, Hot, Warm, tail};

const SCATTER: f64 = 0.2;

/// Judges the last five minutes after a request that was beyond its route.
pub fn judge(watch: &Watch, hot: &Hot, warm: &Warm, beyond: Beyond, signals: &mut Vec<Signal>) {
    if beyond.slow {
        let usual = warm.usual.slow.max(beyond.slow_share);
        one(&watch.slow, "slower", warm.slow.sum(), hot, usual, signals);
    }
    if beyond.large {
        let usual = warm.usual.large.max(beyond.large_share);
        one(&watch.large, "larger", warm.large.sum(), hot, usual, signals);
    }
}

fn one(uses: &[Use<BeyondRoute>], what: &str, n: u32, hot: &Hot, usual: f32, signals: &mut Vec<Signal>) {
    let all = hot.sums[1].max(n);
    let usual = f64::from(usual).max(0.01);
    for (rule, p) in uses {
        if n < p.at_least {
            continue;
        }
        let score = tail::surprise(n, usual * f64::from(all), SCATTER);
        if score >= p.surprise {
            signals.push(Signal {
                rule: *rule,
                score,
                observed: format!("{n} of {all} {what} than 99 % on their route"),
                expected: format!("usual {}", share_text(usual)),
            });
        }
    }
}
