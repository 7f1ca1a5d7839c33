//! Several findings, one verdict: capped contributions of the families are added.
//!
//! A surprise is a log-probability, so that independent families add; each is capped, so that no single family
//! can go far alone. Volume stays at low severity while its surprise is under 6.
//!
//! Probing, records that cannot be read, raises severity and never the step: it says that somebody hides, and not what
//! he does.

use serde::{Deserialize, Serialize};

use super::Severity;
pub use crate::profile::key::MATURE;
use crate::{detect::Family, respond::Step};

/// What one rule contributes to an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    pub rule: String,
    pub family: Family,
    pub score: f64,
    /// The rule's severity.
    pub severity: Severity,
    /// The furthest step that the rule may lead to.
    pub respond: Step,
}

/// What the causes of an incident come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// `KeyStolen`, `KeyAbused`, `KeyProbing` or `KeyUnusual`.
    pub name: &'static str,
    pub severity: Severity,
    /// Sum of the families' capped scores.
    pub score: f64,
    /// The step that the evidence asks for.
    pub step: Step,
}

/// Families agree when their capped scores reach this sum.
pub const AGREE: f64 = 6.0;
/// From here on four families that agree are critical.
const CRITICAL: f64 = 13.0;
/// From this surprise on volume counts in full: one window in a million, as the key's own tail has it.
const VOLUME_STRONG: f64 = 6.0;

const FAMILIES: [Family; 8] = [
    Family::Volume,
    Family::Place,
    Family::Errors,
    Family::Breadth,
    Family::Identity,
    Family::Lifecycle,
    Family::Cost,
    Family::Probing,
];

/// The family of that name.
pub fn family(name: &str) -> Option<Family> {
    FAMILIES.into_iter().find(|family| family.as_str() == name)
}

/// The names of all verdicts.
pub const VERDICTS: [&str; 4] = ["KeyStolen", "KeyAbused", "KeyProbing", "KeyUnusual"];

/// Weighs the causes against each other.
pub fn judge(causes: &[Cause], maturity: f64) -> Verdict {
    let contributions = FAMILIES.map(|family| contribution(causes, family));
    let score: f64 = contributions.iter().sum();
    let families = contributions.iter().filter(|c| **c > 0.0).count();
    let has = |family: Family| contributions[family as usize] > 0.0;
    let agree = families >= 2 && score >= AGREE;
    let alone = causes.iter().map(|cause| alone(cause, maturity)).max().unwrap_or_default();
    let severity = match agree {
        true if families >= 4 && score >= CRITICAL => Severity::Critical,
        true => Severity::High,
        false => alone,
    };
    let told = if severity >= Severity::Low { Step::Alert } else { Step::Observe };
    let step = step(causes, &contributions).max(told);
    // A young profile may be told about, but it does not wake anybody up.
    let severity = if maturity < MATURE { severity.min(Severity::Medium) } else { severity };
    let name = match () {
        () if agree && has(Family::Place) => "KeyStolen",
        () if has(Family::Volume) || has(Family::Cost) => "KeyAbused",
        () if has(Family::Errors) || has(Family::Breadth) => "KeyProbing",
        () => "KeyUnusual",
    };
    Verdict { name, severity, score, step }
}

/// The step that the findings ask for: what their rules allow if families agree without probing, or volume is strong.
fn step(causes: &[Cause], contributions: &[f64; FAMILIES.len()]) -> Step {
    let acting = |family: &&Family| **family != Family::Probing;
    let scores = FAMILIES.iter().filter(acting).map(|family| contributions[*family as usize]);
    let (families, score) =
        scores.filter(|score| *score > 0.0).fold((0, 0.0), |(n, sum), score| (n + 1, sum + score));
    let agree = families >= 2 && score >= AGREE;
    let asks = |cause: &&Cause| match cause.family {
        Family::Probing => false,
        Family::Volume if cause.score >= VOLUME_STRONG => true,
        _ => agree,
    };
    causes.iter().filter(asks).map(|cause| cause.respond.min(Step::Throttle)).max().unwrap_or_default()
}

/// How far one finding may go with no other family beside it.
fn alone(cause: &Cause, maturity: f64) -> Severity {
    match cause.family {
        Family::Volume if maturity < MATURE => Severity::Info,
        Family::Volume if cause.score < VOLUME_STRONG => cause.severity.min(Severity::Low),
        _ => cause.severity,
    }
}

fn contribution(causes: &[Cause], family: Family) -> f64 {
    let scores = causes.iter().filter(|cause| cause.family == family).map(|cause| cause.score);
    capped(family, scores.fold(0.0, f64::max))
}

/// What a family adds to the sum, from the best score of its findings.
pub fn capped(family: Family, best: f64) -> f64 {
    match family {
        Family::Volume if best < VOLUME_STRONG => (best / 4.0).min(1.5),
        Family::Cost | Family::Breadth => best.min(3.0),
        Family::Identity => best.min(2.0),
        Family::Volume | Family::Place | Family::Errors | Family::Lifecycle | Family::Probing => {
            best.min(4.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(family: Family, score: f64, severity: Severity) -> Cause {
        Cause { rule: format!("{family:?}"), family, score, severity, respond: Step::Throttle }
    }

    #[track_caller]
    fn check(causes: &[Cause], maturity: f64, expected: (&str, Severity, Step)) {
        let verdict = judge(causes, maturity);
        assert_eq!((verdict.name, verdict.severity, verdict.step), expected, "{verdict:?}");
    }

    #[test]
    fn weak_volume_pages_nobody() {
        check(&[cause(Family::Volume, 5.9, Severity::High)], 0.9, ("KeyAbused", Severity::Low, Step::Alert));
    }

    #[test]
    fn strong_volume_throttles() {
        check(
            &[cause(Family::Volume, 20.0, Severity::High)],
            0.9,
            ("KeyAbused", Severity::High, Step::Throttle),
        );
    }

    #[test]
    fn a_place_alone_is_only_told() {
        check(&[cause(Family::Place, 5.0, Severity::Low)], 0.9, ("KeyUnusual", Severity::Low, Step::Alert));
    }

    #[test]
    fn a_place_and_refusals_are_a_stolen_key() {
        let causes =
            [cause(Family::Place, 3.0, Severity::Info), cause(Family::Errors, 30.0, Severity::Medium)];
        check(&causes, 0.9, ("KeyStolen", Severity::High, Step::Throttle));
    }

    #[test]
    fn records_that_cannot_be_read_page_and_never_step() {
        let unreadable = || cause(Family::Probing, 30.0, Severity::High);
        check(&[unreadable()], 0.9, ("KeyUnusual", Severity::High, Step::Alert));
        let place = cause(Family::Place, 4.0, Severity::Info);
        check(&[unreadable(), place.clone()], 0.9, ("KeyStolen", Severity::High, Step::Alert));
        let errors = cause(Family::Errors, 4.0, Severity::Medium);
        check(&[unreadable(), errors.clone(), place], 0.9, ("KeyStolen", Severity::High, Step::Throttle));
        check(&[unreadable(), errors], 0.9, ("KeyProbing", Severity::High, Step::Alert));
        let volume = cause(Family::Volume, 20.0, Severity::High);
        check(&[unreadable(), volume], 0.9, ("KeyAbused", Severity::High, Step::Throttle));
    }

    #[test]
    fn a_young_profile_wakes_nobody() {
        let causes =
            [cause(Family::Place, 3.0, Severity::Info), cause(Family::Errors, 30.0, Severity::Medium)];
        check(&causes, 0.3, ("KeyStolen", Severity::Medium, Step::Throttle));
        check(
            &[cause(Family::Volume, 20.0, Severity::High)],
            0.3,
            ("KeyAbused", Severity::Info, Step::Throttle),
        );
    }
}
