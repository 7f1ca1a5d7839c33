//! `keyhound incidents`: what is going on, and one incident in full.

use std::{fmt::Write, process::ExitCode};

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
            let incident: Incident = Daemon::new(&args.daemon)?.get(&format!("incidents/{id}"), &[])?;
            match output {
                Output::Json => print_json(&incident)?,
                Output::Table => print!("{}", page(&incident)),
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
        let state = if incident.is_open() { "open" } else { "closed" };
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

/// One incident in the order in which it is read at night: verdict, why, doubt, what was done, what to do.
fn page(incident: &Incident) -> String {
    let mut page = String::new();
    let mut line = |head: &str, text: &str| {
        let _ = writeln!(page, "{}", format!("{head:<9}{}", plain(text)).trim_end());
    };
    let state =
        incident.closed_at.as_ref().map_or("open".to_owned(), |at| format!("closed {}", table::time(at)));
    line(&incident.verdict, &format!("   {}   {state}   {}", incident.severity.as_str(), incident.id.0));
    line("Key", &table::key(&incident.subject));
    let (opened, detected) = (table::time(&incident.opened_at), table::time(&incident.detected_at));
    line("Since", &format!("{opened}, {} since {detected}", incident.severity.as_str()));
    let mut reasons: Vec<_> = incident.reasons.iter().collect();
    reasons.sort_by(|a, b| b.score.total_cmp(&a.score));
    for (index, reason) in reasons.iter().enumerate() {
        let (family, observed, expected) = (&reason.family, &reason.observed, &reason.expected);
        let head = if index == 0 { "Why" } else { "" };
        line(head, &format!("{family:<9} {observed:<42} {expected:<24} {:+.1}", reason.score));
    }
    line("", &format!("total {:.1}; maturity of the profile {:.2}", incident.score, incident.maturity));
    for (index, doubt) in incident.doubts.iter().enumerate() {
        line(if index == 0 { "Doubt" } else { "" }, doubt);
    }
    for (index, done) in incident.steps.iter().enumerate() {
        let (at, step) = (table::time(&done.at), done.step.as_str());
        line(if index == 0 { "Did" } else { "" }, &format!("{at}  {step}  {}  by {}", done.outcome, done.by));
    }
    for (index, held) in incident.held.iter().enumerate() {
        line(if index == 0 { "Held" } else { "" }, &format!("{} ({})", held.step.as_str(), held.by));
    }
    for (index, sample) in incident.evidence.samples.iter().enumerate() {
        let head = if index == 0 { "Seen" } else { "" };
        let (at, place) =
            (table::time(&sample.at), format!("{} {} {}", sample.network, sample.country, sample.prefix));
        let request = format!("{} {} {}", sample.method, sample.route, sample.status);
        line(head, &format!("{at}  {request}  {place}  {}  {}", sample.agent, sample.position));
    }
    if incident.is_open() {
        line("Do", &format!("keyhound decisions revoke {}   if it is stolen", incident.subject.id));
        line(
            "",
            &format!("keyhound decisions lift {} --reason \"…\"   if it is theirs", incident.subject.id),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        incident::{Doing, IncidentId, Reason, Severity},
        respond::{Step, SubjectRef},
    };

    fn incident() -> Incident {
        Incident {
            id: IncidentId("inc_7q4m".to_owned()),
            subject: SubjectRef {
                kind: "key".to_owned(),
                id: "kf1_9c410000000000000000000000ade07b".to_owned(),
                tenant: "acme".to_owned(),
                name: "billing-prod".to_owned(),
                ..SubjectRef::default()
            },
            verdict: "KeyStolen".to_owned(),
            opened_at: "2026-11-22T03:11:19.000Z".to_owned(),
            detected_at: "2026-11-22T03:11:40.000Z".to_owned(),
            severity: Severity::High,
            score: 5.0,
            maturity: 0.94,
            reasons: vec![
                Reason {
                    family: "volume".to_owned(),
                    observed: "214 requests in 21 s\u{1b}[31m".to_owned(),
                    expected: "usual 13".to_owned(),
                    score: 1.2,
                    ..Reason::default()
                },
                Reason {
                    family: "place".to_owned(),
                    observed: "AS14061 DigitalOcean".to_owned(),
                    expected: "first time in 61 days".to_owned(),
                    score: 3.8,
                    ..Reason::default()
                },
            ],
            doubts: vec!["same agent (acme-sdk/4.2)".to_owned()],
            steps: vec![Doing {
                step: Step::Throttle,
                at: "2026-11-22T03:11:40.000Z".to_owned(),
                by: "key-volume-spike".to_owned(),
                outcome: "granted".to_owned(),
            }],
            ..Incident::default()
        }
    }

    #[test]
    fn an_incident_reads_from_the_verdict_to_what_to_do() {
        insta::assert_snapshot!(page(&incident()), @r#"
        KeyStolen   high   open   inc_7q4m
        Key      acme / billing-prod  kf1_9c410000000000000000000000ade07b
        Since    2026-11-22 03:11:19Z, high since 2026-11-22 03:11:40Z
        Why      place     AS14061 DigitalOcean                       first time in 61 days    +3.8
                 volume    214 requests in 21 s [31m                  usual 13                 +1.2
                 total 5.0; maturity of the profile 0.94
        Doubt    same agent (acme-sdk/4.2)
        Did      2026-11-22 03:11:40Z  throttle  granted  by key-volume-spike
        Do       keyhound decisions revoke kf1_9c410000000000000000000000ade07b   if it is stolen
                 keyhound decisions lift kf1_9c410000000000000000000000ade07b --reason "…"   if it is theirs
        "#);
    }

    #[test]
    fn a_text_of_a_log_cannot_steer_the_terminal() {
        let list = IncidentList { incidents: vec![incident()] };
        assert!(!page(&incident()).contains('\u{1b}') && !render(&list).contains('\u{1b}'));
    }
}
