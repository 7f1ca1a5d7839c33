//! What the daemon is built from: each made from its section of the settings.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use anyhow::Context as _;
use bumpalo::Bump;
use rdkafka::ClientConfig;

use super::memory;
use crate::{
    catalogue::Catalogue,
    config::{self, Config},
    decode::{Decoder, Pepper, credential_fingerprint, derived_key},
    deliver::alertmanager::{LinkSigner, PageLinks},
    engine::{self, Engines, IdKey, MemoryLimits, Reference},
    enrich::Geo,
    event::stable_hash,
    respond::Mode,
    serve::operators::Access,
    source::{self, Settings, geo, kafka},
    store::{Identity, Topic},
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
            None => Access::local(local_hosts(config)),
        };
        Ok(Self { pepper, geo, reference, access })
    }
}

/// Names under which a listener without a token may be called: those of the settings, and the one that alerts link to.
fn local_hosts(config: &Config) -> Vec<String> {
    config.serve.allowed_hosts.iter().cloned().chain(config.links.host()).collect()
}

/// Where alerts and pages point people to.
pub fn page_links(config: &Config, signer: Option<LinkSigner>) -> PageLinks {
    PageLinks::new(&config.links, config.listen, &host_name(), signer)
}

/// What signs links where the pages ask for a token: under another pepper or token, links that are out open nothing.
pub fn link_signer(access: &Access, pepper: &Pepper) -> Option<LinkSigner> {
    access.token_hash().map(|hash| LinkSigner::new(derived_key(pepper, &[b"keyhound/links", hash])))
}

/// What is wrong with where links lead: those of an alert that is read elsewhere must not lead to this machine alone.
pub fn wrong_links(config: &Config) -> Option<String> {
    let remote = config.alertmanagers.iter().find(|peer| !peer.is_local())?;
    config.links.are_local(config.listen).then(|| {
        format!(
            "alerts go to {}, and their links lead to this machine's loopback address, which nobody reaches from \
             elsewhere; set links.keyhound to the address under which people reach Keyhound, or listen on another one",
            remote.name()
        )
    })
}

/// This machine's name, as others call it.
fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the pointer and the length are those of `name`, which outlives the call; one byte less leaves a zero at
    // the end, also where the name is cut.
    let outcome = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    let found = std::str::from_utf8(&name[..length]).ok().filter(|name| outcome == 0 && !name.is_empty());
    found.unwrap_or("localhost").to_owned()
}

/// The part of the memory there is that the state may take where the settings say nothing, as a divisor.
const MEMORY_SHARE: u64 = 2;

/// What the state may take in memory, in bytes.
pub fn memory_max(config: &Config) -> u64 {
    let default = || (memory::available() / MEMORY_SHARE).max(MemoryLimits::least(config.partitions));
    config.memory_max.map_or_else(default, |given| given.0)
}

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
        limits: MemoryLimits::shared(memory_max(config), config.partitions),
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
    let text = serde_json::to_vec(&(env!("CARGO_PKG_VERSION"), response, sources, memory_max(config)))
        .unwrap_or_default();
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
pub fn sources(config: &Config, pepper: &Pepper) -> anyhow::Result<Vec<Box<dyn source::Source>>> {
    let build = |(index, source): (u16, &config::SourceConfig)| {
        let time_of = || anyhow::Ok(time_of(Decoder::new(&source.decode, pepper)?));
        source.source.build(index, source.record_bytes_max, time_of)
    };
    (0u16..).zip(&config.sources).map(build).collect()
}

/// Tells a record's time as the judgement will.
pub fn time_of(mut decoder: Decoder) -> source::TimeOf {
    let mut arena = Bump::new();
    Box::new(move |record| {
        let mut time = None;
        decoder.decode(record, &arena, |decoded| time = time.or(decoded.time()));
        arena.reset();
        time.map(|time| time.0)
    })
}

/// What each source is called in metrics, alerts and logs.
pub fn source_names(config: &Config) -> Vec<String> {
    config.sources.iter().map(|source| source.name.clone()).collect()
}

/// How to reach the brokers, if a source is Kafka: Keyhound's own topics are there too.
pub fn brokers(config: &Config) -> anyhow::Result<Option<ClientConfig>> {
    Ok(kafka(config).map(kafka::client::connection).transpose()?)
}

/// What reads the topic of decisions back, if a source is Kafka.
pub fn decisions_reader(config: &Config) -> Option<kafka::TopicReader> {
    let topic = format!("{}{}", config.topic_prefix, Topic::Decisions.as_str());
    kafka(config).map(|kafka| kafka::TopicReader::new(kafka.clone(), topic))
}

/// The first source that is Kafka.
fn kafka(config: &Config) -> Option<&kafka::KafkaSettings> {
    config.sources.iter().find_map(|source| match &source.source {
        Settings::Kafka(kafka) => Some(kafka),
        _ => None,
    })
}

/// Engines that have seen nothing.
pub fn engines(config: &Config, pepper: &Pepper) -> Engines {
    Engines::new(engine_settings(config, pepper))
}
