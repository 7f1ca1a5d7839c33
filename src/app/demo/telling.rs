//! The words of the story.

use std::{fmt::Write as _, io, time::Duration};

use super::{
    Settings,
    cast::{Cast, Part},
    gate::{Answer, Gate},
    play,
    screen::Screen,
    stage::Stage,
    tally::Tally,
    verdict::{Asked, Record, Verdict},
};
use crate::{
    deliver::WallTime,
    event::EventTime,
    generate::Formats,
    incident::{Incident, Severity},
    respond::{Decision, Step},
    serve::{
        Applied,
        view::{self, Effect, View},
    },
    telemetry::grouped,
};

pub(super) fn opening(cast: &Cast, settings: &Settings, screen: &mut Screen) -> io::Result<()> {
    let gateways = match settings.formats {
        Formats::One(format) => format!("{format:?}"),
        Formats::Mixed => "nginx, Kong and Envoy".to_owned(),
    };
    screen.say(&format!(
        "Keyhound demonstration, seed {}. The keys are invented and never shown.",
        settings.seed
    ))?;
    screen.head(1, "It learns how each key is used")?;
    screen.say(&format!(
        "   {} days of {} keys of {} tenants, as the log lines of {gateways}, to {}",
        settings.days,
        cast.keys.len(),
        cast.tenants(),
        minute_text(cast.live_from)
    ))
}

pub(super) fn rate(lines: u64, took: Duration) -> String {
    #[allow(clippy::cast_precision_loss)] // for people
    let a_second = lines as f64 / took.as_secs_f64().max(1e-3);
    format!("{} requests, {a_second:.0} a second", grouped(lines))
}

pub(super) fn learnt(stage: &Stage, lines: u64, took: Duration, screen: &mut Screen) -> io::Result<()> {
    let (rate, seconds) = (rate(lines, took), took.as_secs_f64());
    screen.say(&format!(
        "   {rate}, {seconds:.1} s in all; {} profiles, {} lines that could not be decoded",
        stage.profiles(),
        stage.totals.rejected
    ))
}

pub(super) fn cast(cast: &Cast, tally: &Tally, speed: Option<f64>, screen: &mut Screen) -> io::Result<()> {
    let pace =
        speed.map_or_else(|| "as fast as it goes".to_owned(), |speed| format!("{speed:.0} times as fast"));
    screen.head(2, &format!("Then it watches ({pace}): one key leaks, three things only look like it"))?;
    for part in Part::ALL {
        let who = match part {
            Part::Crowd => {
                let count = cast.players(part).count();
                let tenant = cast.players(part).next().map_or("", |key| cast.tenant(key.index));
                format!("all {count} keys of {tenant}")
            }
            _ => cast.players(part).next().map_or_else(String::new, |key| cast.name(key.index)),
        };
        let what = match part {
            Part::Leaked => "a stranger in a hosting network tries it out, then takes all he can",
            Part::Crowd => "many more clients within minutes, from their usual networks",
            Part::Traveller => "hours of silence, then another country",
            Part::RetryStorm => "a broken deployment: most requests fail and are retried",
        };
        screen.say(&format!("   {:<12} {who:<30} {what}", part.as_str()))?;
    }
    let mut head = String::from("\n   requests a minute");
    let mut usual = String::from("   usual at this hour");
    for (part, count) in Part::ALL.into_iter().zip(play::usual(tally)) {
        let _ = write!(head, "{:>14}", part.as_str());
        let _ = write!(usual, "{count:>14.1}");
    }
    screen.say(&head.replace("a minute", "a minute "))?;
    screen.say(&usual)
}

/// What one minute came to.
pub(super) fn minute(at: EventTime, counts: [u64; 4], stolen: Asked, screen: &mut Screen) -> io::Result<()> {
    let mut text = format!("   {:<18}", clock(&at.rfc3339()));
    for count in counts {
        let _ = write!(text, "{count:>14}");
    }
    if stolen.refused > 0 {
        let _ = write!(text, "   {} of them refused so far", stolen.refused);
    }
    screen.say(&text)
}

/// An incident that opened or grew more severe.
pub(super) fn incident_line(
    cast: &Cast,
    incident: &Incident,
    record: &Record,
    screen: &mut Screen,
) -> io::Result<()> {
    let is_leaked = cast.part_of_id(&incident.subject.id) == Some(Part::Leaked);
    let told = record.incident.as_ref().filter(|known| known.id == incident.id);
    if !incident.is_open() || told.is_some_and(|known| known.severity >= incident.severity) {
        return Ok(());
    }
    if !is_leaked && incident.severity < Severity::Medium {
        return Ok(());
    }
    let leading = incident.reasons.iter().max_by(|a, b| a.score.total_cmp(&b.score));
    let why = leading.map_or_else(String::new, |reason| format!("{} ({})", reason.observed, reason.expected));
    let (tenant, name) = (&incident.subject.tenant, &incident.subject.name);
    let (at, severity, verdict) =
        (clock(&incident.updated_at), incident.severity.as_str(), &incident.verdict);
    screen.alarm(&format!("   {at}  {verdict}, {severity}: {tenant} / {name}: {why}"))
}

pub(super) fn decision_line(decision: &Decision, applied: Applied, screen: &mut Screen) -> io::Result<()> {
    let step = match decision.step {
        Step::Observe => "LIFTED".to_owned(),
        step => step.as_str().to_uppercase(),
    };
    let (tenant, name) = (&decision.subject.tenant, &decision.subject.name);
    let rate = decision.rate.map_or_else(String::new, |rate| format!(" to {} requests a second", rate.known));
    let (at, until) = (clock(&decision.as_of), clock(&decision.expires_at));
    let gateways = applied.as_str();
    screen.alarm(&format!("   {at}  {step}: {tenant} / {name}{rate} until {until}; gateways: {gateways}"))
}

/// The leaked key's incident as it is read at night, and its decision.
pub(super) fn incident(
    cast: &Cast,
    record: &Record,
    now: WallTime,
    stolen: Asked,
    screen: &mut Screen,
) -> io::Result<()> {
    screen.head(3, "The incident, as it is read at three in the morning")?;
    let Some(incident) = &record.incident else { return screen.say("   There is none.") };
    let entry = cast.catalogue.get(&cast.ids[cast.leaked], "");
    let Asked { served_before, served, refused, .. } = stolen;
    let effect = Some(Effect { served_before, served_since: served, refused });
    for line in view::page(&View { incident, now, entry, effect }).lines() {
        screen.say(&format!("   {line}"))?;
    }
    let Some(decision) = &record.decision else { return screen.say("   No decision was made.") };
    screen.say(&format!("\n   Decision {}", decision.id.0))?;
    screen.say(&format!(
        "   {}, {}, rule {}",
        decision.step.as_str(),
        decision.mode.as_str(),
        decision.rule
    ))?;
    screen.say(&format!("   {}", decision.reason))
}

pub(super) fn calls(cast: &Cast, gate: &Gate, screen: &mut Screen) -> io::Result<()> {
    screen.head(4, "The gateway asks before it serves (real HTTP)")?;
    screen.say(&format!("   GET http://{}/check/v1/orders", gate.checks_at))?;
    screen.say(&format!("   stolen key  {}", cast.name(cast.leaked)))?;
    screen.say(&format!("   neighbour   {}", cast.name(cast.neighbour)))
}

pub(super) fn answers(who: &str, answers: &[Answer], screen: &mut Screen) -> io::Result<()> {
    for Answer { status, decision, retry_after } in answers {
        let headers = match decision.as_str() {
            "" => String::new(),
            step => format!("   X-Keyhound-Decision: {step}   Retry-After: {retry_after}"),
        };
        screen.say(&format!("   {who:<11} {status}{headers}"))?;
    }
    Ok(())
}

pub(super) fn verdict(verdict: &Verdict, screen: &mut Screen) -> io::Result<()> {
    screen.head(5, "What came of it")?;
    let Asked { served_before, served, refused, .. } = verdict.stolen;
    if let Some(seconds) = verdict.stopped_after_seconds {
        screen.say(&format!(
            "   The leaked key was throttled {seconds} s after the stranger's first request."
        ))?;
    }
    screen.say(&format!(
        "   Its requests: {served_before} served before, {served} served since, {refused} refused."
    ))?;
    let Asked { served, refused, .. } = verdict.neighbour;
    screen.say(&format!("   The neighbour's requests: {served} served, {refused} refused."))?;
    let false_alarms: Vec<_> = verdict.false_alarms().collect();
    if false_alarms.is_empty() {
        screen.say("   Flash crowd, traveller and retry storm: no alarm, no decision.")?;
    }
    for alarm in false_alarms {
        let (part, key, severity) = (alarm.part, &alarm.key, alarm.severity.as_str());
        screen.say(&format!("   False alarm ({part}, {key}), {severity}: {}", alarm.reasons.join("; ")))?;
    }
    let faults = verdict.faults();
    for fault in &faults {
        screen.alarm(&format!("   WRONG: {fault}"))?;
    }
    if faults.is_empty() {
        screen.say("   The leaked key, and it alone, was stopped.")?;
    }
    Ok(())
}

/// `Tue 2026-11-17 14:03 UTC` without the weekday.
fn minute_text(at: EventTime) -> String {
    let text = at.rfc3339();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

/// The time of day of a record's text.
fn clock(text: &str) -> &str {
    text.get(11..19).unwrap_or(text)
}
