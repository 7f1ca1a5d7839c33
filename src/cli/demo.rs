//! `keyhound demo`: two weeks are learnt, a key leaks, and it alone is stopped.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::output::is_closed;
use crate::{
    app::demo::{self, Screen, Settings, Verdict},
    generate::{Format, Formats},
};

/// Show on invented traffic how a stolen key is found and stopped. Needs no server and no configuration.
///
/// Exit code: 0 if the leaked key, and it alone, was stopped; 1 if not.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  keyhound demo --serve")]
pub struct DemoArgs {
    /// Stay up afterwards and print the addresses to look at
    #[arg(long)]
    serve: bool,
    /// The number that everything follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many keys
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(60..=100_000))]
    keys: u32,
    /// How many days of traffic, the live part included
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(7..=60))]
    days: u16,
    /// The gateways' log format; `mixed` puts each tenant behind nginx, Kong or Envoy in turn
    #[arg(long, value_enum, default_value_t = FormatArg::Mixed)]
    format: FormatArg,
    /// Seconds of traffic in a second of the live part
    #[arg(long, default_value_t = 36.0, conflicts_with = "fast")]
    speed: f64,
    /// Do not slow the live part down to a pace that can be read
    #[arg(long)]
    fast: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum FormatArg {
    Nginx,
    Kong,
    Envoy,
    Mixed,
}

impl From<FormatArg> for Formats {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Nginx => Self::One(Format::Nginx),
            FormatArg::Kong => Self::One(Format::Kong),
            FormatArg::Envoy => Self::One(Format::Envoy),
            FormatArg::Mixed => Self::Mixed,
        }
    }
}

/// Runs the sub-command.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    if !(1.0..=10_000.0).contains(&args.speed) {
        bail!("\"--speed\" is {}; it must be from 1 to 10000", args.speed);
    }
    let settings = Settings {
        seed: args.seed,
        keys: args.keys as usize,
        days: args.days,
        formats: args.format.into(),
        speed: (!args.fast).then_some(args.speed),
        serve: args.serve,
        ..Settings::default()
    };
    let verdict = match demo::run(&settings, &mut Screen::standard()) {
        // Nobody saw how it ended.
        Err(error) if is_closed(&error) => return Ok(ExitCode::FAILURE),
        verdict => verdict?,
    };
    Ok(exit_code(&verdict).into())
}

fn exit_code(verdict: &Verdict) -> u8 {
    u8::from(!verdict.faults().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::demo::Asked;

    #[test]
    fn the_exit_code_is_0_only_if_the_leaked_key_and_it_alone_was_stopped() {
        let right = Verdict {
            stopped_after_seconds: Some(20),
            stolen: Asked { refused: 9, ..Asked::default() },
            neighbour: Asked { served: 9, ..Asked::default() },
            ..Verdict::default()
        };
        assert_eq!(exit_code(&right), 0);
        let odd = Asked { odd: 1, ..right.neighbour };
        for wrong in [
            Verdict::default(),
            Verdict { stopped_after_seconds: None, ..right.clone() },
            Verdict { stolen: Asked::default(), ..right.clone() },
            Verdict { neighbour: Asked { refused: 1, ..right.neighbour }, ..right.clone() },
            Verdict { neighbour: Asked::default(), ..right.clone() },
            Verdict { neighbour: odd, ..right.clone() },
            Verdict { decisions_on_others: vec!["throttle".to_owned()], ..right.clone() },
            Verdict { rejected: 1, ..right.clone() },
        ] {
            assert_eq!(exit_code(&wrong), 1, "{wrong:?}");
        }
    }
}
