//! The scanner against `serde_json`, on what it should read and on what it should refuse.

use proptest::prelude::*;

use super::*;

fn skipped(text: &str) -> Result<(), Reject> {
    let mut json = Json::new(text);
    let read = json.value().and_then(|kind| json.skip(kind));
    read.map_err(|Failed| json.failure())?;
    if json.is_at_end() { Ok(()) } else { Err(Reject::NotJson) }
}

#[track_caller]
fn check_as_serde_json(text: &str) {
    let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text);
    let ours = skipped(text);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}: {ours:?}, {theirs:?}");
}

#[test]
fn every_part_of_an_object_that_is_cut_is_truncated() {
    let whole = r#"{"a":"\\u00e9\n","b":[-1.5e+3,0,true,false,null],"c":{"d":[{}]}, "e" : "\u00e9" }"#;
    assert_eq!(skipped(whole), Ok(()));
    for end in 0..whole.len() {
        assert_eq!(skipped(&whole[..end]), Err(Reject::Truncated), "{}", &whole[..end]);
    }
}

#[test]
fn corners_of_the_grammar_are_as_serde_json_has_them() {
    for text in [
        "{}",
        "[]",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,]",
        "{\"a\" 1}",
        "{\"a\":}",
        "01",
        "-",
        "-0",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1e5",
        "-1.5E-3",
        "tru",
        "true",
        "truex",
        "nul",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12G4\"",
        "\"\\u1234\"",
        "\"a\tb\"",
        "\"\u{7f}é\u{1F600}\"",
        " { } ",
        "{}}",
        "[[[]]]",
        "\"",
        "\"\\",
        "\"\\u",
        "{\"a\":[{\"b\":{}}]}",
        "+1",
        "NaN",
        "'a'",
        "{\"a\":1 \"b\":2}",
        "[1 2]",
        "\u{feff}{}",
        "",
    ] {
        check_as_serde_json(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_looks_like_json_is_accepted_as_by_serde_json(text in r#"[\[\]{}",:\\a01\-.eu \n]{0,24}"#) {
        check_as_serde_json(&text);
    }

    #[test]
    fn strings_are_read_as_by_serde_json(text in "\\PC*", ascii in any::<bool>()) {
        let mut quoted = serde_json::to_string(&text).unwrap();
        if ascii {
            // All of it as escapes.
            let escapes: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            quoted = format!("\"{}\"", escapes.concat());
        }
        let arena = Bump::new();
        let mut json = Json::new(&quoted);
        prop_assert_eq!(json.value().unwrap(), Kind::String);
        let raw = json.string().unwrap();
        prop_assert_eq!(json.unescaped(raw, &arena), text.as_str());
    }
}

#[test]
fn half_a_surrogate_pair_is_replaced() {
    let arena = Bump::new();
    for quoted in [r#""\uD800""#, r#""\uD800x""#, r#""\uDC00\uD800""#] {
        let mut json = Json::new(quoted);
        json.value().unwrap();
        let raw = json.string().unwrap();
        assert!(json.unescaped(raw, &arena).contains('\u{fffd}'), "{quoted}");
        assert!(json.is_repaired);
    }
}
