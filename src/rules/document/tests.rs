use serde::Deserialize;

use super::{Document, Problems};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // read by serde only
struct Sample {
    name: String,
    #[serde(default)]
    count: u16,
    #[serde(default)]
    share: f64,
    #[serde(default)]
    colour: Colour,
    #[serde(default)]
    inner: Vec<Inner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    #[default]
    Red,
    Green,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // read by serde only
struct Inner {
    on: bool,
}

#[track_caller]
fn check(yaml: &str, expected: &[&str]) {
    let found = match Document::parse("f.yaml", yaml) {
        Err(problems) => problems.to_string(),
        Ok(document) => {
            let mut problems = Problems::of_file("f.yaml");
            let read = document.root.read::<Sample>("", &mut problems);
            assert_eq!(read.is_some(), problems.is_empty());
            problems.to_string()
        }
    };
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{yaml}");
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    check(
        "name: 7\ncount: 70000\nshare: lots\ncolour: gren\nnmae: x\ninner:\n  - on: true\n  - on: 3\n  - {}\n",
        &[
            "f.yaml:1:7: name: 7 must be a text: write it in quotes",
            "f.yaml:2:8: count: 70000 must be a whole number from 0 to 65535",
            "f.yaml:3:8: share: \"lots\" must be a number",
            "f.yaml:4:9: colour: \"gren\" is not known; did you mean green? known: red, green",
            "f.yaml:5:1: nmae: unknown field; did you mean name? known: name, count, share, colour, inner",
            "f.yaml:8:9: inner[1].on: 3 must be true or false",
            "f.yaml:9:5: inner[2]: \"on\" is missing",
        ],
    );
}

#[test]
fn a_good_file_is_read() {
    check("name: a\ncount: 1e3\nshare: 1\ncolour: green\ninner: [{ on: false }]\n", &[]);
}

#[test]
fn a_text_that_is_not_yaml_says_where() {
    check("name: [a\ncount: 1\n", &["f.yaml:2:6: not valid YAML: illegal placement of ':' indicator"]);
    check("name: a\nname: b\n", &["f.yaml:2:1: not valid YAML: duplicate mapping key: name"]);
    check("- a\n", &["f.yaml:1:1: a list of 1 must be a mapping"]);
}

#[test]
fn a_file_that_would_eat_memory_is_refused() {
    let level = |level: usize| match level {
        0 => "a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned(),
        _ => format!("a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", ")),
    };
    let bomb = (0..12).map(level).collect::<Vec<_>>().join("\n");
    for text in [bomb, "[".repeat(100), "- ".repeat(100), format!("a: {}", "x".repeat(2 << 20))] {
        let told = Document::parse("f.yaml", &text).unwrap_err().to_string();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.len() < 300, "{told}");
    }
}

#[test]
fn a_place_inside_a_block_scalar_is_the_place_in_the_file() {
    let text = "a:\n  log: |\n    first\n    second\n  one: plain\n  two: \"quoted\"\n";
    let document = Document::parse("f.yaml", text).unwrap();
    let node = |name: &str| document.root.get("a").unwrap().get(name).unwrap();
    let inside = |name: &str, line, column| {
        let place = document.place_inside(node(name), line, column);
        (place.line, place.column)
    };
    assert_eq!(inside("log", 2, 3), (4, 7));
    assert_eq!(inside("one", 1, 2), (5, 9));
    assert_eq!(inside("two", 1, 2), (6, 10));
}
