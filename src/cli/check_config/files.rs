//! What stands in the files that settings name.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Context as _;

use super::report::{CheckReport, FaultLevel};
use crate::{
    app::parts,
    config::{self, Config, Examined, FileError},
    deliver::alertmanager::Peer,
    enrich,
    serve::operators::Access,
    source::{self, geo, kafka},
};

/// Rules and catalogue.
pub(super) fn documents(examined: &Examined, config: &Config, report: &mut CheckReport) {
    if !examined.aside.contains("rules") {
        rules(examined, config, report);
    }
    match config.catalogue.as_deref().map(config::catalogue) {
        Some(Ok(catalogue)) => report.catalogue_keys = Some(catalogue.len()),
        Some(Err(error)) => told(&error, examined, "catalogue", report),
        None => {}
    }
}

fn rules(examined: &Examined, config: &Config, report: &mut CheckReport) {
    let error = match config::rules(&config.rules) {
        Ok(rules) => {
            report.rules = rules.rules.len();
            return;
        }
        Err(error) => error,
    };
    if let FileError::Problems(_) = error {
        return told(&error, examined, "rules", report);
    }
    // One of them cannot be read: what is wrong with each of the others?
    for (at, path) in config.rules.iter().enumerate() {
        if let Err(error) = config::rules(std::slice::from_ref(path)) {
            told(&error, examined, &format!("rules[{at}]"), report);
        }
    }
}

fn told(error: &FileError, examined: &Examined, field: &str, report: &mut CheckReport) {
    match error {
        FileError::Problems(problems) => report.problems(problems),
        other => report.add(FaultLevel::Error, examined.place(field), field, other.to_string()),
    }
}

/// What the judgement needs beside them: pepper and place databases.
pub(super) fn pepper_and_places(examined: &Examined, config: &Config, report: &mut CheckReport) {
    let mut add = |field: &str, error: anyhow::Error| unusable(examined, field, &error, report);
    if !examined.aside.contains("fingerprint")
        && let Err(error) = parts::pepper(config)
    {
        add("fingerprint.pepper_file", error);
    }
    for (field, settings) in one_by_one(&config.geo) {
        if let Err(error) = geo::load(&settings) {
            add(field, error.into());
        }
    }
}

fn unusable(examined: &Examined, field: &str, error: &anyhow::Error, report: &mut CheckReport) {
    let message = crate::telemetry::logs::with_causes(error);
    // A daemon's message names the field, as it has no other place for it.
    let message =
        message.strip_prefix(field).map_or(message.as_str(), |rest| rest.trim_start_matches([':', ' ']));
    report.add(FaultLevel::Error, examined.place(field), field, message.to_owned());
}

/// Other secrets and certificates.
pub(super) fn secrets(examined: &Examined, config: &Config, report: &mut CheckReport) {
    let mut add = |field: &str, error: anyhow::Error| unusable(examined, field, &error, report);
    if let Some(Err(error)) = config.serve.token_file.as_deref().map(Access::token_file) {
        add("serve.token_file", error.into());
    }
    for (at, source) in &examined.sources {
        if let source::Settings::Kafka(settings) = source
            && let Err(error) = kafka::client::connection(settings)
        {
            add(&format!("sources[{at}].kafka.properties"), error.into());
        }
    }
    for (at, peer) in config.alertmanagers.iter().enumerate() {
        for file in peer.files() {
            if let Err(error) = std::fs::File::open(file) {
                let error = anyhow::Error::new(error);
                add(
                    &format!("alertmanagers[{at}]"),
                    error.context(format!("{} cannot be read", file.display())),
                );
            }
        }
    }
    for (field, file) in secret_files(config) {
        others_can_read(&field, file, examined, report);
    }
}

/// The section with one of its files each, so that each is told of.
fn one_by_one(all: &enrich::Settings) -> Vec<(&'static str, enrich::Settings)> {
    let with = |change: &dyn Fn(&mut enrich::Settings)| {
        let mut one = enrich::Settings::default();
        change(&mut one);
        one
    };
    let settings = [
        ("geo.city", with(&|one| one.city.clone_from(&all.city))),
        ("geo.country", with(&|one| one.country.clone_from(&all.country))),
        ("geo.asn", with(&|one| one.asn.clone_from(&all.asn))),
        ("geo.lists.tor", with(&|one| one.lists.tor.clone_from(&all.lists.tor))),
        ("geo.lists.vpn", with(&|one| one.lists.vpn.clone_from(&all.lists.vpn))),
        ("geo.lists.hosting", with(&|one| one.lists.hosting.clone_from(&all.lists.hosting))),
    ];
    settings.into_iter().filter(|(_, one)| *one != enrich::Settings::default()).collect()
}

fn secret_files(config: &Config) -> Vec<(String, &Path)> {
    let mut files = vec![("fingerprint.pepper_file".to_owned(), config.pepper_file.as_path())];
    files.extend(config.serve.token_file.as_deref().map(|file| ("serve.token_file".to_owned(), file)));
    for (at, peer) in config.alertmanagers.iter().enumerate() {
        files.extend(Peer::secret_file(peer).map(|file| (format!("alertmanagers[{at}]"), file.as_path())));
    }
    files
}

/// A secret is for whoever runs the daemon, and for nobody else.
fn others_can_read(field: &str, file: &Path, examined: &Examined, report: &mut CheckReport) {
    let Ok(metadata) = file.metadata().context("not there") else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let name = file.display();
        let message =
            format!("{name} has mode {mode:04o}, so that every user can reach it; chmod 600 {name}");
        report.add(FaultLevel::Warning, examined.place(field), field, message);
    }
}
