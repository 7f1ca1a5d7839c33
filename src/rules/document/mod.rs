//! A YAML file as a tree that remembers where everything stands, so that a message can name line and column.
//!
//! Owns the tree, the collected problems of a file, and reading a part of the tree into a type. Problems are
//! collected, not thrown: an operator sees all of them at once. Never reads a file itself.

mod access;
mod parse;
mod problem;
mod read;

pub use parse::{Document, LIMIT_BYTES};
pub use problem::{Place, Problem, Problems, did_you_mean};

use serde::de::DeserializeOwned;

/// One node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// The entries in the order of the file; the parser refuses a key that stands twice.
    Mapping(Vec<(Key, Node)>),
}

/// The name of a mapping's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub place: Place,
}

/// A single value, typed as YAML 1.2 types it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// A text that came about by replacing `${…}`: it takes whatever type is wanted of it, and messages show
    /// `written` only, because the value may be a secret.
    Replaced {
        written: String,
        value: String,
    },
}

impl Node {
    /// The entry of a mapping, if this is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Value::Mapping(entries) = &self.value else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The elements of a sequence; nothing for any other node.
    pub fn elements(&self) -> &[Self] {
        if let Value::Sequence(elements) = &self.value { elements } else { &[] }
    }

    /// The entries of a mapping; nothing for any other node.
    pub fn entries(&self) -> &[(Key, Self)] {
        if let Value::Mapping(entries) = &self.value { entries } else { &[] }
    }

    /// Where the entry stands, or where this node begins if there is no such entry.
    pub fn place_of(&self, name: &str) -> Place {
        self.get(name).map_or(self.place, |node| node.place)
    }

    /// The place of what a message about this node is about, as far as it says so: a section's own check names
    /// the field first (`checks.bearer: …`) or in quotes (`"brokers" has "x"`), and knows no places.
    pub fn place_named_in(&self, message: &str) -> Place {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let first = message.split(|c: char| !is_name(c)).next().unwrap_or_default();
        let quoted = message.split('"').skip(1).step_by(2);
        let mut node = first.split('.').fold(self, |node, word| node.get(word).unwrap_or(node));
        for word in quoted {
            let element = || node.elements().iter().find(|element| element.text() == Some(word));
            node = node.get(word).or_else(element).unwrap_or(node);
        }
        node.place
    }

    /// The text of a textual scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::Text(text) | Scalar::Replaced { value: text, .. }) => Some(text),
            _ => None,
        }
    }

    /// The node as a message may show it: short, and never a value that came from the environment.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.shown(),
            Value::Sequence(elements) => format!("a list of {}", elements.len()),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// Reads this part of the tree into a type. What is wrong is added to `problems`, each with its place and
    /// its path below `path`; `None` if the type could not be made.
    pub fn read<T: DeserializeOwned>(&self, path: &str, problems: &mut Problems) -> Option<T> {
        read::read(self, path, problems)
    }
}

impl Scalar {
    fn shown(&self) -> String {
        const LONGEST: usize = 60;
        match self {
            Self::Null => "empty".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) | Self::Replaced { written: text, .. } => {
                let short: String = text.chars().take(LONGEST).collect();
                let dots = if short.len() < text.len() { "…" } else { "" };
                format!("\"{}{dots}\"", short.escape_debug())
            }
        }
    }
}

#[cfg(test)]
mod tests;
