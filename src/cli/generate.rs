//! `keyhound generate`: writes synthetic gateway logs, and what is true about them.

use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::output::is_closed;
use crate::{
    event::EventTime,
    generate::{
        ClientKind, Format, Formats, Injection, Plan, Scenario, Traffic,
        stream::{Stream, StreamPlan},
        world,
    },
};

/// Write synthetic gateway logs: honest traffic of many keys, and incidents at known times.
///
/// The same arguments give the same bytes. The raw keys in the lines are invented.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  keyhound generate --days 14 --leak --output-file access.json --labels labels.json"
)]
pub struct GenerateArgs {
    /// Form of the lines; `mixed` puts each tenant behind nginx, Kong or Envoy in turn
    #[arg(long, value_enum, default_value_t = FormatArg::Nginx)]
    format: FormatArg,
    /// How many keys, the busiest first
    #[arg(long, default_value_t = 300)]
    keys: usize,
    /// How many tenants, from 1 to 12
    #[arg(long, default_value_t = 8)]
    tenants: usize,
    /// How many days, from 1 to 366
    #[arg(long, default_value_t = 14)]
    days: u16,
    /// When the first day begins (RFC 3339)
    #[arg(long, default_value = "2026-11-02T00:00:00Z", value_parser = time)]
    start: EventTime,
    /// The number that everything follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests a minute of the key in the middle
    #[arg(long, value_name = "RATE", default_value_t = 0.2)]
    median: f64,
    /// Requests a minute of the busiest key
    #[arg(long, value_name = "RATE", default_value_t = 30.0)]
    top: f64,
    /// Scale all rates down so that about this many lines are written at most
    #[arg(long, default_value_t = 3_000_000)]
    lines: u64,
    /// Let a key leak on the last day
    #[arg(long)]
    leak: bool,
    /// Let something happen on the last day; may be repeated
    #[arg(long = "scenario", value_enum, value_name = "SCENARIO")]
    scenarios: Vec<ScenarioArg>,
    /// Write the lines to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Write what is true about the incidents to this file, as JSON
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Write the synthetic place database to this file (MaxMind DB)
    #[arg(long, value_name = "FILE")]
    geo: Option<PathBuf>,
    /// Write a plain benchmark stream of this many nginx records instead of traffic with shapes
    #[arg(long, value_name = "RECORDS", conflicts_with_all = ["leak", "scenarios", "labels", "format"])]
    stream: Option<u64>,
    /// Records in a second of event time, of the benchmark stream
    #[arg(long, value_name = "COUNT", default_value_t = 20_000, requires = "stream")]
    per_second: u32,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum FormatArg {
    Nginx,
    Kong,
    Envoy,
    Mixed,
}

/// The names of [`Scenario`] on the command line.
#[derive(Clone, Copy, Debug)]
struct ScenarioArg(Scenario);

impl ValueEnum for ScenarioArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [ScenarioArg; Scenario::ALL.len()] = {
            let mut all = [ScenarioArg(Scenario::Leak); Scenario::ALL.len()];
            let mut index = 0;
            while index < all.len() {
                all[index] = ScenarioArg(Scenario::ALL[index]);
                index += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

/// Runs the sub-command.
pub fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.geo {
        write_file(path, &world::database())?;
    }
    let mut out: Box<dyn Write> = match &args.output_file {
        Some(path) => {
            Box::new(File::create(path).with_context(|| format!("cannot create {}", path.display()))?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(1 << 18, &mut out);
    let written = match args.stream {
        Some(records) => write_stream(args, records, &mut out),
        None => write_traffic(args, &mut out),
    };
    match written.and_then(|()| Ok(out.flush()?)) {
        // The reader has seen enough: `keyhound generate | head`.
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn write_stream(args: &GenerateArgs, records: u64, out: &mut impl Write) -> anyhow::Result<()> {
    let Ok(keys @ 1..=10_000_000) = u32::try_from(args.keys) else {
        bail!("\"--keys\" is {}; it must be from 1 to 10000000", args.keys);
    };
    if args.per_second == 0 {
        bail!("\"--per-second\" is 0; it must be at least 1");
    }
    let plan = StreamPlan { seed: args.seed, start: args.start, keys, records, per_second: args.per_second };
    let mut stream = Stream::new(plan);
    while let Some(record) = stream.next_record() {
        out.write_all(record.bytes)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_traffic(args: &GenerateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut traffic = Traffic::new(args.plan())?;
    let leak = args.leak.then_some(Scenario::Leak);
    for (nth, scenario) in leak.into_iter().chain(args.scenarios.iter().map(|arg| arg.0)).enumerate() {
        inject(&mut traffic, scenario, nth)?;
    }
    if let Some(path) = &args.labels {
        let mut labels = serde_json::to_vec_pretty(traffic.labels())?;
        labels.push(b'\n');
        write_file(path, &labels)?;
    }
    let progress = progress();
    let mut count = 0_u64;
    while let Some(line) = traffic.next_line() {
        out.write_all(line.bytes)?;
        out.write_all(b"\n")?;
        count += 1;
        if count.is_multiple_of(10_000) {
            progress.set_message(format!("{count} lines"));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to 1,000
            progress.set_position((traffic.progress() * 1_000.0) as u64);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Puts a scenario on the last day, an hour and a half after the one before, on a key that it is typical of.
fn inject(traffic: &mut Traffic, scenario: Scenario, nth: usize) -> anyhow::Result<()> {
    let target = if scenario.is_for_tenant() {
        nth % traffic.tenants().len()
    } else {
        let (kind, per_minute) = typical(scenario);
        traffic
            .key_like(kind, per_minute)
            .with_context(|| format!("there are too few keys for the scenario {}", scenario.as_str()))?
    };
    let after = 90 * 60_000 * (nth as u64 % 14);
    let at = EventTime(traffic.plan().end().0 - 23 * 3_600_000 + after);
    traffic.inject(Injection { scenario, at, target })?;
    Ok(())
}

/// What kind of client a scenario happens to, and how busy it is.
const fn typical(scenario: Scenario) -> (ClientKind, f64) {
    match scenario {
        Scenario::Traveller => (ClientKind::Developer, 0.5),
        Scenario::Reseller | Scenario::TwoPlaces => (ClientKind::Server, 2.0),
        Scenario::DormantRevived | Scenario::NewCustomer => (ClientKind::Server, 1.0),
        _ => (ClientKind::Server, 5.0),
    }
}

impl GenerateArgs {
    fn plan(&self) -> Plan {
        Plan {
            seed: self.seed,
            start: self.start,
            days: self.days,
            keys: self.keys,
            tenants: self.tenants,
            formats: match self.format {
                FormatArg::Nginx => Formats::One(Format::Nginx),
                FormatArg::Kong => Formats::One(Format::Kong),
                FormatArg::Envoy => Formats::One(Format::Envoy),
                FormatArg::Mixed => Formats::Mixed,
            },
            median_per_minute: self.median,
            top_per_minute: self.top,
            lines_max: self.lines,
        }
    }
}

/// A bar on standard error where that is a terminal; else nothing.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1_000);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn time(text: &str) -> Result<EventTime, String> {
    let wrong = || format!("\"{text}\" is not a time after 1970: write 2026-11-02T00:00:00Z");
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    u64::try_from(time.as_millisecond()).map(EventTime).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: GenerateArgs,
    }

    /// Runs `keyhound generate` with these arguments, writing to a file in a new folder.
    fn generate(arguments: &[&str]) -> anyhow::Result<(tempfile::TempDir, String)> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("lines");
        let arguments = ["generate", "--output-file", output.to_str().unwrap_or_default()]
            .into_iter()
            .chain(arguments.iter().copied());
        run(&Command::try_parse_from(arguments)?.args)?;
        let lines = fs::read_to_string(output)?;
        Ok((folder, lines))
    }

    #[test]
    fn a_leak_is_labelled_and_the_label_has_no_raw_key() {
        let folder = tempfile::tempdir().unwrap();
        let labels = folder.path().join("labels.json");
        let labels_argument = labels.to_str().unwrap();
        let arguments = ["--leak", "--days", "1", "--keys", "40", "--labels", labels_argument];
        let (_output, lines) = generate(&arguments).unwrap();
        assert!(lines.lines().count() > 1_000);
        let text = fs::read_to_string(labels).unwrap();
        let labels: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(labels[0]["scenario"], "leak");
        assert_eq!(labels[0]["must_alert"], true);
        assert!(!text.contains("demo_"), "{text}");
    }

    #[test]
    fn the_stream_has_as_many_records_as_asked_for() {
        let (_output, lines) = generate(&["--stream", "1000", "--keys", "100"]).unwrap();
        assert_eq!(lines.lines().count(), 1_000);
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let error = generate(&["--tenants", "13"]).unwrap_err();
        assert_eq!(error.to_string(), "\"tenants\" is 13; it must be from 1 to 12");
    }

    #[test]
    fn every_scenario_has_its_name() {
        for scenario in Scenario::ALL {
            let json = serde_json::to_value(scenario).unwrap();
            assert_eq!(json, scenario.as_str());
        }
    }
}
