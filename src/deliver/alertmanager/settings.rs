//! The `alertmanagers` section: to whom alerts are sent, and how Keyhound shows who it is.

use std::{collections::BTreeMap, path::PathBuf};

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::labels::{LabelError, LabelSettings};
use crate::incident::Severity;

/// One Alertmanager. All that are listed get every alert; they agree among themselves who pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "RawPeer")]
pub struct Peer {
    /// The base, to which `/api/v2/alerts` is appended.
    pub url: Url,
    pub auth: Option<Auth>,
    /// A PEM file with the authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Its words for severities, and labels of its own.
    pub labels: LabelSettings,
}

impl Peer {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.secret_file().into_iter().chain(&self.ca_file)
    }

    /// The file that holds its password or token.
    pub fn secret_file(&self) -> Option<&PathBuf> {
        match &self.auth {
            Some(Auth::Basic { password_file, .. }) => Some(password_file),
            Some(Auth::Bearer { token_file }) => Some(token_file),
            None => None,
        }
    }

    /// Whether it is on this machine alone, so that whoever reads its alerts is likely to be there too.
    pub fn is_local(&self) -> bool {
        is_local(&self.url)
    }
}

/// Whether a URL leads to this machine alone.
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// How to show who is asking. Secrets are in files, read again at each request, so that they can be rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    Basic { username: String, password_file: PathBuf },
    Bearer { token_file: PathBuf },
}

/// Why an Alertmanager cannot be used as written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PeerError {
    #[error(
        "alertmanager url \"{url}\" is not a URL ({reason}); expected something like http://localhost:9093"
    )]
    Url { url: String, reason: String },
    #[error("alertmanager url scheme is \"{scheme}\"; expected http or https")]
    Scheme { scheme: String },
    #[error(
        "the alertmanager url for host \"{host}\" holds credentials; give basic_auth with a password_file instead"
    )]
    Credentials { host: String },
    #[error(
        "the alertmanager url for host \"{host}\" has a query or a fragment; only scheme, host, port and path count"
    )]
    Query { host: String },
    #[error("give basic_auth or bearer_token_file for \"{host}\", not both")]
    TwoWays { host: String },
    #[error(transparent)]
    Labels(#[from] LabelError),
}

/// An Alertmanager as written: its URL alone, or a map.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Alertmanager")]
enum RawPeer {
    /// The base URL: `http://localhost:9093`.
    Url(String),
    Full(FullPeer),
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AlertmanagerSettings")]
struct FullPeer {
    /// The base URL: `https://alerts.acme.io/prefix`. Without credentials.
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basic_auth: Option<RawBasic>,
    /// A file that holds a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bearer_token_file: Option<PathBuf>,
    /// A PEM file with the authorities to trust besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    /// The label `severity` for `low`, `medium`, `high` and `critical`: `{ high: critical }`. One that is not here keeps
    /// Keyhound's own word.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    severity_map: BTreeMap<Severity, String>,
    /// Labels that every alert has besides, for routes: `{ team: security }`. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extra_labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AlertmanagerBasicAuth")]
struct RawBasic {
    username: String,
    /// A file that holds the password.
    password_file: PathBuf,
}

impl Peer {
    /// Where alerts are posted.
    pub fn alerts_url(&self) -> String {
        format!("{}/api/v2/alerts", self.url.as_str().trim_end_matches('/'))
    }

    /// The peer's name in metrics and logs: host, port and path.
    pub fn name(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(0);
        format!("{host}:{port}{}", self.url.path().trim_end_matches('/'))
    }
}

impl TryFrom<&str> for Peer {
    type Error = PeerError;

    fn try_from(url: &str) -> Result<Self, Self::Error> {
        let parsed = Url::parse(url).map_err(|error| PeerError::Url {
            // What cannot be read may hold a password before the @: only what follows is shown.
            url: url.rsplit('@').next().unwrap_or_default().to_owned(),
            reason: error.to_string(),
        })?;
        let host = parsed.host_str().unwrap_or_default().to_owned();
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(PeerError::Scheme { scheme: parsed.scheme().to_owned() });
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(PeerError::Credentials { host });
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(PeerError::Query { host });
        }
        Ok(Self { url: parsed, auth: None, ca_file: None, labels: LabelSettings::default() })
    }
}

impl TryFrom<FullPeer> for Peer {
    type Error = PeerError;

    fn try_from(raw: FullPeer) -> Result<Self, Self::Error> {
        let peer = Self::try_from(raw.url.as_str())?;
        let auth = match (raw.basic_auth, raw.bearer_token_file) {
            (Some(_), Some(_)) => {
                return Err(PeerError::TwoWays { host: peer.url.host_str().unwrap_or_default().to_owned() });
            }
            (Some(RawBasic { username, password_file }), None) => {
                Some(Auth::Basic { username, password_file })
            }
            (None, Some(token_file)) => Some(Auth::Bearer { token_file }),
            (None, None) => None,
        };
        let labels = LabelSettings::new(raw.severity_map, raw.extra_labels)?;
        Ok(Self { auth, ca_file: raw.ca_file, labels, ..peer })
    }
}

impl From<Peer> for RawPeer {
    fn from(peer: Peer) -> Self {
        if peer.auth.is_none() && peer.ca_file.is_none() && peer.labels == LabelSettings::default() {
            return Self::Url(peer.url.into());
        }
        let (basic_auth, bearer_token_file) = match peer.auth {
            Some(Auth::Basic { username, password_file }) => {
                (Some(RawBasic { username, password_file }), None)
            }
            Some(Auth::Bearer { token_file }) => (None, Some(token_file)),
            None => (None, None),
        };
        let LabelSettings { severities, extra } = peer.labels;
        Self::Full(FullPeer {
            url: peer.url.into(),
            basic_auth,
            bearer_token_file,
            ca_file: peer.ca_file,
            severity_map: severities,
            extra_labels: extra,
        })
    }
}

impl JsonSchema for Peer {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        RawPeer::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawPeer::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Peer {
    /// By hand rather than `untagged`, so that a message names the field that is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Peer;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a URL such as http://localhost:9093, or a map with \"url\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Peer, E> {
                Peer::try_from(text).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Peer, A::Error> {
                let raw = FullPeer::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Peer::try_from(raw).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(yaml: &str, message: &str) {
        let error = serde_saphyr::from_str::<Vec<Peer>>(yaml).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn a_url_or_a_map_names_an_alertmanager() {
        let yaml =
            "- http://localhost:9093\n- url: https://alerts.acme.io/am/\n  bearer_token_file: secrets/am\n";
        let peers: Vec<Peer> = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(peers[0].alerts_url(), "http://localhost:9093/api/v2/alerts");
        assert_eq!(peers[1].alerts_url(), "https://alerts.acme.io/am/api/v2/alerts");
        assert_eq!(peers[1].name(), "alerts.acme.io:443/am");
        assert_eq!(peers[1].auth, Some(Auth::Bearer { token_file: "secrets/am".into() }));
    }

    #[test]
    fn labels_are_written_out_as_they_are_read() {
        let yaml = "- url: http://localhost:9093/\n  severity_map: { high: critical }\n  extra_labels: { team: sec }\n";
        let peers: Vec<Peer> = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(peers[0].labels.severity(Severity::High), "critical");
        let written = serde_json::to_value(&peers).unwrap();
        assert_eq!(serde_json::from_value::<Vec<Peer>>(written).unwrap(), peers);
    }

    #[test]
    fn a_password_in_a_url_is_not_echoed() {
        for url in
            ["http://user:hunter2@localhost:9093", "http://user:hunter2@[::1", "ftp://user:hunter2@localhost"]
        {
            let error = Peer::try_from(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("- ftp://localhost", "scheme is \"ftp\"; expected http or https");
        refused("- http://user:hunter2@localhost:9093", "holds credentials");
        refused("- http://user:hunter2@[::1", "is not a URL");
        refused("- http://localhost:9093?x=1", "has a query");
        refused("- url: http://localhost\n  token: x", "token");
        refused("- url: http://localhost\n  severity_map: { severe: critical }", "severe");
        refused(
            "- url: http://localhost\n  extra_labels: { mode: x }",
            "\"mode\" is a label of Keyhound's own",
        );
        let both = "- url: http://localhost\n  bearer_token_file: a\n  basic_auth: { username: a, password_file: b }";
        refused(both, "not both");
    }
}
