use super::*;
use crate::rules::{
    document::Place,
    test_language::{Expectation, parse},
};

/// Plays a burst to a judge that answers `step` at the request of that number, and compares the failure.
#[track_caller]
fn check(expect: &str, answers: &[(u64, char, Step)], failure: Option<&str>) {
    let test = RuleTest {
        name: "t".to_owned(),
        script: parse("10s a 1/s\n& 10s b 1/s\n10s a 1/s").unwrap(),
        expect: Expectation::parse(expect).unwrap(),
        file: "r.yaml".to_owned(),
        place: Place::default(),
    };
    let mut number = 0;
    let mut judge = |event: &Event<'_>| {
        number += 1;
        let now = answers.iter().filter(|(at, _, _)| *at == number);
        now.map(|(_, key, step)| (event.time, key_of(*key), *step)).collect::<Vec<_>>()
    };
    let outcome = run(&test, &mut judge);
    assert_eq!(outcome.events, 30);
    assert_eq!(outcome.failures, failure.into_iter().collect::<Vec<_>>(), "{expect} {answers:?}");
}

#[test]
fn what_was_expected_passes() {
    check("nothing", &[], None);
    check("note a within 5s", &[(22, 'a', Step::Observe)], None);
    check("throttle a within 5s", &[(22, 'a', Step::Alert), (24, 'a', Step::Throttle)], None);
    check("alert a within 5s", &[(22, 'a', Step::Alert), (29, 'a', Step::Alert)], None);
}

#[test]
fn what_was_not_expected_fails_with_the_reason() {
    check(
        "nothing",
        &[(25, 'a', Step::Alert)],
        Some("key a: wanted nothing, got alert 4.0 s into the last block"),
    );
    check(
        "nothing",
        &[(25, 'a', Step::Observe)],
        Some("key a: wanted nothing, got observe 4.0 s into the last block"),
    );
    check("throttle a within 5s", &[], Some("key a: wanted throttle within 5 s, it never came"));
    check(
        "throttle a within 5s",
        &[(29, 'a', Step::Throttle)],
        Some("key a: wanted throttle within 5 s, it came 8.0 s into the last block"),
    );
    check(
        "alert a within 5s",
        &[(22, 'a', Step::Throttle)],
        Some("key a: wanted alert at most, got throttle 1.0 s into the last block"),
    );
    check(
        "alert a within 5s",
        &[(3, 'a', Step::Alert)],
        Some("key a: wanted alert at most, got alert 9.0 s before the last block"),
    );
    check(
        "alert a within 5s",
        &[(22, 'a', Step::Alert), (23, 'b', Step::Alert)],
        Some("key b: wanted nothing, got alert 2.0 s into the last block"),
    );
}

#[test]
fn a_condition_that_cannot_be_answered_fails_the_test() {
    struct Silent;
    impl Judge for Silent {
        fn judge(&mut self, _: &Event<'_>, _: &mut Vec<Reaction>) {}
        fn condition_errors(&self) -> u64 {
            3
        }
    }
    let test = RuleTest {
        name: "t".to_owned(),
        script: parse("10s a 1/s").unwrap(),
        expect: Expectation::default(),
        file: "r.yaml".to_owned(),
        place: Place::default(),
    };
    assert_eq!(run(&test, &mut Silent).failures, ["the condition could not be answered 3 times"]);
}
