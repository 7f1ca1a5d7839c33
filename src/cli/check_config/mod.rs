//! `keyhound check-config`: whether the settings, the files that they name, and what is around them, are right.

mod environment;
mod files;
mod report;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use self::report::{CheckReport, FaultLevel};
use super::{
    EXIT_CONFIG,
    output::{Output, print, print_json, say},
};
use crate::{
    config::{self, Config, Examined, Overrides},
    rules::document::Place,
};

/// Check the settings, the files that they name, and what is around: brokers, Alertmanagers, ports, folders
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  keyhound check-config keyhound.yaml\n  keyhound check-config --no-environment keyhound.yaml    # in CI\n\nSee docs/config.md."
)]
pub struct Args {
    /// The settings file
    #[arg(required_unless_present_any = ["schema", "docs"])]
    file: Option<PathBuf>,
    /// Print the settings as they are in force, without secrets, and nothing else
    #[arg(long, conflicts_with_all = ["schema", "docs"])]
    print_effective: bool,
    /// Print the JSON Schema of the settings file, of rule files, or of the catalogue
    #[arg(long, value_enum, value_name = "OF", num_args = 0..=1, default_missing_value = "settings")]
    schema: Option<Schema>,
    /// Print the documentation of the settings
    #[arg(long, conflicts_with = "schema")]
    docs: bool,
    /// Leave out what is around: look at the settings, the rules and the catalogue only
    #[arg(long)]
    no_environment: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Schema {
    Settings,
    Rules,
    Catalogue,
}

/// Runs the command. Exit codes: 0 right, also with warnings; 78 wrong.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(schema) = args.schema {
        let schema = match schema {
            Schema::Settings => config::schema(),
            Schema::Rules => crate::rules::schema(),
            Schema::Catalogue => config::catalogue_schema(),
        };
        print_json(&schema)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.docs {
        print(&config::documentation())?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = args.file.context("no settings file")?;
    if args.print_effective {
        return print_effective(&file, &args.overrides);
    }
    let report = examine(&file, &args.overrides, !args.no_environment);
    match args.output {
        Output::Json => print_json(&report)?,
        Output::Table if report.ok => print(&report.text())?,
        Output::Table => say(report.text().trim_end()),
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) })
}

fn print_effective(file: &Path, overrides: &Overrides) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let environment = |variable: &str| std::env::var(variable).ok();
    match config::effective(&file.display().to_string(), &text, overrides, &environment) {
        Ok(yaml) => {
            print(&yaml)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            say(problems);
            Ok(ExitCode::from(EXIT_CONFIG))
        }
    }
}

/// The settings, for a command that judges and needs nothing else of what they name than what judging takes. What is
/// wrong is told as a check tells it.
pub(super) fn usable(file: &Path, overrides: &Overrides) -> Option<Config> {
    let (examined, mut report) = read(file, overrides);
    if let Some(config) = &examined.config {
        files::documents(&examined, config, &mut report);
        files::pepper_and_places(&examined, config, &mut report);
    }
    report.finish();
    if !report.ok {
        say(report.text().trim_end());
    }
    examined.config.filter(|_| report.ok)
}

fn read(file: &Path, overrides: &Overrides) -> (Examined, CheckReport) {
    let mut report = CheckReport::new(file);
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            report.add(FaultLevel::Error, Place::default(), "", format!("cannot be read: {error}"));
            return (Examined::default(), report);
        }
    };
    let environment = |variable: &str| std::env::var(variable).ok();
    let examined = Examined::of(&file.display().to_string(), &text, overrides, &environment);
    report.problems(&examined.problems);
    report.sources = examined.sources.len();
    (examined, report)
}

/// All that is wrong with a settings file, with the files that it names, and with what is around.
fn examine(file: &Path, overrides: &Overrides, with_environment: bool) -> CheckReport {
    let (examined, mut report) = read(file, overrides);
    if let Some(config) = &examined.config {
        files::documents(&examined, config, &mut report);
        if with_environment {
            files::pepper_and_places(&examined, config, &mut report);
            files::secrets(&examined, config, &mut report);
            environment::check(&examined, config, &mut report);
        }
    }
    report.finish();
    report
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn code(words: &[&str]) -> String {
        let line = Line::try_parse_from([&["check-config"], words].concat()).unwrap();
        format!("{:?}", run(line.args).unwrap())
    }

    #[test]
    fn the_exit_code_says_whether_the_settings_and_their_files_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let settings = |pepper: &str, more: &str| {
            let text = format!(
                "sources: [{{ stdin: {{}}, format: nginx, key: raw }}]\nfingerprint: {{ pepper_file: {} }}\n\
                 state: {{ dir: {} }}\n{more}",
                path(pepper),
                path("state")
            );
            std::fs::write(path("k.yaml"), text).unwrap();
            path("k.yaml")
        };
        let (right, wrong) = (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::from(78)));
        std::fs::write(path("pepper"), "x".repeat(32)).unwrap();
        std::fs::write(path("keys.yaml"), "keys:\n  - { credential: c1, name: billing, class: server }\n")
            .unwrap();
        std::fs::write(path("bad.yaml"), "keys:\n  - { name: nobody }\n").unwrap();
        let catalogue = |name: &str| format!("catalogue: {}\n", path(name));
        assert_eq!(code(&[&settings("pepper", &catalogue("keys.yaml"))]), right);
        assert_eq!(code(&[&settings("pepper", &catalogue("bad.yaml"))]), wrong);
        assert_eq!(code(&[&settings("no-pepper", "")]), wrong);
        std::fs::write(path("short"), "xxx").unwrap();
        assert_eq!(code(&[&settings("short", "")]), wrong, "a pepper of three bytes");
        std::fs::write(path("cut.mmdb"), "not a database").unwrap();
        assert_eq!(code(&[&settings("pepper", &format!("geo: {{ city: {} }}", path("cut.mmdb")))]), wrong);
        let secret = |file: &str| {
            format!(
                "alertmanagers: [{{ url: \"http://localhost:9093\", bearer_token_file: {} }}]",
                path(file)
            )
        };
        assert_eq!(code(&[&settings("pepper", &secret("no-token"))]), wrong);
        assert_eq!(code(&[&settings("pepper", "rules: [nowhere]\n")]), wrong);
        assert_eq!(code(&[&settings("pepper", "partitions: 0\n")]), wrong);
        assert_eq!(code(&["--print-effective", &settings("pepper", "")]), right);
        assert_eq!(code(&[&path("nothing.yaml")]), wrong);
        assert_eq!(code(&["--schema"]), right);
        assert_eq!(code(&["--schema", "rules"]), right);
    }

    /// A folder with a pepper, and what a check of settings in it comes to: each fault without the folder's path.
    fn checked(settings: &str, files: &[(&str, &str)], with_environment: bool) -> (Vec<String>, CheckReport) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        std::fs::write(folder.path().join("pepper"), "x".repeat(32)).unwrap();
        std::fs::set_permissions(folder.path().join("pepper"), std::fs::Permissions::from_mode(0o600))
            .unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let path = folder.path().join("k.yaml");
        std::fs::write(&path, settings.replace("DIR", &at)).unwrap();
        let report = examine(&path, &Overrides::default(), with_environment);
        let text = report.text().replace(&format!("{at}/"), "");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.pop();
        (lines, report)
    }

    #[test]
    fn one_fault_hides_no_other() {
        let settings = "\
listen: nowhere
partitions: 0
sources:
- { format: ngnix, key: raw, file: { paths: [DIR/access.json] } }
- { stdin: {}, format: nginx, key: raw }
fingerprint: { pepper_file: DIR/none }
geo:
  city: DIR/no-city
  asn: DIR/no-asn
catalogue: DIR/keys.yaml
rules: [DIR/no-rules, DIR/rules.yaml]
frobnicate: 1
";
        let keys = "keys:\n- { name: nobody }\n- { id: kf1_x, name: short }\n";
        let rules = "- id: Bad_Id\n  title: t\n  detector: volume.spik\n  severity: hihg\n  respond: alert\n  runbook: x.md\n  tests: []\n";
        let (lines, report) = checked(settings, &[("keys.yaml", keys), ("rules.yaml", rules)], true);
        assert!(!report.ok);
        let starts = [
            "k.yaml:1:9: listen: ",
            "k.yaml:2:13: partitions: ",
            "k.yaml:4:13: sources[0].format: ",
            "k.yaml:6:29: fingerprint.pepper_file: ",
            "k.yaml:8:9: geo.city: ",
            "k.yaml:9:8: geo.asn: ",
            "k.yaml:11:9: rules[0]: ",
            "k.yaml:12:1: frobnicate: ",
            "keys.yaml:2:3: keys[0]: ",
            "keys.yaml:3:3: keys[1]: ",
            "rules.yaml:1:7: [0].id: ",
            "rules.yaml:3:13: [0].detector: ",
            "rules.yaml:4:13: [0].severity: ",
        ];
        for start in starts {
            assert!(lines.iter().any(|line| line.starts_with(start)), "{start} in {lines:#?}");
        }
    }

    #[test]
    fn the_world_around_is_looked_at_unless_it_is_left_out() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let settings = format!(
            "sources: [{{ file: {{ paths: [DIR/none/*.json, DIR/k.yaml] }}, format: nginx, key: raw }}]\n\
             fingerprint: {{ pepper_file: DIR/pepper }}\n\
             state: {{ dir: DIR/pepper/state }}\n\
             alertmanagers: [\"http://127.0.0.1:{port}/nobody\", \"http://alerts.invalid:9093\"]\n\
             listen: 127.0.0.1:{port}\n\
             gateways_listen: 192.0.2.1:9465\n"
        );
        let (lines, report) = checked(&settings, &[], true);
        for words in [
            "warning: sources[0].file.paths[0]: \"none/*.json\" finds no file",
            "state.dir: pepper is a file",
            "warning: listen: 127.0.0.1:",
            "gateways_listen: 192.0.2.1:9465 cannot be listened on",
            "alertmanagers[1]: alerts.invalid:9093: no answer",
            "warning: links.keyhound: ",
        ] {
            assert!(lines.iter().any(|line| line.contains(words)), "{words} in {lines:#?}");
        }
        assert!(!report.ok);
        let (lines, report) = checked(&settings, &[], false);
        assert!(report.ok && lines.is_empty(), "{lines:#?}");
    }

    #[test]
    fn a_secret_that_every_user_can_read_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let pepper = folder.path().join("open");
        std::fs::write(&pepper, "x".repeat(32)).unwrap();
        std::fs::set_permissions(&pepper, std::fs::Permissions::from_mode(0o644)).unwrap();
        let settings = format!(
            "sources: [{{ stdin: {{}}, format: nginx, key: raw }}]\nfingerprint: {{ pepper_file: {} }}\n\
             state: {{ dir: DIR/state }}\nlisten: 127.0.0.1:0\ngateways_listen: 127.0.0.2:0\n",
            pepper.display()
        );
        let (lines, report) = checked(&settings, &[], true);
        assert!(report.ok && lines.len() == 1, "{lines:#?}");
        assert!(lines[0].contains("has mode 0644") && lines[0].contains("chmod 600"), "{lines:#?}");
    }

    #[test]
    fn the_json_form_has_a_fault_with_place_field_and_message() {
        let (_, report) = checked(
            "sources: [{ stdin: {}, format: nginx, key: raw }]\nfingerprint: { pepper_file: DIR/pepper }\npartitions: 0\n",
            &[],
            false,
        );
        let mut json = serde_json::to_value(&report).unwrap();
        json["file"] = "k.yaml".into();
        json["rules"] = 12.into(); // as many as ship
        json["faults"][0]["file"] = "k.yaml".into();
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
        {
          "schema": "keyhound.check-config/2",
          "file": "k.yaml",
          "ok": false,
          "sources": 1,
          "rules": 12,
          "catalogue_keys": null,
          "faults": [
            {
              "level": "error",
              "file": "k.yaml",
              "line": 3,
              "column": 13,
              "field": "partitions",
              "message": "0 must be from 1 to 1024"
            }
          ]
        }
        "#);
    }
}
