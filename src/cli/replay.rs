//! `keyhound replay`: what the settings would have found in a log.

use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal as _, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::{EXIT_CONFIG, check_config, output::say};
use crate::{
    app::{
        self,
        replay::{Exchange, Exchanged, Replayed},
    },
    config::Overrides,
    evaluate::replay::{BacktestError, BacktestProgress},
    respond::Mode,
    telemetry::grouped,
};

/// Where nobody watches, how far it is is said so often.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Stopped by a signal: 128 and the number of SIGINT, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

/// Read past logs through the same engine in event time, and write what it would have found
///
/// Touches no state, no network and no gateway. The same lines and settings give the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  keyhound replay --config keyhound.yaml --incidents found.ndjson access.json access.json.1.gz
  zcat logs/*.gz | keyhound replay --incidents - - | jq -r '[.detected_at, .severity, .verdict, .subject.id] | @tsv'
  keyhound replay --incidents found.ndjson --swap 5000000:places=geo/new access.json

See docs/replay.md.")]
pub struct Args {
    /// The settings
    #[arg(long, env = "KEYHOUND_CONFIG", default_value = "keyhound.yaml", value_name = "FILE")]
    config: PathBuf,
    /// Whose log it is, where the settings have several sources: how it is read
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Where to write a line each time an incident opens, rises, gains a rule or a step, or closes; - is standard output
    #[arg(long, value_name = "FILE")]
    incidents: PathBuf,
    /// The first lines that are older history: they teach, and no incident that begins in them is written
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    past_lines: u64,
    /// After so many lines of all logs, other place databases (of the same names, in a folder) or another catalogue; may
    /// be repeated
    #[arg(long, value_name = "LINES:places=DIR|LINES:catalogue=FILE", value_parser = exchange)]
    swap: Vec<Exchange>,
    /// Whether steps are recorded as granted or as shadow, over the file
    #[arg(long, env = "KEYHOUND_MODE", value_name = "shadow|enforce", value_parser = crate::config::mode)]
    mode: Option<Mode>,
    /// The logs, plain or gzip, merged by when their records came; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command. Exit codes: 0 all was read, 1 failed, 78 settings that cannot be used, 130 interrupted. What was
/// found until then is written in any case.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let overrides = Overrides { mode: args.mode, ..Overrides::default() };
    let Some(config) = check_config::usable(&args.config, &overrides) else {
        return Ok(ExitCode::from(EXIT_CONFIG));
    };
    app::secrecy::keep();
    let stop = stop_on_signal()?;
    refuse_logs(&args.incidents, &args.files)?;
    let Args { incidents, source, files, past_lines, swap: exchanges, .. } = args;
    let backtest = app::replay::open(config, Replayed { source, files, past_lines, exchanges })?;
    let (began, mut watched) = (Instant::now(), Watched::new());
    let ended = backtest.run(output(&incidents)?, &stop, &mut |progress| watched.show(progress));
    watched.end();
    let summary = match ended {
        // As it is, so that a reader who has seen enough is known.
        Err(BacktestError::Write(error)) => return Err(error).context("the incidents cannot be written"),
        ended => ended?,
    };
    let took = began.elapsed().as_secs_f64();
    say(summary.to_string().trim_end());
    say(format_args!("took       {took:.1} s, {} lines a second", rate(summary.lines, took)));
    Ok(if summary.is_interrupted { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// `5000000:places=geo/new`.
fn exchange(text: &str) -> Result<Exchange, String> {
    let wrong =
        || "it must be LINES:places=DIR or LINES:catalogue=FILE, such as 5000000:places=geo/new".to_owned();
    let (lines, what) = text.split_once(':').ok_or_else(wrong)?;
    let after_lines = lines.parse().map_err(|_| wrong())?;
    let what = match what.split_once('=') {
        Some((_, "")) => return Err(wrong()),
        Some(("places", folder)) => Exchanged::Places(folder.into()),
        Some(("catalogue", file)) => Exchanged::Catalogue(file.into()),
        _ => return Err(wrong()),
    };
    Ok(Exchange { after_lines, what })
}

/// The output must be none of the logs: it would be wiped.
fn refuse_logs(path: &Path, logs: &[PathBuf]) -> anyhow::Result<()> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let is_same = |log: &PathBuf| identity(path).is_some_and(|found| identity(log) == Some(found));
    if path.is_file() && logs.iter().any(is_same) {
        bail!("--incidents {} is one of the logs; it would be overwritten", path.display());
    }
    Ok(())
}

fn output(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file =
        File::create(path).with_context(|| format!("--incidents {} cannot be written", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Becomes true with SIGINT or SIGTERM; a second one ends the process at once.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut int, mut term) = {
        let _in_runtime = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("keyhound-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                if stopped.swap(true, Relaxed) {
                    std::process::exit(EXIT_INTERRUPTED.into());
                }
            }
        });
    })?;
    Ok(stop)
}

/// Shows how far it is: a bar where somebody watches, else a line now and then.
struct Watched {
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
}

impl Watched {
    fn new() -> Self {
        let now = Instant::now();
        Self { bar: io::stderr().is_terminal().then(bar), began: now, said: now }
    }

    fn show(&mut self, progress: BacktestProgress) {
        let BacktestProgress { lines, bytes, bytes_total, at } = progress;
        let text = || {
            let rate = rate(lines, self.began.elapsed().as_secs_f64());
            format!("{} lines, {rate} a second, at {}", grouped(lines), at.rfc3339())
        };
        match &self.bar {
            Some(bar) => {
                bar.set_length(bytes_total.unwrap_or(bytes).max(1));
                bar.set_position(bytes);
                if self.said.elapsed() > Duration::from_millis(100) {
                    bar.set_message(text());
                    self.said = Instant::now();
                }
            }
            None if self.said.elapsed() >= SAY_EVERY => {
                #[allow(clippy::cast_precision_loss)] // to a percent
                let share = bytes_total.map_or_else(String::new, |total| {
                    format!(", {:.0} %", 100.0 * bytes as f64 / total.max(1) as f64)
                });
                say(format_args!("{}{share}", text()));
                self.said = Instant::now();
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Lines in a second, for people.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // to three digits
fn rate(lines: u64, seconds: f64) -> String {
    grouped((lines as f64 / seconds.max(0.001)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_says_after_how_many_lines_and_what() {
        let places = Exchange { after_lines: 7, what: Exchanged::Places("a/b".into()) };
        assert_eq!(exchange("7:places=a/b"), Ok(places));
        let catalogue = Exchange { after_lines: 0, what: Exchanged::Catalogue("k.yaml".into()) };
        assert_eq!(exchange("0:catalogue=k.yaml"), Ok(catalogue));
        for wrong in ["", "7", "places=a", "x:places=a", "7:places=", "7:rules=a", "-1:places=a"] {
            let error = exchange(wrong).unwrap_err();
            assert!(error.contains("LINES:places=DIR"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_would_wipe_a_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.json");
        fs::write(&log, "{}\n").unwrap();
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(&log, &linked).unwrap();
        for out in [&log, &linked] {
            let error = refuse_logs(out, std::slice::from_ref(&log)).unwrap_err();
            assert!(error.to_string().contains("is one of the logs"), "{error}");
        }
        refuse_logs(&folder.path().join("found"), &[log]).unwrap();
    }
}
