//! What a first user runs before anything else, against real servers: `keyhound alert test` and `check-config`.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::{Command, Output},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::harness::{
    alertmanager::Alertmanager,
    folder::Folder,
    kafka::{PASSWORD, kafka},
    keyhound::EXECUTABLE,
    program::{eventually, free_port},
};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

const PEPPER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

/// Runs `keyhound WORDS… --config FILE` with these settings.
#[track_caller]
fn keyhound(folder: &Folder, words: &[&str], settings: &str) -> Output {
    let pepper = folder.write("pepper", PEPPER);
    let state = folder.path().join("state");
    let settings = format!(
        "{settings}\nfingerprint: {{ pepper_file: {:?} }}\nstate: {{ dir: {:?} }}\nlisten: 127.0.0.1:{}\n\
         gateways_listen: 127.0.0.1:{}\n",
        pepper.display(),
        state.display(),
        free_port(),
        free_port(),
    );
    let config = folder.write("keyhound.yaml", settings);
    let mut command = Command::new(EXECUTABLE);
    command.args(words).current_dir(folder.path());
    if words[0] == "check-config" {
        command.arg(config);
    } else {
        command.arg("--config").arg(config);
    }
    command.output().expect("keyhound can be started")
}

/// Settings with a file to read and these Alertmanagers.
fn with_alertmanagers(alertmanagers: &str) -> String {
    format!(
        "sources: [{{ file: {{ paths: [access.log] }}, format: nginx, key: raw }}]\nalertmanagers: {alertmanagers}"
    )
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Answers one request with `answer`, and gives what it was.
fn answers_once(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (asked, question) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody asks");
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.to_ascii_lowercase().lines().find_map(|line| {
                    line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
                });
                if length.is_some_and(|length| body.len() >= length) {
                    break;
                }
            }
            let read = stream.read(&mut piece).expect("a request");
            assert!(read > 0, "the request ends early: {text}");
            request.extend_from_slice(&piece[..read]);
        }
        stream.write_all(answer.as_bytes()).expect("an answer");
        asked.send(String::from_utf8_lossy(&request).into_owned()).expect("somebody waits");
    });
    (url, question)
}

#[test]
fn a_test_alert_says_what_it_is_and_each_answer_is_printed() {
    let folder = Folder::new("alert-test");
    let (takes, question) = answers_once("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (refuses, _) =
        answers_once("HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\nConnection: close\r\n\r\nno labels");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let settings = with_alertmanagers(&format!(
        "[{{ url: {takes}, severity_map: {{ high: page }}, extra_labels: {{ team: security }} }}, {refuses}, {nobody}]"
    ));
    let output = keyhound(&folder, &["alert", "test", "--for", "10m", "--output", "json"], &settings);
    assert_eq!(output.status.code(), Some(1), "one refused, one is not there: {output:?}");
    let trials: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(trials["schema"], "keyhound.alert-test/1");
    let accepted: Vec<_> = trials["alertmanagers"].as_array().expect("a list").iter().collect();
    assert_eq!(
        accepted.iter().map(|trial| trial["accepted"] == true).collect::<Vec<_>>(),
        [true, false, false]
    );
    assert!(accepted[1]["error"].as_str().expect("text").contains("400"), "{trials}");
    assert_ne!(accepted[2]["error"], "", "{trials}");

    let request = question.recv_timeout(LIMIT).expect("it was asked");
    let (head, body) = request.split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("POST /api/v2/alerts HTTP/1.1"), "{head}");
    let alerts: Value = serde_json::from_str(body).expect("JSON");
    let labels = &alerts[0]["labels"];
    for (label, value) in
        [("alertname", "KeyhoundTest"), ("key_id", "test"), ("severity", "page"), ("team", "security")]
    {
        assert_eq!(labels[label], value, "{alerts}");
    }
    let time = |field: &str| {
        alerts[0][field].as_str().expect("a time").parse::<jiff::Timestamp>().expect("RFC 3339")
    };
    assert_eq!(time("endsAt").duration_since(time("startsAt")).as_secs(), 600);
    assert_eq!(trials["ends_at"], alerts[0]["endsAt"]);
    assert!(alerts[0]["annotations"]["summary"].as_str().expect("text").contains("nothing happened"));
}

#[test]
fn without_an_alertmanager_a_test_alert_is_an_error_that_names_the_field() {
    let folder = Folder::new("alert-test-none");
    let output = keyhound(&folder, &["alert", "test"], &with_alertmanagers("[]"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("alertmanagers is empty"), "{said}");
}

#[test]
fn a_real_alertmanager_takes_a_test_alert_under_its_own_severity_and_ends_it() {
    let folder = Folder::new("alert-test-real");
    let alertmanager = Alertmanager::start();
    let settings = with_alertmanagers(&format!(
        "[{{ url: {}, severity_map: {{ high: critical }}, extra_labels: {{ team: security }} }}]",
        alertmanager.url
    ));
    let output = keyhound(&folder, &["alert", "test"], &settings);
    assert!(output.status.success() && stdout(&output).contains("accepted"), "{output:?}");
    let found = eventually("the alert fires", LIMIT, || alertmanager.alerts().into_iter().next());
    for (label, value) in [("alertname", "KeyhoundTest"), ("severity", "critical"), ("team", "security")] {
        assert_eq!(found["labels"][label], value, "{found}");
    }
    let output = keyhound(&folder, &["alert", "test", "--end"], &settings);
    assert!(output.status.success(), "{output:?}");
    eventually("the alert has ended", LIMIT, || alertmanager.alerts().is_empty().then_some(()));
}

/// What `check-config` says of a source that is read from a broker, as its exit code and its text.
fn checked(
    brokers: &str,
    topic: &str,
    properties: &[(&str, String)],
    password: &str,
) -> (Option<i32>, String) {
    let folder = Folder::new("check-config-kafka");
    let password = folder.write("password", password).display().to_string();
    let properties = properties.iter().map(|(name, value)| match value.as_str() {
        // A secret is never written out.
        PASSWORD => format!("{name}: {{ file: {password:?} }}"),
        value => format!("{name}: {value:?}"),
    });
    let settings = format!(
        "sources:\n- kafka:\n    brokers: [{brokers:?}]\n    topics: [{topic}]\n    properties: {{ {} }}\n  \
         format: nginx\n  key: raw\n",
        properties.collect::<Vec<_>>().join(", ")
    );
    let output = keyhound(&folder, &["check-config"], &settings);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

#[test]
fn check_config_finds_a_broker_a_topic_and_a_password_that_are_wrong() {
    let broker = kafka();
    let topic = broker.topic("checked", 1);
    let (code, said) = checked(&broker.plain, &topic, &[], "");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = checked(&broker.secured, &topic, &broker.secured_properties(), PASSWORD);
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = checked(&broker.plain, "no-such-topic", &[], "");
    assert_eq!(code, Some(78), "{said}");
    for words in ["sources[0].kafka.topics", "no-such-topic", "keyhound.yaml"] {
        assert!(said.contains(words), "{words}: {said}");
    }

    // Each of these waits for an answer for half a minute, so they wait together.
    let nobody = format!("127.0.0.1:{}", free_port());
    let [(away, away_said), (denied, denied_said)] = thread::scope(|scope| {
        let away = scope.spawn(|| checked(&nobody, &topic, &[], ""));
        let denied =
            scope.spawn(|| checked(&broker.secured, &topic, &broker.secured_properties(), "wrong-horse"));
        [away, denied].map(|checked| checked.join().expect("it ends"))
    });
    assert_eq!(away, Some(78), "{away_said}");
    assert!(away_said.contains("sources[0].kafka.brokers") && away_said.contains(&nobody), "{away_said}");
    assert_eq!(denied, Some(78), "{denied_said}");
    assert!(denied_said.contains("sources[0].kafka.brokers"), "{denied_said}");
    assert!(!denied_said.contains("wrong-horse"), "{denied_said}");
}
