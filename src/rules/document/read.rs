//! A part of the tree to a type, by serde, collecting problems instead of stopping at the first.
//!
//! Serde stops at the first thing that it cannot read. So what could not be read is reported, set aside, and the
//! whole is read again without it, until a reading finds nothing new. A field that is missed only because it was
//! set aside is no second problem.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IntoDeserializer, Visitor},
};

use super::{
    Node, Place, Problems, Scalar, Value,
    access::{Elements, Entries, One},
    problem::did_you_mean,
};

/// How many problems one reading looks for: a file with more is of another kind than was meant.
const ROUNDS: usize = 50;

pub(super) fn read<T: DeserializeOwned>(node: &Node, path: &str, problems: &mut Problems) -> Option<T> {
    let shared =
        Shared { problems: RefCell::new(problems), aside: RefCell::default(), clean: Cell::new(true) };
    for _ in 0..ROUNDS {
        let reader = Reader { node, path: path.to_owned(), shared: &shared };
        match T::deserialize(reader.clone()) {
            Ok(value) => return shared.clean.get().then_some(value),
            Err(Failure::Again) => {}
            Err(failure) => {
                reader.report(failure);
                return None;
            }
        }
    }
    None
}

/// What all readers of one reading share.
struct Shared<'p> {
    problems: RefCell<&'p mut Problems>,
    /// Nodes that could not be read, by their address: the tree does not move while it is read.
    aside: RefCell<Vec<*const Node>>,
    /// Whether nothing was reported.
    clean: Cell<bool>,
}

/// Why a value could not be made.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something below was reported and set aside: read again without it.
    Again,
    /// It cannot be made because of something that is reported already.
    Reported,
    /// It is known where.
    At { place: Place, path: String, message: String },
    /// Serde made it; whoever called serde knows where.
    Nowhere(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again | Self::Reported => f.write_str("reported"),
            Self::At { message, .. } | Self::Nowhere(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Nowhere(message.to_string())
    }

    // Serde's own texts would show the value, which may come from the environment.
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Nowhere(format!("must be {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Nowhere(format!("must be {expected}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Nowhere(format!("is not known; {}", did_you_mean(variant, expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Nowhere(format!("unknown field \"{field}\"; {}", did_you_mean(field, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Nowhere(format!("\"{field}\" is missing"))
    }
}

#[derive(Clone)]
pub(super) struct Reader<'n, 's> {
    node: &'n Node,
    /// From the top of the file, for messages.
    pub(super) path: String,
    shared: &'s Shared<'s>,
}

impl<'n> Reader<'n, '_> {
    fn at(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Nowhere(message) => {
                let message = if message.starts_with("must be") || message.starts_with("is ") {
                    format!("{} {message}", self.node.shown())
                } else {
                    message
                };
                Failure::At { place: self.node.place_named_in(&message), path: self.path.clone(), message }
            }
            placed => placed,
        }
    }

    fn wrong(&self, expected: impl fmt::Display) -> Failure {
        self.at(Failure::Nowhere(format!("must be {expected}")))
    }

    pub(super) fn add(&self, place: Place, path: String, message: String) {
        self.shared.clean.set(false);
        self.shared.problems.borrow_mut().add(place, path, message);
    }

    fn report(&self, failure: Failure) {
        if let Failure::At { place, path, message } = self.at(failure) {
            self.add(place, path, message);
        }
    }

    /// Reports why the node could not be read and sets it aside, unless that was done further down.
    pub(super) fn set_aside(&self, failure: Failure) -> Failure {
        if !matches!(failure, Failure::Again) {
            self.report(failure);
            self.shared.aside.borrow_mut().push(std::ptr::from_ref(self.node));
        }
        Failure::Again
    }

    pub(super) fn is_aside(&self, node: &Node) -> bool {
        self.shared.aside.borrow().contains(&std::ptr::from_ref(node))
    }

    pub(super) fn below(&self, node: &'n Node, name: &str) -> Self {
        let dot = if self.path.is_empty() || name.starts_with('[') { "" } else { "." };
        Self { node, path: format!("{}{dot}{name}", self.path), shared: self.shared }
    }

    fn integer(&self, least: i128, most: i128) -> Result<i128, Failure> {
        let value = match &self.node.value {
            Value::Scalar(Scalar::Integer(value)) => Some(*value),
            // YAML writes 1e6 as a float; whole ones are welcome where they are exact.
            #[allow(clippy::cast_possible_truncation)]
            Value::Scalar(Scalar::Float(value)) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Some(*value as i128)
            }
            Value::Scalar(Scalar::Replaced { value, .. }) => value.trim().parse().ok(),
            _ => None,
        };
        value.filter(|value| (least..=most).contains(value)).ok_or_else(|| {
            // The ends of the widest types are nobody's range.
            if most >= i64::MAX.into() {
                self.wrong("a whole number")
            } else {
                self.wrong(format_args!("a whole number from {least} to {most}"))
            }
        })
    }

    fn number(&self) -> Result<f64, Failure> {
        let value = match &self.node.value {
            #[allow(clippy::cast_precision_loss)] // a setting, not a counter
            Value::Scalar(Scalar::Integer(value)) => Some(*value as f64),
            Value::Scalar(Scalar::Float(value)) => Some(*value),
            Value::Scalar(Scalar::Replaced { value, .. }) => value.trim().parse().ok(),
            _ => None,
        };
        value.filter(|value| value.is_finite()).ok_or_else(|| self.wrong("a number"))
    }

    fn text(&self) -> Result<&'n str, Failure> {
        self.node.text().ok_or_else(|| match &self.node.value {
            Value::Scalar(Scalar::Null) => self.wrong("a text"),
            Value::Scalar(_) => self.wrong("a text: write it in quotes"),
            _ => self.wrong("a text"),
        })
    }

    fn sequence<V: Visitor<'n>>(&self, visitor: V) -> Result<V::Value, Failure> {
        let Value::Sequence(elements) = &self.node.value else {
            return Err(self.wrong("a list"));
        };
        let access = Elements { parent: self, rest: elements.iter().enumerate() };
        visitor.visit_seq(access).map_err(|failure| self.at(failure))
    }

    /// `fields` are the only ones allowed, if it is a struct.
    fn mapping<V: Visitor<'n>>(
        &self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let Value::Mapping(entries) = &self.node.value else {
            return Err(self.wrong("a mapping"));
        };
        let missed = entries.iter().any(|(_, node)| self.is_aside(node));
        let access = Entries { parent: self, fields, rest: entries.iter(), value: None };
        visitor.visit_map(access).map_err(|failure| match failure {
            Failure::Nowhere(_) if missed => Failure::Reported,
            failure => self.at(failure),
        })
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
            let value = self.integer(<$type>::MIN.into(), <$type>::MAX.into())?;
            // The range was checked against the type's own.
            visitor.$visit(<$type>::try_from(value).unwrap_or_default()).map_err(|failure| self.at(failure))
        }
    )*};
}

impl<'n> Deserializer<'n> for Reader<'n, '_> {
    type Error = Failure;

    integers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        let result = match &self.node.value {
            Value::Sequence(_) => return self.sequence(visitor),
            Value::Mapping(_) => return self.mapping(None, visitor),
            Value::Scalar(Scalar::Null) => visitor.visit_unit(),
            Value::Scalar(Scalar::Bool(value)) => visitor.visit_bool(*value),
            Value::Scalar(Scalar::Integer(value)) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => visitor.visit_i128(*value),
            },
            Value::Scalar(Scalar::Float(value)) => visitor.visit_f64(*value),
            Value::Scalar(Scalar::Text(value) | Scalar::Replaced { value, .. }) => visitor.visit_str(value),
        };
        result.map_err(|failure| self.at(failure))
    }

    fn deserialize_bool<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = match &self.node.value {
            Value::Scalar(Scalar::Bool(value)) => *value,
            Value::Scalar(Scalar::Replaced { value, .. }) if value == "true" => true,
            Value::Scalar(Scalar::Replaced { value, .. }) if value == "false" => false,
            _ => return Err(self.wrong("true or false")),
        };
        visitor.visit_bool(value).map_err(|failure| self.at(failure))
    }

    fn deserialize_f64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_f64(self.number()?).map_err(|failure| self.at(failure))
    }

    fn deserialize_f32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.text()?).map_err(|failure| self.at(failure))
    }

    fn deserialize_string<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Scalar(Scalar::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let here = self.clone();
        visitor.visit_newtype_struct(self).map_err(|failure| here.at(failure))
    }

    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.sequence(visitor)
    }

    fn deserialize_map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.mapping(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.mapping(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Mapping(entries) if entries.len() == 1 => {
                let (key, node) = &entries[0];
                let inner = self.below(node, &key.name);
                visitor.visit_enum(de::value::MapAccessDeserializer::new(One { key: Some(&key.name), inner }))
            }
            _ => visitor.visit_enum(self.text()?.into_deserializer()).map_err(|failure| self.at(failure)),
        }
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'n>>
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}
