//! Which pieces of text may hold a key, and must not be kept as they are.
//!
//! Two tests: by shape, for keys that the record does not name, and by comparison with the record's own raw key,
//! which must not survive whatever its shape.

use std::ops::Range;

/// Shorter keys are only compared with whole pieces: `v1` inside `/v1/orders` is no leak.
const SUBSTRING_BYTES_MIN: usize = 6;
const HEX_BYTES_MIN: usize = 8;
const MIXED_BYTES_MIN: usize = 16;
/// Half of a key may not be kept either; of keys that are shorter than twice this, no part of this length.
pub(super) const PART_BYTES_MIN: usize = 16;

/// What a piece of text is made of, from one pass over it.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    length: usize,
    digits: usize,
    lower: usize,
    upper: usize,
    has_hex_part: bool,
    longest_part: usize,
}

impl Shape {
    #[inline]
    pub fn of(piece: &str) -> Self {
        let (mut digits, mut lower, mut upper) = (0, 0, 0);
        let (mut part, mut part_is_hex, mut has_hex_part, mut longest_part) = (0, true, false, 0);
        for byte in piece.bytes() {
            let class = CLASSES[usize::from(byte)];
            digits += usize::from(class & DIGIT != 0);
            lower += usize::from(class & LOWER != 0);
            upper += usize::from(class & UPPER != 0);
            if class & (DIGIT | LOWER | UPPER) == 0 {
                has_hex_part |= part_is_hex && part >= HEX_BYTES_MIN;
                longest_part = longest_part.max(part);
                (part, part_is_hex) = (0, true);
            } else {
                part += 1;
                part_is_hex &= class & HEX != 0;
            }
        }
        has_hex_part |= part_is_hex && part >= HEX_BYTES_MIN;
        longest_part = longest_part.max(part);
        Self { length: piece.len(), digits, lower, upper, has_hex_part, longest_part }
    }

    /// Whether it has the shape of an id or a secret: a UUID, 8 and more hex digits, a mixed string of 16 and more.
    ///
    /// A piece that is made of several (`order_9f8e7d6c5b4a`) is one if any of its parts is.
    pub fn is_secret(self) -> bool {
        self.has_hex_part || (self.length >= MIXED_BYTES_MIN && self.is_mixed())
    }

    /// Digits among letters, or capitals so often that they do not begin words (`listPaymentMethods` is not mixed), or
    /// more capitals in a row than a word has (`LIST_PAYMENT_METHODS` is not mixed).
    fn is_mixed(self) -> bool {
        let letters = self.lower + self.upper;
        (self.digits > 0 && letters > 0)
            || (self.lower > 0 && self.upper * 4 >= letters)
            || (self.lower == 0 && self.longest_part >= MIXED_BYTES_MIN)
    }
}

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const HEX: u8 = 8;
/// A letter, a digit or a mark that a path has unencoded (RFC 3986, `pchar`), and `{}`.
const PLAIN: u8 = 16;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let marks = b"._~-:@!$'()*+,={}";
    let mut index = 0;
    while index < marks.len() {
        classes[marks[index] as usize] = PLAIN;
        index += 1;
    }
    let mut byte = 0_u8;
    while byte < 128 {
        let class = &mut classes[byte as usize];
        if byte.is_ascii_digit() {
            *class = DIGIT | PLAIN;
        } else if byte.is_ascii_lowercase() {
            *class = LOWER | PLAIN;
        } else if byte.is_ascii_uppercase() {
            *class = UPPER | PLAIN;
        }
        if byte.is_ascii_hexdigit() {
            *class |= HEX;
        }
        byte += 1;
    }
    classes
};

/// Whether a piece of a path may be shown: a plain word, and neither a number nor what has the shape of a secret.
pub(super) fn is_word(piece: &str) -> bool {
    let (mut any, mut all, mut hex) = (0, u8::MAX, 0);
    for byte in piece.bytes() {
        let class = CLASSES[usize::from(byte)];
        any |= class;
        all &= class;
        hex += usize::from(class & HEX != 0);
    }
    if all & PLAIN == 0 || (all & DIGIT != 0 && !piece.is_empty()) {
        return false;
    }
    // Most words are too short for a secret, or have neither digits nor capitals, nor many hex digits.
    let may_be_secret = piece.len() >= HEX_BYTES_MIN && (any & (DIGIT | UPPER) != 0 || hex >= HEX_BYTES_MIN);
    !(may_be_secret && looks_secret(piece))
}

/// Whether a piece of text has the shape of an id or a secret: a UUID, 8 and more hex digits, a mixed string of 16 and
/// more, a key by its prefix, or what is percent-encoded without need.
pub fn looks_secret(piece: &str) -> bool {
    piece.len() >= HEX_BYTES_MIN
        && (Shape::of(piece).is_secret() || (piece.len() >= MIXED_BYTES_MIN && is_marked(piece)))
}

/// A key of hex digits that is percent-encoded has no letter left; half of one with a prefix may have few capitals.
#[cold]
fn is_marked(piece: &str) -> bool {
    const ESCAPES_MIN: usize = 4;
    ["sk_live_", "sk_test_", "pk_live_", "rk_live_"].iter().any(|prefix| piece.contains(prefix))
        || piece.matches('%').nth(ESCAPES_MIN - 1).is_some()
}

/// Whether a piece is the record's own raw key, or holds it.
pub(super) fn holds_key(piece: &str, key: Option<&str>) -> bool {
    let Some(key) = key.map(str::as_bytes) else { return false };
    let piece = piece.as_bytes();
    if key.is_empty() || piece.len() < key.len() {
        return false;
    }
    if key.len() < SUBSTRING_BYTES_MIN {
        return piece.eq_ignore_ascii_case(key);
    }
    piece
        .windows(key.len())
        .any(|window| window[0].eq_ignore_ascii_case(&key[0]) && window.eq_ignore_ascii_case(key))
}

/// Whether a piece that a caller wrote is the record's own raw key, or holds it or half of it.
pub(super) fn holds_half_of_key(piece: &str, key: Option<&str>) -> bool {
    holds_key(piece, key) || (piece.len() >= PART_BYTES_MIN && key.is_some_and(|key| holds_part(piece, key)))
}

#[cold]
fn holds_part(piece: &str, key: &str) -> bool {
    let (piece, key) = (piece.as_bytes(), key.as_bytes());
    let part = key.len().div_ceil(2).max(PART_BYTES_MIN);
    key.windows(part).any(|part| {
        piece
            .windows(part.len())
            .any(|window| window[0].eq_ignore_ascii_case(&part[0]) && window.eq_ignore_ascii_case(part))
    })
}

/// Whether a text or any of the parts between its slashes and blanks is the record's own raw key, or holds it.
pub(super) fn any_part_holds_key(text: &str, key: Option<&str>) -> bool {
    let Some(raw) = key else { return false };
    holds_key(text, key)
        || (raw.len() < SUBSTRING_BYTES_MIN && text.split([' ', '/']).any(|part| holds_key(part, key)))
}

/// The key in a header's value: without the scheme, where the value is `Bearer …`, `Basic …` or the like, and without
/// what is around it, as [`without_ends`] says.
pub fn key_of_header(value: &[u8]) -> &[u8] {
    &value[place_of_key(value)]
}

/// The same of a text.
pub(super) fn key_of_header_text(value: &str) -> &str {
    // It begins and ends with ASCII, so that it is a text too.
    &value[place_of_key(value.as_bytes())]
}

/// A key without the bytes at its ends that are no printable ASCII. Upstreams differ in which of them they take off:
/// a caller who adds one must neither hide his key from the checks nor be another key in the log.
pub fn without_ends(key: &[u8]) -> &[u8] {
    &key[place_without_ends(key)]
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

/// The first value of a header that was given many times, where the gateway has joined them with commas. Else a caller
/// who adds one of his own to a key has a new key each time.
pub(super) fn first_of_joined(value: &str) -> &str {
    if memchr::memchr(b',', value.as_bytes()).is_none() {
        return value;
    }
    value.split(',').map(str::trim_ascii).find(|part| !part.is_empty()).unwrap_or_default()
}

/// Whether a gateway has blacked out the value: `REDACTED`, `***`, `[redacted]`.
#[inline]
pub(super) fn is_redacted(value: &str) -> bool {
    // Nearly all values are told by their first byte.
    let may_be = b"[]<>()*rRmM";
    value.as_bytes().first().is_none_or(|first| may_be.contains(first)) && is_redacted_within(value)
}

fn is_redacted_within(value: &str) -> bool {
    let inner = value.trim_matches(['[', ']', '<', '>', '(', ')', '*']);
    inner.is_empty() || inner.eq_ignore_ascii_case("redacted") || inner.eq_ignore_ascii_case("masked")
}

/// The value of the first of `names` in a query string, as written: still percent-encoded. A name that is written out
/// comes before an escaped one: there are gateways that know the former only.
pub(super) fn in_query<'a>(query: &'a str, names: &[String]) -> Option<&'a str> {
    let first = |is_known: fn(&str, &str) -> bool| {
        query.split('&').find_map(|pair| {
            let equals = pair.bytes().position(|byte| byte == b'=')?;
            let (name, value) = (&pair[..equals], &pair[equals + 1..]);
            let known = !value.is_empty() && names.iter().any(|known| is_known(name, known));
            known.then_some(value)
        })
    };
    first(str::eq_ignore_ascii_case).or_else(|| query.contains('%').then(|| first(is_named)).flatten())
}

/// Whether a parameter's name, as written in a query string, is `known` to those who decode it, in any case.
pub fn is_named(written: &str, known: &str) -> bool {
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
    fn ids_and_secrets_are_told_from_words() {
        for secret in [
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "deadbeef",
            "20261122",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "order_9f8e7d6c5b4a",
            "AbCdEfGhIjKlMnOpQr",
            "user-1795327660839",
            "sk_live_mMzylYEbeDDq",
            "FIOPUXQJRCBKVFNI",
            "%30%32%34%33%30%38%36%37",
        ] {
            assert!(looks_secret(secret), "{secret}");
        }
        for word in [
            "orders",
            "v1",
            "notification-preferences",
            "listPaymentMethods",
            "LIST_PAYMENT_METHODS",
            "1234567",
            "robots.txt",
        ] {
            assert!(!looks_secret(word), "{word}");
        }
    }

    #[test]
    fn the_own_key_is_found_whatever_its_shape() {
        assert!(holds_key("good", Some("good")));
        assert!(holds_key("GOOD", Some("good")));
        assert!(!holds_key("goods", Some("good")));
        assert!(holds_key("x-secret-y", Some("secret")));
        assert!(!holds_key("secret", None));
        assert!(!holds_key("secret", Some("")));
    }

    #[test]
    fn the_scheme_of_a_header_is_not_part_of_the_key() {
        assert_eq!(key_of_header_text("Bearer abc"), "abc");
        assert_eq!(key_of_header_text("basic  dXNlcjo="), "dXNlcjo=");
        assert_eq!(key_of_header_text("two words"), "two words");
        assert_eq!(key_of_header_text(" abc "), "abc");
        assert_eq!(key_of_header_text("Bearer\tabc"), "abc");
    }

    #[test]
    fn what_some_take_off_the_ends_of_a_key_is_not_part_of_it() {
        for text in ["abc\u{1f}", "\u{0}abc", "abc\u{a0}", "\u{feff}abc\u{85}", "Bearer \u{b}abc\u{7f}"] {
            assert_eq!(key_of_header_text(text), "abc", "{text:?}");
        }
        assert_eq!(key_of_header(b"\xff\xfeabc\xff"), b"abc");
        assert_eq!(key_of_header(b"a\xffbc"), b"a\xffbc");
        assert_eq!(key_of_header(b"\x01\x02"), b"");
    }

    #[test]
    fn of_joined_values_the_first_is_taken() {
        for (joined, first) in
            [("abc", "abc"), ("abc, junk", "abc"), (" ,, abc,junk", "abc"), (", ,", ""), ("", "")]
        {
            assert_eq!(first_of_joined(joined), first, "{joined}");
        }
    }

    #[test]
    fn a_key_in_the_query_is_decoded_as_the_gateway_would() {
        let names = ["api_key".to_owned()];
        assert_eq!(in_query("x=1&API_KEY=a%2Fb&y", &names), Some("a%2Fb"));
        assert_eq!(in_query("x=1&api_key=", &names), None);
        assert_eq!(in_query("x=1&api%5Fkey=a&api_key=b", &names), Some("b"));
        assert_eq!(in_query("%61PI%5fKEY=a", &names), Some("a"));
        assert_eq!(in_query("api%5Fkeys=a&api%5key=b&api%255Fkey=c", &names), None);
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
}
