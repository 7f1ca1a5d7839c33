//! `keyhound replay`: from settings and logs to a backtest.
//!
//! Makes the same decoder, places, rules and engines as the daemon, and nothing that listens, delivers or keeps a state.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::parts;
use crate::{
    config::{Config, SourceConfig},
    decode::{Decoder, Pepper},
    engine::Reference,
    enrich::Geo,
    evaluate::replay::{Backtest, History},
    slot::{Change, Reading},
    source::geo,
};

/// Other places or another catalogue, from a line on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// So many lines come before it.
    pub after_lines: u64,
    pub what: Exchanged,
}

/// What is exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// The place files that lie in this folder under the names of those in force.
    Places(PathBuf),
    Catalogue(PathBuf),
}

/// What is replayed, beside the settings.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// The name of one of the sources; `None` = the only one.
    pub source: Option<String>,
    /// Files, plain or gzip; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// So many lines teach, and what they would open is not written.
    pub past_lines: u64,
    pub exchanges: Vec<Exchange>,
}

/// Reads what the settings name, and opens the logs.
pub fn open(mut config: Config, replayed: Replayed) -> anyhow::Result<Backtest> {
    let Replayed { source, files, past_lines, mut exchanges } = replayed;
    let source = chosen(&config, source.as_deref())?.clone();
    config.sources = vec![source.clone()];
    let pepper = parts::pepper(&config)?;
    let geo = Arc::new(geo::load(&config.geo)?);
    let reference = parts::reference(&config, &geo, &pepper)?;
    let reading = Reading::new(
        parts::decoders(&config, &pepper)?,
        geo.clone(),
        parts::engines(&config, &pepper),
        reference,
        parts::settings_version(&config),
        &pepper,
    );
    exchanges.sort_by_key(|exchange| exchange.after_lines);
    let mut in_force = geo;
    let mut changes = Vec::new();
    for exchange in exchanges {
        let change = change(&mut config, &exchange, &mut in_force, &pepper)
            .with_context(|| format!("what is exchanged after {} lines", exchange.after_lines))?;
        changes.push((exchange.after_lines, change));
    }
    let history = History {
        files,
        time_of: parts::time_of(Decoder::new(&source.decode, &pepper)?),
        source: source.name,
        record_bytes_max: source.record_bytes_max,
        past_lines,
        exchanges: changes,
        fresh_within: Duration::from_secs(config.response.fresh_within.seconds()),
    };
    Ok(Backtest::open(history, reading)?)
}

/// The source that the logs are of.
fn chosen<'c>(config: &'c Config, name: Option<&str>) -> anyhow::Result<&'c SourceConfig> {
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    match (name, config.sources.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => bail!(
            "the settings have {} sources: {}; say with --source whose log this is",
            names.len(),
            names.join(", ")
        ),
        (Some(name), sources) => sources.iter().find(|source| source.name == name).with_context(|| {
            format!(
                "--source {name}: there is no such source; those of the settings are {}",
                names.join(", ")
            )
        }),
    }
}

/// What comes into force, read and checked as on a reload.
fn change(
    config: &mut Config,
    exchange: &Exchange,
    in_force: &mut Arc<Geo>,
    pepper: &Pepper,
) -> anyhow::Result<Change> {
    match &exchange.what {
        Exchanged::Places(folder) => take_places(config, folder)?,
        Exchanged::Catalogue(file) => config.catalogue = Some(file.clone()),
    }
    let geo = geo::reload(&config.geo, in_force)?;
    let reference: Reference = parts::reference(config, &geo, pepper)?;
    let is_new = !Arc::ptr_eq(&geo, in_force);
    *in_force = geo.clone();
    Ok(Change { reference, geo: is_new.then_some(geo) })
}

/// Lets the settings name the place files of a folder, where it has one of the same name.
fn take_places(config: &mut Config, folder: &Path) -> anyhow::Result<()> {
    let geo = &mut config.geo;
    let lists = &mut geo.lists;
    let places =
        [&mut geo.city, &mut geo.country, &mut geo.asn, &mut lists.tor, &mut lists.vpn, &mut lists.hosting];
    let (mut names, mut found) = (Vec::new(), false);
    for place in places.into_iter().flatten() {
        let Some(name) = place.file_name() else { continue };
        names.push(name.display().to_string());
        let other = folder.join(name);
        if other.is_file() {
            (*place, found) = (other, true);
        }
    }
    if !found {
        bail!(
            "{} has none of the place files that the settings name: {}",
            folder.display(),
            if names.is_empty() { "they name none".to_owned() } else { names.join(", ") }
        );
    }
    Ok(())
}
