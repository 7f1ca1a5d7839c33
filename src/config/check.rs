//! The checks that span sections, and the ranges of the values at the top.

use std::collections::HashMap;

use super::{
    ByteSize, Config, SourceConfig, key_places,
    raw::{RawConfig, RawSource},
};
use crate::{
    decode,
    engine::MemoryLimits,
    rules::document::{Document, Node, Place, Problems},
    source::{self, kafka::KafkaSettings},
    store::Topic,
};

const LIMIT_SOURCES: usize = 64;
const LEAST_RECORD_BYTES: usize = 1024;
const LIMIT_PARTITIONS: i64 = 1024;
const LONGEST_PREFIX: usize = 200;
const CHECKPOINT_SECONDS_MAX: u64 = 600;

pub(super) fn check(raw: RawConfig, document: &Document) -> Result<Config, Problems> {
    let (config, problems) = examined(raw, document);
    problems.or(config)
}

/// The settings, and what is wrong with them: without anything, they are valid.
pub(super) fn examined(raw: RawConfig, document: &Document) -> (Config, Problems) {
    let root = &document.root;
    let mut problems = Problems::of_file(&document.name);
    let sources = sources(&raw.sources, root, &mut problems);
    own_topics(&raw, root, &mut problems);
    values(&raw, root, &mut problems);
    addresses(&raw, root, &mut problems);
    let serve = key_places::serve(raw.serve.clone(), &sources, root, &mut problems);
    raw.response.check(root, &mut problems);
    problems.hide_replaced(root);
    let config = Config {
        sources,
        topic_prefix: raw.topic_prefix,
        // Out of its range, it is among the problems.
        partitions: u16::try_from(raw.partitions).unwrap_or_default(),
        pepper_file: raw.fingerprint.pepper_file,
        geo: raw.geo,
        catalogue: raw.catalogue,
        rules: raw.rules,
        response: raw.response,
        alertmanagers: raw.alertmanagers,
        links: raw.links,
        state_dir: raw.state.dir,
        memory_max: raw.state.memory_max,
        checkpoint_every: raw.state.checkpoint_every.duration(),
        listen: raw.listen,
        gateways_listen: raw.gateways_listen,
        serve,
        logs: raw.logs,
    };
    (config, problems)
}

fn values(raw: &RawConfig, root: &Node, problems: &mut Problems) {
    let mut refuse = |field: &str, message: String| problems.add(root.place_of(field), field, message);
    if !(1..=LIMIT_PARTITIONS).contains(&raw.partitions) {
        refuse("partitions", format!("{} must be from 1 to {LIMIT_PARTITIONS}", raw.partitions));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if raw.topic_prefix.len() > LONGEST_PREFIX || !raw.topic_prefix.bytes().all(allowed) {
        let wanted = "must be at most 200 letters, digits, dots, underscores and hyphens";
        refuse("topic_prefix", format!("\"{}\" {wanted}", raw.topic_prefix.escape_debug()));
    }
    if raw.rules.is_empty() {
        refuse(
            "rules",
            "an empty list finds nothing; leave it out for the rules that come with Keyhound".to_owned(),
        );
    }
    if raw.state.dir.as_os_str().is_empty() {
        let place = root.get("state").map_or(root.place, |node| node.place_of("dir"));
        problems.add(place, "state.dir", "must be a directory");
    }
    memory(raw, root, problems);
    let every = raw.state.checkpoint_every;
    if !(1..=CHECKPOINT_SECONDS_MAX).contains(&every.seconds()) {
        let place = root.get("state").map_or(root.place, |node| node.place_of("checkpoint_every"));
        problems.add(place, "state.checkpoint_every", format!("{every} must be from 1s to 10m"));
    }
    if let Err(error) = crate::telemetry::logs::filter(&raw.logs.level) {
        let place = root.get("logs").map_or(root.place, |node| node.place_of("level"));
        problems.add(place, "logs.level", error.to_string());
    }
}

/// Every partition has tables that take their room whatever is in them.
fn memory(raw: &RawConfig, root: &Node, problems: &mut Problems) {
    let partitions = raw.partitions.clamp(1, LIMIT_PARTITIONS);
    let least = ByteSize(MemoryLimits::least(u16::try_from(partitions).unwrap_or(u16::MAX)));
    if let Some(given) = raw.state.memory_max.filter(|given| *given < least) {
        let place = root.get("state").map_or(root.place, |node| node.place_of("memory_max"));
        let message = format!("{given} must be at least {least} with partitions: {partitions}");
        problems.add(place, "state.memory_max", message);
    }
}

fn addresses(raw: &RawConfig, root: &Node, problems: &mut Problems) {
    if let Err(error) = raw.serve.check_listen(raw.listen) {
        problems.add(root.place_of("listen"), "listen", error.to_string());
    }
    if raw.listen == raw.gateways_listen {
        let message = format!("{} is taken by listen; each needs a port of its own", raw.gateways_listen);
        let said = root.get("gateways_listen").or_else(|| root.get("listen"));
        problems.add(said.map_or(root.place, |node| node.place), "gateways_listen", message);
    }
}

fn sources(raw: &[RawSource], root: &Node, problems: &mut Problems) -> Vec<SourceConfig> {
    let node = root.get("sources");
    let place = root.place_of("sources");
    if raw.is_empty() || raw.len() > LIMIT_SOURCES {
        problems.add(
            place,
            "sources",
            format!("{} sources; there must be from 1 to {LIMIT_SOURCES}", raw.len()),
        );
    }
    let nodes = node.map(Node::elements).unwrap_or_default();
    let built = raw.iter().zip(nodes).enumerate();
    let sources: Vec<SourceConfig> =
        built.filter_map(|(index, (raw, node))| source(raw, node, index, problems)).collect();
    let stdin: Vec<_> = nodes.iter().enumerate().filter(|(_, node)| node.get("stdin").is_some()).collect();
    for (index, node) in stdin.iter().skip(1) {
        let message = format!("standard input is read by sources[{}] already", stdin[0].0);
        problems.add(node.place_of("stdin"), format!("sources[{index}].stdin"), message);
    }
    each_name_once(&sources, nodes, problems);
    one_cluster(raw, nodes, problems);
    each_topic_once(raw, nodes, problems);
    sources
}

fn source(raw: &RawSource, node: &Node, index: usize, problems: &mut Problems) -> Option<SourceConfig> {
    let path = format!("sources[{index}]");
    let kind = source::Settings::one_of(raw.kafka.clone(), raw.file.clone(), raw.stdin);
    if let Err(error) = &kind {
        problems.add(node.place, &path, error.to_string());
    }
    let decode = decode::Settings {
        namespace: raw.namespace.clone().unwrap_or_else(|| raw.format.name().to_owned()),
        key_names: raw.key_names.clone(),
        client_address: raw.client_address.clone(),
        ..decode::Settings::new(raw.format.clone(), raw.key)
    };
    let decode = decode.checked();
    if let Err(error) = &decode {
        let message = error.to_string();
        problems.add(node.place_named_in(&message), &path, message);
    }
    let record_bytes_max = record_bytes_max(raw, node, &path, problems);
    let source = kind.ok()?;
    let name = raw.name.clone().unwrap_or_else(|| source.default_name(index));
    if let Some(said) = raw.name.as_ref().filter(|said| !is_name(said)) {
        let wanted = "must be 1 to 64 letters, digits, \".\", \"-\", \"_\", \":\" and \"+\"";
        let message = format!("\"{}\" {wanted}", said.escape_debug());
        problems.add(node.place_of("name"), format!("{path}.name"), message);
    }
    Some(SourceConfig { name, record_bytes_max, source, decode: decode.ok()? })
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:+".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn record_bytes_max(raw: &RawSource, node: &Node, path: &str, problems: &mut Problems) -> usize {
    let wanted = usize::try_from(raw.record_bytes_max).unwrap_or(0);
    if !(LEAST_RECORD_BYTES..=source::RECORD_BYTES_MAX).contains(&wanted) {
        let range = format!("from {LEAST_RECORD_BYTES} to {}", source::RECORD_BYTES_MAX);
        let message = format!("{} must be {range}", raw.record_bytes_max);
        problems.add(node.place_of("record_bytes_max"), format!("{path}.record_bytes_max"), message);
    }
    wanted
}

/// Metrics and alerts tell sources by their names.
fn each_name_once(sources: &[SourceConfig], nodes: &[Node], problems: &mut Problems) {
    if sources.len() < nodes.len() {
        // Places do not agree where a source could not be read; that is told already.
        return;
    }
    for (index, (source, node)) in sources.iter().zip(nodes).enumerate() {
        if let Some(first) = sources[..index].iter().position(|before| before.name == source.name) {
            let message = format!("\"{}\" is the name of sources[{first}] already", source.name);
            problems.add(node.place_of("name"), format!("sources[{index}].name"), message);
        }
    }
}

/// The brokers and the group also hold and consume Keyhound's own topics, so there can be one of each.
fn one_cluster(raw: &[RawSource], nodes: &[Node], problems: &mut Problems) {
    let kafka = || {
        raw.iter().zip(nodes).enumerate().filter_map(|(i, (raw, node))| Some((i, raw.kafka.as_ref()?, node)))
    };
    let Some((first_index, first, _)) = kafka().next() else { return };
    for (index, settings, node) in kafka().skip(1) {
        let section = node.get("kafka");
        let place = |field: &str| section.map_or(node.place, |section| section.place_of(field));
        let sorted = |brokers: &[String]| {
            let mut brokers = brokers.to_vec();
            brokers.sort();
            brokers
        };
        let why = "all Kafka sources name the same brokers and group, which also hold Keyhound's own topics";
        if sorted(settings.brokers()) != sorted(first.brokers()) {
            let message = format!("differs from sources[{first_index}].kafka.brokers; {why}");
            problems.add(place("brokers"), format!("sources[{index}].kafka.brokers"), message);
        }
        if settings.group() != first.group() {
            let message = format!(
                "\"{}\" differs from \"{}\" in sources[{first_index}].kafka.group; {why}",
                settings.group(),
                first.group()
            );
            problems.add(place("group"), format!("sources[{index}].kafka.group"), message);
        }
    }
}

/// A request is counted at one place.
fn each_topic_once(raw: &[RawSource], nodes: &[Node], problems: &mut Problems) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, (raw, node)) in raw.iter().zip(nodes).enumerate() {
        for topic in raw.kafka.iter().flat_map(KafkaSettings::topics) {
            let before = *first.entry(topic).or_insert(index);
            if before != index {
                let message = format!(
                    "\"{topic}\" is read by sources[{before}] already; its requests would count twice"
                );
                problems.add(topic_place(node, topic), format!("sources[{index}].kafka.topics"), message);
            }
        }
    }
}

/// Keyhound does not read what it writes.
fn own_topics(raw: &RawConfig, root: &Node, problems: &mut Problems) {
    let nodes = root.get("sources").map(Node::elements).unwrap_or_default();
    for (index, (source, node)) in raw.sources.iter().zip(nodes).enumerate() {
        for topic in source.kafka.iter().flat_map(KafkaSettings::topics) {
            let own = topic
                .strip_prefix(raw.topic_prefix.as_str())
                .is_some_and(|rest| Topic::ALL.iter().any(|own| own.as_str() == rest));
            if own {
                let message = format!("\"{topic}\" is a topic that Keyhound writes itself; see topic_prefix");
                problems.add(topic_place(node, topic), format!("sources[{index}].kafka.topics"), message);
            }
        }
    }
}

fn topic_place(source: &Node, topic: &str) -> Place {
    let topics = source.get("kafka").and_then(|kafka| kafka.get("topics"));
    let found = topics.and_then(|topics| topics.elements().iter().find(|node| node.text() == Some(topic)));
    found.or(topics).map_or(source.place, |node| node.place)
}
