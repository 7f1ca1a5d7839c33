//! Finds the key in a gateway's question, and turns it into key ids at once.
//!
//! Each place that the settings name is looked at, and each value in it: a caller who adds a second key must not hide
//! the first. Texts that hold a raw key are borrowed from the request; nothing here is logged or kept.

use std::{borrow::Cow, sync::Arc};

use axum::http::{HeaderMap, Uri, header::AUTHORIZATION};

use super::CheckSettings;
use crate::event::KeyId;

/// A longer text is no key.
const KEY_BYTES_MAX: usize = 4_096;
/// Headers in which gateways pass on the address that was asked for.
const ORIGINAL_URI: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];

type OfRaw = dyn Fn(&[u8]) -> KeyId + Send + Sync;
type OfCredential = dyn Fn(&str, &str) -> KeyId + Send + Sync;

/// How texts become key ids: the raw key under the pepper, or a credential id in its namespace.
#[derive(Clone)]
pub struct Fingerprints {
    raw: Arc<OfRaw>,
    credential: Arc<OfCredential>,
}

impl Fingerprints {
    /// `raw` takes a raw key; `credential` takes a gateway namespace and a credential id.
    pub fn new(
        raw: impl Fn(&[u8]) -> KeyId + Send + Sync + 'static,
        credential: impl Fn(&str, &str) -> KeyId + Send + Sync + 'static,
    ) -> Self {
        Self { raw: Arc::new(raw), credential: Arc::new(credential) }
    }
}

/// The key ids that a question shows. Empty = it shows no key.
pub(super) fn key_ids(
    settings: &CheckSettings,
    fingerprints: &Fingerprints,
    headers: &HeaderMap,
    uri: &Uri,
) -> Vec<KeyId> {
    let mut found = Found { fingerprints, ids: Vec::with_capacity(2) };
    for name in &settings.key_headers {
        for value in headers.get_all(name) {
            found.raw(value.as_bytes());
        }
    }
    if settings.bearer {
        for value in headers.get_all(AUTHORIZATION) {
            found.bearer(value.as_bytes());
        }
    }
    if !settings.query_parameters.is_empty() {
        found.query(settings, uri.query().unwrap_or_default());
        for name in ORIGINAL_URI {
            for value in headers.get_all(name) {
                let text = value.to_str().unwrap_or_default();
                found.query(settings, text.split_once('?').map_or("", |(_, query)| query));
            }
        }
    }
    for (name, namespace) in &settings.credential_headers {
        for value in headers.get_all(name) {
            found.credential(namespace, value.to_str().unwrap_or_default());
        }
    }
    found.ids
}

struct Found<'a> {
    fingerprints: &'a Fingerprints,
    ids: Vec<KeyId>,
}

impl Found<'_> {
    fn raw(&mut self, key: &[u8]) {
        if (1..=KEY_BYTES_MAX).contains(&key.len()) {
            self.push((self.fingerprints.raw)(key));
        }
    }

    fn credential(&mut self, namespace: &str, credential: &str) {
        if (1..=KEY_BYTES_MAX).contains(&credential.len()) {
            self.push((self.fingerprints.credential)(namespace, credential));
        }
    }

    /// The scheme's name in any case, as RFC 9110 has it.
    fn bearer(&mut self, value: &[u8]) {
        if let Some((scheme, token)) = value.split_at_checked(7)
            && scheme.eq_ignore_ascii_case(b"bearer ")
        {
            self.raw(token.trim_ascii());
        }
    }

    /// The first and the last value of each parameter: gateways take the one or the other. A value that is escaped
    /// counts as it is and unescaped, since access logs show it as it is.
    fn query(&mut self, settings: &CheckSettings, query: &str) {
        if query.is_empty() {
            return;
        }
        for name in &settings.query_parameters {
            let mut values = query.split('&').filter_map(|pair| {
                let (found, value) = pair.split_once('=')?;
                (found == name).then_some(value)
            });
            let (first, last) = (values.next(), values.next_back());
            for value in first.into_iter().chain(last) {
                self.raw(value.as_bytes());
                if let Cow::Owned(unescaped) = unescape(value) {
                    self.raw(&unescaped);
                }
            }
        }
    }

    fn push(&mut self, id: KeyId) {
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }
}

/// Undoes percent-encoding; borrowed where there is none. What is not two hex digits stays as it is.
fn unescape(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| byte == b'%').and_then(|digits| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
        });
        plain.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    Cow::Owned(plain)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::{KeyKind, stable_hash};

    /// Not the real thing: the same text gives the same id, and that is all that is needed here.
    pub(crate) fn fingerprints() -> Fingerprints {
        fn id(kind: KeyKind, text: &[u8]) -> KeyId {
            let first = stable_hash(text).to_be_bytes();
            let second = stable_hash(&first).to_be_bytes();
            let mut hash = [0; 16];
            hash[..8].copy_from_slice(&first);
            hash[8..].copy_from_slice(&second);
            KeyId { kind, hash }
        }
        Fingerprints::new(
            |raw| id(KeyKind::Raw, raw),
            |namespace, credential| id(KeyKind::Credential, format!("{namespace}\0{credential}").as_bytes()),
        )
    }

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], uri: &str, raw: &[&str]) {
        let settings = CheckSettings {
            key_headers: vec!["x-api-key".parse().unwrap()],
            bearer: true,
            query_parameters: vec!["api_key".to_owned()],
            credential_headers: vec![("x-credential-id".parse().unwrap(), "kong".to_owned())],
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let fingerprints = fingerprints();
        let expected: Vec<KeyId> = raw
            .iter()
            .map(|text| match text.strip_prefix("credential:") {
                Some(id) => (fingerprints.credential)("kong", id),
                None => (fingerprints.raw)(text.as_bytes()),
            })
            .collect();
        assert_eq!(key_ids(&settings, &fingerprints, &map, &uri.parse().unwrap()), expected);
    }

    #[test]
    fn every_place_is_looked_at() {
        check(&[], "/check", &[]);
        check(&[("x-api-key", "a")], "/check", &["a"]);
        check(&[("authorization", "bearer b")], "/check", &["b"]);
        check(&[("authorization", "Basic Yjo=")], "/check", &[]);
        check(&[("x-credential-id", "cred-1")], "/check", &["credential:cred-1"]);
        check(&[], "/check/v1?x=1&api_key=c", &["c"]);
        check(&[("x-forwarded-uri", "/v1/orders?api_key=d")], "/check", &["d"]);
        check(&[("x-original-uri", "/v1/orders?api_key=e%2Bf")], "/check", &["e%2Bf", "e+f"]);
    }

    #[test]
    fn a_second_key_does_not_hide_the_first() {
        check(&[("x-api-key", "a"), ("x-api-key", "b"), ("x-api-key", "a")], "/", &["a", "b"]);
        check(&[("x-forwarded-uri", "/?api_key=a&api_key=b&api_key=c")], "/", &["a", "c"]);
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (text, plain) in [("%", "%"), ("a%2", "a%2"), ("%zz%41", "%zzA"), ("%%41", "%A")] {
            assert_eq!(unescape(text).as_ref(), plain.as_bytes(), "{text}");
        }
    }
}
