//! The mapping language: where in a gateway's JSON record each fact stands, and in which unit.
//!
//! A preset is a mapping that ships with Keyhound (`presets/*.yaml`); users write their own in the same language.
//! `docs/formats.md` is its reference. Holding a [`Mapping`] means that it compiles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::At;
pub use super::path::{HeaderPlace, Path, Paths};
use super::{fields::Slot, plan::Plan, presets, settings::KeyNames};

/// How a time or a duration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds; as a time, since the Unix epoch.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
    /// `2026-11-22T06:07:40.839Z`; times only.
    Rfc3339,
    /// `22/Nov/2026:06:07:40 +0000`; times only.
    Clf,
}

/// A test on one field that says that the gateway, and not the upstream, refused the request. One test each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field's JSON pointer.
    pub path: String,
    /// The field is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub is: Vec<String>,
    /// The field is there and is none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub is_not: Vec<String>,
    /// The field's comma-separated list has one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub has: Vec<String>,
    /// The field starts with one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts_with: Vec<String>,
}

impl Condition {
    /// Whether the field's text meets the test.
    pub(super) fn holds(&self, text: &str) -> bool {
        let among = |list: &[String]| list.iter().any(|one| one == text);
        among(&self.is)
            || (!self.is_not.is_empty() && !among(&self.is_not))
            || self.has.iter().any(|flag| text.split(',').any(|part| part.trim() == flag))
            || self.starts_with.iter().any(|start| text.starts_with(start.as_str()))
    }

    fn tests(&self) -> usize {
        [&self.is, &self.is_not, &self.has, &self.starts_with].iter().filter(|list| !list.is_empty()).count()
    }
}

/// A valid mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawMapping", into = "RawMapping")]
pub struct Mapping(RawMapping);

/// Where each fact stands. Each may have several places: the first that is there, and says something, counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMapping {
    /// A preset to start from; what this mapping says replaces what the preset says, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// The object that holds the request's headers, by their names in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderPlace>,
    /// The object that holds the response's headers. `X-Keyhound-Decision` is looked for in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderPlace>,
    /// When the request was served. Unit: `rfc3339` unless said. Required.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub time: Paths,
    /// The HTTP status. Required.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub status: Paths,
    /// The request method.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub method: Paths,
    /// The request's path, or its whole URL, with or without a query string.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub path: Paths,
    /// The query string, where it stands apart from the path. Searched for a key, else dropped.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub query: Paths,
    /// `GET /v1/orders HTTP/1.1`, for logs that have method and path only so.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub request_line: Paths,
    /// The gateway's own name for the route. Preferred to the path.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub route: Paths,
    /// The raw key. Fingerprinted at once, kept nowhere. Headers of the source's `key_names` are added to it.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub key: Paths,
    /// The gateway's id for the credential, or a hash of the key made in the gateway.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub credential: Paths,
    /// The gateway's own id or name of the consumer.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub consumer: Paths,
    /// A user name that the client sent; hashed where it looks like a secret.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub user: Paths,
    /// The user agent.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub agent: Paths,
    /// The address of the socket's peer, with or without a port.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub peer: Paths,
    /// The value of `X-Forwarded-For`.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub forwarded_for: Paths,
    /// The request's id; kept as a hash, to recognise a record that comes twice. `chosen_by: gateway` says that the
    /// caller cannot choose it.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub request_id: Paths,
    /// Bytes received from the client.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub request_bytes: Paths,
    /// Bytes sent to the client.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub response_bytes: Paths,
    /// Time to serve the request. The unit must be said.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub latency: Paths,
    /// `http` or `https`, or a URL that starts with one of them.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub scheme: Paths,
    /// The response header by which Keyhound's own refusals are known, where `response_headers` does not hold it.
    #[serde(skip_serializing_if = "Paths::is_empty")]
    pub decision: Paths,
    /// Conditions, any of which says that a 401, 403 or 429 is the gateway's and not the upstream's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_by_gateway: Vec<Condition>,
}

/// Why a mapping is not valid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingError {
    #[error("like: \"{0}\" is not a preset: expected one of {names}", names = presets::names().join(", "))]
    UnknownPreset(String),
    #[error("{field} is required: say at which JSON pointer it stands, such as /{field}")]
    Missing { field: &'static str },
    #[error("{field}: \"{path}\" is not a JSON pointer: expected a \"/\" at the start, such as /request/id")]
    NotAPointer { field: &'static str, path: String },
    #[error("{field}: \"{path}\" has {segments} segments, the limit is 8")]
    TooDeep { field: &'static str, path: String, segments: usize },
    #[error("{field}: the header \"{header}\" needs {object}, the object that holds the headers")]
    NoHeaders { field: &'static str, header: String, object: &'static str },
    #[error("{field} has {places} places, the limit is 64")]
    TooManyPlaces { field: &'static str, places: usize },
    #[error("latency: \"{path}\" needs a unit: s, ms, us or ns")]
    NoUnit { path: String },
    #[error("{field}: chosen_by is for request_id only")]
    NotAnId { field: &'static str },
    #[error("{field}: the unit \"{unit}\" is not one of {allowed}")]
    WrongUnit { field: &'static str, unit: &'static str, allowed: &'static str },
    #[error(
        "refused_by_gateway: \"{path}\" needs exactly one of is, is_not, has and starts_with, it has {tests}"
    )]
    Tests { path: String, tests: usize },
    #[error("a mapping needs key, credential or request_headers: where the key of a request stands")]
    NoKey,
}

impl TryFrom<RawMapping> for Mapping {
    type Error = MappingError;

    fn try_from(raw: RawMapping) -> Result<Self, Self::Error> {
        let mapping = Self(raw);
        Plan::compile(&mapping, &KeyNames::default())?;
        Ok(mapping)
    }
}

impl From<Mapping> for RawMapping {
    fn from(mapping: Mapping) -> Self {
        mapping.0
    }
}

impl Mapping {
    /// Wraps a preset's own text, which a test compiles; `presets` calls it, nobody else.
    pub(super) fn of_preset(raw: RawMapping) -> Self {
        Self(raw)
    }

    /// The mapping with what `like` brings, checked as far as one field at a time can be.
    pub(super) fn resolved(&self) -> Result<RawMapping, MappingError> {
        let mut raw = self.0.clone();
        if let Some(name) = raw.like.take() {
            let preset = presets::preset(&name).ok_or(MappingError::UnknownPreset(name))?;
            raw = preset.resolved()?.overridden_by(raw);
        }
        for (field, paths) in [("time", &raw.time), ("status", &raw.status)] {
            if paths.is_empty() {
                return Err(MappingError::Missing { field });
            }
        }
        if raw.key.is_empty() && raw.credential.is_empty() && raw.request_headers.is_none() {
            return Err(MappingError::NoKey);
        }
        for condition in &raw.refused_by_gateway {
            if condition.tests() != 1 {
                let path = condition.path.clone();
                return Err(MappingError::Tests { path, tests: condition.tests() });
            }
        }
        Ok(raw)
    }
}

impl Mapping {
    /// The request's headers that hold the raw key by what the mapping itself says.
    pub(super) fn key_headers(&self) -> Result<Vec<String>, MappingError> {
        let places = self.resolved()?.key.0.into_iter();
        Ok(places
            .filter_map(|place| if let At::Header(name) = place.at { Some(name) } else { None })
            .collect())
    }
}

impl RawMapping {
    /// Each slot with its places.
    pub fn slots(&self) -> [(Slot, &Paths); super::fields::SLOTS] {
        Slot::ALL.map(|slot| (slot, self.paths(slot)))
    }

    fn paths(&self, slot: Slot) -> &Paths {
        match slot {
            Slot::Time => &self.time,
            Slot::Status => &self.status,
            Slot::Method => &self.method,
            Slot::Path => &self.path,
            Slot::Query => &self.query,
            Slot::RequestLine => &self.request_line,
            Slot::Route => &self.route,
            Slot::Key => &self.key,
            Slot::Credential => &self.credential,
            Slot::Consumer => &self.consumer,
            Slot::User => &self.user,
            Slot::Agent => &self.agent,
            Slot::Peer => &self.peer,
            Slot::ForwardedFor => &self.forwarded_for,
            Slot::RequestId => &self.request_id,
            Slot::RequestBytes => &self.request_bytes,
            Slot::ResponseBytes => &self.response_bytes,
            Slot::Latency => &self.latency,
            Slot::Scheme => &self.scheme,
            Slot::Decision => &self.decision,
        }
    }

    fn overridden_by(self, mut own: Self) -> Self {
        let fill = |own: &mut Paths, preset: Paths| {
            if own.is_empty() {
                *own = preset;
            }
        };
        fill(&mut own.time, self.time);
        fill(&mut own.status, self.status);
        fill(&mut own.method, self.method);
        fill(&mut own.path, self.path);
        fill(&mut own.query, self.query);
        fill(&mut own.request_line, self.request_line);
        fill(&mut own.route, self.route);
        fill(&mut own.key, self.key);
        fill(&mut own.credential, self.credential);
        fill(&mut own.consumer, self.consumer);
        fill(&mut own.user, self.user);
        fill(&mut own.agent, self.agent);
        fill(&mut own.peer, self.peer);
        fill(&mut own.forwarded_for, self.forwarded_for);
        fill(&mut own.request_id, self.request_id);
        fill(&mut own.request_bytes, self.request_bytes);
        fill(&mut own.response_bytes, self.response_bytes);
        fill(&mut own.latency, self.latency);
        fill(&mut own.scheme, self.scheme);
        fill(&mut own.decision, self.decision);
        own.request_headers = own.request_headers.or(self.request_headers);
        own.response_headers = own.response_headers.or(self.response_headers);
        if own.refused_by_gateway.is_empty() {
            own.refused_by_gateway = self.refused_by_gateway;
        }
        own
    }
}
