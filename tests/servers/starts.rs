//! Kafka, Alertmanager and Prometheus start here and now, and do the one thing that the other tests build on.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use crate::harness::{
    alertmanager::Alertmanager,
    kafka::{Kafka, kafka},
    program::eventually,
    prometheus::Prometheus,
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
    eventually("scraped", Duration::from_mins(1), || {
        let up = prometheus.query("up{job=\"keyhound\"} == 1");
        (up.len() == 1).then_some(())
    });
}
