//! One detector's answer, before any rule has said what it means.

/// How surprising something is, and the words for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The rule whose detector said it, by its index in the rule set.
    pub rule: u16,
    /// −log10 of a tail probability.
    pub score: f64,
    /// What was seen: `214 requests in 1 min`.
    pub observed: String,
    /// What is usual: `usual 13`.
    pub expected: String,
}

/// A count as people read it: `13`, or `0.4` below ten.
pub fn count_text(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A share as people read it: `41 %`, or `0.4 %` below ten.
pub fn share_text(value: f64) -> String {
    format!("{} %", count_text(value * 100.0))
}
