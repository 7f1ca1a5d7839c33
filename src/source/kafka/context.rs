//! What librdkafka tells on the side: errors, log lines and statistics, kept until they are asked for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use serde::Deserialize;

/// Texts beyond this many that nobody has asked for are thrown away: they repeat.
const TEXTS_MAX: usize = 64;
/// How much of an error is kept to be shown.
const ERROR_CHARACTERS_MAX: usize = 300;

/// The part of librdkafka's statistics that lag and contact are computed from.
#[derive(Debug, Default, Deserialize)]
pub struct Statistics {
    #[serde(default)]
    pub brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    pub topics: HashMap<String, TopicStatistics>,
}

#[derive(Debug, Deserialize)]
pub struct BrokerStatistics {
    pub name: String,
    pub nodeid: i32,
    pub state: String,
    /// Microseconds since something was received on this connection; -1 = nothing was yet.
    pub rxidle: i64,
}

#[derive(Debug, Deserialize)]
pub struct TopicStatistics {
    /// By number; -1 is librdkafka's own.
    pub partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Debug, Default, Deserialize)]
pub struct PartitionStatistics {
    /// The last stable offset: where reading committed records ends. Negative if unknown.
    pub ls_offset: i64,
    /// Where the log ends, records of open transactions included. Negative if unknown.
    pub hi_offset: i64,
    /// Negative if it has none.
    pub leader: i32,
    /// The broker that records are fetched from: the leader, or a replica that is nearer. -1 = none.
    pub broker: i32,
    /// Whether the brokers know of no such partition. Its leader and broker stay what they were.
    pub unknown: bool,
    /// Messages that have been fetched and not been taken.
    pub fetchq_cnt: i64,
    /// Messages that have been fetched.
    #[cfg(test)]
    #[serde(default)]
    pub rxmsgs: u64,
}

#[derive(Debug, Default)]
struct Told {
    texts: Vec<String>,
    statistics: Option<Statistics>,
    refused: bool,
    /// What the last error was that says why: it stays until there is another.
    last_error: Option<String>,
}

/// The context of a consumer.
#[derive(Debug, Default)]
pub struct Context {
    told: Mutex<Told>,
}

impl Context {
    /// What went wrong since the last call.
    pub fn take_texts(&self) -> Vec<String> {
        std::mem::take(&mut self.told().texts)
    }

    /// The newest statistics, if there are any since the last call.
    pub fn take_statistics(&self) -> Option<Statistics> {
        self.told().statistics.take()
    }

    /// Whether a broker has refused the credentials or the certificate: trying again will not help.
    pub fn was_refused(&self) -> bool {
        self.told().refused
    }

    /// What librdkafka last called an error.
    pub fn last_error(&self) -> Option<String> {
        self.told().last_error.clone()
    }

    fn tell(&self, text: String) {
        let texts = &mut self.told().texts;
        if texts.len() < TEXTS_MAX && !texts.contains(&text) {
            texts.push(text);
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        // Nothing that holds this lock can panic half-way, so what it guards is whole.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if (level as i32) <= (RDKafkaLogLevel::Warning as i32) {
            self.tell(format!("{facility}: {text}"));
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.told().statistics = Some(statistics),
            Err(error) => self.tell(format!("statistics cannot be read: {error}")),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) = error.rdkafka_error_code() {
            self.told().refused = true;
        }
        let text = format!("{error}: {reason}");
        // It follows each error of the last broker that was connected, and would hide why.
        let follows = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        let mut told = self.told();
        if !follows || told.last_error.is_none() {
            told.last_error = Some(text.chars().take(ERROR_CHARACTERS_MAX).collect());
        }
        drop(told);
        self.tell(text);
    }
}

impl ConsumerContext for Context {}
