//! `errors.refused`: a larger share of 401 and 403 than the key usually gets.
//!
//! 429 is left out: another limiter's refusals come with honest load. Ours never get here. The count is judged
//! by a negative binomial whose mean is the usual share of the window's requests.

use super::{
    signal::{Signal, share_text},
    watch::Watch,
};
use crate::profile::{Hot, tail};

/// The usual share is known no better than from so many requests.
const STRENGTH: f64 = 20.0;

/// Judges the last five minutes' refusals.
pub fn judge(watch: &Watch, hot: &Hot, signals: &mut Vec<Signal>) {
    let refused = hot.refused.sum();
    let all = hot.sums[1].max(refused);
    let share = f64::from(refused) / f64::from(all.max(1));
    for (rule, p) in &watch.refused {
        if refused < p.at_least || share < p.share {
            continue;
        }
        let usual = f64::from(hot.refused_usual).max(0.001);
        let score = tail::surprise(refused, usual * f64::from(all), 1.0 / STRENGTH);
        if score >= p.surprise {
            signals.push(Signal {
                rule: *rule,
                score,
                observed: format!("{refused} of {all} refused ({})", share_text(share)),
                expected: format!("usual {}", share_text(usual)),
            });
        }
    }
}
