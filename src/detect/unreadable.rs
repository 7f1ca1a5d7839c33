//! `records.unreadable`: a larger share of records that are cut or cannot be read than the key usually has.
//!
//! A caller chooses much of what a gateway logs. What he writes must not hide him: where the key can be read, a record
//! that says nothing else still says that. The count is judged by a negative binomial whose mean is the usual share.

use super::{
    signal::{Signal, share_text},
    watch::Watch,
};
use crate::profile::{Hot, Warm, tail};

const SCATTER: f64 = 0.2;
/// A share under this is not told from none.
const LEAST_USUAL: f64 = 0.01;

/// Judges the last five minutes after a record that was cut or could not be read.
pub fn judge(watch: &Watch, hot: &Hot, warm: &Warm, signals: &mut Vec<Signal>) {
    // What was always so is nothing, and that is not known before a half hour has closed.
    let Some(known) = warm.usual.unreadable() else { return };
    let n = warm.unreadable.sum();
    // Records that are cut are among the requests that were counted; those that cannot be read are not.
    let all = hot.sums[1].saturating_add(n);
    let share = f64::from(n) / f64::from(all.max(1));
    let usual = f64::from(known).max(LEAST_USUAL);
    for (rule, p) in &watch.unreadable {
        if n < p.at_least || share < p.share {
            continue;
        }
        let score = tail::surprise(n, usual * f64::from(all), SCATTER);
        if score >= p.surprise {
            signals.push(Signal {
                rule: *rule,
                score,
                observed: format!(
                    "{n} records that are cut or cannot be read, beside {} requests",
                    hot.sums[1]
                ),
                expected: format!("usual {}", share_text(f64::from(known))),
            });
        }
    }
}
