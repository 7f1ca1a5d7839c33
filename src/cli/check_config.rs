//! `keyhound check-config`: whether the settings, and the files that they name, are right.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, anyhow};

use super::{
    EXIT_CONFIG,
    output::{Output, print_json},
};
use crate::{
    app::parts,
    config::{self, Config, Overrides},
    deliver::alertmanager::Peer,
    serve::operators::Access,
    source::{self, geo, kafka},
};

/// Check the settings, and the rules and the catalogue that they name
#[derive(Debug, clap::Args)]
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
    /// How to print whether they are right.
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

/// Runs the command. Exit codes: 0 right, 78 wrong.
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
        print!("{}", config::documentation());
        return Ok(ExitCode::SUCCESS);
    }
    let file = args.file.context("no settings file")?;
    if args.print_effective {
        return print_effective(&file, &args.overrides);
    }
    let told = match Config::load(&file, &args.overrides) {
        Ok(config) => what_it_names(&config),
        Err(problems) => Told::wrong(&problems.to_string()),
    };
    match args.output {
        Output::Json => print_json(&told.document(&file))?,
        Output::Table if told.wrong.is_empty() => println!("{}: ok: {}", file.display(), told.words()),
        Output::Table => return Ok(refuse(&told.wrong.join("\n"))),
    }
    Ok(if told.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) })
}

fn print_effective(file: &std::path::Path, overrides: &Overrides) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let environment = |variable: &str| std::env::var(variable).ok();
    match config::effective(&file.display().to_string(), &text, overrides, &environment) {
        Ok(yaml) => {
            print!("{yaml}");
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => Ok(refuse(&problems.to_string())),
    }
}

fn refuse(problems: &str) -> ExitCode {
    eprintln!("{problems}");
    let count = problems.lines().count();
    eprintln!("{count} {}", if count == 1 { "problem" } else { "problems" });
    ExitCode::from(EXIT_CONFIG)
}

/// What was found in the settings and about the files that they name.
#[derive(Default)]
struct Told {
    sources: usize,
    rules: usize,
    catalogue_keys: Option<usize>,
    wrong: Vec<String>,
}

/// `keyhound.check-config/1`.
#[derive(serde::Serialize)]
struct Document<'a> {
    schema: &'static str,
    file: String,
    ok: bool,
    sources: usize,
    rules: usize,
    /// Null where there is no catalogue.
    catalogue_keys: Option<usize>,
    /// `file:line:column: field: message`, each.
    problems: &'a [String],
}

impl Told {
    fn wrong(problems: &str) -> Self {
        Self { wrong: problems.lines().map(str::to_owned).collect(), ..Self::default() }
    }

    fn words(&self) -> String {
        let mut words = vec![format!("{} sources", self.sources), format!("{} rules", self.rules)];
        words.extend(self.catalogue_keys.map(|keys| format!("{keys} keys in the catalogue")));
        words.join(", ")
    }

    fn document(&self, file: &std::path::Path) -> Document<'_> {
        Document {
            schema: "keyhound.check-config/1",
            file: file.display().to_string(),
            ok: self.wrong.is_empty(),
            sources: self.sources,
            rules: self.rules,
            catalogue_keys: self.catalogue_keys,
            problems: &self.wrong,
        }
    }
}

fn what_it_names(config: &Config) -> Told {
    let mut told = Told { sources: config.sources.len(), ..Told::default() };
    match config::rules(&config.rules) {
        Ok(rules) => told.rules = rules.rules.len(),
        Err(error) => told.wrong.push(error.to_string()),
    }
    match config.catalogue.as_deref().map(config::catalogue) {
        Some(Ok(catalogue)) => told.catalogue_keys = Some(catalogue.len()),
        Some(Err(error)) => told.wrong.push(error.to_string()),
        None => {}
    }
    told.wrong.extend(of_files(config).iter().map(|error| format!("{error:#}")));
    told
}

/// What is wrong with the pepper, the place databases, and the secrets and certificates.
fn of_files(config: &Config) -> Vec<anyhow::Error> {
    let mut wrong: Vec<anyhow::Error> = parts::pepper(config).err().into_iter().collect();
    wrong.extend(geo::load(&config.geo).err().map(Into::into));
    if let Some(file) = &config.serve.token_file {
        wrong.extend(Access::token_file(file).err().map(Into::into));
    }
    for source in &config.sources {
        if let source::Settings::Kafka(kafka) = &source.source {
            wrong.extend(kafka::client::connection(kafka).err().map(Into::into));
        }
    }
    for file in config.alertmanagers.iter().flat_map(Peer::files) {
        let error = std::fs::File::open(file).err();
        wrong.extend(error.map(|error| anyhow!("{}: cannot be read: {error}", file.display())));
    }
    wrong
}

#[cfg(test)]
mod tests {
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
                "sources: [{{ stdin: {{}}, format: nginx, key: raw }}]\nfingerprint: {{ pepper_file: {} }}\n{more}",
                path(pepper)
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
        assert_eq!(code(&[&settings("pepper", &secret("pepper"))]), right);
        assert_eq!(code(&[&settings("pepper", "rules: [nowhere]\n")]), wrong);
        assert_eq!(code(&[&settings("pepper", "partitions: 0\n")]), wrong);
        assert_eq!(code(&["--print-effective", &settings("pepper", "")]), right);
        assert_eq!(code(&[&path("nothing.yaml")]), wrong);
        assert_eq!(code(&["--schema"]), right);
        assert_eq!(code(&["--schema", "rules"]), right);
    }
    #[test]
    fn the_json_form_says_what_is_wrong_and_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.yaml");
        std::fs::write(&path, "partitions: 0\nfrobnicate: 1\n").unwrap();
        let problems = Config::load(&path, &Overrides::default()).unwrap_err();
        let named = problems.to_string().replace(&path.display().to_string(), "k.yaml");
        let told = Told::wrong(&named);
        let wrong = serde_json::to_string_pretty(&told.document(std::path::Path::new("k.yaml"))).unwrap();
        let told = Told { sources: 2, rules: 6, catalogue_keys: None, wrong: Vec::new() };
        let right = serde_json::to_string_pretty(&told.document(std::path::Path::new("k.yaml"))).unwrap();
        insta::assert_snapshot!(format!("{wrong}\n{right}"));
    }
}
