//! The `serve` section: how keys are found in a gateway's question, and who may use the operators' API.

use std::{net::SocketAddr, path::PathBuf};

use axum::http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode::KeyNames;

/// Most decisions in the table unless said otherwise: about 300 MB when full.
const TABLE_LIMIT: u32 = 1_000_000;
/// Lag in event time above which the process is not ready, in seconds, unless said otherwise.
const READY_LAG_SECONDS_MAX: u32 = 300;

/// Most names of one kind that are looked at in a question.
pub const NAMES_MAX: usize = 64;

/// Connections of gateways at once unless said otherwise: with what else is open, they fit in the 1024 file descriptors
/// that a process usually gets.
const CONNECTIONS_MAX: u32 = 768;

/// What serving needs to know. Valid once held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawServe", into = "RawServe")]
pub struct ServeSettings {
    /// A file with the token that the operators' API asks for; `None` = it asks for none.
    pub token_file: Option<PathBuf>,
    /// Names under which browsers and clients may reach the operators' API, besides loopback and `listen`.
    pub allowed_hosts: Vec<String>,
    /// Lag in event time above which `/readyz` says no, in seconds; 0 = lag never counts.
    pub ready_lag_seconds_max: u32,
    /// Most decisions in the table for gateways.
    pub table_limit: u32,
    /// Most connections of gateways at once.
    pub connections_max: u32,
    pub checks: CheckSettings,
}

/// Where a gateway's question holds the key. Every place that is named is looked at, and the hardest decision counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// Headers that hold a raw key. A scheme such as `Bearer` before it is cut off.
    pub headers: Vec<HeaderName>,
    /// Query parameters that hold a raw key.
    pub parameters: Vec<String>,
    /// Headers that hold a credential id that the gateway has checked, each with its gateway namespace.
    pub credential_headers: Vec<(HeaderName, String)>,
    pub duplicate_keys: DuplicateKeys,
}

/// What a question is answered that shows more than one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKeys {
    /// By the hardest decision on any of them.
    #[default]
    All,
    /// 400, or 403 over `/nginx`.
    Refuse,
}

/// Why the section cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ServeError {
    #[error("serve.{field}: \"{name}\" is not a header name, such as x-api-key")]
    Header { field: &'static str, name: String },
    #[error("serve.checks names no place for a key: give headers, parameters or credential_headers")]
    NoKey,
    #[error("serve.checks.{field} has {count} entries; at most {NAMES_MAX} are looked at for each question")]
    TooMany { field: &'static str, count: usize },
    #[error("serve.checks.{field}: an entry is empty")]
    Empty { field: &'static str },
    #[error("serve.replicas is {0}; it must be 1")]
    Replicas(u32),
    #[error("serve.table_limit is {0}; it must be from 1 to 100000000")]
    TableLimit(u32),
    #[error("serve.connections_max is {0}; it must be from 1 to 1000000")]
    ConnectionsMax(u32),
    #[error(
        "listen is {listen}, which others can reach, and serve.token_file is not set: anybody could lift decisions; \
         set serve.token_file, or listen on 127.0.0.1"
    )]
    OpenDoor { listen: SocketAddr },
}

/// The section as written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Serve")]
struct RawServe {
    /// Processes that answer gateways. Only 1 is built.
    replicas: u32,
    /// A file with the token that operators show as `Authorization: Bearer`. Needed where `listen` is not loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    /// Host names under which the operators' API may be reached without a token, besides loopback.
    allowed_hosts: Vec<String>,
    /// Lag in event time, in seconds, above which `/readyz` says no. 0 = lag never counts.
    ready_lag_seconds_max: u32,
    /// Most decisions in the table for gateways. From 1 to 100,000,000.
    table_limit: u32,
    /// Most connections to `gateways_listen` at once; one more is closed as soon as it is accepted. From 1 to 1,000,000.
    /// Each takes a file descriptor: where the limit of the process (`LimitNOFILE`) is 1024, leave room for others.
    connections_max: u32,
    checks: RawChecks,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Checks")]
struct RawChecks {
    /// Headers of a gateway's question that hold a raw key, of which a scheme such as `Bearer` is cut off. At most 64.
    /// Default: those under which the sources look for keys. Where it is set, none of a source with `key: raw` may be
    /// missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<String>>,
    /// Query parameters that hold a raw key. At most 64. Default and what must not be missing: as for `headers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Vec<String>>,
    /// Headers that hold a credential id which the gateway has checked. At most 64.
    credential_headers: Vec<RawCredentialHeader>,
    /// A question that shows more than one key, in headers, parameters or joined by commas: `all`, the hardest decision
    /// on any of them counts; `refuse`, it is refused, whatever `response.mode` is.
    duplicate_keys: DuplicateKeys,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CredentialHeader")]
struct RawCredentialHeader {
    header: String,
    /// The namespace of the source whose logs name this credential.
    namespace: String,
}

impl Default for RawServe {
    fn default() -> Self {
        Self {
            replicas: 1,
            token_file: None,
            allowed_hosts: Vec::new(),
            ready_lag_seconds_max: READY_LAG_SECONDS_MAX,
            table_limit: TABLE_LIMIT,
            connections_max: CONNECTIONS_MAX,
            checks: RawChecks::default(),
        }
    }
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self::try_from(RawServe::default())
            .unwrap_or_else(|error| unreachable!("the defaults are valid: {error}"))
    }
}

impl ServeSettings {
    /// Checks that the operators' API is not open to others without a token.
    pub fn check_listen(&self, listen: SocketAddr) -> Result<(), ServeError> {
        if listen.ip().is_loopback() || self.token_file.is_some() {
            return Ok(());
        }
        Err(ServeError::OpenDoor { listen })
    }
}

impl TryFrom<RawServe> for ServeSettings {
    type Error = ServeError;

    fn try_from(raw: RawServe) -> Result<Self, Self::Error> {
        if raw.replicas != 1 {
            return Err(ServeError::Replicas(raw.replicas));
        }
        if !(1..=100_000_000).contains(&raw.table_limit) {
            return Err(ServeError::TableLimit(raw.table_limit));
        }
        if !(1..=1_000_000).contains(&raw.connections_max) {
            return Err(ServeError::ConnectionsMax(raw.connections_max));
        }
        Ok(Self {
            token_file: raw.token_file,
            allowed_hosts: raw.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            ready_lag_seconds_max: raw.ready_lag_seconds_max,
            table_limit: raw.table_limit,
            connections_max: raw.connections_max,
            checks: raw.checks.try_into()?,
        })
    }
}

impl TryFrom<RawChecks> for CheckSettings {
    type Error = ServeError;

    fn try_from(raw: RawChecks) -> Result<Self, Self::Error> {
        let names = KeyNames::default();
        let (headers, parameters) =
            (raw.headers.unwrap_or(names.headers), raw.parameters.unwrap_or(names.parameters));
        let counts = [
            ("headers", headers.len()),
            ("parameters", parameters.len()),
            ("credential_headers", raw.credential_headers.len()),
        ];
        if let Some((field, count)) = counts.into_iter().find(|(_, count)| *count > NAMES_MAX) {
            return Err(ServeError::TooMany { field, count });
        }
        if counts.iter().all(|(_, count)| *count == 0) {
            return Err(ServeError::NoKey);
        }
        if parameters.iter().any(String::is_empty) {
            return Err(ServeError::Empty { field: "parameters" });
        }
        if raw.credential_headers.iter().any(|entry| entry.namespace.is_empty()) {
            return Err(ServeError::Empty { field: "credential_headers" });
        }
        let header = |field: &'static str, name: &str| {
            name.parse::<HeaderName>().map_err(|_| ServeError::Header { field, name: name.to_owned() })
        };
        let keys = headers.iter().map(|name| header("checks.headers", name));
        let credentials = raw
            .credential_headers
            .iter()
            .map(|entry| Ok((header("checks.credential_headers", &entry.header)?, entry.namespace.clone())));
        Ok(Self {
            headers: keys.collect::<Result<_, _>>()?,
            parameters,
            credential_headers: credentials.collect::<Result<_, _>>()?,
            duplicate_keys: raw.duplicate_keys,
        })
    }
}

impl From<ServeSettings> for RawServe {
    fn from(settings: ServeSettings) -> Self {
        let credential = |(header, namespace): (HeaderName, String)| RawCredentialHeader {
            header: header.as_str().to_owned(),
            namespace,
        };
        Self {
            replicas: 1,
            token_file: settings.token_file,
            allowed_hosts: settings.allowed_hosts,
            ready_lag_seconds_max: settings.ready_lag_seconds_max,
            table_limit: settings.table_limit,
            connections_max: settings.connections_max,
            checks: RawChecks {
                headers: Some(settings.checks.headers.iter().map(|name| name.as_str().to_owned()).collect()),
                parameters: Some(settings.checks.parameters),
                credential_headers: settings.checks.credential_headers.into_iter().map(credential).collect(),
                duplicate_keys: settings.checks.duplicate_keys,
            },
        }
    }
}

impl JsonSchema for ServeSettings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        RawServe::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawServe::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(yaml: &str, message: &str) {
        let error = serde_saphyr::from_str::<ServeSettings>(yaml).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn what_is_written_out_reads_back() {
        let yaml = "checks: { headers: [Authorization], credential_headers: [{ header: X-Credential-Id, namespace: kong }] }";
        let settings: ServeSettings = serde_saphyr::from_str(yaml).unwrap();
        let again = serde_json::from_value(serde_json::to_value(&settings).unwrap()).unwrap();
        assert_eq!(settings, again);
        assert_eq!(settings.checks.headers, ["authorization"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("checks: { headers: [\"x api key\"] }", "\"x api key\" is not a header name");
        refused("checks: { headers: [], parameters: [] }", "names no place for a key");
        refused("replicas: 3", "serve.replicas is 3; it must be 1");
        refused("table_limit: 0", "from 1 to 100000000");
        refused("connections_max: 0", "serve.connections_max is 0; it must be from 1 to 1000000");
        refused("tokenfile: x", "tokenfile");
    }

    #[test]
    fn an_open_door_is_refused() {
        let settings = ServeSettings::default();
        settings.check_listen("127.0.0.1:9464".parse().unwrap()).unwrap();
        let error = settings.check_listen("0.0.0.0:9464".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:9464") && error.contains("serve.token_file"), "{error}");
        let guarded = ServeSettings { token_file: Some("token".into()), ..settings };
        guarded.check_listen("0.0.0.0:9464".parse().unwrap()).unwrap();
    }
}
