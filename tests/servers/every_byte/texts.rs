//! Texts that are odd to those who read bytes, UTF-8, JSON or URLs.

use super::requests::VICTIM;

/// What long texts are made of: a byte that stays as it is, those that records show by two and by six, and one that is
/// no UTF-8.
pub const FILLS: [(&str, u8); 4] = [("x", b'x'), ("a quote", b'"'), ("0x01", 0x01), ("0xff", 0xff)];

/// Each with a name.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let mut texts = Vec::new();
    for byte in 1..=u8::MAX {
        // First, within and last; a line's end at a value's end would be the head's end.
        let mut text = vec![byte, b'a', byte, b'b', byte];
        text.truncate(if byte == b'\n' { 4 } else { 5 });
        texts.push((format!("{byte:#04x}"), text));
    }
    texts.extend(sequences().iter().map(|bytes| (format!("\"{}\"", bytes.escape_ascii()), bytes.to_vec())));
    texts.extend(phrases().into_iter().map(|text| (format!("{text:?}"), text.into_bytes())));
    texts
}

/// Each byte as URLs write it.
pub fn percent_encoded() -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..=u8::MAX).map(|byte| (format!("%{byte:02x}"), format!("a%{byte:02x}b").into_bytes()))
}

/// Of UTF-8 and what only looks like it.
fn sequences() -> [&'static [u8]; 26] {
    [
        "é€😀".as_bytes(),
        "\u{2028}\u{2029}\u{85}\u{feff}\u{ffff}\u{fffd}".as_bytes(),
        "e\u{301}\u{202e}\u{200d}".as_bytes(),
        b"\xc0\x80",
        b"\xc0\xa2",
        b"\xc1\x9c",
        b"\xe0\x80\xa2",
        b"\xe0\x81\x9c",
        b"\xf0\x80\x80\xa2",
        b"\xf8\x80\x80\x80\xa2",
        b"\xfc\x80\x80\x80\x80\xa2",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xf4\x90\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc3\"",
        b"\xe2\x82\\",
        b"\xf0\x9f\x98\\\"",
        b"\x80\xbf",
        b"\xff\xfe",
        b"\xef\xbb\xbf{",
        b"\x1b[31m\x7f\x08",
    ]
}

/// Of JSON, URLs, logs and templates; some would put another key into a record.
fn phrases() -> Vec<String> {
    let fields = ["api_key", "credential_id", "X-Api-Key", "request_X-Api-Key", "request_X-Credential-Id"];
    let mut phrases: Vec<String> = [
        "\"",
        "\\",
        "\\\"",
        "\\\\\"",
        "\\\\",
        "\"\"",
        "\\u0000",
        "\\u0022",
        "\\ud800",
        "\\x22",
        "\\x",
        "\\u",
        "\\n",
        "{",
        "}",
        "[",
        "]",
        "}{",
        "{{",
        "[[[[",
        "\"}",
        "\"]}",
        "\",\"",
        "null",
        "-",
        "[redacted]",
        "***",
        "REDACTED",
        "%",
        "%%",
        "%2",
        "%zz",
        "%u0041",
        "%00",
        "%2522",
        "%c0%af",
        "%ed%a0%80",
        "%ff%fe",
        "%0d%0a",
        "%2f%2e%2e%2f",
        "$msec",
        "${x}",
        "%[src]",
        "%ci",
        "%REQ(X)%",
        "{http.request.uri}",
        "<script>",
        "'",
        "`",
        ";",
        "..",
        "../..",
        "//",
        "/./",
        "?",
        "??",
        "#",
        "#?",
        "&",
        "&&",
        "=",
        "+",
        "a b",
        "a\tb",
        "12345678901234567890",
        "1e999",
        "true",
        "203.0.113.9",
        "203.0.113.9, 203.0.113.10",
        "::ffff:203.0.113.9",
        "[2001:db8::1]:443",
        "unknown",
        "a,b,,c",
    ]
    .map(str::to_owned)
    .to_vec();
    for field in fields {
        phrases.push(format!("\",\"{field}\":\"{VICTIM}"));
        phrases.push(format!("\\\",\"{field}\":\"{VICTIM}"));
        phrases.push(format!("\\\\\",\"{field}\":\"{VICTIM}"));
        phrases.push(format!("\"}}{{\"msec\":\"1\",\"{field}\":\"{VICTIM}\"}}"));
        phrases.push(format!("%0a{{\"{field}\":\"{VICTIM}\"}}"));
    }
    phrases
}
