//! An incident as it is read at three in the morning: verdict, effect, evidence, doubt, what to do.
//!
//! A pure function of the records. No colour: whatever colour would say is said in words.

use std::fmt::Write;

use crate::{
    catalogue::{Entry, KeyClass},
    deliver::WallTime,
    event::{KeyId, printable},
    incident::{Incident, Outcome, Reason, Sample, fuse},
};

/// Width of the left column.
const HEAD: usize = 8;
/// Requests that are shown of those that the incident keeps.
const SAMPLES: usize = 3;

/// An incident with what is known beside it. What is not known is left out of the page.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub incident: &'a Incident,
    pub now: WallTime,
    /// What the catalogue says of the key.
    pub entry: Option<&'a Entry>,
    pub effect: Option<Effect>,
}

/// What the key's requests came to. Only who saw them all knows: the demonstration, which makes them. An incident's
/// frozen evidence has a few samples and no counts, so the daemon leaves this line out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Served from the stranger's first request to the first step.
    pub served_before: u64,
    pub served_since: u64,
    pub refused: u64,
}

/// The page, lines of about 100 columns.
pub fn page(view: &View<'_>) -> String {
    let mut page = Page::default();
    verdict(view, &mut page);
    key(view, &mut page);
    if let Some(effect) = view.effect {
        let Effect { served_before, served_since, refused } = effect;
        page.line(
            "Effect",
            &format!("{served_before} served before, {served_since} since, {refused} refused"),
        );
    }
    why(view.incident, &mut page);
    seen(view.incident, &mut page);
    page.lines("Doubt", doubts(view.incident).into_iter());
    page.lines("Did", did(view.incident).chunks(3).map(|some| some.join("  ")));
    let withheld = withheld(view.incident).join(", ");
    if !withheld.is_empty() {
        page.line("Held", &withheld);
    }
    page.lines("Do", to_do(view.incident).into_iter());
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    /// Nothing in a text of a log may steer a terminal.
    fn line(&mut self, head: &str, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{}", format!("{head:<HEAD$}{}", printable(text)).trim_end());
    }

    /// The head stands before the first line only.
    fn lines(&mut self, head: &str, texts: impl Iterator<Item = String>) {
        for (index, text) in texts.enumerate() {
            self.line(if index == 0 { head } else { "" }, &text);
        }
    }
}

fn verdict(view: &View<'_>, page: &mut Page) {
    let incident = view.incident;
    let (words, state) = (verdict_words(incident), state(view));
    let severity = incident.severity.as_str();
    let _ = writeln!(page.0, "{words:<25} {severity:<8} {state:<14} {}", incident.id.0);
}

/// What it looks like, in a few words.
pub(super) fn verdict_words(incident: &Incident) -> &'static str {
    match incident.verdict.as_str() {
        "KeyStolen" => "STOLEN KEY, likely",
        "KeyAbused" => "KEY USED FAR BEYOND ITS USUAL",
        "KeyProbing" => "KEY TRIES WHAT IT MAY NOT DO",
        _ => "KEY USED IN AN UNUSUAL WAY",
    }
}

/// `open 2 min`, `closed after 20 min`, `backlog`.
pub(super) fn state(view: &View<'_>) -> String {
    let incident = view.incident;
    let lasted = |to: Option<WallTime>| {
        let minutes =
            WallTime::parse(&incident.opened_at).zip(to).map(|(from, to)| to.since(from).as_secs() / 60);
        minutes.map_or_else(String::new, |minutes| format!(" {minutes} min"))
    };
    match &incident.closed_at {
        None if incident.stale => "backlog".to_owned(),
        None => format!("open{}", lasted(Some(view.now))),
        Some(at) => format!("closed after{}", lasted(WallTime::parse(at))),
    }
}

fn key(view: &View<'_>, page: &mut Page) {
    let subject = &view.incident.subject;
    let mut text = key_name(view.incident);
    let id = subject.id.parse::<KeyId>().map_or_else(|_| subject.id.clone(), |id| id.short());
    let _ = write!(text, "{}{id}", if text.is_empty() { "" } else { "  " });
    if view.entry.is_some() {
        let _ = write!(text, "   {}", facts(view));
    }
    page.line("Key", &text);
}

/// What people call the key, with its tenant; empty if nobody has named it.
pub(super) fn key_name(incident: &Incident) -> String {
    let names = [incident.subject.tenant.as_str(), incident.subject.name.as_str()];
    names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" / ")
}

/// `server key, plan gold, owner payments-oncall`; empty if the catalogue does not know the key.
pub(super) fn facts(view: &View<'_>) -> String {
    let Some(entry) = view.entry else { return String::new() };
    let mut facts = vec![match entry.class {
        KeyClass::Unknown => "key without a class".to_owned(),
        class => format!("{} key", class.as_str()),
    }];
    if !entry.plan.is_empty() {
        facts.push(format!("plan {}", entry.plan));
    }
    if !entry.owner.is_empty() {
        facts.push(format!("owner {}", entry.owner));
    }
    facts.join(", ")
}

/// The reasons, the most surprising first, and what they would come to without the first.
fn why(incident: &Incident, page: &mut Page) {
    let reasons = reasons(incident);
    let wide = |text: &dyn Fn(&Reason) -> usize, least: usize| {
        reasons.iter().map(|reason| text(reason)).max().unwrap_or(0).clamp(least, 48)
    };
    let observed = wide(&|reason| reason.observed.chars().count(), 30);
    let expected = wide(&|reason| reason.expected.chars().count(), 20);
    page.lines(
        "Why",
        reasons.iter().map(|reason| {
            format!(
                "{:<8} {:<observed$}   {:<expected$}   {:+.1}",
                reason.family, reason.observed, reason.expected, reason.score
            )
        }),
    );
    page.line("", &total(incident, &reasons));
}

/// The reasons, the most surprising first.
pub(super) fn reasons(incident: &Incident) -> Vec<&Reason> {
    let mut reasons: Vec<&Reason> = incident.reasons.iter().collect();
    reasons.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.rule.cmp(&b.rule)));
    reasons
}

/// What they come to, and how much of it hangs on the strongest family.
pub(super) fn total(incident: &Incident, reasons: &[&Reason]) -> String {
    let mut text =
        format!("total {:.1}, each family capped; two that agree need {:.1}.", incident.score, fuse::AGREE);
    let leading = contributions(reasons).into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((family, share)) = leading {
        let _ = write!(text, " Without {family}: {:.1}.", (incident.score - share).max(0.0));
    }
    let _ = write!(text, " Maturity {:.2}.", incident.maturity);
    text
}

/// What each family adds to the total, in the order in which they first appear.
fn contributions<'a>(reasons: &[&'a Reason]) -> Vec<(&'a str, f64)> {
    let mut found: Vec<(&str, f64)> = Vec::new();
    for reason in reasons {
        if found.iter().all(|(family, _)| *family != reason.family) {
            // A family of a later version is shown as it is.
            let share = fuse::family(&reason.family)
                .map_or(reason.score, |family| fuse::capped(family, reason.score));
            found.push((&reason.family, share));
        }
    }
    found
}

/// Some of the requests that were evidence, each with where its record is.
fn seen(incident: &Incident, page: &mut Page) {
    let samples = incident.evidence.samples.iter().take(SAMPLES).map(|sample| {
        let Sample { method, route, status, network, country, prefix, agent, position, at } = sample;
        let at = clock(at);
        let status = status.map_or("-".to_owned(), |status| status.to_string());
        format!("{at} {method} {route} {status}  {network} {country} {prefix}  {agent}  {position}")
    });
    page.lines("Seen", samples);
}

/// What speaks against it, and what must not be expected of it.
pub(super) fn doubts(incident: &Incident) -> Vec<String> {
    let mut doubts = incident.doubts.clone();
    if incident.stale {
        doubts.push("A backlog: all of it was read long after it happened, so nobody was paged.".to_owned());
    }
    doubts
}

/// What was done, in order.
pub(super) fn did(incident: &Incident) -> Vec<String> {
    let mut done = vec![format!("{} first evidence", clock(&incident.opened_at))];
    done.extend(incident.steps.iter().map(|doing| {
        let mut what = match doing.outcome {
            Outcome::Lifted => format!("lifted by {}", doing.by),
            Outcome::Granted => doing.step.as_str().to_owned(),
            outcome => format!("{} ({})", doing.step.as_str(), outcome.as_str()),
        };
        if let Some(until) = &doing.until {
            let _ = write!(what, " until {}", clock(until));
        }
        format!("{} {what}", clock(&doing.at))
    }));
    if let Some(at) = &incident.closed_at {
        done.push(format!("{} closed", clock(at)));
    }
    done
}

/// The steps that evidence asked for, each with what withheld it.
pub(super) fn withheld(incident: &Incident) -> Vec<String> {
    incident.held.iter().map(|held| format!("{} ({})", held.step.as_str(), held.by)).collect()
}

/// The commands for either answer; none once it is over.
pub(super) fn to_do(incident: &Incident) -> Vec<String> {
    if !incident.is_open() {
        return Vec::new();
    }
    let id = &incident.subject.id;
    let mut texts = vec![if incident.is_in_shadow() {
        "revoke it at its gateway, if it is stolen: in shadow mode, keyhound refuses nothing".to_owned()
    } else {
        format!("keyhound decisions revoke {id} --reason \"stolen\"")
    }];
    if incident.in_force().is_some() {
        texts.push(format!("keyhound decisions lift {id} --reason \"theirs\""));
    }
    texts
}

/// The time of day in UTC: `03:11:40`; the text as it is if it is no time.
fn clock(text: &str) -> &str {
    text.get(11..19).unwrap_or(text)
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
