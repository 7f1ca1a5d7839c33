//! A raw key as headers and query strings have it, and the one form in which it becomes a key id.
//!
//! What a log shows and what a gateway asks about both go through here, so that a key has the same id on both sides.

use std::{borrow::Cow, ops::Range};

use bumpalo::Bump;
use zeroize::Zeroizing;

/// The most keys of one request that count. An honest request has one; a `Digest` header has about ten parts.
pub const KEYS_MAX: usize = 16;
/// The most values of one request that are looked at, of all places together, parts of joined ones included.
pub const KEY_VALUES_MAX: usize = 128;

/// What stands in a key for whatever is no printable ASCII.
const OTHER: char = '\u{fffd}';

/// The one form of a key: without the bytes at its ends that are no printable ASCII, and with one U+FFFD for each run of
/// such bytes within it.
///
/// Upstreams differ in what they take off the ends: a caller who adds some must neither hide his key from the checks nor
/// be another key in the log. Gateways differ in how they log such bytes: NGINX as they came, Envoy as if they were
/// Latin-1, Caddy and Traefik as U+FFFD.
pub fn canonical_key(key: &[u8]) -> Cow<'_, str> {
    let key = &key[place_without_ends(key)];
    match std::str::from_utf8(key) {
        Ok(text) if key.iter().copied().all(is_printable) => Cow::Borrowed(text),
        _ => Cow::Owned(with_others_replaced(key)),
    }
}

#[cold]
fn with_others_replaced(key: &[u8]) -> String {
    // As large as it can get: a text that grows leaves copies of the key behind.
    let mut form = String::with_capacity(key.len() * OTHER.len_utf8());
    for byte in key.iter().copied() {
        if is_printable(byte) {
            form.push(char::from(byte));
        } else if !form.ends_with(OTHER) {
            form.push(OTHER);
        }
    }
    form
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// The key in a header's value: without the scheme, where the value is `Bearer …`, `Basic …` or the like, and in its one
/// form. Empty = none.
pub fn key_of_header(value: &[u8]) -> Cow<'_, str> {
    canonical_key(&value[place_of_key(value)])
}

/// The only key in a header's value of a record: `Err` where the value may hold several.
#[inline]
pub(super) fn only_key_of_header<'a>(value: &'a str, arena: &'a Bump) -> Result<&'a str, Several> {
    // Nearly all keys. It looks at all bytes, so that the loop becomes a few instructions.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    if value.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        Ok(value)
    } else if value.contains(',') {
        Err(Several)
    } else {
        Ok(kept(key_of_header(value.as_bytes()), arena))
    }
}

/// The key in a query parameter's value, unescaped, in its one form. Empty = none.
pub fn key_of_parameter(value: &str) -> Cow<'_, str> {
    if !value.contains(['%', '+']) {
        return canonical_key(value.as_bytes());
    }
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    decoded.extend(percent_decoded(value, b' '));
    Cow::Owned(canonical_key(&decoded).into_owned())
}

/// The same of a text in a record.
#[inline]
pub(super) fn key_of_parameter_in<'a>(value: &'a str, arena: &'a Bump) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && byte != b'+';
    let all = value.bytes().fold(true, |all, byte| all & is_plain(byte));
    if all { value } else { kept(key_of_parameter(value), arena) }
}

/// A key that is kept as long as the record.
pub(super) fn kept<'a>(key: Cow<'a, str>, arena: &'a Bump) -> &'a str {
    match key {
        Cow::Borrowed(key) => key,
        Cow::Owned(key) => arena.alloc_str(&Zeroizing::new(key)),
    }
}

/// What of a key is looked for in other texts: those have it as it came, and not in its one form.
#[inline]
pub(super) fn searched_part(key: &str) -> &str {
    if key.is_ascii() { key } else { longest_part(key) }
}

#[cold]
fn longest_part(key: &str) -> &str {
    key.split(OTHER).max_by_key(|part| part.len()).unwrap_or(key)
}

fn place_of_key(value: &[u8]) -> Range<usize> {
    let whole = place_without_ends(value);
    let within = &value[whole.clone()];
    let Some(blank) = within.iter().position(u8::is_ascii_whitespace) else { return whole };
    let scheme = &within[..blank];
    let is_scheme = ["bearer", "basic", "apikey", "api-key", "token", "key"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    if !is_scheme {
        return whole;
    }
    let key = place_without_ends(&within[blank..]);
    let start = whole.start + blank;
    start + key.start..start + key.end
}

fn place_without_ends(key: &[u8]) -> Range<usize> {
    let Some(first) = key.iter().position(u8::is_ascii_graphic) else { return 0..0 };
    first..key.iter().rposition(u8::is_ascii_graphic).map_or(first, |last| last + 1)
}

/// The values of a header: gateways, and proxies before them, join those of one name with commas.
pub fn joined(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

/// Whether a gateway has blacked out the value: `REDACTED`, `***`, `[redacted]`. So is an empty one.
#[inline]
pub(super) fn is_redacted(value: &str) -> bool {
    // Nearly all values are told by their first byte.
    let first = value.as_bytes().first();
    matches!(first, None | Some(b'[' | b']' | b'<' | b'>' | b'(' | b')' | b'*' | b'r' | b'R' | b'm' | b'M'))
        && is_redacted_within(value)
}

#[cold]
fn is_redacted_within(value: &str) -> bool {
    let inner = value.trim_matches(['[', ']', '<', '>', '(', ')', '*']);
    inner.is_empty() || inner.eq_ignore_ascii_case("redacted") || inner.eq_ignore_ascii_case("masked")
}

/// The values of the parameters `names` in a query string, as written: still percent-encoded. Which of several a gateway
/// or an upstream takes differs, and so does whether an escaped name is known. Some take `;`, `?` and `#` for ends of a
/// parameter, or of the query, too: what they would see comes after the others.
pub fn parameters<'q>(query: &'q str, names: &[String]) -> impl Iterator<Item = &'q str> {
    let ends = query.contains([';', '?', '#']);
    let further = ends.then(|| query.split(['&', ';', '?', '#'])).into_iter().flatten();
    query.split('&').chain(further).filter_map(move |pair| value_of(pair, names))
}

/// The same where there is at most one, as nearly always, without the price of more: `Err` where there may be others, or
/// a name is escaped.
#[inline]
pub(super) fn only_parameter<'q>(query: &'q str, names: &[String]) -> Result<Option<&'q str>, Several> {
    let (mut only, mut name_from, mut equals) = (None, 0, None);
    // Each byte is looked at once; a search that is set up anew costs more than most names and values do.
    for at in 0..=query.len() {
        match query.as_bytes().get(at).copied().unwrap_or(b'&') {
            b'=' if equals.is_none() => equals = Some(at),
            b'&' => {
                let pair = equals.take().map(|equals| (&query[name_from..equals], &query[equals + 1..at]));
                if let Some((name, value)) = pair
                    && !value.is_empty()
                    && names.iter().any(|known| name.eq_ignore_ascii_case(known))
                    && only.replace(value).is_some()
                {
                    return Err(Several);
                }
                name_from = at + 1;
            }
            b';' | b'?' | b'#' => return Err(Several),
            b'%' if equals.is_none() => return Err(Several),
            _ => {}
        }
    }
    Ok(only)
}

/// There may be several values.
pub(super) struct Several;

/// The value of a pair whose name is one of `names`, if it is not empty.
fn value_of<'q>(pair: &'q str, names: &[String]) -> Option<&'q str> {
    let (name, value) = pair.split_once('=')?;
    (!value.is_empty() && names.iter().any(|known| is_named(name, known))).then_some(value)
}

/// Whether a parameter's name, as written in a query string, is `known` to those who decode it, in any case.
fn is_named(written: &str, known: &str) -> bool {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    written.eq_ignore_ascii_case(known)
        || (written.len() > known.len()
            && written.contains('%')
            && percent_decoded(written, b'+').map(lower).eq(known.bytes().map(lower)))
}

/// The bytes of a text whose percent-encoding is undone; what is not two hex digits is kept as it is. `plus` is what
/// a bare `+` stands for: a blank to those who read forms, itself to others.
pub fn percent_decoded(text: &str, plus: u8) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let escaped = after.first_chunk::<2>().filter(|_| first == b'%').and_then(|digits| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
        });
        rest = if escaped.is_some() { &after[2..] } else { after };
        Some(escaped.unwrap_or(if first == b'+' { plus } else { first }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_a_header_is_not_part_of_the_key() {
        for (value, key) in [
            ("Bearer abc", "abc"),
            ("basic  dXNlcjo=", "dXNlcjo="),
            ("two words", "two words"),
            (" abc ", "abc"),
            ("Bearer\tabc", "abc"),
            ("abc", "abc"),
        ] {
            let arena = Bump::new();
            assert_eq!(key_of_header(value.as_bytes()), key, "{value:?}");
            assert_eq!(only_key_of_header(value, &arena).ok(), Some(key), "{value:?}");
        }
    }

    #[test]
    fn what_some_take_off_the_ends_of_a_key_is_not_part_of_it() {
        for text in ["abc\u{1f}", "\u{0}abc", "abc\u{a0}", "\u{feff}abc\u{85}", "Bearer \u{b}abc\u{7f}"] {
            assert_eq!(key_of_header(text.as_bytes()), "abc", "{text:?}");
        }
        assert_eq!(key_of_header(b"\xff\xfeabc\xff"), "abc");
        assert_eq!(key_of_header(b"\x01\x02"), "");
        assert_eq!(key_of_parameter("%00a%20"), "a");
    }

    /// As it came, and as NGINX, Envoy, Caddy and Traefik log it once their JSON is read.
    #[test]
    fn bytes_within_a_key_that_gateways_log_differently_are_one_mark() {
        for text in
            ["a\u{fffd}b", "a\u{ff}b", "a\u{e2}\u{82}b", "a\u{fffd}\u{fffd}b", "a\u{1}b", "a\tb", "aéb"]
        {
            assert_eq!(canonical_key(text.as_bytes()), "a\u{fffd}b", "{text:?}");
        }
        for bytes in [&b"a\xffb"[..], b"a\xe2\x82b", b"a\x01\xffb", b"a\x7fb"] {
            assert_eq!(key_of_header(bytes), "a\u{fffd}b", "{bytes:?}");
        }
        assert_eq!(key_of_parameter("a%FFb"), "a\u{fffd}b");
        assert_eq!(canonical_key("clé-1 clé".as_bytes()), "cl\u{fffd}-1 cl");
    }

    #[test]
    fn a_header_is_split_at_commas() {
        for (value, parts) in [
            ("abc", vec!["abc"]),
            ("abc, junk", vec!["abc", "junk"]),
            (" ,, abc,x", vec!["abc", "x"]),
            (",", vec![]),
        ] {
            let parts: Vec<&[u8]> = parts.into_iter().map(str::as_bytes).collect();
            assert_eq!(joined(value.as_bytes()).collect::<Vec<_>>(), parts, "{value}");
        }
    }

    #[test]
    fn every_value_of_a_parameter_is_found() {
        let names = ["api_key".to_owned(), "apikey".to_owned()];
        for (query, values) in [
            ("x=1&API_KEY=a%2Fb&y", vec!["a%2Fb"]),
            ("x=1&api_key=", vec![]),
            ("api_key=a&x&apikey=b&api_key=c", vec!["a", "b", "c"]),
            ("x=1&api%5Fkey=a&api_key=b", vec!["a", "b"]),
            ("%61PI%5fKEY=a", vec!["a"]),
            ("api%5Fkeys=a&api%5key=b&api%255Fkey=c", vec![]),
            ("x=1;api_key=a", vec!["a"]),
            ("api_key=a;b", vec!["a;b", "a"]),
        ] {
            assert_eq!(parameters(query, &names).collect::<Vec<_>>(), values, "{query}");
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (text, plain) in
            [("%", "%"), ("a%2", "a%2"), ("%zz%41", "%zzA"), ("%%41", "%A"), ("a%2Fb+c%2B", "a/b c+")]
        {
            assert!(percent_decoded(text, b' ').eq(plain.bytes()), "{text}");
        }
        assert!(percent_decoded("a+%2B", b'+').eq(*b"a++"));
    }

    #[test]
    fn the_usual_way_finds_what_the_whole_way_finds() {
        let names = ["api_key".to_owned(), "key".to_owned()];
        let parts =
            ["", "a=1", "key=k1", "KEY=k2", "api%5fkey=k3", "api_key=", "a=%20", "b?key=k4", "key=k1;key=k5"];
        let mut found = 0;
        for first in parts {
            for second in parts {
                let query = format!("{first}&{second}");
                let all: Vec<&str> = parameters(&query, &names).collect();
                match only_parameter(&query, &names) {
                    Ok(only) => assert_eq!(all, Vec::from_iter(only), "{query}"),
                    Err(Several) => assert_ne!(all.len(), 0, "{query}"),
                }
                found += all.len();
            }
        }
        assert!(found > 81, "{found}");
    }
}
