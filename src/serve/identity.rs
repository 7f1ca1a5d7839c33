//! Finds the key in a gateway's question, and turns it into key ids at once.
//!
//! Each place that the settings name is looked at, and each value in it: a caller who adds a second key must not hide
//! the first. What holds a raw key is borrowed from the request, where it is a text; nothing here is logged or kept.

use std::borrow::Cow;

use axum::http::{HeaderMap, header::AsHeaderName};

use super::CheckSettings;
use crate::{
    decode::{Pepper, credential_fingerprint, fingerprint, is_named, key_of_header, percent_decoded},
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
            found.header(value);
        }
    }
    if !settings.parameters.is_empty() {
        found.query(settings, query);
        for name in ORIGINAL_URI {
            for value in values(headers, name) {
                let uri = text(value);
                found.query(settings, uri.split_once('?').map_or("", |(_, query)| query));
            }
        }
    }
    for (name, namespace) in &settings.credential_headers {
        for value in values(headers, name) {
            found.credential(namespace, &text(value));
        }
    }
    found.ids
}

/// The values of one header that are looked at. Gateways, and proxies before them, join those of one name with commas,
/// so that each counts as a whole and in its parts. Upstreams take the first or the last of many: a key cannot be
/// hidden among others, and a caller cannot make a question cost what he likes.
fn values(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<&[u8]> {
    let mut values = Vec::new();
    for value in headers.get_all(name) {
        let value = value.as_bytes();
        values.push(value);
        if value.contains(&b',') {
            let parts = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            values.extend(parts.filter(|part| !part.is_empty()));
        }
    }
    if values.len() > VALUES_MAX {
        values.drain(VALUES_MAX / 2..values.len() - VALUES_MAX / 2);
    }
    values
}

/// A value as a text. A byte that belongs to none spoils nothing but the parameter that it is in: else whoever adds one
/// would hide his key.
fn text(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
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

    /// The first and the last value of each parameter: gateways take the one or the other. Which names are one to them
    /// differs (some decode them, some look at their case), so that this holds for each spelling of a name. A value
    /// that is escaped counts as it is and unescaped, since gateways and their logs differ in that too.
    fn query(&mut self, settings: &CheckSettings, query: &str) {
        self.parameters(settings, query);
        // There are gateways that hand on what follows a `#` and do not look at it themselves.
        if let Some((query, _)) = query.split_once('#') {
            self.parameters(settings, query);
        }
    }

    fn parameters(&mut self, settings: &CheckSettings, query: &str) {
        if query.is_empty() {
            return;
        }
        for name in &settings.parameters {
            let mut spellings = [(None, None); 4];
            for (written, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
                if !value.is_empty() && is_named(written, name) {
                    let in_its_case = percent_decoded(written, b'+').eq(name.bytes());
                    let spelling = usize::from(in_its_case) + 2 * usize::from(written.contains('%'));
                    let (first, last) = &mut spellings[spelling];
                    if first.is_none() { *first = Some(value) } else { *last = Some(value) }
                }
            }
            for value in spellings.into_iter().flat_map(|(first, last)| [first, last]).flatten() {
                self.parameter(value);
            }
        }
    }

    fn parameter(&mut self, value: &str) {
        self.raw(value.as_bytes());
        if !value.contains(['%', '+']) {
            return;
        }
        for plus in [b'+', b' '] {
            self.raw(&percent_decoded(value, plus).collect::<Vec<u8>>());
        }
    }

    fn push(&mut self, id: KeyId) {
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use axum::http::HeaderValue;

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
            // `~` stands for a byte that is in no text.
            let bytes: Vec<u8> = value.bytes().map(|byte| if byte == b'~' { 0xff } else { byte }).collect();
            map.append(*name, HeaderValue::from_bytes(&bytes).unwrap());
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
        check(&[("x-original-uri", "/v1/orders?api_key=a#x")], "/check", &["a#x", "a"]);
        check(&[("x-original-uri", "/v1/~?x=~&api_key=a&y=~")], "/check", &["a"]);
    }

    #[test]
    fn a_second_key_does_not_hide_the_first() {
        check(&[("x-api-key", "a"), ("x-api-key", "b"), ("x-api-key", "a")], "/", &["a", "b"]);
        check(&[("x-forwarded-uri", "/?api_key=a&api_key=b&api_key=c")], "/", &["a", "c"]);
    }

    #[test]
    fn values_that_were_joined_count_as_a_whole_and_in_their_parts() {
        check(&[("x-api-key", "x, a")], "/", &["x, a", "x", "a"]);
        check(&[("x-api-key", ",a ,, b")], "/", &[",a ,, b", "a", "b"]);
        check(&[("authorization", "Bearer x,Bearer\ta")], "/", &["x,Bearer\ta", "x", "a"]);
        check(&[("x-forwarded-uri", "/a?api_key=a, /b")], "/", &["a, /b", "a"]);
        let credentials = ["credential:1, 2", "credential:1", "credential:2"];
        check(&[("x-credential-id", "1, 2")], "/", &credentials);
    }

    #[test]
    fn a_name_counts_however_it_is_spelled_and_each_spelling_has_its_first_and_last() {
        check(&[], "/?api%5Fkey=a", &["a"]);
        check(&[], "/?%41pi_key=a", &["a"]);
        check(&[], "/?api%5Fkey=x&api_key=a&api%5fkey=y", &["a", "x", "y"]);
        check(&[], "/?API_KEY=x&api_key=a&Api_Key=y", &["x", "y", "a"]);
        check(&[], "/?api_key=&api_key=a&api_key=", &["a"]);
        check(&[], "/?api%255Fkey=a", &[]);
    }
}
