//! Samples in, reports out.

use std::path::Path;

use clap::Parser as _;

use super::{
    input::{At, Piece},
    *,
};
use crate::{
    config::{Config, Overrides},
    decode::{KeyNames, presets},
};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

#[track_caller]
fn parse(words: &[&str]) -> Args {
    Line::try_parse_from([&["inspect"], words].concat()).map(|line| line.args).unwrap()
}

fn sample(lines: &[&str]) -> Sample {
    let piece = |(line, text): (u64, &&str)| Piece {
        at: At::Byte(line * 100),
        key: None,
        bytes: text.as_bytes().to_vec(),
    };
    Sample { pieces: (1..).zip(lines).map(piece).collect(), partitions: None, cut_short: None }
}

/// The same records as the end of a topic with three partitions, each with a raw key as its record's key.
fn topic_sample(lines: &[&str]) -> Sample {
    let piece = |(number, text): (u64, &&str)| Piece {
        at: At::Offset { partition: 2, offset: number },
        key: Some(b"canary-key".to_vec()),
        bytes: text.as_bytes().to_vec(),
    };
    Sample { pieces: (7..).zip(lines).map(piece).collect(), partitions: Some(3), cut_short: None }
}

const LINES: [&str; 2] = [
    r#"{"msec":"1795327660.839","remote_addr":"10.0.0.1","xff":"203.0.113.7","api_key":"canary-key","method":"GET","uri":"/v1/canary-key","status":"200","ua":"canary-key"}"#,
    r#"{"msec":"1795327660.839","#,
];

#[track_caller]
fn report(words: &[&str], sample: &Sample) -> Report {
    let args = parse(words);
    let input = Input::resolve(&args).unwrap();
    look(&args, &input, sample, &records::pepper(None).unwrap()).unwrap()
}

/// The starting configuration in a report, as `check-config` reads it.
#[track_caller]
fn config(report: &Report) -> Config {
    let text = serde_json::to_value(report).unwrap()["config"].as_str().unwrap().to_owned();
    let environment = |name: &str| (name == "KAFKA_PASSWORD").then(|| "hunter2".to_owned());
    Config::parse("start.yaml", &text, &Overrides::default(), &environment)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[test]
fn each_presets_own_golden_record_is_guessed() {
    let pepper = records::pepper(None).unwrap();
    for name in presets::names() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.jsonl"));
        let text = std::fs::read_to_string(golden).unwrap();
        let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
        assert_eq!(
            survey::guess(&sample(&[line]).pieces, &KeyNames::default(), &pepper).unwrap().name(),
            name
        );
    }
}

#[test]
fn a_report_on_a_file_has_positions_and_no_key() {
    let report = report(&["-"], &sample(&LINES));
    let text = report.text();
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("truncated           1  200"), "{text}");
    assert!(text.contains("trusted_proxies"), "{text}");
    assert!(text.contains("1 distinct by raw"), "{text}");
    assert_eq!(config(&report).sources.len(), 1);
}

#[test]
fn a_report_on_a_topic_says_how_it_is_keyed_and_names_topic_and_brokers() {
    let words = [
        "access-logs",
        "--brokers",
        "kafka-1:9093,kafka-2:9093",
        "--property",
        "security.protocol=SASL_SSL",
        "--property",
        "sasl.password=${KAFKA_PASSWORD}",
    ];
    let report = report(&words, &topic_sample(&LINES));
    let (text, json) = (report.text(), serde_json::to_string(&report).unwrap());
    assert!(!text.contains("canary") && !json.contains("canary"), "{text}");
    insta::assert_snapshot!(text);
    let crate::source::Settings::Kafka(kafka) = &config(&report).sources[0].source else { panic!("{text}") };
    assert_eq!((kafka.brokers().len(), kafka.topics()), (2, &["access-logs".to_owned()][..]));
}

#[test]
fn the_json_form_has_the_fields_of_its_schema() {
    let value =
        serde_json::to_value(report(&["access-logs", "--brokers", "a:1"], &topic_sample(&LINES))).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn a_mapping_of_ones_own_is_written_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.yaml");
    let preset = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/decode/presets/nginx.yaml");
    std::fs::copy(preset, &path).unwrap();
    let report = report(&["-", "--format", path.to_str().unwrap()], &sample(&LINES));
    assert!(matches!(config(&report).sources[0].decode.format, Format::Mapping(_)));
}

#[track_caller]
fn refused(words: &[&str], expected: &[&str]) {
    let error = format!("{:#}", Input::resolve(&parse(words)).err().expect("refused"));
    for part in expected {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_name_that_is_no_file_needs_to_be_told_where_kafka_is() {
    refused(&["no-such-log"], &["no file \"no-such-log\"", "--brokers HOST:PORT", "--config"]);
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_shown() {
    let words = ["t", "--brokers", "a:1", "--property"];
    refused(&[&words[..], &["sasl.password=hunter2"]].concat(), &["sasl.password", "${NAME}"]);
    refused(&[&words[..], &["hunter2"]].concat(), &["--property number 1", "NAME=VALUE"]);
    refused(&[&words[..], &["group.id=x"]].concat(), &["group.id"]);
}

#[test]
fn the_settings_give_brokers_format_and_properties_to_their_topics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyhound.yaml");
    let text = "sources:\n- kafka: { brokers: [\"k:1\"], topics: [kong-logs], properties: { client.id: hound } }\n  \
                format: kong\n  key: credential\n  namespace: edge\nfingerprint: { pepper_file: none }\n";
    std::fs::write(&path, text).unwrap();
    let config_path = path.to_str().unwrap();
    let known = report(&["kong-logs", "--config", config_path], &topic_sample(&LINES));
    let text = known.text();
    assert!(text.contains("kong (of the settings)") && text.contains("namespace: edge"), "{text}");
    assert!(text.contains("\"client.id\":\"hound\""), "{text}");
    let other = report(&["other", "--config", config_path], &topic_sample(&LINES));
    assert!(other.text().contains("nginx (guessed)") && other.text().contains("\"topics\":[\"other\"]"));
}

/// A record of Kong with its key in a header of one's own, and one with it in `authorization`.
const OTHER_NAMES: [&str; 2] = [
    r#"{"client_ip":"203.0.113.7","started_at":1795327660839,"request":{"method":"GET","uri":"/v1/a","headers":{"x-acme-key":"canary-key"}},"response":{"status":200}}"#,
    r#"{"client_ip":"203.0.113.7","started_at":1795327660840,"request":{"method":"GET","uri":"/v1/a?acme=canary-two","headers":{}},"response":{"status":200}}"#,
];

#[test]
fn keys_under_other_names_are_found_where_the_names_are_given() {
    let sample = sample(&OTHER_NAMES);
    let usual = report(&["-", "--format", "kong"], &sample);
    assert!(usual.text().contains("0 requests with, 2 without"), "{}", usual.text());
    let named = report(&["-", "--key-header", "x-acme-key", "--key-parameter", "acme"], &sample);
    assert!(named.text().contains("2 requests with, 0 without"), "{}", named.text());
    let found = &config(&named).sources[0].decode.key_names;
    assert_eq!(
        (&found.headers[..], &found.parameters[..]),
        (&["x-acme-key".to_owned()][..], &["acme".to_owned()][..])
    );
}

#[test]
fn a_file_is_looked_at_as_the_source_that_reads_it_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["edge.log", "other.log"] {
        std::fs::write(path(name), OTHER_NAMES.join("\n")).unwrap();
    }
    let of_edge = format!(
        "- file: {{ paths: [{:?}] }}\n  format: kong\n  key: raw\n  namespace: edge\n  \
         key_names: {{ headers: [x-acme-key], parameters: [acme] }}\n",
        path("edge*")
    );
    let more = format!("- file: {{ paths: [{:?}] }}\n  format: nginx\n  key: raw\n", path("nginx*"));
    let look = |sources: &str, name: &str| {
        let text = format!("sources:\n{sources}fingerprint: {{ pepper_file: none }}\n");
        std::fs::write(path("keyhound.yaml"), text).unwrap();
        report(&[&path(name), "--config", &path("keyhound.yaml")], &sample(&OTHER_NAMES))
    };
    let known = look(&format!("{of_edge}{more}"), "edge.log");
    assert!(known.text().contains("kong (of the settings)"), "{}", known.text());
    assert!(known.text().contains("2 requests with, 0 without"), "{}", known.text());
    assert_eq!(config(&known).sources[0].decode.key_names.headers, ["x-acme-key"]);
    let only = look(&of_edge, "other.log");
    assert!(only.text().contains("2 requests with, 0 without"), "the only source: {}", only.text());
    let unknown = look(&format!("{of_edge}{more}"), "other.log");
    assert!(unknown.text().contains("kong (guessed)"), "one of several: {}", unknown.text());
}
