//! `keyhound incidents`: what is going on, and one incident in full.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};

use super::{
    arguments::{severity, since},
    daemon::{Daemon, DaemonArgs},
    decisions::key_id,
    output::{Output, print, print_json},
    table::{self, plain},
};
use crate::{
    deliver::WallTime,
    incident::Severity,
    serve::operators::{IncidentList, LinkedIncident},
};

/// List incidents, or show one
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  keyhound incidents list --severity high --since 12h --state all\n  keyhound incidents show inc_7c0e5b1f…\n\nSee docs/incidents.md."
)]
pub struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List incidents, the latest first (the default)
    List(ListFilter),
    /// Show one incident in full
    Show {
        /// The incident's id (inc_…)
        id: String,
    },
}

/// Which incidents to list.
#[derive(Clone, Debug, clap::Args)]
struct ListFilter {
    /// Open ones, closed ones, or both
    #[arg(long, value_enum, default_value_t = State::Open)]
    state: State,
    /// Only those of this key id or alias
    #[arg(long, value_name = "KEY-ID")]
    key: Option<String>,
    /// Only this severity and worse
    #[arg(long, value_name = "low|medium|high|critical", value_parser = severity)]
    severity: Option<Severity>,
    /// Only those that changed since: a time (2026-11-22T03:00:00Z), or how long ago (90m, 12h, 7d)
    #[arg(long, value_name = "TIME|DURATION", value_parser = since)]
    since: Option<WallTime>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
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
    let all_open = ListFilter { state: State::Open, key: None, severity: None, since: None, limit: 100 };
    match args.action.clone().unwrap_or(Action::List(all_open)) {
        Action::List(filter) => {
            let query = filter.query()?;
            let list: IncidentList = Daemon::new(&args.daemon)?.get("incidents", &query)?;
            match output {
                Output::Json => print_json(&list)?,
                Output::Table => print(&render(&list))?,
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
                Output::Json => print_json(&daemon.get::<LinkedIncident>(&format!("incidents/{id}"), &[])?)?,
                // The daemon lays the page out: it knows who owns the key, and what time it is there.
                Output::Table => print(&lines(&daemon.text(&format!("incidents/{id}/page"))?))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl ListFilter {
    /// As the API takes it.
    fn query(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let state = match self.state {
            State::Open => "open",
            State::Closed => "closed",
            State::All => "all",
        };
        let mut query = vec![("state", state.to_owned()), ("limit", self.limit.to_string())];
        if let Some(key) = &self.key {
            query.push(("key", key_id(key)?));
        }
        query.extend(self.severity.map(|severity| ("severity", severity.as_str().to_owned())));
        query.extend(self.since.map(|since| ("since", since.rfc3339())));
        Ok(query)
    }
}

fn render(list: &IncidentList) -> String {
    if list.incidents.is_empty() {
        return "No incident.\n".to_owned();
    }
    let mut rows = table::table(&["SEVERITY", "VERDICT", "KEY", "SINCE", "STATE", "INCIDENT", "WHY"]);
    for LinkedIncident { incident, .. } in &list.incidents {
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
    use clap::Parser as _;

    use crate::incident::{Incident, testing::stolen};

    fn list(incident: Incident) -> IncidentList {
        let page_url = "http://127.0.0.1:9464/incidents/inc_7q4m".to_owned();
        let (dashboard_url, runbook_url) = (page_url.clone(), String::new());
        IncidentList { incidents: vec![LinkedIncident { incident, page_url, dashboard_url, runbook_url }] }
    }

    #[test]
    fn a_text_of_a_log_cannot_steer_the_terminal() {
        let mut incident = stolen();
        incident.reasons[1].observed.push_str("\u{1b}[31m");
        let list = list(incident);
        assert!(!render(&list).contains('\u{1b}'));
        assert_eq!(lines("Why  a\u{1b}[31m\nDo   b\n"), "Why  a [31m\nDo   b\n");
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        filter: ListFilter,
    }

    #[track_caller]
    fn query(words: &[&str]) -> Result<Vec<(&'static str, String)>, String> {
        let line = Line::try_parse_from([&["list"], words].concat()).map_err(|error| error.to_string())?;
        line.filter.query().map_err(|error| error.to_string())
    }

    #[test]
    fn filters_are_those_of_the_api() {
        let key = "kf1_9c410000000000000000000000ade07b";
        let words = ["--key", key, "--severity", "high", "--since", "2026-11-22T03:00:00Z", "--state", "all"];
        let asked = query(&words).unwrap();
        let since = "2026-11-22T03:00:00.000Z";
        let expected =
            [("state", "all"), ("limit", "100"), ("key", key), ("severity", "high"), ("since", since)];
        assert_eq!(asked, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(query(&["--since", "2h"]).unwrap()[2].1.starts_with("20"));
    }

    #[test]
    fn a_filter_that_cannot_be_is_refused_and_a_raw_key_is_not_shown() {
        let error = query(&["--key", "sk_live_4242"]).unwrap_err();
        assert!(error.contains("12 characters is not a key id") && !error.contains("4242"), "{error}");
        assert!(query(&["--severity", "severe"]).unwrap_err().contains("low, medium, high or critical"));
        assert!(query(&["--since", "yesterday"]).unwrap_err().contains("how long ago (90m, 12h, 7d)"));
    }

    #[test]
    fn a_list_has_a_row_for_each_incident() {
        let list = list(stolen());
        insta::assert_snapshot!(render(&list));
        insta::assert_snapshot!(serde_json::to_string_pretty(&list).unwrap());
        assert_eq!(render(&IncidentList { incidents: Vec::new() }), "No incident.\n");
    }
}
