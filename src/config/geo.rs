//! The `geo` section: which files say where an address is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which files say where an address is. Any of them may be left out; what they would say is then unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Geo")]
pub struct GeoSettings {
    /// A MaxMind DB file with cities or countries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<PathBuf>,
    /// A MaxMind DB file with countries; asked where `city` says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<PathBuf>,
    /// A MaxMind DB file with autonomous systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<PathBuf>,
    /// Text files of addresses and networks, one a line, `#` begins a comment. They go before the databases.
    pub lists: ListSettings,
}

/// Text files that name the kind of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Lists")]
pub struct ListSettings {
    /// Exit nodes of Tor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tor: Option<PathBuf>,
    /// Exits of commercial VPNs and proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpn: Option<PathBuf>,
    /// Data centres and clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosting: Option<PathBuf>,
}
