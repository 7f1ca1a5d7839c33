//! Lines of a log: what a shipper writes before a record, where the next record begins, what is no record at all.
//!
//! A record is looked for where a program puts one, at the beginning of a line or behind a prefix without quotes: in a
//! line of text, a `{` may be a caller's.

/// How far into a line the record may begin, after a syslog or container header.
const PREFIX_BYTES_MAX: usize = 256;

/// Cuts off what stands before a record (`<134>Nov 22 06:09:18 edge haproxy[7]: {…}`).
#[inline]
pub(super) fn without_prefix(text: &str) -> &str {
    if text.starts_with(['{', '[', '"']) { text } else { prefix(text).map_or(text, |end| &text[end..]) }
}

/// The record behind a prefix in brackets, which looks like a list: `[pod/edge-1/envoy] {…}`.
pub(super) fn without_brackets(text: &str) -> Option<&str> {
    let end = prefix(text).filter(|_| text.starts_with('['))?;
    text[..end].trim_ascii_end().ends_with(']').then(|| &text[end..])
}

/// The text from the next record on, behind the line that `text` begins in.
pub(super) fn next_record(text: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(end) = memchr::memchr(b'\n', &text.as_bytes()[from..]) {
        from += end + 1;
        let line = &text[from..];
        if line.starts_with('{') || line.starts_with("[{") || line.starts_with("\"{") {
            return Some(line);
        }
        if let Some(record) = without_brackets(line) {
            return Some(record);
        }
        // The lines of a record that is written over several begin with blanks, brackets and quotes.
        if let Some(end) =
            prefix(line).filter(|_| line.starts_with(|c: char| c == '<' || c.is_alphanumeric()))
        {
            return Some(&line[end..]);
        }
    }
    None
}

/// Whether a line is a text as people and gateways write it, and not JSON that went wrong.
pub(super) fn is_text(line: &str) -> bool {
    let mut bytes = line.bytes();
    !line.starts_with('{')
        && line.contains(' ')
        && bytes.all(|byte| byte >= b' ' || matches!(byte, b'\t' | 0x1b | b'\r'))
}

/// The length of a line's prefix. Values in quotes are passed where they have a name, as in RFC 5424 (`seq="1"`); other
/// quotes are a text's.
fn prefix(line: &str) -> Option<usize> {
    let (mut before, mut is_quoted) = (b' ', false);
    for (at, byte) in line.bytes().enumerate().take(PREFIX_BYTES_MAX) {
        match byte {
            b'{' if !is_quoted => return Some(at),
            b'"' if is_quoted || before == b'=' => is_quoted = !is_quoted,
            b'"' | b'\n' => return None,
            _ => {}
        }
        before = byte;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_record_is_cut_off() {
        for prefix in [
            "<134>Nov 22 06:09:18 edge haproxy[7]: ",
            "<134>1 2026-11-20T10:10:01.123Z host haproxy 39034 - [meta seq=\"{1}\"] ",
            "2026-11-20T10:10:01.123456789Z stdout F ",
            "kong-gw-1  | ",
            "2026/11/20 10:10:10 [notice] 28#0: *1212 [lua] handler.lua:12: ",
            "\u{feff}",
            "",
        ] {
            assert_eq!(without_prefix(&format!("{prefix}{{\"a\":1}}")), "{\"a\":1}", "{prefix}");
        }
        assert_eq!(without_brackets("[pod/edge-7c9f/envoy] {\"a\":1}"), Some("{\"a\":1}"));
        assert_eq!(without_brackets("[{\"a\":1}"), None);
    }

    #[test]
    fn a_bracket_in_a_text_is_no_record() {
        for text in [
            "no json",
            "203.0.113.7 - - [20/Nov/2026:10:10:01 +0000] \"GET /{\"a\":1} HTTP/1.1\" 200 421",
            "a line\n{\"a\":1}",
            "msg=\"{\"",
        ] {
            assert_eq!(without_prefix(text), text);
        }
        assert_eq!(without_brackets("[2026-11-20T20:17:00.310Z] \"GET /{\"a\":1} HTTP/2\" 204 -"), None);
    }

    #[test]
    fn the_next_record_begins_a_line() {
        assert_eq!(next_record("{\"a\": {\n  \"b\": {\"c\":1}\n}\n{\"d\":1}"), Some("{\"d\":1}"));
        assert_eq!(next_record("x {\n<1>x: {\"d\":1}"), Some("{\"d\":1}"));
        assert_eq!(next_record("x\n[pod/a] {\"d\":1}\n"), Some("{\"d\":1}\n"));
        assert_eq!(next_record("{\"a\":1}\ntext"), None);
    }

    #[test]
    fn lines_of_text_are_told_from_broken_json() {
        assert!(is_text("[2026-11-20T20:17:00.310Z] \"POST /v1/orders HTTP/2\" 204 - 154"));
        assert!(is_text("GET / HTTP/1.1"));
        assert!(!is_text("{\"a\": 1,,}") && !is_text("\u{1}\u{2} x") && !is_text("x"));
    }
}
