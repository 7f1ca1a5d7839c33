//! A leak that is read long after it happened, against the same leak read as it happens.

use std::time::Duration;

use super::reading::{FRESH_WITHIN, reading, servers};
use crate::{
    engine::Effect,
    event::EventTime,
    generate::{Injection, Plan, Scenario, Traffic},
    incident::Incident,
    rules::RuleSet,
    slot::{Judge, Outcome},
    source::{Batch, Record},
};

/// Far too late.
const LATE: Duration = FRESH_WITHIN.saturating_mul(2);

/// What was said of incidents, in order, and how many steps were decided, where each line is read as late as `lag` says
/// by the time that has passed since the leak began.
fn said(lag: impl Fn(Duration) -> Duration) -> (Vec<Incident>, usize) {
    let plan = Plan { days: 5, keys: 10, tenants: 2, lines_max: 15_000, ..Plan::default() };
    let mut traffic = Traffic::new(plan).unwrap();
    let leaked = EventTime(plan.start.0).after(Duration::from_hours(4 * 24 + 10));
    traffic.inject(Injection { scenario: Scenario::Leak, at: leaked, target: 3 }).unwrap();
    let (mut reading, mut out) = (reading(RuleSet::shipped(), servers(&traffic)), Outcome::default());
    let (mut incidents, mut steps, mut offset) = (Vec::new(), 0, 0);
    while let Some(line) = traffic.next_line() {
        let mut batch = Batch::new(1);
        let log_time_ms = Some(line.time.0);
        batch.push(Record {
            source: 0,
            input: 0,
            offset,
            next: offset + 1,
            log_time_ms,
            bytes: line.bytes,
            cut: false,
        });
        offset += 1;
        let read_at = line.time.after(lag(line.time.since(leaked)));
        reading.read(&batch, read_at.0, &mut out);
        reading.watermark(line.time.before(Duration::from_secs(10)), &mut out);
        reading.settle(&mut out);
        for effect in out.effects.drain(..) {
            match effect {
                Effect::Incident(incident) => incidents.push(*incident),
                Effect::Decision(decision) => steps += usize::from(decision.step.is_enforced()),
                _ => {}
            }
        }
    }
    (incidents, steps)
}

fn is_held_as_late(incident: &Incident) -> bool {
    incident.held.iter().any(|held| held.by == "late")
}

#[test]
fn a_backlog_teaches_and_lists_what_looks_stolen_and_never_acts() {
    let (incidents, steps) = said(|_| LATE);
    assert!(!incidents.is_empty() && incidents.iter().all(|incident| incident.stale), "{incidents:?}");
    assert!(incidents.iter().any(is_held_as_late));
    assert_eq!(steps, 0);
}

#[test]
fn a_leak_that_is_seen_in_time_is_told_and_acted_on() {
    let (incidents, steps) = said(|_| Duration::from_secs(1));
    assert!(!incidents.is_empty() && incidents.iter().all(|incident| !incident.stale), "{incidents:?}");
    assert!(!incidents.iter().any(is_held_as_late));
    assert!(steps > 0);
}

#[test]
fn a_leak_that_goes_on_when_the_backlog_ends_is_acted_on_then() {
    // It was found in the first two minutes, far too late; then Keyhound has caught up.
    let caught_up = Duration::from_mins(2);
    let (incidents, steps) = said(|since| if since < caught_up { LATE } else { Duration::ZERO });
    let first_fresh = incidents.iter().position(|incident| !incident.stale).expect("it is told in the end");
    assert!(first_fresh > 0, "it was found in the backlog first");
    assert_eq!(incidents[first_fresh].severity_before, None, "nobody was told, so no alert is to be ended");
    assert!(
        incidents[first_fresh..]
            .iter()
            .all(|incident| !incident.stale || incident.id != incidents[first_fresh].id)
    );
    assert!(steps > 0);
}
