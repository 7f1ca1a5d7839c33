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
    config::{Config, Overrides, SourceConfig},
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

/// What is looked at, and what a settings file says of it.
pub struct Input {
    place: Where,
    /// How the settings file says that its records are read.
    pub decode: Option<decode::Settings>,
    pepper_file: Option<PathBuf>,
}

enum Where {
    Log(PathBuf),
    Topic(Box<KafkaSettings>),
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
        let is_log = args.target == "-" || path.exists();
        if let Some(config) = &args.config {
            let config = Config::load(config, &Overrides::default())?;
            let (place, decode) =
                if is_log { of_log(path, &config) } else { of_topic(&args.target, &config)? };
            return Ok(Self { place, decode, pepper_file: Some(config.pepper_file) });
        }
        let place = if is_log {
            Where::Log(path.to_owned())
        } else if args.brokers.is_empty() {
            bail!(
                "there is no file {:?}; if it is a topic, say where Kafka is: --brokers HOST:PORT or --config keyhound.yaml",
                args.target
            )
        } else {
            of_brokers(&args.target, &args.brokers, &args.property)?
        };
        Ok(Self { place, decode: None, pepper_file: None })
    }

    /// At most `most` records: the first of a file, the last of a topic.
    pub fn sample(&self, most: u32) -> anyhow::Result<Sample> {
        match &self.place {
            Where::Log(path) => {
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
            Where::Topic(settings) => {
                let sample = kafka::sample(settings, most)?;
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
        records::pepper(self.pepper_file.as_ref().filter(|file| file.exists()))
    }

    /// This input as a source of the settings, in YAML's flow style, which JSON is.
    pub fn source(&self) -> String {
        match &self.place {
            Where::Log(path) if path == Path::new("-") => "stdin: {}".to_owned(),
            Where::Log(path) => {
                format!("file: {{ paths: [{}], start: beginning }}", json!(path.display().to_string()))
            }
            Where::Topic(settings) => format!("kafka: {}", written(settings)),
        }
    }
}

/// A log, and how the source that reads it reads it: the one whose patterns find the file, or whose input it is. A file
/// that none of them finds, a part of a log that lies elsewhere, is read as that of the only source that reads files.
fn of_log(path: &Path, config: &Config) -> (Where, Option<decode::Settings>) {
    let is_its = |source: &&SourceConfig| match &source.source {
        source::Settings::Kafka(_) => false,
        source::Settings::File(settings) => settings.finds(path),
        source::Settings::Stdin(_) => path == Path::new("-"),
    };
    let reads_files = |source: &&SourceConfig| {
        matches!(source.source, source::Settings::File(_) | source::Settings::Stdin(_))
    };
    let mut candidates = config.sources.iter().filter(reads_files);
    let only = candidates.next().filter(|_| candidates.next().is_none());
    let source = config.sources.iter().find(is_its).or(only);
    (Where::Log(path.to_owned()), source.map(|source| source.decode.clone()))
}

fn of_topic(name: &str, config: &Config) -> anyhow::Result<(Where, Option<decode::Settings>)> {
    let kafka = config.sources.iter().filter_map(|source| match &source.source {
        source::Settings::Kafka(settings) => Some((settings, source)),
        _ => None,
    });
    let kafka: Vec<_> = kafka.collect();
    let read = kafka.iter().find(|(settings, _)| settings.topics().iter().any(|topic| topic == name));
    let Some((settings, _)) = read.or(kafka.first()) else {
        bail!("the settings have no kafka source to take brokers from; give --brokers HOST:PORT");
    };
    let place = Where::Topic(Box::new(settings.with_topic(name)?));
    Ok((place, read.map(|(_, source)| source.decode.clone())))
}

fn of_brokers(name: &str, brokers: &[String], properties: &[String]) -> anyhow::Result<Where> {
    let mut map = Map::new();
    for (index, property) in properties.iter().enumerate() {
        // The text is not shown: it may hold a secret.
        let (name, value) = property
            .split_once('=')
            .with_context(|| format!("--property number {} is not of the form NAME=VALUE", index + 1))?;
        map.insert(name.trim().to_owned(), value.into());
    }
    let settings = serde_json::from_value(json!({ "brokers": brokers, "topics": [name], "properties": map }))
        .context("--brokers, --property or the topic's name")?;
    Ok(Where::Topic(Box::new(settings)))
}

/// What differs from the defaults only.
fn written(settings: &KafkaSettings) -> String {
    let mut written = serde_json::to_value(settings).unwrap_or_default();
    if let Some(fields) = written.as_object_mut() {
        let plain = json!({ "group": "keyhound", "start": "-7d", "consume": "batch", "properties": {} });
        // `-7d` is written in the largest unit that fits.
        fields.retain(|name, value| {
            plain.get(name) != Some(value) && !(name == "start" && *value == json!("-1w"))
        });
    }
    written.to_string()
}
