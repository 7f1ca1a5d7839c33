//! Parses, runs, exits.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keyhound::cli::run().unwrap_or_else(|error| {
        keyhound::cli::say(format_args!("keyhound: {}", keyhound::telemetry::logs::with_causes(&error)));
        ExitCode::FAILURE
    })
}
