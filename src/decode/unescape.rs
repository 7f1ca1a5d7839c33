//! The escapes of a JSON string (RFC 8259, §7), replaced by what they stand for.

use bumpalo::Bump;

/// What escapes a string has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Escapes {
    None,
    /// All of them are JSON's.
    Known,
    /// Some stand for nothing in JSON.
    Odd,
}

/// The text of a string whose escapes have been checked, in the arena. `None` for half of a surrogate pair.
pub(super) fn unescape<'a>(raw: &str, arena: &'a Bump) -> Option<&'a str> {
    // An escape is never shorter than what it stands for.
    let plain = arena.alloc_slice_fill_copy(raw.len(), 0_u8);
    let mut length = 0;
    let mut rest = raw;
    while let Some(backslash) = rest.find('\\') {
        let code = rest.as_bytes()[backslash + 1];
        let (unescaped, after) = match code {
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => unicode(&rest[backslash..])?,
            other => (char::from(other), 2),
        };
        plain[length..length + backslash].copy_from_slice(&rest.as_bytes()[..backslash]);
        length += backslash;
        length += unescaped.encode_utf8(&mut plain[length..]).len();
        rest = &rest[backslash + after..];
    }
    plain[length..length + rest.len()].copy_from_slice(rest.as_bytes());
    length += rest.len();
    std::str::from_utf8(&plain[..length]).ok()
}

/// The character of `\uXXXX`, or of two of them that are a surrogate pair, and the length of its escape.
fn unicode(escape: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let hex = escape.get(at..at + 6)?.strip_prefix("\\u").filter(|hex| hex_digits(hex) == 4)?;
        u16::from_str_radix(hex, 16).ok()
    };
    let high = unit(0)?;
    if let Some(single) = char::from_u32(u32::from(high)) {
        return Some((single, 6));
    }
    let pair = char::decode_utf16([high, unit(6)?]).next()?.ok()?;
    Some((pair, 12))
}

/// The text of a string whose escapes may stand for nothing: half of a surrogate pair becomes U+FFFD, `\xHH` the byte
/// that it names (as NGINX and others write it), and any other escape what stands behind its backslash.
#[cold]
pub(super) fn repaired<'a>(raw: &str, arena: &'a Bump) -> &'a str {
    let mut plain = zeroize::Zeroizing::new(Vec::with_capacity(raw.len() * 2));
    let mut rest = raw;
    while let Some(backslash) = rest.find('\\') {
        plain.extend_from_slice(&rest.as_bytes()[..backslash]);
        let escape = &rest[backslash..];
        let mut encoded = [0; 4];
        let (bytes, length): (&[u8], usize) = match escape.as_bytes().get(1) {
            Some(b'b') => (b"\x08", 2),
            Some(b'f') => (b"\x0c", 2),
            Some(b'n') => (b"\n", 2),
            Some(b'r') => (b"\r", 2),
            Some(b't') => (b"\t", 2),
            Some(b'x') => match escape
                .get(2..4)
                .filter(|hex| hex_digits(hex) == 2)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            {
                Some(byte) => {
                    encoded[0] = byte;
                    (&encoded[..1], 4)
                }
                None => (b"x", 2),
            },
            Some(b'u') => match unicode(escape) {
                Some((character, length)) => (character.encode_utf8(&mut encoded).as_bytes(), length),
                None => ("\u{fffd}".as_bytes(), 2 + hex_digits(&escape[2..])),
            },
            _ => (b"", 1),
        };
        plain.extend_from_slice(bytes);
        rest = &escape[length..];
        if bytes.is_empty() {
            // What is escaped stands for itself, be it a backslash.
            let end = rest.chars().next().map_or(0, char::len_utf8);
            plain.extend_from_slice(&rest.as_bytes()[..end]);
            rest = &rest[end..];
        }
    }
    plain.extend_from_slice(rest.as_bytes());
    arena.alloc_str(&String::from_utf8_lossy(&plain))
}

/// How many of at most four hex digits a text begins with.
fn hex_digits(text: &str) -> usize {
    text.bytes().take(4).take_while(u8::is_ascii_hexdigit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_nothing_is_replaced_and_the_rest_stays() {
        for (raw, text) in [
            ("a\\b\\/\\\"\\\\\\n", "a\u{8}/\"\\\n"),
            (r"\ud800", "\u{fffd}"),
            (r"\ud800x\udc00\ud83d\ude00", "\u{fffd}x\u{fffd}\u{1f600}"),
            (r"\u12", "\u{fffd}"),
            (r"\u12G", "\u{fffd}G"),
            (r"caf\xC3\xA9 \xff \x2", "caf\u{e9} \u{fffd} x2"),
            ("\\\u{e9}\\'", "\u{e9}'"),
            ("a\\", "a"),
            ("", ""),
        ] {
            assert_eq!(repaired(raw, &Bump::new()), text, "{raw}");
        }
    }
}
