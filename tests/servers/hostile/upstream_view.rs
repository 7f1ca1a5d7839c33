//! Which key a request carries, to an upstream that is not strict: the most that any plain backend would find.

/// The header in which the upstream takes keys. To many frameworks `_` and `-` are one, in any case.
const HEADER: &str = "x-api-key";
/// The parameters in which it does.
const PARAMETERS: [&str; 2] = ["api_key", "apikey"];

/// Whether the request of this head shows `key` where the upstream may take it: first or last of several, joined or
/// not, with whatever around it a backend may take off.
pub fn carries(head: &[u8], key: &str) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    let target = lines.next().and_then(|line| line.split(|byte| *byte == b' ').nth(1)).unwrap_or_default();
    let in_query = target.split(|byte| *byte == b'?').skip(1).any(|query| {
        query.split(|byte| matches!(byte, b'&' | b'#')).any(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=').map(decoded);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            PARAMETERS.iter().any(|known| name == known.as_bytes())
                && trimmed(&parts.next().unwrap_or_default()) == key.as_bytes()
        })
    });
    in_query || lines.any(|line| is_in_header(line, key))
}

fn is_in_header(line: &[u8], key: &str) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = String::from_utf8_lossy(trimmed(&line[..colon])).to_ascii_lowercase().replace('_', "-");
    let values = std::iter::once(&line[colon + 1..]).chain(line[colon + 1..].split(|byte| *byte == b','));
    name == HEADER && values.into_iter().any(|value| trimmed(value) == key.as_bytes())
}

/// Without the bytes at the ends that are no printable ASCII.
fn trimmed(value: &[u8]) -> &[u8] {
    let Some(first) = value.iter().position(u8::is_ascii_graphic) else { return &[] };
    &value[first..=value.iter().rposition(u8::is_ascii_graphic).unwrap_or(first)]
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escaped.unwrap_or(if first == b'+' { b' ' } else { first }));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[test]
fn a_key_is_seen_wherever_a_backend_may_take_it() {
    for head in [
        "GET /a HTTP/1.1\r\nX-API_key: \u{1}KEY\u{a0}\r\n\r\n",
        "GET /a HTTP/1.1\r\nx-api-key: other\r\nx-api-key: a, KEY ,b\r\n\r\n",
        "GET /a?x=1&API%5fKEY=%00KEY+&api_key=b HTTP/1.1\r\n\r\n",
    ] {
        assert!(carries(head.as_bytes(), "KEY"), "{head:?}");
    }
    for head in [
        "GET /a?api_keys=KEY HTTP/1.1\r\nX-Api-Key: KEYS\r\nX-Api-Keys: KEY\r\n\r\n",
        "",
        "\n",
        "?api_key=KEY",
    ] {
        assert!(!carries(head.as_bytes(), "KEY"), "{head:?}");
    }
}
