//! Tests against real servers: Kafka, Alertmanager, Prometheus, nginx, Envoy, HAProxy, Caddy and Traefik.
//!
//! `make test` installs and runs all; one alone: `cargo test --test servers kafka_takes_and_gives_records`.

mod enforce;
mod every_byte;
mod first_day;
mod hangs;
mod harness;
mod hostile;
mod inspect_topic;
mod kafka_away;
mod kafka_behind;
mod kafka_gaps;
mod kafka_history;
mod kafka_source;
mod log_formats;
mod prometheus;
mod refusals;
mod spine_kafka;
mod starts;
mod two_instances;
