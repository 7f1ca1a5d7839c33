//! `keyhound decisions`: what is in force, and what an operator makes or lifts.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::bail;
use clap::Subcommand;

use super::{
    daemon::{Daemon, DaemonArgs},
    output::{Output, print, print_json},
    table::{self, plain},
};
use crate::{
    event::KeyId,
    respond::{Decision, Mode},
    serve::operators::{CommandAnswer, CommandRequest, DecisionList},
};

/// List decisions, and make or lift them
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  keyhound decisions revoke kf1_9c41… --reason \"stolen\" --for 12h\n  keyhound decisions lift kf1_9c41… --reason \"theirs\"\n\nSee docs/enforcement.md."
)]
pub struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List the current decision of each key (the default)
    List {
        /// Also those that are lifted or over.
        #[arg(long)]
        all: bool,
        /// Only this key id.
        #[arg(long, value_name = "KEY-ID")]
        key: Option<String>,
    },
    /// Refuse a key until the decision ends or is lifted
    Revoke(Take),
    /// Serve a key at most its rate, until the decision ends or is lifted
    Throttle(Take),
    /// End what is in force on a key
    Lift(Target),
    /// Make nothing automatic until `resume`; what is in force stays
    Pause(Said),
    /// End a pause
    Resume(Said),
}

#[derive(Clone, Debug, clap::Args)]
struct Take {
    #[command(flatten)]
    target: Target,
    /// How long: 30m, 12h, 7d. By default a week for revoke, an hour for throttle.
    #[arg(long = "for", value_name = "DURATION")]
    lasting: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
struct Target {
    /// A key id (kf1_… or kc1_…) or a decision's id (dec_…). Never a raw key: `keyhound fingerprint` gives its id.
    #[arg(value_name = "KEY-ID|DECISION")]
    target: String,
    #[command(flatten)]
    said: Said,
}

#[derive(Clone, Debug, clap::Args)]
struct Said {
    /// Why, for the audit record.
    #[arg(long, default_value = "")]
    reason: String,
    /// Who is asking, for the audit record.
    #[arg(long, env = "USER", default_value = "operator")]
    by: String,
}

/// Runs the sub-command. 0 = done, 1 = a rail held it, or no decision came of it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let output = args.daemon.output;
    let action = args.action.clone().unwrap_or(Action::List { all: false, key: None });
    // What is asked is checked before anybody is spoken to.
    let (name, request) = match &action {
        Action::List { all, key } => return list(&Daemon::new(&args.daemon)?, output, *all, key.as_deref()),
        Action::Revoke(take) => ("revoke", taking(take)?),
        Action::Throttle(take) => ("throttle", taking(take)?),
        Action::Lift(target) => ("lift", aimed(target)?),
        Action::Pause(said) => ("pause", saying(said)),
        Action::Resume(said) => ("resume", saying(said)),
    };
    let daemon = Daemon::new(&args.daemon)?;
    let (_, answer): (_, CommandAnswer) = daemon.post(&format!("decisions/{name}"), &request)?;
    print_answer(output, name, &answer)?;
    Ok(if answer.outcome == "applied" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(daemon: &Daemon, output: Output, all: bool, key: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut query = vec![("all", all.to_string())];
    if let Some(key) = key {
        query.push(("key", key_id(key)?));
    }
    let list: DecisionList = daemon.get("decisions", &query)?;
    if output == Output::Json {
        print_json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&render(&list))?;
    Ok(ExitCode::SUCCESS)
}

fn render(list: &DecisionList) -> String {
    let paused = if list.automation_paused {
        "Automatic steps are paused, until: keyhound decisions resume\n"
    } else {
        ""
    };
    if list.decisions.is_empty() {
        return format!("{paused}No decision is in force.\n");
    }
    let mut rows = table::table(&["STEP", "STATE", "KEY", "UNTIL", "RULE", "DECISION", "WHY"]);
    for shown in &list.decisions {
        let decision = &shown.decision;
        rows.add_row([
            decision.step.as_str().to_owned(),
            shown.state.clone(),
            plain(&table::key(&decision.subject)),
            table::time(&decision.expires_at),
            plain(&decision.rule),
            decision.id.0.clone(),
            plain(&decision.reason),
        ]);
    }
    format!("{paused}{rows}\n")
}

fn print_answer(output: Output, name: &str, answer: &CommandAnswer) -> anyhow::Result<()> {
    if output == Output::Json {
        return print_json(answer);
    }
    Ok(print(&render_answer(name, answer))?)
}

fn render_answer(name: &str, answer: &CommandAnswer) -> String {
    let mut text = format!("{name}: {}\n", plain(&answer.outcome));
    for decision in &answer.decisions {
        let (id, step, mode) = (&decision.id.0, decision.step.as_str(), decision.mode.as_str());
        let until = table::time(&decision.expires_at);
        let _ = writeln!(text, "  {id}  {step} ({mode})  {}  until {until}", decision.subject.id);
    }
    let stops_nothing = |decision: &Decision| decision.mode == Mode::Shadow && decision.step.is_enforced();
    if answer.decisions.iter().any(stops_nothing) {
        text.push_str(
            "  Shadow mode: Keyhound refuses nothing. To stop the key now, revoke it at its gateway.\n",
        );
    }
    let why = match answer.outcome.as_str() {
        "held: rate" => {
            "Nothing was done: a key without a profile has no usual rate to be throttled to. Revoke it."
        }
        "held: class" => {
            "Nothing was done: a mobile or browser key is on many devices, which a revoke would all cut off. \
             Throttle it, or revoke it at its gateway."
        }
        "taken" => "Committed, and no decision has come of it yet: see `keyhound decisions list`.",
        _ => return text,
    };
    let _ = writeln!(text, "  {why}");
    text
}

fn taking(take: &Take) -> anyhow::Result<CommandRequest> {
    let for_seconds = take.lasting.as_deref().map(seconds).transpose()?;
    Ok(CommandRequest { for_seconds, ..aimed(&take.target)? })
}

fn aimed(target: &Target) -> anyhow::Result<CommandRequest> {
    let said = saying(&target.said);
    if target.target.starts_with("dec_")
        && target.target.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return Ok(CommandRequest { decision: Some(target.target.clone()), ..said });
    }
    Ok(CommandRequest { key: Some(key_id(&target.target)?), ..said })
}

fn saying(said: &Said) -> CommandRequest {
    CommandRequest { reason: said.reason.clone(), by: said.by.clone(), ..CommandRequest::default() }
}

/// A raw key on the command line is refused, and not printed: it is in the shell's history as it is.
pub(super) fn key_id(text: &str) -> anyhow::Result<String> {
    match text.parse::<KeyId>() {
        Ok(id) => Ok(id.to_string()),
        Err(error) => bail!(
            "{error}, or a decision's id (dec_…). If you typed a raw key, clear it from your shell's history; \
             `keyhound fingerprint` reads it from standard input and prints its id"
        ),
    }
}

/// Reads `90s`, `30m`, `12h` or `7d`.
fn seconds(text: &str) -> anyhow::Result<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => bail!("--for \"{text}\": expected a number and s, m, h or d, such as 12h"),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(seconds) if (1..=31_536_000).contains(&seconds) => Ok(seconds),
        _ => bail!("--for \"{text}\": expected from 1s to 365d"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        respond::Step,
        serve::{operators::ShownDecision, table::tests::decision},
    };

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Args {
        Cli::try_parse_from(std::iter::once(&"decisions").chain(words))
            .map_err(|e| e.to_string())
            .unwrap()
            .args
    }

    #[test]
    fn a_raw_key_is_refused_before_anybody_is_asked_and_not_printed() {
        for words in [
            &["revoke", "sk_live_CANARY"][..],
            &["lift", "dec_sk-live-CANARY"],
            &["list", "--key", "sk_CANARY"],
        ] {
            let error = format!("{:#}", run(&parse(words)).unwrap_err());
            assert!(error.contains("is not a key id") && error.contains("history"), "{error}");
            assert!(!error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn a_list_has_a_row_for_each_decision() {
        let decision = Decision {
            subject: crate::incident::testing::stolen().subject,
            reason: "214 requests in 21 s\u{1b}[31m".to_owned(),
            ..decision(1, 7, Step::Throttle)
        };
        let list = DecisionList {
            automation_paused: true,
            decisions: vec![ShownDecision { state: "served".to_owned(), decision }],
        };
        insta::assert_snapshot!(render(&list));
        insta::assert_snapshot!(serde_json::to_string_pretty(&list).unwrap());
        assert_eq!(
            render(&DecisionList { automation_paused: false, decisions: Vec::new() }),
            "No decision is in force.\n"
        );
    }

    #[test]
    fn an_answer_says_what_it_means_where_nothing_is_refused_or_nothing_was_done() {
        let answer = |mode, step| {
            let decisions = vec![Decision { mode, ..decision(1, 7, step) }];
            render_answer("revoke", &CommandAnswer { outcome: "applied".to_owned(), decisions })
        };
        let told = answer(Mode::Shadow, Step::Revoke);
        assert!(told.starts_with("revoke: applied\n") && told.contains("refuses nothing"), "{told}");
        for (mode, step) in [(Mode::Enforce, Step::Revoke), (Mode::Shadow, Step::Observe)] {
            assert!(!answer(mode, step).contains("refuses nothing"));
        }
        let held = CommandAnswer { outcome: "held: rate".to_owned(), decisions: Vec::new() };
        let told = render_answer("throttle", &held);
        assert!(
            told.starts_with("throttle: held: rate\n  Nothing was done: ") && told.lines().count() == 2,
            "{told}"
        );
    }

    #[test]
    fn durations_are_read_within_their_range() {
        for (text, expected) in [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("365d", 31_536_000)] {
            assert_eq!(seconds(text).unwrap(), expected);
        }
        for text in ["", "12", "h", "0s", "366d", "1w", "-1h", "99999999999999999999d"] {
            seconds(text).unwrap_err();
        }
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_printing_it() {
        let error = run(&parse(&["--url", "http://a:hunter2@localhost"])).unwrap_err().to_string();
        assert!(error.contains("--token-file") && !error.contains("hunter2"), "{error}");
    }
}
