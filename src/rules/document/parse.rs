//! Text to tree.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{Key, Node, Place, Problems, Scalar, Value};

/// The largest file that is read: 1 MiB.
pub const LIMIT_BYTES: usize = 1 << 20;

/// How deep a file may nest and how many nodes it may have: far above any real one, far below what hurts.
const LIMIT_DEPTH: usize = 32;
const LIMIT_NODES: usize = 100_000;

/// A file's name, text and tree.
#[derive(Clone, Debug)]
pub struct Document {
    pub name: String,
    text: String,
    pub root: Node,
}

impl Document {
    /// Parses one YAML document. An error is one problem: a text that is not YAML has no second one.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::of_file(name);
        if text.len() > LIMIT_BYTES {
            let message = format!("the file is {} bytes, the limit is {LIMIT_BYTES}", text.len());
            problems.add(Place::default(), "", message);
            return Err(problems);
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: LIMIT_DEPTH, max_nodes: LIMIT_NODES },
            strict_booleans: true,
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Tree>(text, options) {
            Ok(Tree(root)) => Ok(Self { name: name.to_owned(), text: text.to_owned(), root }),
            Err(error) => {
                let place = error.location().map(place).unwrap_or_default();
                let line = text.lines().nth(place.line.saturating_sub(1) as usize).unwrap_or_default();
                let hint = if line.contains("${") { "; within { } and [ ], ${…} needs quotes" } else { "" };
                problems.add(place, "", plain_message(&error) + hint);
                Err(problems)
            }
        }
    }

    /// The place of a line and column (from 1) inside a textual scalar.
    pub fn place_inside(&self, node: &Node, line: u32, column: u32) -> Place {
        let source = |line: u32| self.text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
        let here = source(node.place.line);
        let first: String = here.chars().skip(node.place.column.saturating_sub(1) as usize).take(1).collect();
        let indented = |at: u32| {
            let indent = source(at).chars().take_while(|c| *c == ' ').count();
            Place { line: at, column: u32::try_from(indent).unwrap_or(0) + column }
        };
        match first.as_str() {
            // A block scalar: its text begins on the line after, and each line has its own indent.
            "|" | ">" => indented(node.place.line + line),
            "\"" | "'" if line == 1 => Place { column: node.place.column + column, ..node.place },
            _ if line == 1 => Place { column: node.place.column + column - 1, ..node.place },
            _ => indented(node.place.line + line - 1),
        }
    }
}

fn place(location: serde_saphyr::Location) -> Place {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

/// The parser's message without the place, which the problem names already.
fn plain_message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    // Hints for programmers are no help to who wrote the file.
    let end =
        [" at line ", ", set Dup"].iter().filter_map(|tail| first.find(tail)).min().unwrap_or(first.len());
    format!("not valid YAML: {}", first[..end].trim_start_matches("error: "))
}

/// A node as the parser gives it.
struct Tree(Node);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<TreeValue>::deserialize(deserializer)?;
        Ok(Self(Node { place: place(spanned.referenced), value: spanned.value.0 }))
    }
}

struct TreeValue(Value);

impl<'de> Deserialize<'de> for TreeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Self)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Bool(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.visit_i128(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.visit_i128(value.into())
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Integer(value)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Float(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(Scalar::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Tree(node)) = access.next_element()? {
            elements.push(node);
        }
        Ok(Value::Sequence(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = access.next_key::<Spanned<String>>()? {
            let Tree(node) = access.next_value()?;
            entries.push((Key { name: name.value, place: place(name.referenced) }, node));
        }
        Ok(Value::Mapping(entries))
    }
}
