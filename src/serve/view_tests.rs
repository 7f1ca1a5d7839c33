//! Tests of the page, as a person reads it.

use super::*;
use crate::incident::testing;

/// The incident of the documentation, with a text that would turn a terminal red.
fn stolen() -> Incident {
    let mut incident = testing::stolen();
    incident.reasons[0].observed.push_str("\u{1b}[31m");
    incident
}

fn text(incident: &Incident) -> String {
    let (plan, owner) = ("gold".to_owned(), "payments-oncall".to_owned());
    let entry = Entry { plan, owner, class: KeyClass::Server, ..Entry::default() };
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

#[test]
fn a_backlog_says_that_it_is_one() {
    let page = text(&Incident { stale: true, steps: Vec::new(), ..stolen() });
    assert!(page.lines().next().unwrap().contains(" backlog "), "{page}");
    assert!(page.contains("so nobody was paged."), "{page}");
}
