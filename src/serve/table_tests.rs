//! Tests of the table: epochs, ends, freshness, aliases, and the law that order does not matter.

use proptest::prelude::*;

use super::*;
use crate::respond::{Rate, SubjectRef, decision::Versions};

pub(crate) const NOW: WallTime = WallTime(1_795_317_100_000);

pub(crate) fn key(number: u8) -> KeyId {
    KeyId { kind: crate::event::KeyKind::Raw, hash: [number; 16] }
}

pub(crate) fn at(seconds: i64) -> WallTime {
    WallTime(NOW.0.saturating_add_signed(seconds * 1_000))
}

/// A fresh decision of the rules, in force for an hour.
pub(crate) fn decision(number: u8, epoch: u64, step: Step) -> Decision {
    Decision {
        schema: Decision::SCHEMA.to_owned(),
        id: DecisionId(format!("dec_{number}_{epoch}")),
        epoch,
        subject: SubjectRef { kind: "key".to_owned(), id: key(number).to_string(), ..SubjectRef::default() },
        handles: Vec::new(),
        step,
        mode: Mode::Enforce,
        only: None,
        rate: (step == Step::Throttle).then_some(Rate { known: 1.0, unknown: 1.0 }),
        as_of: NOW.rfc3339(),
        expires_at: at(3_600).rfc3339(),
        incident: "inc_1".to_owned(),
        cause: "policy".to_owned(),
        rule: "key-volume-spike".to_owned(),
        rule_version: "3f9a".to_owned(),
        reason: "Used far more than ever.".to_owned(),
        versions: Versions::default(),
        instance: String::new(),
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::WithinRate(_) => "within",
        Verdict::Throttled(..) => "throttled",
        Verdict::Refused(_) => "refused",
        Verdict::Unjudged(_) => "unjudged",
    }
}

#[track_caller]
fn check(table: &Decisions, number: u8, seconds: i64, expected: &str) {
    check_all(table, &[number], seconds, expected);
}

/// One word for each decision that is active for any of these keys.
#[track_caller]
fn check_all(table: &Decisions, numbers: &[u8], seconds: i64, expected: &str) {
    let keys: Vec<KeyId> = numbers.iter().map(|number| key(*number)).collect();
    let words: Vec<_> = table.check(&keys, at(seconds)).iter().map(word).collect();
    assert_eq!(if words.is_empty() { "allowed".to_owned() } else { words.join(" ") }, expected);
}

#[test]
fn a_throttle_lets_its_rate_through_and_ends_by_itself() {
    let table = Decisions::new(10);
    assert_eq!(table.apply(&decision(1, 1, Step::Throttle), NOW, NOW), Applied::Served);
    check(&table, 1, 0, "within");
    check(&table, 1, 0, "throttled");
    check(&table, 1, 1, "within");
    check(&table, 2, 0, "allowed");
    check(&table, 1, 3_600, "allowed");
}

#[test]
fn a_renewed_throttle_gives_no_new_burst() {
    let table = Decisions::new(10);
    table.apply(&decision(1, 1, Step::Throttle), NOW, NOW);
    check(&table, 1, 0, "within");
    table.apply(&decision(1, 2, Step::Throttle), NOW, NOW);
    check(&table, 1, 0, "throttled");
}

#[test]
fn a_lift_holds_against_what_it_lifted() {
    let table = Decisions::new(10);
    table.apply(&decision(1, 1, Step::Revoke), NOW, NOW);
    check(&table, 1, 0, "refused");
    assert_eq!(table.apply(&decision(1, 2, Step::Observe), NOW, NOW), Applied::Lifted);
    assert_eq!(table.apply(&decision(1, 1, Step::Revoke), NOW, NOW), Applied::Superseded);
    check(&table, 1, 0, "allowed");
}

#[test]
fn a_shadow_decision_takes_the_place_of_an_enforced_one() {
    let table = Decisions::new(10);
    table.apply(&decision(1, 1, Step::Revoke), NOW, NOW);
    let shadow = Decision { mode: Mode::Shadow, ..decision(1, 2, Step::Revoke) };
    assert_eq!(table.apply(&shadow, NOW, NOW), Applied::Shadow);
    assert!(
        matches!(&table.check(&[key(1)], NOW)[..], [Verdict::Refused(found)] if found.mode == Mode::Shadow)
    );
}

#[test]
fn a_backlog_never_acts_and_an_operator_always_may() {
    let table = Decisions::new(10);
    let late = decision(1, 5, Step::Throttle);
    assert_eq!(table.apply(&late, at(121), at(121)), Applied::Stale);
    assert_eq!(table.apply(&late, at(119), at(3_000)), Applied::Served, "it was fresh when it was committed");
    let by_hand = Decision { cause: "operator".to_owned(), ..decision(2, 5, Step::Revoke) };
    assert_eq!(table.apply(&by_hand, at(1_000), at(1_000)), Applied::Served);
    assert_eq!(
        table.apply(&decision(1, 6, Step::Observe), at(900), at(900)),
        Applied::Lifted,
        "a lift is never late"
    );
}

/// A table whose other clock is turned by hand.
fn table_and_its_clock(limit: usize) -> (Decisions, impl Fn(u64)) {
    let seconds = Arc::new(AtomicU64::new(0));
    let shown = seconds.clone();
    let table = Decisions::new(limit).elapsed_by(move || Duration::from_secs(shown.load(Relaxed)));
    (table, move |now| seconds.store(now, Relaxed))
}

#[test]
fn a_clock_that_jumps_ahead_and_back_ends_nothing_for_good() {
    let (table, passed) = table_and_its_clock(10);
    table.apply(&decision(1, 1, Step::Revoke), NOW, NOW);
    table.apply(&decision(2, 1, Step::Throttle), NOW, NOW);
    passed(10);
    // Two hours ahead for some seconds: by the wall clock both are over.
    assert_eq!(table.sweep(at(7_210)), 2);
    check(&table, 1, 7_210, "allowed");
    passed(20);
    check(&table, 1, 20, "refused");
    check(&table, 2, 20, "within");
    // Then their time comes by both clocks.
    passed(3_600);
    assert_eq!(table.sweep(at(3_600)), 0);
}

#[test]
fn a_decision_that_comes_while_the_clock_is_wrong_ends_when_it_says() {
    let (table, passed) = table_and_its_clock(10);
    let revoked = decision(1, 1, Step::Revoke);
    // Behind: it is kept for longer than it holds.
    table.apply(&revoked, NOW, at(-7_200));
    check(&table, 1, 10, "refused");
    check(&table, 1, 3_600, "allowed");
    // Ahead: over when it comes, and swept. Whoever finds that the clock was set back brings it again.
    let (table, _) = table_and_its_clock(10);
    assert_eq!(table.apply(&revoked, NOW, at(7_200)), Applied::Ended);
    assert_eq!(table.sweep(at(7_201)), 0);
    assert_eq!(table.apply(&revoked, NOW, at(10)), Applied::Served);
    passed(10);
}

#[test]
fn a_full_table_gives_no_room_for_a_clock_that_is_ahead() {
    let (table, passed) = table_and_its_clock(1);
    table.apply(&decision(1, 1, Step::Revoke), NOW, NOW);
    let later = Decision {
        as_of: at(7_200).rfc3339(),
        expires_at: at(9_000).rfc3339(),
        ..decision(2, 1, Step::Throttle)
    };
    assert_eq!(table.apply(&later, at(7_200), at(7_200)), Applied::Full);
    check(&table, 1, 20, "refused");
    passed(3_600);
    assert_eq!(table.apply(&later, at(7_200), at(7_200)), Applied::Served);
}

#[test]
fn an_alias_is_treated_as_its_key() {
    let table = Decisions::new(10);
    let mut revoked = decision(1, 1, Step::Revoke);
    revoked.subject.aliases = vec![key(9).to_string(), "nonsense".to_owned()];
    table.apply(&revoked, NOW, NOW);
    check(&table, 9, 0, "refused");
    table.apply(&decision(9, 1, Step::Throttle), NOW, NOW);
    check(&table, 9, 0, "within refused");
    check(&table, 9, 0, "throttled refused");
    table.apply(&decision(1, 2, Step::Observe), NOW, NOW);
    check(&table, 9, 0, "throttled");
    check(&table, 9, 1, "within");
}

#[test]
fn two_ids_of_a_key_take_one_token() {
    let table = Decisions::new(10);
    let mut throttle = decision(1, 1, Step::Throttle);
    throttle.subject.aliases = vec![key(9).to_string()];
    table.apply(&throttle, NOW, NOW);
    for second in 0..10 {
        check_all(&table, &[1, 9], second, "within");
        check_all(&table, &[9, 1, 9], second, "throttled");
    }
}

#[test]
fn a_full_table_makes_room_by_what_is_over_and_says_so_otherwise() {
    let (table, passed) = table_and_its_clock(2);
    table.apply(&decision(1, 1, Step::Throttle), NOW, NOW);
    table.apply(&decision(2, 1, Step::Throttle), NOW, NOW);
    passed(3_600);
    assert_eq!(table.apply(&decision(3, 1, Step::Throttle), NOW, NOW), Applied::Full);
    let later = Decision {
        as_of: at(4_000).rfc3339(),
        expires_at: at(8_000).rfc3339(),
        ..decision(3, 1, Step::Throttle)
    };
    assert_eq!(table.apply(&later, at(4_000), at(4_000)), Applied::Served);
    assert_eq!(table.len(), 1);
}

#[test]
fn what_is_not_a_key_is_said_and_not_dropped_in_silence() {
    let table = Decisions::new(2);
    let mut other = decision(1, 1, Step::Throttle);
    other.subject.kind = "tenant".to_owned();
    assert_eq!(table.apply(&other, NOW, NOW), Applied::NotAKey);
}

/// The current decision of each key, as the table holds it.
fn current(table: &Decisions) -> Vec<Option<(u64, Step)>> {
    (0..4)
        .map(|number| table.read(&key(number)).decisions.get(&key(number)).map(|d| (d.epoch, d.step)))
        .collect()
}

proptest! {
    /// Whatever the order and however often each record comes, the table ends up with the greatest epoch in time.
    #[test]
    fn order_and_repetition_do_not_matter(
        records in prop::collection::vec((0u8..4, 0u64..6, 0usize..4, 0i64..300), 1..20),
        deliveries in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        // One record for each subject and epoch: its content is a function of both.
        let steps = [Step::Observe, Step::Throttle, Step::Suspend, Step::Revoke];
        let mut unique: std::collections::BTreeMap<(u8, u64), (Decision, WallTime)> = std::collections::BTreeMap::new();
        for (number, epoch, step, delay) in records {
            unique.entry((number, epoch)).or_insert((decision(number, epoch, steps[step]), at(delay)));
        }
        let unique: Vec<_> = unique.into_values().collect();

        let in_order = Decisions::new(100);
        for (record, committed) in &unique {
            in_order.apply(record, *committed, NOW);
        }
        let shuffled = Decisions::new(100);
        for index in &deliveries {
            let (record, committed) = index.get(&unique);
            shuffled.apply(record, *committed, NOW);
        }
        for (record, committed) in unique.iter().rev() {
            shuffled.apply(record, *committed, NOW);
        }
        prop_assert_eq!(current(&in_order), current(&shuffled));
        prop_assert_eq!(in_order.len(), shuffled.len());
    }
}
