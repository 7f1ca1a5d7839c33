//! The `geo` section of the settings: which files say where an address is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which files say where an address is. Any of them may be left out; what they would say is then unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A MaxMind DB file with cities or countries (GeoLite2-City, GeoIP2-City, DB-IP City Lite, or a flat one with
    /// `country_code`). One file that also holds the networks is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<PathBuf>,
    /// A MaxMind DB file with countries; asked where `city` says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<PathBuf>,
    /// A MaxMind DB file with autonomous systems (GeoLite2-ASN, DB-IP ASN Lite, IPinfo ASN).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<PathBuf>,
    /// Text files of addresses and networks, one a line, `#` begins a comment. They go before the databases.
    #[serde(default)]
    pub lists: ListSettings,
}

/// Text files that name the kind of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSettings {
    /// Exit nodes of Tor; also in the form of `check.torproject.org/exit-addresses`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tor: Option<PathBuf>,
    /// Exits of commercial VPNs and proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpn: Option<PathBuf>,
    /// Data centres and clouds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosting: Option<PathBuf>,
}
