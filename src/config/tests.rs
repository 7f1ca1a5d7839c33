use std::path::PathBuf;

use super::*;

const GOOD: &str = "\
sources:
  - kafka: { brokers: [\"a:9092\"], topics: [kong-logs] }
    format: kong
    key: credential
  - stdin: {}
    format: nginx
    key: raw
fingerprint: { pepper_file: secrets/pepper }
";

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9999".to_owned()),
        "BROKER" => Some("kafka-1:9092".to_owned()),
        "PASSWORD" | "LEAK" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse("k.yaml", text, &Overrides::default(), &environment)
}

/// Compares all that is told about a file.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let told = parse(text).map_or_else(|problems| problems.to_string(), |_| String::new());
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{text}");
    assert!(!told.contains("hunter2"), "{told}");
}

/// Adds a line to the good file, which has eight.
#[track_caller]
fn check_with(line: &str, expected: &[&str]) {
    check(&format!("{GOOD}{line}\n"), expected);
}

/// Puts something else in the place of a part of the good file.
#[track_caller]
fn check_changed(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "{from}");
    check(&GOOD.replacen(from, to, 1), expected);
}

#[test]
fn a_short_file_is_enough() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.sources.len(), 2);
    assert_eq!(config.sources[0].decode.namespace, "kong");
    assert_eq!((config.partitions, config.topic_prefix.as_str()), (8, "keyhound."));
    assert_eq!(config.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.rules, [PathBuf::from("shipped")]);
    assert_eq!(config.response.mode.as_str(), "shadow");
}

#[test]
fn the_example_is_valid() {
    let text = std::fs::read_to_string(repository().join("examples/keyhound.yaml")).unwrap();
    check(&text, &[]);
}

#[test]
fn unknown_settings_are_refused_with_their_place() {
    check_with(
        "partition: 3",
        &[
            "k.yaml:9:1: partition: unknown field; did you mean partitions? known: sources, topic_prefix, partitions, \
           fingerprint, geo, catalogue, rules, response, alertmanagers, links, state, listen, gateways_listen, serve, logs",
        ],
    );
    check_with(
        "response: { caps: { revoke_per_hour: 5 } }",
        &[
            "k.yaml:9:21: response.caps.revoke_per_hour: unknown field; known: throttle_per_hour, share_of_active_keys",
        ],
    );
    check_with(
        "response: { caps: { share_of_active_keys: 2 } }",
        &["k.yaml:9:19: response.caps.share_of_active_keys: 2 must be from 0.0001 to 1"],
    );
    check_with(
        "response: { mode: enfroce }",
        &[
            "k.yaml:9:19: response.mode: \"enfroce\" is not known; did you mean enforce? known: shadow, enforce",
        ],
    );
    check_changed(
        "topics: [kong-logs]",
        "topics: [kong-logs], strat: -7d",
        &[
            "k.yaml:2:56: sources[0].kafka.strat: unknown field; did you mean start? known: brokers, topics, group, \
           start, consume, properties",
        ],
    );
}

#[test]
fn impossible_values_are_refused_with_their_range() {
    check_with("partitions: 0", &["k.yaml:9:13: partitions: 0 must be from 1 to 1024"]);
    check_with("partitions: 70000", &["k.yaml:9:13: partitions: 70000 must be from 1 to 1024"]);
    check_with("partitions: -1", &["k.yaml:9:13: partitions: -1 must be from 1 to 1024"]);
    check_with("partitions: many", &["k.yaml:9:13: partitions: \"many\" must be a whole number"]);
    check_with(
        "response: { throttle_for: 5s }",
        &["k.yaml:9:27: response.throttle_for: 5s must be from 1m to 1d"],
    );
    check_with(
        "response: { fresh_within: soon }",
        &["k.yaml:9:27: response.fresh_within: \"soon\" must be a length of time: 90s, 1h30m or 7d"],
    );
    check_with(
        "rules: []",
        &[
            "k.yaml:9:8: rules: an empty list finds nothing; leave it out for the rules that come with Keyhound",
        ],
    );
    check_with(
        "topic_prefix: a b",
        &[
            "k.yaml:9:15: topic_prefix: \"a b\" must be at most 200 letters, digits, dots, underscores and hyphens",
        ],
    );
    check_with("listen: 9464", &["k.yaml:9:9: listen: 9464 must be a text: write it in quotes"]);
    check_with(
        "listen: localhost",
        &["k.yaml:9:9: listen: \"localhost\" must be an address and a port, such as 127.0.0.1:9464"],
    );
    check_changed(
        "    key: raw",
        "    key: raw\n    client_address: { trusted_proxies: [10.0.0.0, 10.0.0.0/8, ten] }",
        &[
            "k.yaml:8:41: sources[1].client_address.trusted_proxies[0]: \"10.0.0.0\" must be a network, such as 10.0.0.0/8",
            "k.yaml:8:63: sources[1].client_address.trusted_proxies[2]: \"ten\" must be a network, such as 10.0.0.0/8",
        ],
    );
}

#[test]
fn a_source_is_one_thing_and_says_how_it_is_read() {
    check_changed(
        "  - stdin: {}\n    format: nginx",
        "  - format: nginx",
        &[
            "k.yaml:5:5: sources[1]: a source must have exactly one of \"kafka\", \"file\" and \"stdin\"; this one has 0 of them",
        ],
    );
    check_changed("    key: credential\n", "", &["k.yaml:2:5: sources[0]: \"key\" is missing"]);
    check_changed(
        "    key: credential\n",
        "    key: credential\n    namespace: a b\n",
        &[
            "k.yaml:5:16: sources[0]: namespace: \"a b\" is not a name of 1 to 64 letters, digits, \".\", \"-\" and \"_\"",
        ],
    );
    check_changed(
        "kafka: { brokers: [\"a:9092\"], topics: [kong-logs] }",
        "stdin: {}",
        &["k.yaml:5:12: sources[1].stdin: standard input is read by sources[0] already"],
    );
    check(
        "sources: []\nfingerprint: { pepper_file: p }\n",
        &["k.yaml:1:10: sources: 0 sources; there must be from 1 to 64"],
    );
}

#[test]
fn kafka_settings_are_refused_where_they_are_wrong() {
    check_changed(
        "[\"a:9092\"]",
        "[\"a:9092\", b]",
        &[
            "k.yaml:2:34: sources[0].kafka: \"brokers\" has \"b\"; each must be HOST:PORT, for example kafka-1:9092",
        ],
    );
    check_changed(
        "[kong-logs] }",
        "[kong-logs], start: yesterday }",
        &[
            "k.yaml:2:63: sources[0].kafka.start: \"start\" is \"yesterday\"; it must be beginning, end, so long ago \
           (-7d, -12h, -30m; at most -520w), or a time (2026-11-01T00:00:00Z)",
        ],
    );
    check_changed(
        "[kong-logs] }",
        "[kong-logs], properties: { group.id: mine } }",
        &[
            "k.yaml:2:80: sources[0].kafka: \"properties\" sets \"group.id\", which Keyhound sets itself: write the group under \"group\"",
        ],
    );
    check_changed(
        "[kong-logs] }",
        "[keyhound.decisions] }",
        &[
            "k.yaml:2:44: sources[0].kafka.topics: \"keyhound.decisions\" is a topic that Keyhound writes itself; see topic_prefix",
        ],
    );
}

#[test]
fn kafka_sources_share_one_cluster_and_read_each_topic_once() {
    let second = "  - kafka: { brokers: [\"b:9092\"], topics: [kong-logs], group: other }\n    format: envoy\n    key: raw\n";
    check_changed(
        "  - stdin: {}\n    format: nginx\n    key: raw\n",
        second,
        &[
            "k.yaml:5:23: sources[1].kafka.brokers: differs from sources[0].kafka.brokers; all Kafka sources name the \
             same brokers and group, which also hold Keyhound's own topics",
            "k.yaml:5:44: sources[1].kafka.topics: \"kong-logs\" is read by sources[0] already; its requests would count twice",
            "k.yaml:5:63: sources[1].kafka.group: \"other\" differs from \"keyhound\" in sources[0].kafka.group; all \
             Kafka sources name the same brokers and group, which also hold Keyhound's own topics",
        ],
    );
}

#[test]
fn a_secret_is_in_a_variable_or_a_file_and_never_shown() {
    let with = |value: &str| {
        GOOD.replacen(
            "[kong-logs] }",
            &format!("[kong-logs], properties: {{ sasl.password: {value} }} }}"),
            1,
        )
    };
    for right in ["\"${PASSWORD}\"", "{ file: secrets/kafka }"] {
        check(&with(right), &[]);
    }
    for literal in ["hunter2", "\"a${PASSWORD}\"", "\"${NONE:-hunter2}\""] {
        let told = parse(&with(literal)).unwrap_err().to_string();
        assert!(
            told.starts_with("k.yaml:2:85: sources[0].kafka: \"properties\" has a literal value"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
    check(
        &with("\"${NONE}\""),
        &[
            "k.yaml:2:85: sources[0].kafka.properties.sasl.password: the environment variable NONE is not set; \
           ${NONE:-…} gives a default",
        ],
    );
}

#[test]
fn variables_fill_in_values_of_any_type_and_are_not_shown() {
    let config = parse(&format!("{GOOD}partitions: ${{NONE:-16}}\nlisten: 127.0.0.1:${{PORT}}\n")).unwrap();
    assert_eq!((config.partitions, config.listen.port()), (16, 9999));
    check_with("partitions: ${LEAK}", &["k.yaml:9:13: partitions: \"${LEAK}\" must be a whole number"]);
    check_with(
        "response: { mode: \"${LEAK}\" }",
        &["k.yaml:9:19: response.mode: \"${LEAK}\" is not known; known: shadow, enforce"],
    );
    check_with(
        "state: { dir: \"${NONE}\" }",
        &["k.yaml:9:15: state.dir: the environment variable NONE is not set; ${NONE:-…} gives a default"],
    );
}

#[test]
fn a_sections_own_message_does_not_show_a_variable() {
    check_changed(
        "a:9092",
        "${LEAK}",
        &[
            "k.yaml:2:24: sources[0].kafka: \"brokers\" has \"${LEAK}\"; each must be HOST:PORT, for example kafka-1:9092",
        ],
    );
}

#[test]
fn an_open_listener_needs_a_token() {
    let told = parse(&format!("{GOOD}listen: 0.0.0.0:9464\n")).unwrap_err().to_string();
    assert!(told.starts_with("k.yaml:9:9: listen: ") && told.contains("set serve.token_file"), "{told}");
    check_with("listen: 0.0.0.0:9464\nserve: { token_file: secrets/token }", &[]);
    check_with(
        "listen: 127.0.0.1:9465",
        &["k.yaml:9:9: gateways_listen: 127.0.0.1:9465 is taken by listen; each needs a port of its own"],
    );
}

#[test]
fn a_flag_goes_over_the_file() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:1".parse().unwrap()),
        state_dir: Some("/tmp/x".into()),
        mode: Some(crate::respond::Mode::Enforce),
        ..Overrides::default()
    };
    let text = format!("{GOOD}listen: 127.0.0.1:2\nresponse: {{ mode: shadow }}\n");
    let config = Config::parse("k.yaml", &text, &overrides, &environment).unwrap();
    assert_eq!((config.listen.port(), config.response.mode.as_str()), (1, "enforce"));
    assert_eq!(config.state_dir, PathBuf::from("/tmp/x"));
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = "sources:\n  - kafka: { brokers: [a], topics: [t] }\n    format: knog\n    key: row\nlisten: here\n\
                partitions: many\nfingerprint: {}\n";
    let told = parse(text).unwrap_err().to_string();
    let places: Vec<_> =
        told.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "k.yaml:2:24 sources[0].kafka",
        "k.yaml:3:13 sources[0].format",
        "k.yaml:4:10 sources[0].key",
        "k.yaml:5:9 listen",
        "k.yaml:6:13 partitions",
        "k.yaml:7:14 fingerprint",
    ];
    assert_eq!(places, expected, "{told}");
}

#[test]
fn what_is_in_force_is_printed_whole_and_reads_back() {
    let text = GOOD.replacen("a:9092", "${BROKER}", 1).replacen(
        "[kong-logs] }",
        "[kong-logs], properties: { sasl.password: \"${PASSWORD}\" } }",
        1,
    );
    let yaml = effective("k.yaml", &text, &Overrides::default(), &environment).unwrap();
    assert!(yaml.contains("partitions: 8") && yaml.contains("kafka-1:9092"), "{yaml}");
    assert!(yaml.contains("${PASSWORD}") && !yaml.contains("hunter2"), "{yaml}");
    check(&yaml, &[]);
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what the code makes; `UPDATE_DOCS=1` writes it instead.
#[track_caller]
fn current(file: &str, made: &str) {
    let path = repository().join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{file} is not current; make it with UPDATE_DOCS=1 cargo test --lib config");
}

#[test]
fn the_documentation_and_the_schemas_are_current() {
    let pretty = |schema: serde_json::Value| format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    current("docs/config.md", &documentation());
    current("docs/keyhound.schema.json", &pretty(schema()));
    let rules = std::fs::read_to_string(repository().join("docs/rules.md")).unwrap();
    let made = crate::rules::documentation::with_detectors(&rules).expect("docs/rules.md has a place for it");
    current("docs/rules.md", &made);
    current("docs/rules.schema.json", &pretty(crate::rules::schema()));
}

#[test]
fn a_mapping_of_ones_own_is_refused_where_it_is_wrong() {
    let own = "{ time: /ts, status: /status, key: /key, latency: { path: /took, unti: s } }";
    check_changed(
        "    format: nginx",
        &format!("    format: {own}"),
        &[
            "k.yaml:6:84: sources[1].format.latency: unknown field \"unti\"; did you mean unit? known: path, header, response_header, unit, chosen_by",
        ],
    );
    check_changed("    format: nginx", &format!("    format: {}", own.replace("unti", "unit")), &[]);
}

proptest::proptest! {
    /// Cuts, doubles and replaces parts of a good file: something is told, or it is valid; nothing panics.
    #[test]
    fn no_file_makes_the_reader_panic(at in 0_usize..230, length in 0_usize..40, put in "[a-z0-9:{}\\[\\]\" \n$-]{0,12}") {
        let good = GOOD.as_bytes();
        let start = at.min(good.len());
        let end = (start + length).min(good.len());
        let text = [&good[..start], put.as_bytes(), &good[end..]].concat();
        if let Err(problems) = parse(&String::from_utf8_lossy(&text)) {
            proptest::prop_assert!(!problems.is_empty());
            proptest::prop_assert!(problems.to_string().starts_with("k.yaml:"));
        }
    }
}

#[path = "key_places_tests.rs"]
mod key_places;
