//! `keyhound run`: the daemon.

use std::{io, path::PathBuf, process::ExitCode};

use super::{EXIT_CONFIG, output::say};
use crate::{
    app::{self, Named},
    config::{Config, FileError, Overrides},
    telemetry::logs,
};

/// Read gateway logs, learn, tell and decide, until a signal
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  keyhound run --config keyhound.yaml\n\nSee docs/operations.md and docs/config.md."
)]
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
        Err(error @ FileError::Read { .. }) => {
            let hint = format!(
                "{error}; --config FILE (KEYHOUND_CONFIG) names another file, and keyhound inspect LOG prints settings \
                 to start with"
            );
            return unusable(anyhow::Error::new(error).context(hint));
        }
        Err(error) => return unusable(error.into()),
    };
    logs::init(&config.logs)?;
    app::secrecy::keep();
    let named = match Named::read(&config) {
        Ok(named) => named,
        Err(error) => return unusable(error),
    };
    app::run(config, named, args.config, args.overrides)?;
    Ok(ExitCode::SUCCESS)
}

/// What cannot be read may be there in a moment, a volume or a secret that is mounted late, so that it is worth another
/// start. What is wrong in a file stays wrong.
fn unusable(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let is_unreadable = |cause: &(dyn std::error::Error + 'static)| {
        // That it is no UTF-8 is said of what is in it.
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() != io::ErrorKind::InvalidData)
    };
    if error.chain().any(is_unreadable) {
        return Err(error);
    }
    say(logs::with_causes(&error));
    Ok(ExitCode::from(EXIT_CONFIG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_not_there_may_be_there_in_a_moment_and_wrong_ones_stay_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("keyhound.yaml");
        let run = || run(Args { config: config.clone(), overrides: Overrides::default() });
        let error = logs::with_causes(&run().unwrap_err());
        for words in ["keyhound.yaml: cannot be read", "--config FILE", "keyhound inspect", "No such file"] {
            assert!(error.contains(words), "{words}: {error}");
        }
        for wrong in [&b"sources: []"[..], b"\xff"] {
            std::fs::write(&config, wrong).unwrap();
            assert_eq!(format!("{:?}", run().unwrap()), format!("{:?}", ExitCode::from(EXIT_CONFIG)));
        }
    }
}
