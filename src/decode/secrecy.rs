//! Which pieces of text may hold a key, and must not be kept as they are.
//!
//! Two tests: by shape, for keys that the record does not name, and by comparison with the record's own raw key,
//! which must not survive whatever its shape.

use super::letters::are_random;

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
    let may_be_secret = piece.len() >= HEX_BYTES_MIN
        && (any & (DIGIT | UPPER) != 0 || hex >= HEX_BYTES_MIN || piece.len() >= MIXED_BYTES_MIN);
    !(may_be_secret && looks_secret(piece))
}

/// Whether a piece of text has the shape of an id or a secret: a UUID, 8 and more hex digits, a mixed string of 16 and
/// more, as many letters that are no words, a key by its prefix, or what is percent-encoded without need.
pub fn looks_secret(piece: &str) -> bool {
    piece.len() >= HEX_BYTES_MIN
        && (Shape::of(piece).is_secret()
            || (piece.len() >= MIXED_BYTES_MIN && (is_marked(piece) || are_random(piece))))
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
            "oyryVjuJnkqtAjgm",
            "qxvhzkjwtrbnpdgf",
        ] {
            assert!(looks_secret(secret), "{secret}");
        }
        for word in [
            "orders",
            "v1",
            "notification-preferences",
            "listPaymentMethods",
            "internationalization",
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
}
