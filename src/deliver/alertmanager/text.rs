//! The sentences of an alert: what happened, why we think so, what was done, how sure we are, what to do.
//!
//! Written for a person who was asleep a minute ago: the key's name first, numbers beside what is usual, no word that
//! is not needed. Everything comes from the incident record.

use std::fmt::Write;

use crate::{
    deliver::WallTime,
    event::printable,
    incident::{Doing, Incident, Outcome, Reason, fuse},
};

/// The most reasons that a description names.
const REASONS: usize = 4;
/// A reason may quote what a log said: it is cut here, in characters.
const SENTENCE: usize = 300;

/// `acme / billing-prod: key in use by a stranger; throttled`.
pub(super) fn summary(incident: &Incident) -> String {
    format!("{}: {}; {}", who(incident), verdict(incident), effect(incident))
}

/// The strongest reason of each family, the strongest first, then what speaks against.
pub(super) fn description(incident: &Incident) -> String {
    let mut sentences: Vec<String> = by_weight(incident).into_iter().take(REASONS).map(sentence).collect();
    if sentences.is_empty() {
        sentences.push("No reason was recorded.".to_owned());
    }
    if !incident.doubts.is_empty() {
        sentences.push(format!("Doubt: {}", ended(&incident.doubts.join("; "))));
    }
    sentences.join(" ")
}

/// What Keyhound did: `THROTTLE since 03:11:40Z, ends 04:11:40Z.`
pub(super) fn action(incident: &Incident) -> String {
    let mut text = match state(incident) {
        State::Untouched => "None so far.".to_owned(),
        State::Lifted(doing) => {
            format!("Lifted at {} by {}; the key is served as usual.", clock(&doing.at), doing.by)
        }
        State::Ended(doing) => {
            format!("{} ended at {}; the key is served as usual.", shout(doing), clock(&doing.at))
        }
        State::Shadow(doing) => format!("None: shadow mode. Would {}.", holds(doing)),
        State::InForce(doing) => format!("{}.", holds(doing)),
    };
    for held in &incident.held {
        let _ = write!(text, " Held back: {} ({}).", held.step.as_str(), held.by);
    }
    text
}

/// `THROTTLE since 03:11:40Z, ends 04:11:40Z`.
fn holds(doing: &Doing) -> String {
    let mut text = format!("{} since {}", shout(doing), clock(&doing.at));
    if let Some(until) = &doing.until {
        let _ = write!(text, ", ends {}", clock(until));
    }
    if doing.by != "policy" {
        let _ = write!(text, ", by {}", doing.by);
    }
    text
}

/// `high: place, errors and breadth agree; maturity 0.94`.
pub(super) fn confidence(incident: &Incident) -> String {
    let mut families: Vec<&str> =
        by_weight(incident).into_iter().map(|reason| reason.family.as_str()).collect();
    families.truncate(REASONS);
    let agree = families.len() >= 2 && incident.score >= fuse::AGREE;
    let level = match families.len() {
        _ if incident.maturity < fuse::MATURE => "low",
        _ if !agree && incident.maturity < 0.8 => "low",
        _ if !agree => "medium",
        2 if incident.maturity < 0.8 => "medium",
        _ => "high",
    };
    let why = match families.as_slice() {
        [] => "no evidence recorded".to_owned(),
        [only] => format!("{only} alone"),
        [first @ .., last] => {
            let together = if agree { "agree" } else { "are too weak to agree" };
            format!("{} and {last} {together}", first.join(", "))
        }
    };
    format!("{level}: {why}; maturity {:.2}", incident.maturity)
}

/// Whom to ask, and the command for either answer.
pub(super) fn next_step(incident: &Incident) -> String {
    let key = &incident.subject.id;
    if !incident.is_open() {
        return "Nothing: it is over.".to_owned();
    }
    let stolen = if incident.is_in_shadow() {
        "Stolen: revoke it at its gateway; in shadow mode, keyhound refuses nothing.".to_owned()
    } else {
        format!("Stolen: keyhound decisions revoke {key} --reason \"…\".")
    };
    let theirs = if incident.in_force().is_some() {
        format!("Theirs: keyhound decisions lift {key} --reason \"…\".")
    } else {
        "Theirs: nothing to do.".to_owned()
    };
    let subject = &incident.subject;
    let known = [subject.owner.as_str(), subject.contact.as_str()];
    let known = known.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
    let owner = if known.is_empty() {
        format!("Ask the owner of {}.", who(incident))
    } else {
        format!("Call the owner of {} ({known}).", who(incident))
    };
    format!("{owner} {stolen} {theirs}")
}

/// The strongest reason of each family, the strongest first; equal ones by the family's name.
pub(super) fn by_weight(incident: &Incident) -> Vec<&Reason> {
    let mut reasons: Vec<&Reason> = incident.reasons.iter().collect();
    reasons.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.family.cmp(&b.family)));
    let mut best: Vec<&Reason> = Vec::new();
    for reason in reasons {
        if best.iter().all(|found| found.family != reason.family) {
            best.push(reason);
        }
    }
    best
}

/// The text in one line, with what chat programs read as markup shown by characters that look alike.
///
/// Names come from a catalogue and reasons from logs: neither may place a link or call a channel (`<!channel>`).
pub(super) fn unmarked(text: &str) -> String {
    let plain = |c: char| match c {
        '<' => '‹',
        '>' => '›',
        '[' => '(',
        ']' => ')',
        '`' => '\'',
        '*' => '∗',
        other => other,
    };
    printable(text).chars().map(plain).collect()
}

/// The key as people call it: `acme / billing-prod`, or its short id.
fn who(incident: &Incident) -> String {
    let subject = &incident.subject;
    let short =
        || subject.id.parse::<crate::event::KeyId>().map_or_else(|_| subject.id.clone(), |key| key.short());
    match (subject.tenant.as_str(), subject.name.as_str()) {
        ("", "") => format!("key {}", short()),
        ("", name) => name.to_owned(),
        (tenant, "") => format!("{tenant} / {}", short()),
        (tenant, name) => format!("{tenant} / {name}"),
    }
}

fn verdict(incident: &Incident) -> &'static str {
    match incident.verdict.as_str() {
        "KeyStolen" => "key in use by a stranger",
        "KeyAbused" => "key used far beyond its usual",
        "KeyProbing" => "key tries what it may not do",
        _ => "key used in an unusual way",
    }
}

fn effect(incident: &Incident) -> String {
    if !incident.is_open() {
        return "over".to_owned();
    }
    match state(incident) {
        State::Untouched => "nothing done".to_owned(),
        State::Lifted(_) => "lifted".to_owned(),
        State::Ended(doing) => format!("no longer {}", past(doing)),
        State::Shadow(doing) => format!("would be {} (shadow mode)", past(doing)),
        State::InForce(doing) => past(doing).to_owned(),
    }
}

/// What is done about the key, by the last of the steps.
enum State<'a> {
    Untouched,
    InForce(&'a Doing),
    Shadow(&'a Doing),
    Lifted(&'a Doing),
    Ended(&'a Doing),
}

fn state(incident: &Incident) -> State<'_> {
    let Some(last) = incident.steps.last() else { return State::Untouched };
    match last.outcome {
        Outcome::Granted => State::InForce(last),
        Outcome::Shadow => State::Shadow(last),
        Outcome::Lifted => State::Lifted(last),
        // The key was served as usual all the time.
        Outcome::Ended if incident.is_in_shadow() => State::Untouched,
        Outcome::Ended => State::Ended(last),
    }
}

fn past(doing: &Doing) -> &'static str {
    use crate::respond::Step;
    match doing.step {
        Step::Observe => "observed",
        Step::Alert => "told",
        Step::Throttle => "throttled",
        Step::Restrict => "restricted",
        Step::Suspend => "suspended",
        Step::Revoke => "revoked",
    }
}

fn shout(doing: &Doing) -> String {
    doing.step.as_str().to_uppercase()
}

/// `214 requests in 21 s (usual 13).`, or the reason's own sentence.
fn sentence(reason: &Reason) -> String {
    let text = if reason.text.is_empty() {
        format!("{} ({})", reason.observed, reason.expected)
    } else {
        reason.text.clone()
    };
    ended(&text)
}

/// Cuts a text to a sentence's length and ends it with a full stop.
fn ended(text: &str) -> String {
    let mut text: String = text.trim().chars().take(SENTENCE).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// The time of day in UTC: `03:11:40Z`. The text as it is if it is no time.
fn clock(text: &str) -> String {
    let time = WallTime::parse(text).map(WallTime::rfc3339);
    time.and_then(|time| Some(format!("{}Z", time.get(11..19)?))).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{incident::testing::stolen, respond::Mode};

    #[test]
    fn a_key_without_a_name_is_called_by_its_short_id() {
        let mut incident = stolen();
        incident.subject.name.clear();
        assert!(summary(&incident).starts_with("acme / kf1_9c41…e07b: "), "{}", summary(&incident));
        incident.subject.tenant.clear();
        assert!(summary(&incident).starts_with("key kf1_9c41…e07b: "), "{}", summary(&incident));
    }

    #[test]
    fn shadow_mode_says_what_would_have_been_done() {
        let mut incident = stolen();
        incident.mode = Mode::Shadow;
        incident.steps[0].outcome = Outcome::Shadow;
        incident.held.clear();
        assert!(summary(&incident).ends_with("; would be throttled (shadow mode)"), "{}", summary(&incident));
        assert_eq!(action(&incident), "None: shadow mode. Would THROTTLE since 03:11:40Z, ends 04:11:40Z.");
        assert!(!next_step(&incident).contains("keyhound decisions"), "{}", next_step(&incident));
        assert!(next_step(&incident).ends_with("Theirs: nothing to do."));
    }

    #[test]
    fn what_was_served_in_an_incident_that_opened_in_shadow_mode_is_told_as_done() {
        let mut incident = stolen();
        incident.mode = Mode::Shadow;
        assert!(summary(&incident).ends_with("; throttled"), "{}", summary(&incident));
        assert!(action(&incident).starts_with("THROTTLE since 03:11:40Z, ends 04:11:40Z."));
        assert!(next_step(&incident).contains("decisions revoke"), "{}", next_step(&incident));
        assert!(next_step(&incident).contains("decisions lift"), "{}", next_step(&incident));
    }

    #[test]
    fn a_step_whose_time_is_over_is_not_told_as_going_on() {
        let mut incident = stolen();
        let ended = Doing {
            at: "2026-11-22T04:11:40Z".to_owned(),
            outcome: Outcome::Ended,
            ..incident.steps[0].clone()
        };
        incident.steps.push(ended);
        incident.held.clear();
        assert!(summary(&incident).ends_with("; no longer throttled"), "{}", summary(&incident));
        assert_eq!(action(&incident), "THROTTLE ended at 04:11:40Z; the key is served as usual.");
        assert!(next_step(&incident).ends_with("Theirs: nothing to do."));
        incident.mode = Mode::Shadow;
        incident.steps[0].outcome = Outcome::Shadow;
        assert!(summary(&incident).ends_with("; nothing done"), "{}", summary(&incident));
    }

    #[test]
    fn one_family_alone_is_never_high_confidence() {
        let mut incident = stolen();
        incident.reasons.truncate(1);
        assert_eq!(confidence(&incident), "medium: volume alone; maturity 0.94");
        incident.maturity = 0.3;
        assert_eq!(confidence(&incident), "low: volume alone; maturity 0.30");
        let weak = Incident { score: 5.5, ..stolen() };
        assert_eq!(
            confidence(&weak),
            "medium: place, errors and volume are too weak to agree; maturity 0.94"
        );
    }

    #[test]
    fn an_endless_reason_is_cut() {
        let mut incident = stolen();
        incident.reasons[0].text = "x".repeat(100_000);
        assert!(description(&incident).len() < 2_000);
    }
}
