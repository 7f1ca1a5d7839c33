//! `keyhound rules`: list the rules, and run the tests in them.

use std::{path::PathBuf, process::ExitCode};

use super::{
    EXIT_CONFIG,
    output::{Output, print, print_json, say},
};
use crate::{
    config::{self, FileError},
    evaluate::rule_tests,
    rules::RuleSet,
};

/// List rules, or run the tests in their files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  keyhound rules list\n  keyhound rules test shipped rules/own.yaml\n\nSee docs/rules.md."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print each rule: its detector, severity, furthest step and version
    List(ListArgs),
    /// Run the tests in the rule files on the engine
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// Rule files and directories; "shipped" for the rules that come with Keyhound
    #[arg(default_value = "shipped")]
    paths: Vec<PathBuf>,
    /// Only rules whose id contains this
    #[arg(long, default_value = "")]
    only: String,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Rule files and directories; "shipped" for the rules that come with Keyhound
    #[arg(default_value = "shipped")]
    paths: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Runs the command. Exit codes: 0 right, 1 a test failed, 78 rules that cannot be used.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list(&args),
        Command::Test(args) => test(&args),
    }
}

fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let set = match config::rules(&args.paths) {
        Ok(set) => set,
        Err(error) => return Ok(refuse(&error)),
    };
    if !set.rules.iter().any(|rule| rule.id.contains(&args.only)) {
        anyhow::bail!("no rule has an id that contains \"{}\": see keyhound rules list", args.only);
    }
    let reports = rule_tests::run(&set, |rule| rule.id.contains(&args.only));
    match args.output {
        Output::Table => print(&rule_tests::render(&reports))?,
        Output::Json => print_json(&rule_tests::document(&reports))?,
    }
    let passed = reports.iter().all(|report| report.outcome.passed());
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let set = match config::rules(&args.paths) {
        Ok(set) => set,
        Err(error) => return Ok(refuse(&error)),
    };
    match args.output {
        Output::Table => print(&format!("{}\n", table(&set)))?,
        Output::Json => print_json(&json(&set))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn refuse(error: &FileError) -> ExitCode {
    say(error);
    ExitCode::from(EXIT_CONFIG)
}

fn table(set: &RuleSet) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["ID", "DETECTOR", "SEVERITY", "RESPOND", "TESTS", "VERSION", "TITLE"]);
    for rule in &set.rules {
        table.add_row([
            rule.id.as_str(),
            rule.detector.name(),
            rule.severity.as_str(),
            rule.respond.as_str(),
            &rule.tests.len().to_string(),
            &rule.version,
            &rule.title,
        ]);
    }
    format!("{table}\nversion of the set: {}", set.version)
}

fn json(set: &RuleSet) -> serde_json::Value {
    let rules: Vec<_> = set
        .rules
        .iter()
        .map(|rule| {
            serde_json::json!({
                "id": rule.id,
                "title": rule.title,
                "detector": rule.detector.name(),
                "where": rule.condition.as_ref().map(crate::rules::Condition::source),
                "severity": rule.severity,
                "respond": rule.respond,
                "runbook": rule.runbook,
                "tests": rule.tests.len(),
                "version": rule.version,
            })
        })
        .collect();
    serde_json::json!({ "version": set.version, "rules": rules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_each_rule_with_its_version() {
        let set = RuleSet::shipped();
        let (table, json) = (table(&set), json(&set));
        for rule in &set.rules {
            assert!(table.contains(&rule.id) && table.contains(&rule.version), "{table}");
        }
        assert_eq!(json["rules"].as_array().map(Vec::len), Some(set.rules.len()));
        assert_eq!(json["version"], set.version);
    }

    #[test]
    fn the_json_form_has_each_test_and_a_rule_that_is_not_there_is_no_success() {
        let set = RuleSet::shipped();
        let reports =
            rule_tests::run(&set, |rule| rule.id == "key-fan-out" || rule.id == "key-slow-requests");
        let json = rule_tests::document(&reports);
        let tests = json["tests"].as_array().expect("a list");
        assert_eq!(tests.len(), reports.len());
        assert!(
            !tests.is_empty() && tests.iter().all(|test| test["passed"] == true && test["requests"] != 0)
        );
        let args = |only: &str| TestArgs {
            paths: vec!["shipped".into()],
            only: only.to_owned(),
            output: Output::Table,
        };
        let error = test(&args("no-such-rule")).expect_err("nothing was tested");
        assert!(error.to_string().contains("no-such-rule"), "{error}");
    }
}
