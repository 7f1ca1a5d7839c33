//! The escapes of a JSON string (RFC 8259, §7), replaced by what they stand for.

use bumpalo::Bump;

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
        let hex = escape.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(hex, 16).ok()
    };
    let high = unit(0)?;
    if let Some(single) = char::from_u32(u32::from(high)) {
        return Some((single, 6));
    }
    let pair = char::decode_utf16([high, unit(6)?]).next()?.ok()?;
    Some((pair, 12))
}
