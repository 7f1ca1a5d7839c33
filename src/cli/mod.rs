//! The sub-commands, a file each: parse, run, exit code.

pub mod alert;
pub mod check_config;
pub mod daemon;
pub mod decisions;
pub mod decode;
pub mod demo;
pub mod fingerprint;
pub mod generate;
pub mod incidents;
pub mod inspect;
pub mod records;
pub mod replay;
pub mod rules;
pub mod run;

mod arguments;
mod key_names;
mod output;
mod table;
mod text_log;

use std::{process::ExitCode, sync::LazyLock};

use clap::{CommandFactory as _, Parser, Subcommand};

pub use output::say;

use crate::telemetry::build;

/// Settings, rules or a catalogue that cannot be used: `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: u8 = 78;

/// Reads API gateway access logs, learns how each API key is used, and stops stolen keys
#[derive(Parser)]
#[command(name = "keyhound", version, long_version = LONG_VERSION.as_str(), max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What a bug report needs: the version, how it was built, and the libraries that are linked in.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    format!(
        "{}\nrevision: {}\ntarget: {}\nlibrdkafka: {librdkafka}\nSQLite: {}",
        build::VERSION,
        build::REVISION,
        build::TARGET,
        rusqlite::version(),
    )
});

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::DemoArgs),
    CheckConfig(check_config::Args),
    Inspect(inspect::Args),
    Decode(decode::Args),
    Replay(replay::Args),
    Rules(rules::Args),
    Decisions(decisions::Args),
    Incidents(incidents::Args),
    Alert(alert::AlertArgs),
    Fingerprint(fingerprint::Args),
    Generate(generate::GenerateArgs),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs what the command line says. Exit codes: 0 right, 1 failed, 2 a command line that cannot be, 78 settings that
/// cannot be used.
pub fn run() -> anyhow::Result<ExitCode> {
    output::unless_closed(run_command(Cli::parse().command))
}

fn run_command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::CheckConfig(args) => check_config::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Rules(args) => rules::run(args),
        Command::Decisions(args) => decisions::run(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Alert(args) => alert::run(&args),
        Command::Fingerprint(args) => fingerprint::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "keyhound", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
