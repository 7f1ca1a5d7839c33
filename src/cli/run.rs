//! `keyhound run`: the daemon.

use std::{path::PathBuf, process::ExitCode};

use super::EXIT_CONFIG;
use crate::{
    app::{self, Named},
    config::{Config, Overrides},
    telemetry::logs,
};

/// Read gateway logs, learn, tell and decide, until a signal
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings
    #[arg(long, env = "KEYHOUND_CONFIG", default_value = "keyhound.yaml", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

/// Runs the command. Exit codes: 0 ended as asked, 1 failed, 78 settings that
/// cannot be used, or what is in the rules, catalogue, pepper, token and place files that they name.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match Config::load(&args.config, &args.overrides) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    logs::init(&config.logs)?;
    app::secrecy::keep();
    let named = match Named::read(&config) {
        Ok(named) => named,
        // What cannot be read may be there in a moment: a secret that is mounted late.
        Err(error) if error.chain().any(<dyn std::error::Error>::is::<std::io::Error>) => return Err(error),
        Err(error) => {
            eprintln!("{}", logs::with_causes(&error));
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    app::run(config, named, args.config, args.overrides)?;
    Ok(ExitCode::SUCCESS)
}
