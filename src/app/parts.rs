//! What the daemon is built from: each made from its section of the settings.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use anyhow::Context as _;
use rdkafka::ClientConfig;

use crate::{
    catalogue::Catalogue,
    config::{self, Config},
    decode::{Decoder, Pepper, credential_fingerprint},
    engine::{self, Engines, IdKey, Reference},
    enrich::Geo,
    event::stable_hash,
    respond::Mode,
    serve::operators::Access,
    source::{self, Settings, geo, kafka},
    store::Identity,
};

/// What the settings name, read and checked before anything is opened: whatever is wrong with it is the settings' fault.
pub struct Named {
    pub pepper: Pepper,
    pub geo: Arc<Geo>,
    pub reference: Reference,
    /// Who may use the operators' API.
    pub access: Access,
}

impl Named {
    /// Reads pepper, place databases, rules, catalogue and token.
    pub fn read(config: &Config) -> anyhow::Result<Self> {
        let pepper = pepper(config)?;
        let geo = Arc::new(geo::load(&config.geo)?);
        let reference = reference(config, &geo, &pepper)?;
        let access = match &config.serve.token_file {
            Some(file) => Access::token_file(file)?,
            None => Access::local(config.serve.allowed_hosts.clone()),
        };
        Ok(Self { pepper, geo, reference, access })
    }
}

/// Keys that are kept, over all partitions together.
const KEYS_MAX: usize = 10_000_000;

/// Reads the pepper.
pub fn pepper(config: &Config) -> anyhow::Result<Pepper> {
    let path = config.pepper_file.display();
    let bytes = fs::read(&config.pepper_file).with_context(|| {
        format!("fingerprint.pepper_file {path} cannot be read (make one: head -c 32 /dev/urandom > {path})")
    })?;
    Pepper::new(&bytes).with_context(|| format!("fingerprint.pepper_file {path}"))
}

/// What the state directory is made for.
pub fn identity(config: &Config, pepper: &Pepper) -> Identity {
    Identity {
        partitions: config.partitions,
        topic_prefix: config.topic_prefix.clone(),
        pepper_check: credential_fingerprint(pepper, "keyhound", "pepper check").to_string(),
    }
}

/// The engines' settings. The key of ids comes from the pepper, so that ids say nothing without it.
pub fn engine_settings(config: &Config, pepper: &Pepper) -> engine::Settings {
    let mut key = [0; 32];
    let half = |part| credential_fingerprint(pepper, "keyhound ids", part).hash;
    key[..16].copy_from_slice(&half("first half"));
    key[16..].copy_from_slice(&half("second half"));
    engine::Settings {
        partitions: config.partitions,
        keys_max: KEYS_MAX,
        ids: IdKey(key),
        throttle_for: Duration::from_secs(config.response.throttle_for.seconds()),
        fresh_within: Duration::from_secs(config.response.fresh_within.seconds()),
        caps: config.response.caps,
    }
}

/// A hash over the settings that the judgement hangs on and that no reload changes, and over this version.
pub fn settings_version(config: &Config) -> String {
    let response = config::ResponseSettings { mode: Mode::Shadow, ..config.response };
    let sources: Vec<_> =
        config.sources.iter().map(|source| (&source.decode, source.record_bytes_max)).collect();
    // Plain data with text keys: it cannot fail to serialize.
    let text = serde_json::to_vec(&(env!("CARGO_PKG_VERSION"), response, sources)).unwrap_or_default();
    format!("{:016x}", stable_hash(&text))
}

/// Rules, catalogue and mode, with the version of the place databases.
pub fn reference(config: &Config, geo: &Geo, pepper: &Pepper) -> anyhow::Result<Reference> {
    let rules = config::rules(&config.rules)?;
    let mut catalogue = match &config.catalogue {
        Some(path) => config::catalogue(path)?,
        None => Catalogue::default(),
    };
    let namespaces: BTreeSet<&str> =
        config.sources.iter().map(|source| source.decode.namespace.as_str()).collect();
    catalogue.know_credentials(|credential| {
        namespaces.iter().map(|namespace| credential_fingerprint(pepper, namespace, credential)).collect()
    });
    Ok(Reference {
        rules: Arc::new(rules),
        catalogue: Arc::new(catalogue),
        geo_version: geo.version().to_owned(),
        mode: config.response.mode,
    })
}

/// A decoder for each source.
pub fn decoders(config: &Config, pepper: &Pepper) -> anyhow::Result<Vec<Decoder>> {
    let decoder = |source: &config::SourceConfig| Ok(Decoder::new(&source.decode, pepper)?);
    config.sources.iter().map(decoder).collect()
}

/// Where records come from.
pub fn sources(config: &Config) -> anyhow::Result<Vec<Box<dyn source::Source>>> {
    let sources = (0u16..).zip(&config.sources);
    sources.map(|(index, source)| Ok(source.source.build(index, source.record_bytes_max)?)).collect()
}

/// What each source is called in metrics, alerts and logs.
pub fn source_names(config: &Config) -> Vec<String> {
    config.sources.iter().map(|source| source.name.clone()).collect()
}

/// How to reach the brokers, if a source is Kafka: Keyhound's own topics are there too.
pub fn brokers(config: &Config) -> anyhow::Result<Option<ClientConfig>> {
    let kafka = config.sources.iter().find_map(|source| match &source.source {
        Settings::Kafka(kafka) => Some(kafka),
        _ => None,
    });
    Ok(kafka.map(kafka::client::connection).transpose()?)
}

/// Engines that have seen nothing.
pub fn engines(config: &Config, pepper: &Pepper) -> Engines {
    Engines::new(engine_settings(config, pepper))
}
