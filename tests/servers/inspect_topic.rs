//! `keyhound inspect` on topics of a real Kafka: what it says, and that it leaves no trace.

use std::{
    process::{Command, Output},
    time::Instant,
};

use crate::harness::{
    folder::Folder,
    kafka::{Kafka, PASSWORD, kafka},
    keyhound::EXECUTABLE,
    program::free_port,
};

/// A raw key whose appearance anywhere is a failure.
const CANARY: &str = "sk_live_CANARY";

/// Lines as nginx logs them: 40 keys, `rounds` requests each.
fn lines(rounds: usize) -> Vec<(String, String)> {
    (0..rounds * 40)
        .map(|index| {
            let key = format!("{CANARY}_{}", index % 40);
            let line = format!(
                r#"{{"msec":"{}.839","remote_addr":"203.0.113.7","api_key":"{key}","method":"GET","uri":"/v1/orders","status":"200","ua":"acme-sdk/4.2"}}"#,
                1_795_327_660 + index
            );
            (format!("cred-{}", index % 40), line)
        })
        .collect()
}

#[track_caller]
fn inspect(folder: &Folder, words: &[&str]) -> Output {
    Command::new(EXECUTABLE)
        .arg("inspect")
        .args(words)
        .env("KAFKA_PASSWORD", PASSWORD)
        .current_dir(folder.path())
        .output()
        .expect("keyhound can be started")
}

#[track_caller]
fn said(output: &Output) -> String {
    let (out, talk) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for text in [&out, &talk] {
        assert!(!text.contains(CANARY) && !text.contains(PASSWORD), "{text}");
        assert!(!text.contains('\u{1b}'), "colour where there is no terminal: {text}");
    }
    assert!(output.status.success(), "{out}{talk}");
    out.into_owned()
}

#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(output.stdout.is_empty(), "talk is on standard error: {output:?}");
    for part in parts {
        assert!(talk.contains(part), "{part} is not in {talk}");
    }
}

/// What `inspect` proposes is taken by `check-config`.
#[track_caller]
fn check_starting_config(folder: &Folder, report: &str) {
    let config = report.find("sources:\n").map(|at| &report[at..]).expect("a configuration");
    folder.write("start.yaml", config);
    let pepper = folder.path().join("secrets");
    std::fs::create_dir_all(&pepper).expect("a folder");
    std::fs::write(pepper.join("pepper"), "x".repeat(32)).expect("a file");
    let checked = Command::new(EXECUTABLE)
        .args(["check-config", "--no-environment", "start.yaml"])
        .env("KAFKA_PASSWORD", PASSWORD)
        .current_dir(folder.path())
        .output()
        .expect("keyhound can be started");
    assert!(checked.status.success(), "{}\n{config}", String::from_utf8_lossy(&checked.stderr));
}

/// No group is there that was not there before, and none has committed.
#[track_caller]
fn leaves_no_trace(kafka: &Kafka) {
    let groups = kafka.groups();
    assert!(!groups.iter().any(|group| group == "keyhound"), "{groups:?}");
}

#[test]
fn a_topic_without_record_keys_is_told_from_one_that_is_keyed_by_credential() {
    let kafka = kafka();
    let folder = Folder::new("inspect");
    let keyless = kafka.topic("inspect-keyless", 3);
    // 40 keys in turn over 3 partitions: each key comes to every partition.
    kafka.produce(&keyless, lines(6).into_iter().map(|(_, line)| line).chain(["{broken".to_owned()]));
    let keyed = kafka.topic("inspect-keyed", 3);
    kafka.produce_keyed(&keyed, lines(6));

    let report = said(&inspect(&folder, &[&keyless, "--brokers", &kafka.plain]));
    assert!(report.contains("format     nginx (guessed)"), "{report}");
    assert!(report.contains("241 records, 240 requests, 1 rejected"), "{report}");
    assert!(report.contains("240 without a key; 3 partitions"), "{report}");
    assert!(report.contains("of 40 API keys seen more than once, 0 stay in one partition"), "{report}");
    assert!(report.contains("by key?    no: 40 API keys are in several partitions"), "{report}");
    assert!(report.contains("first at partition@offset") && report.contains("0@80"), "{report}");
    check_starting_config(&folder, &report);

    let answer = said(&inspect(&folder, &[&keyed, "--brokers", &kafka.plain, "--output", "json"]));
    let answer: serde_json::Value =
        serde_json::from_str(&answer).expect("nothing but JSON on standard output");
    assert_eq!(answer["keyed"]["partitions"], 3, "{answer:#}");
    assert_eq!(answer["keyed"]["keys_in_one_partition"], 40, "{answer:#}");
    assert_eq!(answer["keyed"]["skipping"], "possible", "{answer:#}");
    assert_eq!(answer["keyed"]["one_record_key_each"], true, "{answer:#}");

    let few = said(&inspect(&folder, &[&keyless, "--brokers", &kafka.plain, "--records", "30"]));
    assert!(few.contains("records    30 records"), "{few}");
    leaves_no_trace(kafka);
}

#[test]
fn a_secured_kafka_is_reached_by_the_settings_and_by_properties() {
    let kafka = kafka();
    let folder = Folder::new("inspect");
    let topic = kafka.topic("inspect-secured", 2);
    kafka.produce(&topic, lines(3).into_iter().map(|(_, line)| line));
    let mut words = vec![topic.clone(), "--brokers".to_owned(), kafka.secured.clone()];
    let mut properties = Vec::new();
    for (name, value) in kafka.secured_properties() {
        let value = if name == "sasl.password" { "${KAFKA_PASSWORD}".to_owned() } else { value };
        words.extend(["--property".to_owned(), format!("{name}={value}")]);
        properties.push(format!("{name}: {value:?}"));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let report = said(&inspect(&folder, &words));
    assert!(report.contains("120 requests"), "{report}");
    check_starting_config(&folder, &report);

    let settings = format!(
        "sources:\n- kafka: {{ brokers: [{:?}], topics: [{topic}], properties: {{ {} }} }}\n  format: nginx\n  \
         key: raw\nfingerprint: {{ pepper_file: secrets/pepper }}\n",
        kafka.secured,
        properties.join(", ")
    );
    folder.write("keyhound.yaml", settings);
    let report = said(&inspect(&folder, &[&topic, "--config", "keyhound.yaml"]));
    assert!(report.contains("nginx (of the settings)") && report.contains("120 requests"), "{report}");
    check_starting_config(&folder, &report);
}

#[test]
fn what_cannot_be_looked_at_is_said_with_what_would_be_right() {
    let kafka = kafka();
    let folder = Folder::new("inspect");
    let empty = kafka.topic("inspect-empty", 2);
    refused(&inspect(&folder, &[&empty, "--brokers", &kafka.plain]), &["has no records in its 2 partitions"]);
    let misspelt = empty.replace("empty", "emtpy");
    refused(
        &inspect(&folder, &[&misspelt, "--brokers", &kafka.plain]),
        &[&misspelt, &empty, "near names are"],
    );
    refused(&inspect(&folder, &["nowhere.json"]), &["no file \"nowhere.json\"", "--brokers HOST:PORT"]);

    let nobody = format!("127.0.0.1:{}", free_port());
    let started = Instant::now();
    refused(&inspect(&folder, &[&empty, "--brokers", &nobody]), &[&nobody, "no answer", "refused"]);
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
