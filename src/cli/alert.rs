//! `keyhound alert`: a harmless alert through the real client, to see whether alerts arrive.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Subcommand;
use serde::Serialize;

use super::{
    arguments::{length, severity},
    output::{Output, print, print_json},
    table::{plain, table},
};
use crate::{
    app::parts,
    config::{Config, Overrides},
    deliver::{
        WallClock,
        alertmanager::{self, test_alert},
    },
    incident::Severity,
    telemetry::logs::with_causes,
};

/// Send a test alert to the Alertmanagers of the settings
#[derive(Debug, clap::Args)]
pub struct AlertArgs {
    #[command(subcommand)]
    action: AlertAction,
}

#[derive(Debug, Subcommand)]
enum AlertAction {
    /// Send an alert that says of itself that nothing happened, and print what each Alertmanager answers
    ///
    /// It has the labels that a real alert of this severity would have, with `alertname` `KeyhoundTest` and `key_id` `test`, so
    /// that it goes the same way. It ends by itself. Exit code: 0 if every Alertmanager took it, 1 if not.
    #[command(
        after_help = "Example:\n  keyhound alert test --config keyhound.yaml --severity critical\n\nSee docs/incidents.md#the-alert."
    )]
    Test(TestAlertArgs),
}

#[derive(Debug, clap::Args)]
struct TestAlertArgs {
    /// The settings
    #[arg(long, env = "KEYHOUND_CONFIG", default_value = "keyhound.yaml", value_name = "FILE")]
    config: PathBuf,
    /// The severity, before the Alertmanager's `severity_map`
    #[arg(long, value_name = "low|medium|high|critical", default_value = "high", value_parser = severity)]
    severity: Severity,
    /// How long it fires: longer than the `group_wait` of its route, else nobody is told
    #[arg(long = "for", value_name = "DURATION", default_value = "5m", value_parser = length)]
    lasting: Duration,
    /// End the one that was sent before, at once
    #[arg(long, conflicts_with = "lasting")]
    end: bool,
    /// How to print what came back
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    overrides: Overrides,
}

/// `keyhound.alert-test/1`.
#[derive(Debug, Serialize)]
struct Trials {
    schema: &'static str,
    ends_at: String,
    alertmanagers: Vec<Trial>,
}

#[derive(Debug, Serialize)]
struct Trial {
    alertmanager: String,
    accepted: bool,
    /// Why not; empty if it was.
    error: String,
}

/// Runs the sub-command.
pub fn run(args: &AlertArgs) -> anyhow::Result<ExitCode> {
    let AlertAction::Test(args) = &args.action;
    let config = Config::load(&args.config, &args.overrides)?;
    if config.alertmanagers.is_empty() {
        anyhow::bail!("{}: alertmanagers is empty; nobody would be told of anything", args.config.display());
    }
    let trials = try_all(args, &config)?;
    match args.output {
        Output::Json => print_json(&trials)?,
        Output::Table => print(&render(&trials))?,
    }
    let all = trials.alertmanagers.iter().all(|trial| trial.accepted);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn try_all(args: &TestAlertArgs, config: &Config) -> anyhow::Result<Trials> {
    let lasting = if args.end { Duration::ZERO } else { args.lasting };
    let (links, now) = (parts::page_links(config, None), WallClock::system().now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let trial = |peer: &alertmanager::Peer| {
        let alert = test_alert(args.severity, config.response.mode, &peer.labels, &links, now, lasting);
        let posted = runtime.block_on(alertmanager::post_once(peer, &[alert]));
        let error = posted.err().map(|error| with_causes(&error.into())).unwrap_or_default();
        Trial { alertmanager: peer.name(), accepted: error.is_empty(), error }
    };
    Ok(Trials {
        schema: "keyhound.alert-test/1",
        ends_at: now.after(lasting).rfc3339(),
        alertmanagers: config.alertmanagers.iter().map(trial).collect(),
    })
}

fn render(trials: &Trials) -> String {
    let mut rows = table(&["ALERTMANAGER", "ANSWER"]);
    for trial in &trials.alertmanagers {
        let answer = if trial.accepted { "accepted".to_owned() } else { plain(&trial.error) };
        rows.add_row([trial.alertmanager.clone(), answer]);
    }
    format!("{rows}\nThe alert {} ends at {}.\n", test_alert::NAME, trials.ends_at)
}
