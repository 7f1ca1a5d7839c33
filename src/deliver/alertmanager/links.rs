//! Where an alert's links lead: the `links` section, and absolute addresses made from it.
//!
//! Keyhound's own page of an incident asks for the operators' token, which a browser does not have. So, where there is
//! a token, the link carries a signature that opens this one page, for reading, until it expires.

use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{settings::is_local, text};
use crate::{
    deliver::WallTime,
    incident::{Incident, IncidentId},
    rules::runbooks,
};

const DAY: Duration = Duration::from_hours(24);
/// Whole days that a signed link opens its page after the day on which it was made. A new link each day keeps an
/// alert's texts equal for a day, and its page open for a week after the alert has ended.
const SIGNED_DAYS: u32 = 8;

/// The `links` section, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawLinks", into = "RawLinks")]
pub struct Links {
    keyhound: String,
    dashboard: String,
    runbook: String,
}

/// Why the section cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LinkError {
    #[error("{field}: \"{value}\" is not a URL ({reason}); expected something like {example}")]
    Url { field: &'static str, value: String, reason: String, example: &'static str },
    #[error(
        "keyhound: \"{value}\" has credentials, a query or a fragment; only scheme, host, port and path count"
    )]
    Extra { value: String },
}

/// The `links` section: where an alert's links lead.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Links")]
struct RawLinks {
    /// How people reach `listen`: `https://keyhound.acme.io`. Empty = made from `listen`, or from the name of the host
    /// where `listen` is 0.0.0.0 or [::].
    keyhound: String,
    /// A dashboard; `{key_id}`, `{tenant}` and `{incident}` are filled in. Empty = Keyhound's own page of the incident.
    dashboard: String,
    /// A runbook; `{rule}` is filled in. Empty = the rule's own `runbook`; those that come with Keyhound are pages of it.
    runbook: String,
}

impl TryFrom<RawLinks> for Links {
    type Error = LinkError;

    fn try_from(raw: RawLinks) -> Result<Self, LinkError> {
        let RawLinks { keyhound, dashboard, runbook } = raw;
        if let Some(url) = checked("keyhound", &keyhound, "https://keyhound.acme.io")?
            && (!url.username().is_empty()
                || url.password().is_some()
                || url.query().is_some()
                || url.fragment().is_some())
        {
            let value = keyhound.rsplit('@').next().unwrap_or_default().to_owned();
            return Err(LinkError::Extra { value });
        }
        checked("dashboard", &dashboard, "https://grafana.acme.io/d/keyhound?var-key={key_id}")?;
        checked("runbook", &runbook, "https://wiki.acme.io/runbooks/{rule}")?;
        Ok(Self { keyhound, dashboard, runbook })
    }
}

/// The URL that a setting holds; `None` = it is empty.
fn checked(field: &'static str, value: &str, example: &'static str) -> Result<Option<Url>, LinkError> {
    if value.is_empty() {
        return Ok(None);
    }
    let error = |reason: String| {
        let value = value.rsplit('@').next().unwrap_or_default().to_owned();
        LinkError::Url { field, value, reason, example }
    };
    let url = Url::parse(value).map_err(|source| error(source.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(error("it must begin with http:// or https://".to_owned()));
    }
    Ok(Some(url))
}

impl From<Links> for RawLinks {
    fn from(links: Links) -> Self {
        Self { keyhound: links.keyhound, dashboard: links.dashboard, runbook: links.runbook }
    }
}

impl JsonSchema for Links {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        RawLinks::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawLinks::json_schema(generator)
    }
}

impl Links {
    /// The host of `keyhound`, if it is set.
    pub fn host(&self) -> Option<String> {
        Url::parse(&self.keyhound).ok()?.host_str().map(str::to_ascii_lowercase)
    }

    /// Whether links lead to this machine alone.
    pub fn are_local(&self, listen: SocketAddr) -> bool {
        Url::parse(&self.base(listen, "host")).is_ok_and(|url| is_local(&url))
    }

    /// Where people reach Keyhound: as `keyhound` says, or at `listen`, which under a wildcard is this host's name.
    fn base(&self, listen: SocketAddr, host_name: &str) -> String {
        if !self.keyhound.is_empty() {
            return self.keyhound.trim_end_matches('/').to_owned();
        }
        if listen.ip().is_unspecified() {
            return format!("http://{host_name}:{}", listen.port());
        }
        format!("http://{listen}")
    }
}

/// The links of alerts and pages, absolute.
#[derive(Clone, Debug)]
pub struct PageLinks {
    base: String,
    dashboard: String,
    runbook: String,
    signer: Option<LinkSigner>,
}

impl PageLinks {
    /// For a daemon at `listen` on the host of that name. `signer` is there where the pages ask for a token.
    pub fn new(links: &Links, listen: SocketAddr, host_name: &str, signer: Option<LinkSigner>) -> Self {
        Self {
            base: links.base(listen, host_name),
            dashboard: links.dashboard.clone(),
            runbook: links.runbook.clone(),
            signer,
        }
    }

    /// Keyhound's own first page.
    pub fn index(&self) -> String {
        format!("{}/", self.base)
    }

    /// Keyhound's own page of an incident. A signed one opens for at least a week after `at`.
    pub fn incident(&self, id: &IncidentId, at: WallTime) -> String {
        let page = format!("{}/incidents/{}", self.base, in_url(&id.0));
        let Some(signer) = &self.signer else { return page };
        let day = WallTime(at.0 - at.0 % WallTime::default().after(DAY).0);
        let expires = day.after(DAY * SIGNED_DAYS).0 / 1000;
        format!("{page}?expires={expires}&signature={}", signer.signature(&id.0, expires))
    }

    /// The dashboard of `links`, or Keyhound's own page.
    pub fn dashboard(&self, incident: &Incident, at: WallTime) -> String {
        if self.dashboard.is_empty() {
            return self.incident(&incident.id, at);
        }
        let url = self.dashboard.replace("{key_id}", &in_url(&incident.subject.id));
        let url = url.replace("{tenant}", &in_url(&incident.subject.tenant));
        url.replace("{incident}", &in_url(&incident.id.0))
    }

    /// The runbook of the rule that weighs most: as `links` say, or the rule itself. Empty = it has none.
    pub fn runbook(&self, incident: &Incident) -> String {
        let Some(leading) = text::by_weight(incident).into_iter().next() else { return String::new() };
        if !self.runbook.is_empty() {
            return self.runbook.replace("{rule}", &in_url(&leading.rule));
        }
        match runbooks::name(&leading.runbook) {
            Some(name) => format!("{}/runbooks/{name}", self.base),
            None => leading.runbook.clone(),
        }
    }

    /// Whether an address is a page of Keyhound's own.
    pub fn is_own(&self, address: &str) -> bool {
        address.strip_prefix(self.base.as_str()).is_some_and(|path| path.starts_with('/'))
    }

    /// Whether a signature opens the page of an incident now.
    pub fn opens(&self, id: &str, expires: u64, signature: &str, now: WallTime) -> bool {
        let is_signed = |signer: &LinkSigner| {
            bool::from(signer.signature(id, expires).as_bytes().ct_eq(signature.as_bytes()))
        };
        now.0 / 1000 < expires && self.signer.as_ref().is_some_and(is_signed)
    }
}

/// Signs links with a key that only this daemon has.
#[derive(Clone)]
pub struct LinkSigner(zeroize::Zeroizing<[u8; 16]>);

impl LinkSigner {
    /// With a key that nothing else is signed with.
    pub fn new(key: [u8; 16]) -> Self {
        Self(zeroize::Zeroizing::new(key))
    }

    /// 128 bits of HMAC-SHA256 over the page and its end, as hex.
    fn signature(&self, id: &str, expires: u64) -> String {
        // HMAC takes a key of any length.
        let Ok(hmac) = Hmac::<Sha256>::new_from_slice(&self.0[..]) else { return String::new() };
        let hash = hmac.chain_update(format!("/incidents/{id}\n{expires}")).finalize().into_bytes();
        hash[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSigner(<redacted>)")
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn in_url(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
