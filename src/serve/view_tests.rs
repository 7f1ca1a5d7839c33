//! Tests of the page, as a person reads it.

use super::*;
use crate::{
    incident::{Doing, Held, IncidentId, Severity},
    respond::{Step, SubjectRef},
};

fn reason(family: &str, score: f64, observed: &str, expected: &str) -> Reason {
    Reason {
        family: family.to_owned(),
        rule: format!("key-{family}"),
        score,
        observed: observed.to_owned(),
        expected: expected.to_owned(),
        ..Reason::default()
    }
}

fn stolen() -> Incident {
    Incident {
        id: IncidentId("inc_7q4m".to_owned()),
        subject: SubjectRef {
            kind: "key".to_owned(),
            id: "kf1_9c410000000000000000000000ade07b".to_owned(),
            tenant: "acme".to_owned(),
            name: "billing-prod".to_owned(),
            ..SubjectRef::default()
        },
        verdict: "KeyStolen".to_owned(),
        opened_at: "2026-11-22T03:11:19Z".to_owned(),
        severity: Severity::Critical,
        score: 9.8,
        maturity: 0.94,
        mode: Mode::Enforce,
        reasons: vec![
            reason("errors", 2.6, "88 of 214 refused (41 %)", "usual 0.4 %"),
            reason("place", 4.2, "AS14061 DigitalOcean, hosting", "first time in 61 days"),
            reason("volume", 11.0, "214 requests in 1 min\u{1b}[31m", "usual 13"),
        ],
        doubts: vec!["Same agent (acme-sdk/4.2).".to_owned()],
        steps: vec![Doing {
            step: Step::Throttle,
            at: "2026-11-22T03:11:40.000Z".to_owned(),
            by: "policy".to_owned(),
            outcome: "granted".to_owned(),
        }],
        held: vec![Held { step: Step::Restrict, by: "ceiling".to_owned() }],
        ..Incident::default()
    }
}

fn text(incident: &Incident) -> String {
    let entry = Entry { plan: "gold".to_owned(), owner: "payments-oncall".to_owned(), ..Entry::default() };
    let now = WallTime::parse("2026-11-22T03:13:30Z").unwrap();
    let effect = Some(Effect { served_before: 126, served_since: 72, refused: 631 });
    page(&View { incident, now, entry: Some(&entry), effect })
}

#[test]
fn a_stolen_key_reads_from_the_verdict_to_what_to_do() {
    insta::assert_snapshot!(text(&stolen()));
}

#[test]
fn what_is_not_known_is_left_out_and_what_is_over_asks_for_nothing() {
    let mut over = stolen();
    over.closed_at = Some("2026-11-22T03:31:40Z".to_owned());
    over.held.clear();
    over.doubts.clear();
    let now = WallTime::parse("2026-11-22T05:00:00Z").unwrap();
    insta::assert_snapshot!(page(&View { incident: &over, now, entry: None, effect: None }));
}

#[test]
fn a_text_of_a_log_cannot_steer_the_terminal() {
    assert!(!text(&stolen()).contains('\u{1b}'));
}
