use super::*;
use crate::event::KeyKind;

fn view(entry: Option<&Entry>) -> FindingView<'_> {
    FindingView {
        key: KeyId { kind: KeyKind::Raw, hash: [7; 16] },
        entry,
        detector: "place.network",
        family: Family::Place,
        score: 4.5,
        maturity: 0.75,
    }
}

#[track_caller]
fn check(source: &str, known: bool, unknown: bool) {
    let entry = Entry {
        name: "billing-prod".to_owned(),
        tenant: "acme".to_owned(),
        plan: "gold".to_owned(),
        class: KeyClass::Server,
        protected: true,
        ..Entry::default()
    };
    let condition = Condition::compile(source).unwrap();
    assert_eq!(condition.holds(&view(Some(&entry))), Ok(known), "{source}, known key");
    assert_eq!(condition.holds(&view(None)), Ok(unknown), "{source}, unknown key");
}

#[track_caller]
fn refused(source: &str, column: u32, message: &str) {
    let error = Condition::compile(source).unwrap_err();
    assert!(error.message.contains(message), "{source}: {error}");
    assert_eq!((error.line, error.column), (1, column), "{source}: {error}");
}

#[test]
fn what_is_absent_is_unequal_to_everything_and_ordered_with_nothing() {
    check(r#"key.plan != "internal""#, true, true);
    check(r#"key.plan == "gold""#, true, false);
    check("key.plan == null", false, true);
    check(r#"key.plan < "z""#, true, false);
    check(r#"key.plan >= "a""#, true, false);
    check(r#"!(key.plan < "z")"#, false, true);
    check("key.owner != null", false, false);
    check("key.protected != true", false, true);
}

#[test]
fn a_condition_sees_the_finding_and_the_maturity() {
    check(r#"finding.family == "place" && finding.score > 4 && finding.score <= 4.5"#, true, true);
    check("maturity >= 0.8", false, false);
    check(r#"finding.detector in ["place.network", "place.country"]"#, true, true);
    check(r#"key.id.startsWith("kf1_")"#, true, true);
    check(r#"key.class == "server""#, true, false);
    check(r#"key.class == "unknown""#, false, true);
}

#[test]
fn an_error_is_an_answer_of_its_own() {
    let condition = Condition::compile(r#"key.name.startsWith("billing")"#).unwrap();
    assert!(condition.holds(&view(None)).is_err());
}

#[test]
fn what_a_condition_cannot_use_is_refused_with_its_place() {
    refused("key.plan != ", 13, "not a CEL expression");
    refused("kye.plan == 'a'", 1, "no variable kye; did you mean key?");
    refused("true && key.plam == 'a'", 12, "no field plam; did you mean plan?");
    refused("[1, 2].all(x, x > 0)", 11, "cannot be used");
    refused("key.plan", 1, "gives string, not true or false");
    refused("key.plan > 5", 1, "can not be compared");
    refused("score(key) > 5", 1, "Undeclared reference");
    let error = Condition::compile(&["1"; 200].join("+")).unwrap_err();
    assert_eq!(error.message, "nests deeper than 64");
    refused(&"!".repeat(5000), 1, "the limit is 4096");
}

#[test]
fn a_deep_condition_neither_overflows_nor_hangs() {
    let deep = format!("{}true{}", "(".repeat(2000), ")".repeat(2000));
    let _ = Condition::compile(&deep);
    let wide = vec!["key.plan < 'z'"; 200].join(" || ");
    check(&wide, true, false);
}
