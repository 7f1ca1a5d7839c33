//! The two forms of an answer. Both go to standard output, without colour; talk goes to standard error.

use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::ValueEnum;
use serde::Serialize;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Prints a text as it is.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints one JSON document.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(&(serde_json::to_string_pretty(value)? + "\n"))?)
}

/// Says a line to whoever watches. That nobody listens to standard error is no reason to stop.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What a command came to, where a reader that has seen enough (`| head`) is no failure.
pub(super) fn unless_closed(outcome: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match outcome {
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

/// Whether it is that nobody reads standard output any more. Errors of sockets have types of their own.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
