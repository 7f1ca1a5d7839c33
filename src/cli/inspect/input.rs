//! Where the sample comes from: a file, standard input, or the end of a Kafka topic.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::{Map, json};

use super::Args;
use crate::{
    cli::records,
    config::{Config, Overrides},
    decode::{self, Pepper},
    source::{
        self,
        kafka::{self, KafkaSettings},
    },
};

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Byte(u64),
    Offset { partition: i32, offset: u64 },
}

impl fmt::Display for At {
    /// A byte of the file; `3@1042` is offset 1042 of partition 3, as in incidents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(byte) => write!(f, "{byte}"),
            Self::Offset { partition, offset } => write!(f, "{partition}@{offset}"),
        }
    }
}

/// One record of the sample.
pub struct Piece {
    pub at: At,
    /// The record's key in Kafka.
    pub key: Option<Vec<u8>>,
    pub bytes: Vec<u8>,
}

/// What is looked at.
pub enum Input {
    Log(PathBuf),
    Topic(Box<Topic>),
}

/// A topic, and what a settings file says of it.
pub struct Topic {
    settings: KafkaSettings,
    /// How the settings file says that its records are read.
    pub decode: Option<decode::Settings>,
    pub pepper_file: Option<PathBuf>,
}

/// A sample, and how many partitions the topic has that it is from.
pub struct Sample {
    pub pieces: Vec<Piece>,
    pub partitions: Option<usize>,
    pub cut_short: Option<String>,
}

impl Input {
    /// What exists is a file; another name is a topic where it is said which Kafka.
    pub fn resolve(args: &Args) -> anyhow::Result<Self> {
        let path = Path::new(&args.target);
        if args.target == "-" || path.exists() {
            return Ok(Self::Log(path.to_owned()));
        }
        if let Some(config) = &args.config {
            let config = Config::load(config, &Overrides::default())?;
            return Topic::of_config(&args.target, &config).map(|topic| Self::Topic(Box::new(topic)));
        }
        if !args.brokers.is_empty() {
            return Topic::of_brokers(&args.target, &args.brokers, &args.property)
                .map(|topic| Self::Topic(Box::new(topic)));
        }
        bail!(
            "there is no file {:?}; if it is a topic, say where Kafka is: --brokers HOST:PORT or --config keyhound.yaml",
            args.target
        )
    }

    /// At most `most` records: the first of a file, the last of a topic.
    pub fn sample(&self, most: u32) -> anyhow::Result<Sample> {
        match self {
            Self::Log(path) => {
                let piece = |record: anyhow::Result<records::Record>| {
                    record.map(|record| Piece { at: At::Byte(record.offset), key: None, bytes: record.bytes })
                };
                let pieces: Vec<Piece> =
                    records::records(path)?.take(most as usize).map(piece).collect::<anyhow::Result<_>>()?;
                if pieces.is_empty() {
                    bail!("{} has no records", path.display());
                }
                Ok(Sample { pieces, partitions: None, cut_short: None })
            }
            Self::Topic(topic) => {
                let sample = kafka::sample(&topic.settings, most)?;
                let piece = |record: kafka::SampledRecord| Piece {
                    at: At::Offset { partition: record.partition, offset: record.offset },
                    key: record.key,
                    bytes: record.value,
                };
                let pieces = sample.records.into_iter().map(piece).collect();
                Ok(Sample { pieces, partitions: Some(sample.partitions), cut_short: sample.cut_short })
            }
        }
    }

    /// What key ids are made with: the settings' own, so that they can be compared, else a random one.
    pub fn pepper(&self) -> anyhow::Result<Pepper> {
        match self {
            Self::Topic(topic) => records::pepper(topic.pepper_file.as_ref().filter(|file| file.exists())),
            Self::Log(_) => records::pepper(None),
        }
    }

    /// This input as a source of the settings, in YAML's flow style, which JSON is.
    pub fn source(&self) -> String {
        match self {
            Self::Log(path) if path == Path::new("-") => "stdin: {}".to_owned(),
            Self::Log(path) => {
                format!("file: {{ paths: [{}], start: beginning }}", json!(path.display().to_string()))
            }
            Self::Topic(topic) => format!("kafka: {}", topic.source()),
        }
    }
}

impl Topic {
    fn of_config(name: &str, config: &Config) -> anyhow::Result<Self> {
        let kafka = config.sources.iter().filter_map(|source| match &source.source {
            source::Settings::Kafka(settings) => Some((settings, source)),
            _ => None,
        });
        let kafka: Vec<_> = kafka.collect();
        let read = kafka.iter().find(|(settings, _)| settings.topics().iter().any(|topic| topic == name));
        let Some((settings, _)) = read.or(kafka.first()) else {
            bail!("the settings have no kafka source to take brokers from; give --brokers HOST:PORT");
        };
        Ok(Self {
            settings: settings.with_topic(name)?,
            decode: read.map(|(_, source)| source.decode.clone()),
            pepper_file: Some(config.pepper_file.clone()),
        })
    }

    fn of_brokers(name: &str, brokers: &[String], properties: &[String]) -> anyhow::Result<Self> {
        let mut map = Map::new();
        for (index, property) in properties.iter().enumerate() {
            // The text is not shown: it may hold a secret.
            let (name, value) = property
                .split_once('=')
                .with_context(|| format!("--property number {} is not of the form NAME=VALUE", index + 1))?;
            map.insert(name.trim().to_owned(), value.into());
        }
        let settings =
            serde_json::from_value(json!({ "brokers": brokers, "topics": [name], "properties": map }))
                .context("--brokers, --property or the topic's name")?;
        Ok(Self { settings, decode: None, pepper_file: None })
    }

    /// What differs from the defaults only.
    fn source(&self) -> String {
        let mut written = serde_json::to_value(&self.settings).unwrap_or_default();
        if let Some(fields) = written.as_object_mut() {
            let plain = json!({ "group": "keyhound", "start": "-7d", "consume": "batch", "properties": {} });
            // `-7d` is written in the largest unit that fits.
            fields.retain(|name, value| {
                plain.get(name) != Some(value) && !(name == "start" && *value == json!("-1w"))
            });
        }
        written.to_string()
    }
}
