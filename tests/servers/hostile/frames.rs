//! The same over HTTP/2 without TLS, frame by frame (RFC 9113): what no library would send.

use super::cases::Case;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A header's name and value.
pub type Field = (Vec<u8>, Vec<u8>);

/// Whether these bytes are HTTP/2.
pub fn is_framed(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// All of them, with this key.
pub fn all(key: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| cases.push(Case { name: format!("HTTP/2: {name}"), bytes });
    add("plain".to_owned(), whole(&with_key(key, "/v1/a", &[])));
    for byte in 0..=u8::MAX {
        let odd = |place: usize| match place {
            0 => with_key(key, "/v1/a", &[field("user-agent", &[b'a', byte, b'b'])]),
            1 => with_key(key, "/v1/a", &[(vec![b'x', b'-', byte], b"a".to_vec())]),
            2 => {
                let mut fields = request("/v1/a");
                fields.push(field("x-api-key", &[&[byte][..], key.as_bytes(), &[byte]].concat()));
                fields
            }
            3 => {
                let mut fields = with_key(key, "/v1/a", &[]);
                fields[2].1 = vec![b'/', byte];
                fields
            }
            _ => {
                let mut fields = request("/");
                fields[2].1 = [b"/?x=", &[byte][..], b"&api_key=", key.as_bytes()].concat();
                fields
            }
        };
        for place in 0..5 {
            add(format!("{byte:#04x} in place {place}"), whole(&odd(place)));
        }
    }
    for count in [98, 99, 101, 500, 1_000] {
        let many: Vec<Field> = (0..count).map(|n| field(&format!("x-{n}"), b"a")).collect();
        add(format!("{count} headers"), whole(&with_key(key, "/v1/a", &many)));
    }
    for size in [4_000, 16_000, 60_000, 70_000, 1_000_000] {
        add(
            format!("agent of {size}"),
            whole(&with_key(key, "/v1/a", &[field("user-agent", &vec![b'a'; size])])),
        );
        add(format!("path of {size}"), whole(&with_key(key, &format!("/{}", "a".repeat(size)), &[])));
    }
    for (name, odd) in [
        ("upper case", field("X-Api-Key", key.as_bytes())),
        ("connection", field("connection", b"x-api-key")),
        ("te", field("te", b"chunked")),
        ("transfer-encoding", field("transfer-encoding", b"chunked")),
        ("underscores", field("x_api_key", key.as_bytes())),
        ("another key", field("x-api-key", b"other")),
        ("a pseudo header behind", field(":path", b"/other")),
        ("protocol", field(":protocol", b"websocket")),
        ("length", field("content-length", b"5")),
        ("no name", field("", b"a")),
    ] {
        add(name.to_owned(), whole(&with_key(key, "/v1/a", &[odd])));
    }
    for (index, value) in
        [(0, "PRI"), (0, "CONNECT"), (0, "get"), (0, ""), (1, "ftp"), (2, "*"), (2, ""), (2, "a"), (3, "")]
    {
        let mut fields = with_key(key, "/v1/a", &[]);
        fields[index].1 = value.as_bytes().to_vec();
        add(format!("{value:?} as pseudo header {index}"), whole(&fields));
    }
    add("trailers".to_owned(), with_trailers(&with_key(key, "/v1/a", &[]), &[field("x-a", b"\x01")]));
    add(
        "the key in trailers".to_owned(),
        with_trailers(&request("/v1/a"), &[field("x-api-key", key.as_bytes())]),
    );
    add("in many frames".to_owned(), in_pieces(&with_key(key, "/v1/a", &[])));
    cases
}

fn field(name: &str, value: &[u8]) -> Field {
    (name.as_bytes().to_vec(), value.to_vec())
}

fn request(path: &str) -> Vec<Field> {
    let method = if path == "/v1/post" { "POST" } else { "GET" };
    vec![
        field(":method", method.as_bytes()),
        field(":scheme", b"http"),
        field(":path", path.as_bytes()),
        field(":authority", b"127.0.0.1"),
    ]
}

fn with_key(key: &str, path: &str, others: &[Field]) -> Vec<Field> {
    let mut fields = request(path);
    fields.extend(others.iter().cloned());
    fields.push(field("x-api-key", key.as_bytes()));
    fields
}

/// A connection with one request.
pub fn whole(fields: &[Field]) -> Vec<u8> {
    [opening(), headers(fields, 16_384, END_STREAM)].concat()
}

fn in_pieces(fields: &[Field]) -> Vec<u8> {
    [opening(), headers(fields, 3, END_STREAM)].concat()
}

fn with_trailers(fields: &[Field], trailers: &[Field]) -> Vec<u8> {
    [opening(), headers(fields, 16_384, 0), frame(DATA, 0, b"abc"), headers(trailers, 16_384, END_STREAM)]
        .concat()
}

fn opening() -> Vec<u8> {
    let settings = [&[0, 0, 0, SETTINGS, 0][..], &[0; 4]].concat();
    [PREFACE, &settings].concat()
}

/// Of the first stream.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// Headers in as many frames as it takes, each field literally (RFC 7541, section 6.2.2).
fn headers(fields: &[Field], frame_bytes: usize, flags: u8) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text);
        }
    }
    let pieces = block.chunks(frame_bytes).count();
    let framed = block.chunks(frame_bytes).enumerate().flat_map(|(index, piece)| {
        let last = if index + 1 == pieces { END_HEADERS } else { 0 };
        if index == 0 { frame(HEADERS, flags | last, piece) } else { frame(CONTINUATION, last, piece) }
    });
    framed.collect()
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).expect("small"));
        return;
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(u8::try_from(length % 128).expect("small") | 128);
        length /= 128;
    }
    block.push(u8::try_from(length).expect("small"));
}
