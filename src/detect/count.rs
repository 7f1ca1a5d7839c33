//! The parameters of `count`: which requests are counted, over which window, and how many are too many.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{Family, Scale, settings::ParameterError};
use crate::{
    event::{Country, Event, Method, NetworkType},
    profile::tally::VALUES_MAX,
};

/// The most entries of a list in `match`.
pub const ENTRIES_MAX: usize = 64;
/// The most requests that a limit may be.
const REQUESTS_MAX: u32 = 1_000_000;
/// The most different values that a limit may be: some way below what a tally can tell apart.
const DIFFERENT_MAX: u32 = 200;
/// What `at_least` is where a rule does not say it.
const AT_LEAST: u32 = 10;

/// Parameters of `count`: a key's requests of a kind go over a limit that a person has set.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    pub matches: Match,
    pub over: Scale,
    /// Requests; different values with `distinct`; percent with `share_of`.
    pub more_than: u32,
    pub share_of: Option<ShareOf>,
    /// The least number that matched, for a share to be a finding.
    pub at_least: Option<u32>,
    pub distinct: Option<Distinct>,
}

/// Which requests are counted: those that meet every field that is given, each by any entry of its list. At least one
/// field; each list has 1 to 64 entries.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1))]
pub struct Match {
    /// Status codes: `403`, or a class, `5xx`.
    #[schemars(length(min = 1, max = 64))]
    pub status: Vec<Statuses>,
    /// Methods in upper case; `OTHER` for what is not in RFC 9110 or PATCH.
    #[schemars(length(min = 1, max = 64))]
    pub method: Vec<MethodName>,
    /// Routes as Keyhound shows them; a `*` at the end stands for any rest.
    #[schemars(length(min = 1, max = 64))]
    pub route: Vec<Pattern>,
    /// Countries by ISO 3166-1 alpha-2.
    #[schemars(length(min = 1, max = 64))]
    pub country: Vec<CountryCode>,
    /// Networks by the number of their autonomous system: `AS14061`.
    #[schemars(length(min = 1, max = 64))]
    pub network: Vec<Network>,
    /// Kinds of network.
    #[schemars(length(min = 1, max = 64))]
    pub network_type: Vec<NetworkKind>,
    /// Agents as Keyhound shows them; a `*` at the end stands for any rest.
    #[schemars(length(min = 1, max = 64))]
    pub agent: Vec<Pattern>,
}

/// What a share is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShareOf {
    /// All requests of the key.
    All,
}

/// Of what the different values are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Distinct {
    /// Routes.
    Route,
    /// Client addresses.
    Address,
    /// Autonomous systems.
    Network,
    /// Countries.
    Country,
    /// Agents.
    Agent,
}

impl Distinct {
    /// As people read it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Address => "addresses",
            Self::Network => "networks",
            Self::Country => "countries",
            Self::Agent => "agents",
        }
    }

    /// The request's value as a number; 0 = it has none.
    pub fn value(self, event: &Event<'_>) -> u64 {
        match self {
            Self::Route => event.route.hash,
            Self::Address => event.address.hash,
            Self::Network => u64::from(event.place.asn),
            Self::Country => u64::from(u16::from_be_bytes(event.place.country.0)),
            Self::Agent => event.agent.hash,
        }
    }
}

impl Count {
    /// Refused requests are errors, many different values are breadth, and anything else is cost.
    pub fn family(&self) -> Family {
        let status = &self.matches.status;
        match self.distinct {
            _ if !status.is_empty() && status.iter().all(|statuses| statuses.least >= 400) => Family::Errors,
            Some(_) => Family::Breadth,
            None => Family::Cost,
        }
    }

    /// The least number that matched, for a share to be a finding.
    pub fn at_least(&self) -> u32 {
        self.at_least.unwrap_or(AT_LEAST)
    }

    /// From where to where `more_than` goes, and what it is a number of.
    pub const fn limits(share_of: Option<ShareOf>, distinct: Option<Distinct>) -> (u32, u32, &'static str) {
        match (share_of, distinct) {
            (Some(_), _) => (1, 99, "percent"),
            (None, Some(_)) => (1, DIFFERENT_MAX, "different values"),
            (None, None) => (0, REQUESTS_MAX, "requests"),
        }
    }

    /// The most that `at_least` may be.
    pub const fn at_least_max(distinct: Option<Distinct>) -> u32 {
        if distinct.is_some() { DIFFERENT_MAX } else { REQUESTS_MAX }
    }

    /// Checks what depends on more than one value.
    pub fn validate(&self) -> Result<(), ParameterError> {
        let wrong = |field, message: String| Err(ParameterError { field, message });
        if self.matches == Match::default() {
            let fields = "status, method, route, country, network, network_type, agent";
            return wrong("match", format!("names nothing; say at least one of {fields}"));
        }
        let (least, most, what) = Self::limits(self.share_of, self.distinct);
        if !(least..=most).contains(&self.more_than) {
            return wrong("more_than", format!("{} must be from {least} to {most} {what}", self.more_than));
        }
        let most = Self::at_least_max(self.distinct);
        match self.at_least {
            Some(_) if self.share_of.is_none() => {
                wrong("at_least", "goes with share_of only; a count has its limit in more_than".to_owned())
            }
            Some(n) if !(1..=most).contains(&n) => wrong("at_least", format!("{n} must be from 1 to {most}")),
            _ => Ok(()),
        }
    }
}

const _: () = assert!((DIFFERENT_MAX as usize) < VALUES_MAX);

/// A status code, or a class of them, as its first and its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    pub least: u16,
    pub most: u16,
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status from 100 to 599, or a class from 1xx to 5xx")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Statuses, E> {
                let code = u16::try_from(value).ok().filter(|code| (100..=599).contains(code));
                let code = code.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))?;
                Ok(Statuses { least: code, most: code })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                let class = match text.as_bytes() {
                    [digit @ b'1'..=b'5', b'x', b'x'] => u16::from(digit - b'0') * 100,
                    _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                };
                Ok(Statuses { least: class, most: class + 99 })
            }
        }
        input.deserialize_any(Visitor)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^[1-5]xx$" },
        ] })
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            write!(f, "{}", self.least)
        } else {
            write!(f, "{}xx", self.least / 100)
        }
    }
}

/// The names of methods that can be matched.
pub const METHODS: [&str; Method::COUNT] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"];

/// A method's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("enum" = METHODS))]
pub struct MethodName(pub Method);

impl TryFrom<String> for MethodName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if METHODS.contains(&text.as_str()) {
            return Ok(Self(Method::parse(&text)));
        }
        Err("must be GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS or OTHER")
    }
}

/// A text, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[^*]{1,256}\\*?$"))]
pub struct Pattern {
    pub text: String,
    /// Anything may follow.
    pub is_prefix: bool,
}

impl Pattern {
    /// Whether the text is this one, or begins so.
    pub fn fits(&self, text: &str) -> bool {
        if self.is_prefix { text.starts_with(&self.text) } else { text == self.text }
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let (rest, is_prefix) = match text.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (text.as_str(), false),
        };
        if rest.is_empty() || rest.contains('*') || rest.len() > 256 {
            return Err("must be 1 to 256 bytes, with a * at the end at most");
        }
        Ok(Self { text: rest.to_owned(), is_prefix })
    }
}

/// A country's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z]{2}$"))]
pub struct CountryCode(pub Country);

impl TryFrom<String> for CountryCode {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let country = Country::parse(&text);
        if country.is_known() { Ok(Self(country)) } else { Err("must be two letters, as in \"IE\"") }
    }
}

/// An autonomous system's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^AS[1-9][0-9]{0,9}$"))]
pub struct Network(pub u32);

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let number = text.strip_prefix("AS").and_then(|number| number.parse().ok());
        number.filter(|number| *number > 0).map(Self).ok_or("must be a network as in AS14061")
    }
}

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("enum" = NetworkType::ALL.map(NetworkType::as_str)))]
pub struct NetworkKind(pub NetworkType);

impl TryFrom<String> for NetworkKind {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let kind = NetworkType::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.map(Self).ok_or("must be residential, mobile, business, hosting, vpn, tor or unknown")
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Parts { out: f, first: true };
        parts.list("status", self.status.iter().map(ToString::to_string))?;
        parts.list("method", self.method.iter().map(|method| method.0.as_str().to_owned()))?;
        parts.list("route", self.route.iter().map(Pattern::shown))?;
        parts.list("country", self.country.iter().map(|country| country.0.to_string()))?;
        parts.list("network", self.network.iter().map(|network| format!("AS{}", network.0)))?;
        parts.list("network type", self.network_type.iter().map(|kind| kind.0.as_str().to_owned()))?;
        parts.list("agent", self.agent.iter().map(Pattern::shown))
    }
}

impl Pattern {
    fn shown(&self) -> String {
        format!("{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

/// Writes what is given, a few entries of each list.
struct Parts<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    first: bool,
}

impl Parts<'_, '_> {
    fn list(&mut self, name: &str, entries: impl ExactSizeIterator<Item = String>) -> fmt::Result {
        const SHOWN: usize = 4;
        let length = entries.len();
        if length == 0 {
            return Ok(());
        }
        let joint = if std::mem::take(&mut self.first) { "" } else { ", " };
        let shown: Vec<String> = entries.take(SHOWN).collect();
        let more = if length > SHOWN { " or others" } else { "" };
        write!(self.out, "{joint}{name} {}{more}", shown.join(" or "))
    }
}
