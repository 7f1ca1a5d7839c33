//! `keyhound incidents`: what is going on, and one incident in full.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};

use super::{
    daemon::{Daemon, DaemonArgs},
    output::{Output, print_json},
    table::{self, plain},
};
use crate::{incident::Incident, serve::operators::IncidentList};

/// Lists incidents, or shows one.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Shows open incidents, the latest first (the default).
    List {
        /// Which ones.
        #[arg(long, value_enum, default_value_t = State::Open)]
        state: State,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Shows one incident in full.
    Show {
        /// The incident's id (inc_…).
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Open,
    Closed,
    All,
}

/// Runs the sub-command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let output = args.daemon.output;
    match args.action.clone().unwrap_or(Action::List { state: State::Open, limit: 100 }) {
        Action::List { state, limit } => {
            let state = match state {
                State::Open => "open",
                State::Closed => "closed",
                State::All => "all",
            };
            let query = [("state", state.to_owned()), ("limit", limit.to_string())];
            let list: IncidentList = Daemon::new(&args.daemon)?.get("incidents", &query)?;
            match output {
                Output::Json => print_json(&list)?,
                Output::Table => print!("{}", render(&list)),
            }
        }
        Action::Show { id } => {
            // Checked here, and not printed: somebody may have pasted a raw key.
            if !id.starts_with("inc_") || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                bail!("expected an incident's id (inc_…); `keyhound incidents` lists them");
            }
            let daemon = Daemon::new(&args.daemon)?;
            match output {
                Output::Json => print_json(&daemon.get::<Incident>(&format!("incidents/{id}"), &[])?)?,
                // The daemon lays the page out: it knows who owns the key, and what time it is there.
                Output::Table => print!("{}", lines(&daemon.text(&format!("incidents/{id}/page"))?)),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn render(list: &IncidentList) -> String {
    if list.incidents.is_empty() {
        return "No incident.\n".to_owned();
    }
    let mut rows = table::table(&["SEVERITY", "VERDICT", "KEY", "SINCE", "STATE", "INCIDENT", "WHY"]);
    for incident in &list.incidents {
        let state = match (incident.is_open(), incident.stale) {
            (true, true) => "backlog",
            (true, false) => "open",
            (false, true) => "backlog, closed",
            (false, false) => "closed",
        };
        let leading = incident.reasons.iter().max_by(|a, b| a.score.total_cmp(&b.score));
        rows.add_row([
            incident.severity.as_str().to_owned(),
            plain(&incident.verdict),
            plain(&table::key(&incident.subject)),
            table::time(&incident.opened_at),
            state.to_owned(),
            incident.id.0.clone(),
            leading.map_or_else(String::new, |reason| plain(&reason.observed)),
        ]);
    }
    format!("{rows}\n")
}

/// The lines of a text from elsewhere, none of which can steer the terminal.
fn lines(text: &str) -> String {
    text.lines().map(|line| plain(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::testing::stolen;

    #[test]
    fn a_text_of_a_log_cannot_steer_the_terminal() {
        let mut incident = stolen();
        incident.reasons[1].observed.push_str("\u{1b}[31m");
        let list = IncidentList { incidents: vec![incident] };
        assert!(!render(&list).contains('\u{1b}'));
        assert_eq!(lines("Why  a\u{1b}[31m\nDo   b\n"), "Why  a [31m\nDo   b\n");
    }

    #[test]
    fn a_list_has_a_row_for_each_incident() {
        let list = IncidentList { incidents: vec![stolen()] };
        insta::assert_snapshot!(render(&list));
        insta::assert_snapshot!(serde_json::to_string_pretty(&list).unwrap());
        assert_eq!(render(&IncidentList { incidents: Vec::new() }), "No incident.\n");
    }
}
