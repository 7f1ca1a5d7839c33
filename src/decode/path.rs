//! The places of a mapping: JSON pointers and header names, as a user writes them.
//!
//! A place is a text (`/request/id`) or an object (`{ path: /msec, unit: s }`, `{ header: user-agent }`); a field has
//! one, or a list of them. Read by hand rather than as an untagged enum, whose errors name neither field nor value.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, value::MapAccessDeserializer},
};

use super::mapping::Unit;

/// One place: exactly one of `path`, `header` and `response_header`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Path {
    #[serde(flatten)]
    pub at: At,
    /// How the value is written, for times and durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Who chooses the id that stands there, for request ids; the caller unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen_by: Option<ChosenBy>,
}

/// Who chooses a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChosenBy {
    /// The caller may choose it, and may send the same one again.
    Caller,
    /// The gateway makes a new one for each request, whatever the caller sends.
    Gateway,
}

/// What a place names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// A JSON pointer (RFC 6901).
    Path(String),
    /// A header in the object `request_headers`.
    Header(String),
    /// A header in the object `response_headers`.
    ResponseHeader(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Path")]
struct RawPath {
    /// A JSON pointer.
    path: Option<String>,
    /// The name of a request header.
    header: Option<String>,
    /// The name of a response header.
    response_header: Option<String>,
    /// How the value is written, for times and durations.
    unit: Option<Unit>,
    /// Who chooses the id, for `request_id`: `caller` (the default) or `gateway`. Only an id of the gateway's can tell
    /// that a record came twice.
    chosen_by: Option<ChosenBy>,
}

impl TryFrom<RawPath> for Path {
    type Error = &'static str;

    fn try_from(raw: RawPath) -> Result<Self, Self::Error> {
        let at = match (raw.path, raw.header, raw.response_header) {
            (Some(path), None, None) => At::Path(path),
            (None, Some(header), None) => At::Header(header),
            (None, None, Some(header)) => At::ResponseHeader(header),
            _ => return Err("a place needs exactly one of path, header and response_header"),
        };
        Ok(Self { at, unit: raw.unit, chosen_by: raw.chosen_by })
    }
}

impl Path {
    fn of_pointer(text: &str) -> Self {
        Self { at: At::Path(text.to_owned()), unit: None, chosen_by: None }
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Path;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a JSON pointer such as /request/id, or an object with path, header or response_header",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Path, E> {
                Ok(Path::of_pointer(text))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Path, A::Error> {
                let raw = RawPath::deserialize(MapAccessDeserializer::new(map))?;
                raw.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The places of one fact, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Paths(pub Vec<Path>);

impl Paths {
    /// Whether the mapping says nothing of this fact.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Paths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a place or a list of places")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Paths, E> {
                Ok(Paths(vec![Path::of_pointer(text)]))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Paths, A::Error> {
                Ok(Paths(vec![Path::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Paths, A::Error> {
                let mut paths = Vec::new();
                while let Some(path) = seq.next_element()? {
                    paths.push(path);
                }
                Ok(Paths(paths))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Paths {
    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<RawPath>();
        json_schema!({
            "description": "A JSON pointer, a place, or a list of them, best first.",
            "anyOf": [
                { "type": "string" },
                object,
                { "type": "array", "items": { "anyOf": [{ "type": "string" }, object] } }
            ]
        })
    }
}

/// Where headers stand: in an object at `path`, each under `prefix` and its own name, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderPlace {
    /// The object's JSON pointer; empty for the record itself.
    pub path: String,
    /// What stands before each name, such as Traefik's `request_`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "HeaderPlace")]
struct RawHeaderPlace {
    /// The object's JSON pointer; empty for the record itself.
    #[serde(default)]
    path: String,
    /// What stands before each name.
    #[serde(default)]
    prefix: String,
}

impl<'de> Deserialize<'de> for HeaderPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = HeaderPlace;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the JSON pointer of an object, or an object with path and prefix")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HeaderPlace, E> {
                Ok(HeaderPlace { path: text.to_owned(), prefix: String::new() })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<HeaderPlace, A::Error> {
                let raw = RawHeaderPlace::deserialize(MapAccessDeserializer::new(map))?;
                Ok(HeaderPlace { path: raw.path, prefix: raw.prefix })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for HeaderPlace {
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<RawHeaderPlace>();
        json_schema!({ "anyOf": [{ "type": "string" }, object] })
    }
}
