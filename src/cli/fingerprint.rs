//! `keyhound fingerprint`: the key id of a raw key, for the catalogue and for searching.

use std::{
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use super::output::{print, say};
use crate::decode::{Pepper, credential_fingerprint, fingerprint};

/// Print the key ids of raw keys that come on standard input, one a line
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  keyhound fingerprint --pepper-file secrets/pepper < key.txt\n\nSee docs/config.md#the-catalogue."
)]
pub struct Args {
    /// The pepper of the daemon's settings
    #[arg(long, value_name = "FILE")]
    pepper_file: PathBuf,
    /// The lines are credential ids of this gateway namespace, not raw keys
    #[arg(long, value_name = "NAMESPACE")]
    credential_of: Option<String>,
}

/// Runs the command. A key on the command line would be in the shell's history and in the process list, so keys are
/// read from standard input only.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.pepper_file.display();
    let bytes = std::fs::read(&args.pepper_file).with_context(|| format!("{path} cannot be read"))?;
    let pepper = Pepper::new(&bytes).with_context(|| path.to_string())?;
    let mut input = io::stdin().lock();
    if io::stdin().is_terminal() {
        say("One key a line; end with Ctrl-D.");
    }
    loop {
        let mut line = Zeroizing::new(String::new());
        if input.read_line(&mut line).context("standard input cannot be read")? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let key = line.trim_end_matches(['\n', '\r']);
        if key.is_empty() {
            bail!("an empty line is no key");
        }
        let id = match &args.credential_of {
            Some(namespace) => credential_fingerprint(&pepper, namespace, key),
            None => fingerprint(&pepper, key.as_bytes()),
        };
        print(&format!("{id}\n"))?;
    }
}
