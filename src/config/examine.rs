//! All that is wrong with a settings file, beyond the first thing that cannot be read.
//!
//! What a field holds that cannot be read is reported and taken out, and so is what a check refuses; the rest is looked
//! at as if that stood at its default. For `check-config`: a daemon takes a file that is right as a whole, or none.

use std::collections::BTreeSet;

use super::{Config, Overrides, check, document, raw::RawConfig};
use crate::{
    rules::document::{Document, Key, Node, Place, Problems, Scalar, Value},
    source,
};

/// What a file comes to.
#[derive(Debug, Default)]
pub struct Examined {
    pub problems: Problems,
    /// The settings as far as they can be read; `None` = nothing can.
    pub config: Option<Config>,
    /// Each source that can be read, with its place in the list.
    pub sources: Vec<(usize, source::Settings)>,
    /// Names at the top of the file of which something is wrong: what `config` says of them is not what was meant.
    pub aside: BTreeSet<String>,
    document: Option<Document>,
}

impl Examined {
    /// The settings in a text; `name` is what messages call the file.
    pub fn of(
        name: &str,
        text: &str,
        overrides: &Overrides,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let document = match document(name, text, environment) {
            Ok(document) => document,
            Err(problems) => return Self { problems, ..Self::default() },
        };
        let mut problems = Problems::of_file(name);
        let mut root = document.root.clone();
        let mut raw: Option<RawConfig> = root.read("", &mut problems);
        let mut aside = BTreeSet::new();
        if raw.is_none() {
            aside = named(&problems);
            root = repaired(&root, &problems);
            // What is wrong with it was reported.
            raw = root.read("", &mut Problems::of_file(name));
        }
        let Some(mut raw) = raw else {
            problems.hide_replaced(&document.root);
            return Self { problems, aside, document: Some(document), ..Self::default() };
        };
        overrides.apply(&mut raw);
        let kind = |source: &super::raw::RawSource| {
            source::Settings::one_of(source.kafka.clone(), source.file.clone(), source.stdin).ok()
        };
        let sources = raw.sources.iter().enumerate().filter_map(|(at, source)| Some((at, kind(source)?)));
        let sources = sources.filter(|(at, _)| !problems.concern(&format!("sources[{at}]"))).collect();
        let mut read = document.clone();
        read.root = root;
        let (config, found) = check::examined(raw, &read);
        aside.extend(named(&found));
        problems.extend(found);
        problems.hide_replaced(&document.root);
        Self { problems, config: Some(config), sources, aside, document: Some(document) }
    }

    /// Where a setting stands, such as `fingerprint.pepper_file` or `sources[1].kafka.brokers`; else what is above it.
    pub fn place(&self, path: &str) -> Place {
        let Some(document) = &self.document else { return Place::default() };
        let mut node = &document.root;
        for word in path.split('.') {
            let (name, index) = word.split_once('[').unwrap_or((word, ""));
            let Some(found) = node.get(name) else { break };
            let element = index.trim_end_matches(']').parse::<usize>().ok();
            node = element.and_then(|at| found.elements().get(at)).unwrap_or(found);
        }
        node.place
    }
}

/// The names at the top of the file that problems are about.
fn named(problems: &Problems) -> BTreeSet<String> {
    let first = |path: &str| path.split(['.', '[']).next().unwrap_or_default().to_owned();
    problems.sorted().iter().map(|problem| first(&problem.path)).filter(|name| !name.is_empty()).collect()
}

/// A copy that can be read: without the entries that problems are about, and with something in the place of those that
/// have to be there.
fn repaired(root: &Node, problems: &Problems) -> Node {
    let text = |text: &str| Node { place: root.place, value: Value::Scalar(Scalar::Text(text.to_owned())) };
    let mapping = |entries: Vec<(&str, Node)>| Node {
        place: root.place,
        value: Value::Mapping(
            entries
                .into_iter()
                .map(|(name, node)| (Key { name: name.to_owned(), place: root.place }, node))
                .collect(),
        ),
    };
    let list = |elements: Vec<Node>| Node { place: root.place, value: Value::Sequence(elements) };
    let source = || {
        let file = mapping(vec![("paths", list(vec![text("/dev/null")]))]);
        mapping(vec![("file", file), ("format", text("nginx")), ("key", text("raw"))])
    };
    let wrong = named(problems);
    let mut entries: Vec<(Key, Node)> = root.entries().to_vec();
    entries.retain(|(key, _)| key.name == "sources" || !wrong.contains(&key.name));
    let mut has_sources = false;
    for (_, node) in entries.iter_mut().filter(|(key, _)| key.name == "sources") {
        has_sources = !node.elements().is_empty();
        let Value::Sequence(elements) = &mut node.value else { continue };
        for (at, element) in elements.iter_mut().enumerate() {
            if problems.concern(&format!("sources[{at}]")) {
                *element = source();
            }
        }
    }
    if !has_sources {
        entries.retain(|(key, _)| key.name != "sources");
        entries.push((Key { name: "sources".to_owned(), place: root.place }, list(vec![source()])));
    }
    if entries.iter().all(|(key, _)| key.name != "fingerprint") {
        let pepper = mapping(vec![("pepper_file", text("pepper"))]);
        entries.push((Key { name: "fingerprint".to_owned(), place: root.place }, pepper));
    }
    Node { place: root.place, value: Value::Mapping(entries) }
}
