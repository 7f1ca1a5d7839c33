//! Each server of the harness starts here and now and does the one thing that the other tests build on.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use crate::harness::{
    alertmanager::Alertmanager,
    caddy::Caddy,
    envoy::{Envoy, EnvoyConfig},
    gateway::Gateway,
    haproxy::Haproxy,
    http,
    kafka::{Kafka, kafka},
    nginx::Nginx,
    program::eventually,
    prometheus::Prometheus,
    traefik::Traefik,
    upstream::Upstream,
};

#[test]
fn kafka_takes_and_gives_records() {
    let kafka = kafka();
    let topic = kafka.topic("starts", 3);
    kafka.produce(&topic, ["a", "b", "c", "d"]);
    let mut values: Vec<_> = kafka.read_all(&topic).into_iter().map(|(_, value)| value).collect();
    values.sort();
    assert_eq!(values, [b"a", b"b", b"c", b"d"]);
}

#[test]
fn kafka_over_tls_lets_the_right_password_in_and_no_other() {
    let kafka = kafka();
    assert!(secured_metadata(kafka, None).is_ok());
    assert!(secured_metadata(kafka, Some("wrong")).is_err());
}

fn secured_metadata(kafka: &Kafka, password: Option<&str>) -> rdkafka::error::KafkaResult<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.secured).set("log_level", "0");
    for (name, value) in kafka.secured_properties() {
        config.set(name, value);
    }
    if let Some(password) = password {
        config.set("sasl.password", password);
    }
    let consumer: BaseConsumer = config.create()?;
    let limit = if password.is_some() { 3 } else { 20 };
    consumer.fetch_metadata(None, Duration::from_secs(limit)).map(|_| ())
}

#[test]
fn alertmanager_holds_no_alert_at_first() {
    assert!(Alertmanager::start().alerts().is_empty());
}

#[test]
fn prometheus_scrapes_its_target() {
    let alertmanager = Alertmanager::start(); // any server with metrics will do
    let target = alertmanager.url.trim_start_matches("http://");
    let prometheus = Prometheus::start(target, &[]);
    eventually("scraped", Duration::from_secs(30), || {
        let up = prometheus.query("up{job=\"keyhound\"} == 1");
        (up.len() == 1).then_some(())
    });
}

/// Each gateway passes a request on and writes one record of it.
#[track_caller]
fn passes_and_logs(gateway: &impl Gateway, upstream: &Upstream) {
    let answer = http::get(&gateway.url("/v1/orders/42?x=1"), &[("x-api-key", "good")]);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", gateway.log());
    assert!(upstream.served().contains(&"/v1/orders/42?x=1".to_owned()));
    let records = gateway.wait_for_records(1);
    assert!(records[0].contains("42?x=1"), "{records:?}");
}

#[test]
fn nginx_passes_and_logs() {
    let upstream = Upstream::start(&[]);
    let format =
        "log_format j escape=json '{\"uri\":\"$request_uri\"}';\naccess_log /var/log/nginx/access.json j;";
    let server = format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", upstream.port);
    passes_and_logs(&Nginx::start(format, &server), &upstream);
}

#[test]
fn haproxy_passes_and_logs() {
    let upstream = Upstream::start(&[]);
    let format = "    log-format '{\"path\":\"%[capture.req.uri,json(utf8s)]\"}'";
    passes_and_logs(&Haproxy::start(format, upstream.port), &upstream);
}

#[test]
fn caddy_passes_and_logs() {
    let upstream = Upstream::start(&[]);
    let site = format!(
        "log {{\n output file /var/log/caddy/access.json\n format json\n}}\nreverse_proxy 127.0.0.1:{}",
        upstream.port
    );
    passes_and_logs(&Caddy::start(&site), &upstream);
}

#[test]
fn envoy_passes_and_logs() {
    let upstream = Upstream::start(&[]);
    let access_log = "- name: envoy.access_loggers.stdout\n  typed_config:\n    \
        \"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog\n    \
        log_format: { json_format: { path: \"%REQ(:PATH)%\" } }\n";
    passes_and_logs(
        &Envoy::start(&EnvoyConfig { access_log, ..EnvoyConfig::default() }, upstream.port),
        &upstream,
    );
}

#[test]
fn traefik_passes_and_logs() {
    let upstream = Upstream::start(&[]);
    let settings = "accessLog: { filePath: /var/log/traefik/access.json, format: json }";
    passes_and_logs(&Traefik::start(settings, &serde_json::json!({}), upstream.port), &upstream);
}
