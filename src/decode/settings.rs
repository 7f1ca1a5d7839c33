//! A source's settings for decoding: the format, what its key ids are made of, and who may speak for clients.

use std::fmt;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    mapping::{Mapping, MappingError},
    presets,
};

/// Which kind of key id a source's events carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyPolicy {
    /// `kf1_…`, from the raw key in the record.
    Raw,
    /// `kc1_…`, from the namespace and the gateway's credential id.
    Credential,
}

/// A preset by its name, or a mapping of one's own.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// One of [`presets::names`].
    Preset(&'static str),
    /// A mapping in the settings themselves.
    Mapping(Box<Mapping>),
}

impl Format {
    /// The preset of that name.
    pub fn preset(name: &str) -> Option<Self> {
        presets::names().into_iter().find(|preset| *preset == name).map(Self::Preset)
    }

    /// The preset's name, or `custom`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Preset(name) => name,
            Self::Mapping(_) => "custom",
        }
    }

    /// The mapping that it stands for.
    pub fn mapping(&self) -> Result<Mapping, MappingError> {
        match self {
            Self::Preset(name) => {
                presets::preset(name).ok_or_else(|| MappingError::UnknownPreset((*name).to_owned()))
            }
            Self::Mapping(mapping) => Ok((**mapping).clone()),
        }
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Preset(name) => serializer.serialize_str(name),
            Self::Mapping(mapping) => mapping.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Format;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a preset's name ({}) or a mapping", presets::names().join(", "))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Format, E> {
                Format::preset(name).ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Format, A::Error> {
                let mapping = Mapping::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Format::Mapping(Box::new(mapping)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Format {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Format".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<Mapping>();
        json_schema!({ "anyOf": [{ "enum": presets::names() }, mapping] })
    }
}

/// The names under which API keys travel. Names of headers are compared in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyNames {
    /// Request headers, best first. `authorization` counts only if it is named here; its scheme is cut off.
    pub headers: Vec<String>,
    /// Parameters of the query string.
    pub parameters: Vec<String>,
}

impl Default for KeyNames {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            headers: owned(&["x-api-key", "apikey", "api-key", "api_key", "x-apikey"]),
            parameters: owned(&["api_key", "apikey", "api-key", "x-api-key"]),
        }
    }
}

/// Who may say, by `X-Forwarded-For`, who the client is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientAddressSettings {
    /// Networks of the proxies before the gateway, such as `10.0.0.0/8`. The client is the first address from the
    /// right of `X-Forwarded-For` that is in none of them.
    #[schemars(with = "Vec<String>")]
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    struct Network(IpNet);
    impl<'de> Deserialize<'de> for Network {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            let wrong = |_| de::Error::custom("must be a network, such as 10.0.0.0/8");
            text.parse().map(Self).map_err(wrong)
        }
    }
    Ok(Vec::deserialize(deserializer)?.into_iter().map(|Network(network)| network).collect())
}

/// A source's settings for decoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawSettings")]
pub struct Settings {
    pub format: Format,
    pub key: KeyPolicy,
    pub namespace: String,
    pub key_names: KeyNames,
    pub client_address: ClientAddressSettings,
}

/// A source's settings for decoding.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Settings")]
struct RawSettings {
    /// A preset's name, or a mapping.
    format: Format,
    /// What key ids are made of. Said, never guessed.
    key: KeyPolicy,
    /// The gateway namespace of `kc1_` ids. Default: the format's name. 1 to 64 letters, digits, `.`, `-`, `_`.
    namespace: Option<String>,
    /// The names of headers and query parameters under which keys travel.
    #[serde(default)]
    key_names: KeyNames,
    /// Who may say who the client is.
    #[serde(default)]
    client_address: ClientAddressSettings,
}

/// Why settings for decoding are not valid.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    #[error("namespace: \"{0}\" is not a name of 1 to 64 letters, digits, \".\", \"-\" and \"_\"")]
    Namespace(String),
    #[error("key_names: {0} names, the limit is 32 headers and 32 parameters")]
    TooManyNames(usize),
    #[error("key_names: a name is empty")]
    EmptyName,
    #[error("format: {0}")]
    Mapping(#[from] MappingError),
}

impl TryFrom<RawSettings> for Settings {
    type Error = SettingsError;

    fn try_from(raw: RawSettings) -> Result<Self, Self::Error> {
        let namespace = raw.namespace.unwrap_or_else(|| raw.format.name().to_owned());
        Self {
            namespace,
            key_names: raw.key_names,
            client_address: raw.client_address,
            ..Self::new(raw.format, raw.key)
        }
        .checked()
    }
}

impl Settings {
    /// Settings with everything else at its default; the namespace is the format's name.
    pub fn new(format: Format, key: KeyPolicy) -> Self {
        let namespace = format.name().to_owned();
        Self {
            format,
            key,
            namespace,
            key_names: KeyNames::default(),
            client_address: ClientAddressSettings::default(),
        }
    }

    /// The names under which this source's keys travel: [`Self::key_names`], and the headers that its mapping names.
    pub fn all_key_names(&self) -> KeyNames {
        let mut names = self.key_names.clone();
        // A format whose mapping cannot be had is not valid, and told so elsewhere.
        names
            .headers
            .extend(self.format.mapping().and_then(|mapping| mapping.key_headers()).unwrap_or_default());
        names
    }

    /// These settings, if they are valid: what reading them from a file does, for settings made otherwise.
    pub fn checked(self) -> Result<Self, SettingsError> {
        let namespace = &self.namespace;
        let in_charset = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if namespace.is_empty() || namespace.len() > 64 || !namespace.bytes().all(in_charset) {
            return Err(SettingsError::Namespace(namespace.clone()));
        }
        let KeyNames { headers, parameters } = &self.key_names;
        if headers.len().max(parameters.len()) > 32 {
            return Err(SettingsError::TooManyNames(headers.len().max(parameters.len())));
        }
        if headers.iter().chain(parameters).any(String::is_empty) {
            return Err(SettingsError::EmptyName);
        }
        super::plan::Plan::compile(&self.format.mapping()?, &self.key_names)?;
        Ok(self)
    }
}
