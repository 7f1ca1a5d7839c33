//! Finds the key in a gateway's question, and turns it into key ids at once.
//!
//! Each place that the settings name is looked at, and each value in it: a caller who adds a second key must not hide
//! the first. Texts that hold a raw key are borrowed from the request; nothing here is logged or kept.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, header::AsHeaderName};

use super::CheckSettings;
use crate::{
    decode::{Pepper, credential_fingerprint, fingerprint, key_of_header},
    event::KeyId,
};

/// A longer text is no key.
const KEY_BYTES_MAX: usize = 4_096;
/// Headers in which gateways pass on the address that was asked for.
const ORIGINAL_URI: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];

/// More values of one header than a gateway has headers.
const VALUES_MAX: usize = 128;

/// The key ids that a question shows; `query` is that of the path that was asked for. Empty = it shows no key.
pub(super) fn key_ids(
    settings: &CheckSettings,
    pepper: &Pepper,
    headers: &HeaderMap,
    query: &str,
) -> Vec<KeyId> {
    let mut found = Found { pepper, ids: Vec::with_capacity(2) };
    for name in &settings.headers {
        for value in values(headers, name) {
            found.header(value.as_bytes());
        }
    }
    if !settings.parameters.is_empty() {
        found.query(settings, query);
        for name in ORIGINAL_URI {
            for value in values(headers, name) {
                let text = value.to_str().unwrap_or_default();
                found.query(settings, text.split_once('?').map_or("", |(_, query)| query));
            }
        }
    }
    for (name, namespace) in &settings.credential_headers {
        for value in values(headers, name) {
            found.credential(namespace, value.to_str().unwrap_or_default());
        }
    }
    found.ids
}

fn values(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<&HeaderValue> {
    first_and_last(headers.get_all(name).iter().collect())
}

/// The values of one header that are looked at: gateways and upstreams take the first or the last of many, so that a
/// key cannot be hidden among others, and a caller cannot make a question cost what he likes.
pub(super) fn first_and_last<T>(mut values: Vec<T>) -> Vec<T> {
    if values.len() > VALUES_MAX {
        values.drain(VALUES_MAX / 2..values.len() - VALUES_MAX / 2);
    }
    values
}

/// Whether a header of this name is looked at.
pub(super) fn is_looked_at(settings: &CheckSettings, name: &str) -> bool {
    let is_name = |known: &str| known.eq_ignore_ascii_case(name);
    settings.headers.iter().any(|known| is_name(known.as_ref()))
        || settings.credential_headers.iter().any(|(known, _)| is_name(known.as_ref()))
        || ORIGINAL_URI.into_iter().any(is_name)
}

struct Found<'a> {
    pepper: &'a Pepper,
    ids: Vec<KeyId>,
}

impl Found<'_> {
    fn raw(&mut self, key: &[u8]) {
        if (1..=KEY_BYTES_MAX).contains(&key.len()) {
            self.push(fingerprint(self.pepper, key));
        }
    }

    fn credential(&mut self, namespace: &str, credential: &str) {
        if (1..=KEY_BYTES_MAX).contains(&credential.len()) {
            self.push(credential_fingerprint(self.pepper, namespace, credential));
        }
    }

    /// The same cut as in `decode`: without a scheme such as `Bearer`.
    fn header(&mut self, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(text) => self.raw(key_of_header(text).as_bytes()),
            Err(_) => self.raw(value),
        }
    }

    /// The first and the last value of each parameter: gateways take the one or the other. A value that is escaped
    /// counts as it is and unescaped, since gateways and their logs differ in that too.
    fn query(&mut self, settings: &CheckSettings, query: &str) {
        if query.is_empty() {
            return;
        }
        for name in &settings.parameters {
            let mut values = query.split('&').filter_map(|pair| {
                let (found, value) = pair.split_once('=')?;
                found.eq_ignore_ascii_case(name).then_some(value)
            });
            let (first, last) = (values.next(), values.next_back());
            for value in first.into_iter().chain(last) {
                self.raw(value.as_bytes());
                self.raw(&unescape(value));
                if value.contains('+') {
                    self.raw(&unescape(&value.replace('+', " ")));
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

    pub(crate) fn pepper() -> Pepper {
        Pepper::new(b"0123456789abcdef0123456789abcdef").unwrap()
    }

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], uri: &str, raw: &[&str]) {
        let settings = CheckSettings {
            headers: vec!["x-api-key".parse().unwrap(), "authorization".parse().unwrap()],
            parameters: vec!["api_key".to_owned()],
            credential_headers: vec![("x-credential-id".parse().unwrap(), "kong".to_owned())],
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let expected: Vec<KeyId> = raw
            .iter()
            .map(|text| match text.strip_prefix("credential:") {
                Some(id) => credential_fingerprint(&pepper(), "kong", id),
                None => fingerprint(&pepper(), text.as_bytes()),
            })
            .collect();
        assert_eq!(
            key_ids(&settings, &pepper(), &map, uri.split_once('?').map_or("", |(_, query)| query)),
            expected
        );
    }

    #[test]
    fn every_place_is_looked_at() {
        check(&[], "/check", &[]);
        check(&[("x-api-key", "a")], "/check", &["a"]);
        check(&[("authorization", "bearer b")], "/check", &["b"]);
        check(&[("x-credential-id", "cred-1")], "/check", &["credential:cred-1"]);
        check(&[], "/check/v1?x=1&api_key=c", &["c"]);
        check(&[("x-forwarded-uri", "/v1/orders?API_KEY=d")], "/check", &["d"]);
        check(&[("x-original-uri", "/v1/orders?api_key=e%2Bf")], "/check", &["e%2Bf", "e+f"]);
        check(&[("x-original-uri", "/v1/orders?api_key=e+f")], "/check", &["e+f", "e f"]);
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
