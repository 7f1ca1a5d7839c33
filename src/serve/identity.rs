//! Finds the key in a gateway's question, and turns it into key ids at once.
//!
//! Each place that the settings name is looked at, and each value in it: a caller who adds a second key must not hide
//! the first. What holds a raw key is borrowed from the request, where it is a text; nothing here is logged or kept.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue};

use super::{CheckSettings, settings::DuplicateKeys};
use crate::{
    decode::{
        KEY_VALUES_MAX, KEYS_MAX, Pepper, canonical_key, credential_fingerprint, fingerprint, joined,
        key_of_header, key_of_parameter, parameters, percent_decoded,
    },
    event::KeyId,
};

/// A longer text is no key.
const KEY_BYTES_MAX: usize = 4_096;
/// Headers in which gateways pass on the address that was asked for.
const ORIGINAL_URI: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];

/// Why a question is not answered by decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// It shows more than [`KEY_VALUES_MAX`] values or [`KEYS_MAX`] keys: to look at some would let a caller choose which.
    TooMany,
    /// It shows more than one key, and the settings want that refused.
    Ambiguous,
}

/// The key ids that a question shows; `query` is that of the path that was asked for. Empty = it shows no key.
pub(super) fn key_ids(
    settings: &CheckSettings,
    pepper: &Pepper,
    headers: &HeaderMap,
    query: &str,
) -> Result<Vec<KeyId>, Unclear> {
    let found = find(settings, pepper, headers, query)?;
    if settings.duplicate_keys == DuplicateKeys::Refuse && found.keys.len() > 1 {
        return Err(Unclear::Ambiguous);
    }
    Ok(found.ids)
}

fn find<'a>(
    settings: &CheckSettings,
    pepper: &'a Pepper,
    headers: &HeaderMap,
    query: &str,
) -> Result<Found<'a>, Unclear> {
    let mut found = Found { pepper, values: 0, ids: Vec::with_capacity(2), keys: Vec::new() };
    for name in &settings.headers {
        for (value, is_one) in headers.get_all(name).iter().flat_map(whole_and_parts) {
            found.count()?;
            found.header(value, is_one);
        }
    }
    if !settings.parameters.is_empty() {
        found.query(settings, query)?;
        for name in ORIGINAL_URI {
            for (uri, _) in headers.get_all(name).iter().flat_map(whole_and_parts) {
                let uri = text(uri);
                found.query(settings, uri.split_once('?').map_or("", |(_, query)| query))?;
            }
        }
    }
    for (name, namespace) in &settings.credential_headers {
        for (id, _) in headers.get_all(name).iter().flat_map(whole_and_parts) {
            found.count()?;
            found.credential(namespace, &text(id));
        }
    }
    if found.keys.len() > KEYS_MAX {
        return Err(Unclear::TooMany);
    }
    Ok(found)
}

/// A header's value, and its parts. Each is with whether it is one value and not several.
fn whole_and_parts(value: &HeaderValue) -> impl Iterator<Item = (&[u8], bool)> {
    let value = value.as_bytes();
    let is_joined = value.contains(&b',');
    let parts = joined(value).filter(move |_| is_joined).map(|part| (part, true));
    std::iter::once((value, !is_joined)).chain(parts)
}

/// A value as a text. A byte that belongs to none spoils nothing but the parameter that it is in: else whoever adds one
/// would hide his key.
pub(super) fn text(value: &[u8]) -> Cow<'_, str> {
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
    /// How many values were looked at.
    values: usize,
    ids: Vec<KeyId>,
    /// The keys that an upstream may take, each once, however often and however written it is shown: those that have an
    /// event in the log. Only what may be two keys to somebody counts as two.
    keys: Vec<KeyId>,
}

impl Found<'_> {
    fn count(&mut self) -> Result<(), Unclear> {
        self.values += 1;
        if self.values > KEY_VALUES_MAX { Err(Unclear::TooMany) } else { Ok(()) }
    }

    fn raw(&mut self, key: &str) -> Option<KeyId> {
        let id =
            (1..=KEY_BYTES_MAX).contains(&key.len()).then(|| fingerprint(self.pepper, key.as_bytes()))?;
        push(&mut self.ids, id);
        Some(id)
    }

    fn credential(&mut self, namespace: &str, credential: &str) {
        if (1..=KEY_BYTES_MAX).contains(&credential.len()) {
            push(&mut self.ids, credential_fingerprint(self.pepper, namespace, credential));
        }
    }

    fn header(&mut self, value: &[u8], is_one: bool) {
        let id = self.raw(&key_of_header(value));
        self.keys_of(id.filter(|_| is_one));
    }

    fn keys_of(&mut self, id: Option<KeyId>) {
        if let Some(id) = id {
            push(&mut self.keys, id);
        }
    }

    fn query(&mut self, settings: &CheckSettings, query: &str) -> Result<(), Unclear> {
        for value in parameters(query, &settings.parameters) {
            self.count()?;
            self.parameter(value);
        }
        Ok(())
    }

    /// A value that is escaped counts as it is and unescaped, since gateways and their logs differ in that.
    fn parameter(&mut self, value: &str) {
        if value.contains(['%', '+']) {
            self.raw(&canonical_key(value.as_bytes()));
            self.raw(&canonical_key(&percent_decoded(value, b'+').collect::<Vec<u8>>()));
        }
        let id = self.raw(&key_of_parameter(value));
        self.keys_of(id);
    }
}

fn push(ids: &mut Vec<KeyId>, id: KeyId) {
    if !ids.contains(&id) {
        ids.push(id);
    }
}

#[cfg(test)]
#[path = "same_keys_tests.rs"]
mod same_keys_tests;

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
            duplicate_keys: DuplicateKeys::All,
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
            Ok(expected)
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
        check(&[("x-forwarded-uri", "/?api_key=a&api_key=b&api_key=c")], "/", &["a", "b", "c"]);
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
    fn a_name_counts_however_it_is_spelled() {
        check(&[], "/?api%5Fkey=a", &["a"]);
        check(&[], "/?%41pi_key=a", &["a"]);
        check(&[], "/?api%5Fkey=x&api_key=a&api%5fkey=y", &["x", "a", "y"]);
        check(&[], "/?API_KEY=x&api_key=a&Api_Key=y", &["x", "a", "y"]);
        check(&[], "/?api_key=&api_key=a&api_key=", &["a"]);
        check(&[], "/?api%255Fkey=a", &[]);
        check(&[], "/??api_key=a", &["a"]);
        check(&[], "/?x#&api_key=a;b", &["a;b", "a"]);
        check(&[], "/?x=1;api_key=a", &["a"]);
    }

    #[test]
    fn what_some_take_off_the_ends_of_a_key_hides_nothing() {
        check(&[("x-api-key", "~a~"), ("authorization", "Bearer ~b")], "/", &["a", "b"]);
        check(&[], "/?api_key=%00a%20", &["%00a%20", "a"]);
    }

    /// What a question with these headers and this query is, where several keys are refused.
    #[track_caller]
    fn refuses(headers: &[(&'static str, &str)], query: &str, expected: Option<Unclear>) {
        let settings = CheckSettings {
            duplicate_keys: DuplicateKeys::Refuse,
            ..crate::serve::ServeSettings::default().checks
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(key_ids(&settings, &pepper(), &map, query).err(), expected, "{headers:?} {query}");
    }

    #[test]
    fn several_keys_are_refused_where_that_is_wanted_and_one_key_several_times_is_not() {
        let ambiguous = Some(Unclear::Ambiguous);
        refuses(&[("x-api-key", "a"), ("apikey", "a")], "api_key=%61&API_KEY=a", None);
        refuses(&[("x-api-key", "a, a"), ("x-api-key", "Bearer a")], "", None);
        refuses(&[("x-api-key", ", a")], "x=b&api_key=", None);
        refuses(&[("x-api-key", "a"), ("x-api-key", "b")], "", ambiguous);
        refuses(&[("x-api-key", "a,b")], "", ambiguous);
        refuses(&[("x-api-key", "a")], "api_key=b", ambiguous);
        refuses(&[], "api_key=a&api_key=b", ambiguous);
        refuses(&[("x-forwarded-uri", "/?api_key=a")], "apikey=b", ambiguous);
    }

    #[test]
    fn more_values_than_are_looked_at_are_refused() {
        let many = |count: usize| vec!["a"; count].join(",");
        refuses(&[("x-api-key", &many(KEY_VALUES_MAX - 1))], "", None);
        refuses(&[("x-api-key", &many(KEY_VALUES_MAX))], "", Some(Unclear::TooMany));
        refuses(&[], &"api_key=a&".repeat(KEY_VALUES_MAX + 1), Some(Unclear::TooMany));
    }
}
