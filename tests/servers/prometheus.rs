//! What is shipped for Prometheus and Grafana asks for metrics that there are: each query answers with data.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use keyhound::generate::{Format, Formats};
use reqwest::Method;
use serde_json::Value;

use crate::harness::{
    alertmanager::Alertmanager,
    folder::Folder,
    http,
    kafka::kafka,
    keyhound::{Keyhound, key_id},
    program::{eventually, installed},
    prometheus::Prometheus,
    story::{Size, Story},
    upstream::KEY_HEADER,
};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

/// Every expression of the dashboards, with the variables filled in, by where it stands.
fn dashboard_queries() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let mut queries = BTreeMap::new();
    for file in ["fleet.json", "daemon.json"] {
        let text = fs::read_to_string(folder.join(file)).expect("a dashboard");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        collect(&dashboard, file, &mut queries);
    }
    queries
}

fn collect(value: &Value, place: &str, queries: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            let title = fields.get("title").and_then(Value::as_str);
            let place = title.map_or_else(|| place.to_owned(), |title| format!("{place} / {title}"));
            if let Some(expression) = fields.get("expr").and_then(Value::as_str) {
                let expression = expression
                    .replace("$__rate_interval", "30s")
                    .replace("$__range", "5m")
                    .replace("$job", "keyhound")
                    .replace("$instance", ".*");
                assert!(!expression.contains('$'), "a variable that this test does not know: {expression}");
                queries.insert(format!("{place}: {expression}"), expression);
            }
            for field in fields.values() {
                collect(field, &place, queries);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, place, queries)),
        _ => {}
    }
}

/// The text of the shipped alert rules.
fn alert_rules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/alerts.yaml");
    fs::read_to_string(path).expect("the alert rules")
}

/// The shipped alert rules, which fire after a second instead of minutes or an hour.
fn impatient_alerts() -> String {
    let text = alert_rules();
    let hasty = |line: &str| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(hasty).collect()
}

/// The parts of every alert's expression: what is compared, without the comparisons.
fn alert_operands() -> BTreeMap<String, String> {
    let rules: Value = serde_saphyr::from_str(&alert_rules()).expect("YAML");
    let mut operands = BTreeMap::new();
    for group in rules["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            let (name, expression) =
                (rule["alert"].as_str().expect("a name"), rule["expr"].as_str().expect("text"));
            let parts = expression.split(" and ").flat_map(|part| part.split(" unless "));
            for part in parts.flat_map(|part| part.split(" or ")) {
                let operand = without_comparison(without_matching(part));
                // What is looked for in vain gives nothing as long as all is well.
                let operand = operand
                    .strip_prefix("absent_over_time(")
                    .map_or(operand.clone(), |inner| format!("last_over_time({inner}"));
                operands.insert(format!("{name}: {operand}"), operand);
            }
        }
    }
    assert!(operands.len() > 10, "{operands:?}");
    operands
}

/// An operand without the labels that it is matched on: `on (job, instance) …`.
fn without_matching(operand: &str) -> &str {
    let matched = operand.trim_start().strip_prefix("on (");
    matched.and_then(|rest| rest.split_once(')')).map_or(operand, |(_, expression)| expression)
}

/// An expression without the comparisons at its end, and without brackets that have lost their other half.
fn without_comparison(expression: &str) -> String {
    let mut text = expression.trim();
    loop {
        let end = [" > ", " < ", " == ", " >= ", " <= "].iter().filter_map(|sign| {
            let at = text.rfind(sign)?;
            let bound = text[at + sign.len()..].trim().trim_end_matches(')');
            bound.parse::<f64>().is_ok().then_some(at)
        });
        match end.max() {
            Some(at) => text = text[..at].trim(),
            None => break,
        }
    }
    let count = |text: &str, sign| text.matches(sign).count();
    while count(text, '(') > count(text, ')') && text.starts_with('(') {
        text = text[1..].trim();
    }
    while count(text, ')') > count(text, '(') && text.ends_with(')') {
        text = text[..text.len() - 1].trim();
    }
    text.to_owned()
}

/// Does at least once what the dashboards show: questions, commands, refusals, a bad record.
fn stir(keyhound: &Keyhound, story: &Story) {
    let check = |key: &str| {
        let url = format!("http://{}/check", keyhound.gateways_listen);
        http::get(&url, &[(KEY_HEADER, key)]).status
    };
    let command = |action: &str, key: &str| {
        let body = serde_json::json!({ "key": key_id(key), "reason": "a test", "by": "tests" }).to_string();
        let url = format!("http://{}/api/v1/decisions/{action}", keyhound.listen);
        let answer = http::request(Method::POST, &url, &[("content-type", "application/json")], &body);
        assert_eq!(answer.expect("an answer").status, 200);
    };
    command("throttle", &story.leaked);
    // Gateways are told in order: once this one is in force, so is the other.
    command("revoke", "some-other-key");
    eventually("a revoked key is refused", LIMIT, || (check("some-other-key") == 403).then_some(()));
    for _ in 0..5 {
        check(&story.leaked);
    }
    check("a-third-key");
    http::get(&format!("http://{}/check", keyhound.gateways_listen), &[]);
}

#[test]
fn each_query_and_each_alert_expression_answers_with_data() {
    let kafka = kafka();
    let story =
        Story::new(Size { keys: 50, days: 8, lines_max: 60_000, seed: 21 }, Formats::One(Format::Nginx));
    let topic = kafka.topic("prometheus", 1);
    kafka.produce(&topic, ["not a record"]);
    let alertmanager = Alertmanager::start();
    let folder = Folder::new("prometheus-test");
    let places = folder.write("places.mmdb", Story::places());
    // Nothing automatic is done to the leaked key: what it is held back by is on a dashboard, too.
    let leaked =
        format!("keys: [{{ id: {}, name: leaked, tenant: t, protected: true }}]\n", key_id(&story.leaked));
    let catalogue = folder.write("catalogue.yaml", leaked);
    // How much of a file waits is told in bytes.
    let file = folder.write("access.json", "");
    let mut keyhound = Keyhound::start(&format!(
        "catalogue: {catalogue:?}\nsources:\n- kafka: {{ brokers: [\"{}\"], topics: [{topic}], group: prometheus, start: earliest }}\n  \
         format: nginx\n  key: raw\n- file: {{ paths: [{file:?}] }}\n  format: nginx\n  key: raw\ngeo: {{ city: {places:?}, asn: {places:?} }}\ntopic_prefix: prometheus.\n\
         alertmanagers: [\"{}\"]\nresponse: {{ mode: enforce, fresh_within: 5m }}\n",
        kafka.plain, alertmanager.url
    ));
    let rules = folder.write("alerts.yaml", impatient_alerts());
    let prometheus = Prometheus::start(&keyhound.listen, &[&rules]);
    eventually("scraped twice", LIMIT, || {
        let scraped = prometheus.query("count_over_time(up{job=\"keyhound\"}[30s]) >= 2");
        (scraped.len() == 1).then_some(())
    });
    // Dashboards show what grew: it comes after the first scrape.
    kafka.produce(&topic, story.lines(Format::Nginx));
    eventually("the key is known, and its leak found", LIMIT, || {
        keyhound.metric("keyhound_incidents_total").filter(|incidents| *incidents > 0.0)
    });
    stir(&keyhound, &story);

    let mut queries = dashboard_queries();
    queries.extend(alert_operands());
    let all = queries.len();
    let mut is_restarted = false;
    let started = std::time::Instant::now();
    while !queries.is_empty() && started.elapsed() < LIMIT {
        // Some divide by what comes in.
        kafka.produce(&topic, ["another one that is no record"]);
        queries.retain(|_, query| prometheus.query(query).is_empty());
        if !is_restarted && queries.values().all(|query| query.starts_with("changes(process_start_time")) {
            // The last that is missing is the mark at a start.
            keyhound.kill_and_start_again();
            keyhound.wait_until_ready();
            is_restarted = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let silent: Vec<&String> = queries.keys().collect();
    assert!(silent.is_empty(), "{} of {all} answer with nothing: {silent:#?}", silent.len());
    check_metrics(&keyhound.metrics());
}

/// Each series is scraped at 0 before anything happens: `increase` knows nothing of a series' first sample.
#[test]
fn the_first_incident_and_the_first_decision_after_a_start_are_an_increase() {
    let story =
        Story::new(Size { keys: 50, days: 8, lines_max: 60_000, seed: 21 }, Formats::One(Format::Nginx));
    let folder = Folder::new("first-incident");
    let log = folder.write("access.json", "");
    let places = folder.write("places.mmdb", Story::places());
    let keyhound = Keyhound::start(&format!(
        "sources:\n- file: {{ paths: [{log:?}] }}\n  format: nginx\n  key: raw\n\
         geo: {{ city: {places:?}, asn: {places:?} }}\nresponse: {{ mode: enforce, fresh_within: 5m }}\n"
    ));
    let prometheus = Prometheus::start(&keyhound.listen, &[]);
    eventually("scraped twice", LIMIT, || {
        let scraped = prometheus.query("count_over_time(up{job=\"keyhound\"}[30s]) >= 2");
        (scraped.len() == 1).then_some(())
    });

    let lines: Vec<&[u8]> = story.lines(Format::Nginx).collect();
    fs::write(&log, [lines.join(&b'\n'), b"\n".to_vec()].concat()).expect("written");
    for counter in [
        "keyhound_findings_total",
        "keyhound_incidents_total",
        "keyhound_decisions_total",
        "keyhound_decision_table_updates_total",
    ] {
        // It extrapolates, so that it is never less than what was counted while it looked.
        let query = format!("sum(increase({counter}[10m])) >= sum({counter}) and sum({counter}) > 0");
        eventually(counter, LIMIT, || (!prometheus.query(&query).is_empty()).then_some(()));
    }
    for event in ["\"started\"", "\"ready\"", "\"incident_opened\"", "\"decision_created\""] {
        assert!(
            keyhound.log().contains(&format!("\"event\":{event}")),
            "no line {event}:\n{}",
            keyhound.log()
        );
    }
}

/// `promtool check metrics` ends with 3 at a lint.
#[track_caller]
fn check_metrics(metrics: &str) {
    let mut promtool = Command::new(installed("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be started");
    std::io::Write::write_all(&mut promtool.stdin.take().expect("a pipe"), metrics.as_bytes())
        .expect("taken");
    let output = promtool.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
