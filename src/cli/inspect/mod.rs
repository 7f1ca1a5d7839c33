//! `keyhound inspect`: what Keyhound makes of a log or a topic, and with which settings to start.
//!
//! Tries each preset on a sample, keeps the best, and shows which facts it finds, how many keys, why records were
//! rejected, and how a topic is keyed. Shows counts and positions only: no raw key, no address. Of a topic it reads
//! the last records, joins no group and commits nothing.

mod input;
mod keying;
mod report;
mod survey;

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;

use self::{
    input::{Input, Sample},
    report::Report,
    survey::Survey,
};
use super::{
    key_names::NamedKeys,
    output::{Output, print, print_json, say},
    records,
    text_log::TextLog,
};
use crate::decode::{Format, KeyPolicy, Pepper, Settings};

/// Records that have to be text for a log to be told as text.
const TEXT_RECORDS: usize = 200;

/// Guess a log's or a topic's format; show what is in it and a configuration to start with
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  keyhound inspect /var/log/nginx/access.json\n  keyhound inspect kong-logs --brokers kafka-1:9092\n\nSee docs/formats.md."
)]
pub struct Args {
    /// The format, where the guess is not wanted: a preset or a YAML file with a mapping.
    #[arg(long, value_name = "NAME|FILE")]
    format: Option<String>,
    #[command(flatten)]
    key_names: NamedKeys,
    /// How many records to look at: the first of a file, the last of a topic, spread over its partitions.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    records: u32,
    /// The settings: a file or topic that a source of them reads is looked at as that source reads it. For a topic,
    /// brokers and properties are those of a Kafka source.
    #[arg(long, value_name = "FILE", conflicts_with = "brokers")]
    config: Option<PathBuf>,
    /// The brokers, for a topic.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    brokers: Vec<String>,
    /// A librdkafka property, for a topic; may be given several times. A secret is '${NAME}', an environment
    /// variable, in single quotes so that the shell leaves it alone.
    #[arg(long, value_name = "NAME=VALUE", requires = "brokers")]
    property: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// A file, plain or gzip, - for standard input, or, where no such file is there, a topic.
    #[arg(value_name = "FILE|TOPIC")]
    target: String,
}

/// Runs the command. It fails if nothing could be read as a request.
#[allow(clippy::needless_pass_by_value)] // the form that every command has
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let input = Input::resolve(&args)?;
    let sample = input.sample(args.records)?;
    if let Some(why) = &sample.cut_short {
        say(format_args!("the sample is smaller than asked for: {why}"));
    }
    let lines = sample.pieces.iter().take(TEXT_RECORDS).map(|piece| piece.bytes.as_slice());
    if let Some(text) = TextLog::of_all(lines) {
        bail!("{}: {text}", args.target);
    }
    let report = look(&args, &input, &sample, &input.pepper()?)?;
    match args.output {
        Output::Table => print(&report.text())?,
        Output::Json => print_json(&report)?,
    }
    Ok(if report.requests == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn look(args: &Args, input: &Input, sample: &Sample, pepper: &Pepper) -> anyhow::Result<Report> {
    let configured = input.decode.clone();
    let names = args.key_names.over(configured.as_ref().map(|settings| settings.key_names.clone()));
    let (settings, origin) = match (&args.format, configured) {
        (Some(name), configured) => {
            let client_address = configured.map(|settings| settings.client_address).unwrap_or_default();
            (Settings { client_address, ..plain(records::format(name)?) }, "given")
        }
        (None, Some(settings)) => (settings, "of the settings"),
        (None, None) => (plain(survey::guess(&sample.pieces, &names, pepper)?), "guessed"),
    };
    let settings = Settings { key_names: names, ..settings }.checked()?;
    let of = |key| Survey::of(&sample.pieces, &Settings { key, ..settings.clone() }, pepper);
    let (raw, credential) = (of(KeyPolicy::Raw)?, of(KeyPolicy::Credential)?);
    // A credential id is preferred: it is there only for keys that the gateway knows, and is no secret.
    let (policy, best) = if credential.requests > 0 && credential.requests * 2 >= raw.requests {
        ("credential", &credential)
    } else {
        ("raw", &raw)
    };
    Ok(Report::new(input, &settings, origin, sample, policy, best, &raw))
}

fn plain(format: Format) -> Settings {
    Settings::new(format, KeyPolicy::Raw)
}

#[cfg(test)]
mod tests;
