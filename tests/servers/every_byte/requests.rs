//! The requests: one place of a plain one holds an odd text. Each has a key of its own, so that its event is known.

use crate::hostile::frames::{self, Field};

/// What is not odd in a request.
pub const AGENT: &str = "acme-sdk/4.2";
pub const FORWARDED_FOR: &str = "198.51.100.9";
/// A key that no request has at its place: an event of it was made of another field.
pub const VICTIM: &str = "live-victim-00000000";

/// The header that has the key.
pub const KEY_HEADER: &str = "x-api-key";

/// One request.
#[derive(Clone)]
pub struct OddRequest {
    /// What is odd about it.
    pub name: String,
    pub method: &'static str,
    /// Whether it goes over HTTP/2.
    pub is_h2: bool,
    /// Whether the gateway's list of keys and credentials has its key.
    pub is_listed: bool,
    pub target: Vec<u8>,
    pub headers: Vec<Field>,
    /// As the log shows them, at their mapped places, whatever is around them.
    pub keys: Vec<Vec<u8>>,
}

/// Where an odd text stands.
#[derive(Clone, Copy, Debug)]
pub enum Spot {
    Agent,
    Path,
    Query,
    ParameterName,
    Referer,
    ForwardedFor,
    HeaderName,
    HeaderValue,
    Cookie,
    AroundKey,
    InKey,
    InParameterKey,
}

/// The number that stands in what the upstream was given of a request.
pub fn index_of(head: &[u8]) -> Option<usize> {
    let mark = b"case-";
    let at = memchr::memmem::find(head, mark)? + mark.len();
    std::str::from_utf8(head.get(at..at + 5)?).ok()?.parse().ok()
}

/// The key of the request of this number.
pub fn key(index: usize) -> String {
    format!("live-{index:05}-{index:05}-x")
}

/// The credential of that key, as the gateway's list says.
pub fn credential(index: usize) -> String {
    format!("cred-{index:05}")
}

impl OddRequest {
    /// One that is not odd yet.
    pub fn plain(index: usize) -> Self {
        let key = key(index).into_bytes();
        let header = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        Self {
            name: String::new(),
            method: "GET",
            is_h2: false,
            is_listed: true,
            target: b"/v1/a".to_vec(),
            headers: vec![
                header("host", b"127.0.0.1"),
                header("x-case", format!("case-{index:05}").as_bytes()),
                header("user-agent", AGENT.as_bytes()),
                header("x-forwarded-for", FORWARDED_FOR.as_bytes()),
                header(KEY_HEADER, &key),
            ],
            keys: vec![key],
        }
    }

    /// Puts a text there.
    pub fn put(&mut self, place: Spot, text: &[u8]) {
        let around = |before: &str, after: &str| [before.as_bytes(), text, after.as_bytes()].concat();
        match place {
            Spot::Agent => self.set("user-agent", text.to_vec()),
            Spot::Path => self.target = around("/v1/", "/a"),
            Spot::Query => self.target = around("/v1/a?x=", "&y=1"),
            Spot::ParameterName => self.target = around("/v1/a?x", "=1&y=1"),
            Spot::Referer => self.add("referer", around("http://a/", "")),
            Spot::ForwardedFor => self.set("x-forwarded-for", text.to_vec()),
            Spot::HeaderName => self.headers.insert(0, (around("x-", "-a"), b"1".to_vec())),
            Spot::HeaderValue => self.headers.insert(0, (b"x-a".to_vec(), text.to_vec())),
            Spot::Cookie => self.add("cookie", around("a=", "; b=c")),
            Spot::AroundKey => {
                let key = self.keys[0].clone();
                self.set(KEY_HEADER, [text, &key, text].concat());
                self.keys.push([text, &key, text].concat());
                self.is_listed = false;
            }
            Spot::InKey => {
                let key = self.with_inside(text);
                self.set(KEY_HEADER, key.clone());
                self.keys = vec![key];
                self.is_listed = false;
            }
            Spot::InParameterKey => {
                let key = self.with_inside(text);
                self.headers.retain(|(name, _)| name != KEY_HEADER.as_bytes());
                self.target = [b"/v1/a?x=1&api_key=", key.as_slice(), b"&y=1"].concat();
                self.keys = vec![key];
                self.is_listed = false;
            }
        }
    }

    /// The key with a text in its middle; each half has the request's number.
    fn with_inside(&self, text: &[u8]) -> Vec<u8> {
        let (left, right) = self.keys[0].split_at("live-00000".len());
        [left, text, right].concat()
    }

    /// Gives the headers of this name another value.
    pub fn set(&mut self, name: &str, value: Vec<u8>) {
        for header in self.headers.iter_mut().filter(|header| header.0 == name.as_bytes()) {
            header.1 = value.clone();
        }
    }

    /// One more header.
    pub fn add(&mut self, name: &str, value: Vec<u8>) {
        self.headers.push((name.as_bytes().to_vec(), value));
    }

    fn has(&self, name: &str, value: &str) -> bool {
        let mut values = self.headers.iter().filter(|header| header.0.eq_ignore_ascii_case(name.as_bytes()));
        values.next().is_some_and(|header| header.1 == value.as_bytes()) && values.next().is_none()
    }

    /// Whether others have little in common with it: it is sent even where requests are thinned out.
    pub fn is_rare(&self) -> bool {
        !self.is_h2 && !self.name.starts_with("0x") && !self.name.starts_with('%')
    }

    /// Whether its event must show [`AGENT`].
    pub fn has_plain_agent(&self) -> bool {
        self.has("user-agent", AGENT) && self.has_headers()
    }

    /// Whether its event must show the network of [`FORWARDED_FOR`].
    pub fn has_plain_address(&self) -> bool {
        self.has("x-forwarded-for", FORWARDED_FOR) && self.has_headers()
    }

    /// Whether its first line is the one that it looks like: cut short, it is HTTP/0.9 to NGINX, which has no headers.
    fn has_headers(&self) -> bool {
        self.is_h2 || !self.target.contains(&b'\n')
    }

    /// Whether it says something of a gateway that looks keys up: the key stands alone and whole at its place, or the
    /// caller names a credential of his own.
    pub fn is_for_credentials(&self) -> bool {
        (self.is_listed && self.keys.len() == 1) || self.is_about_credentials()
    }

    /// Whether the caller names a credential of his own.
    pub fn is_about_credentials(&self) -> bool {
        self.name.starts_with("x-credential-id")
    }

    /// Whether its keys are in a log as they were sent.
    pub fn has_plain_keys(&self) -> bool {
        self.keys.iter().flatten().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    }

    /// The key at its place, as it is sent.
    pub fn key(&self) -> &[u8] {
        &self.keys[0]
    }

    /// The keys, in each form in which those who read headers and query strings may take them.
    pub fn keys_as_read(&self) -> Vec<Vec<u8>> {
        let mut forms = Vec::new();
        for key in &self.keys {
            let text = String::from_utf8_lossy(key);
            let decoded: Vec<u8> = keyhound::decode::percent_decoded(&text, b' ').collect();
            // Envoy takes bytes that are no UTF-8 for Latin-1.
            let latin: String = key.iter().map(|byte| char::from(*byte)).collect();
            // HAProxy leaves out what is no UTF-8 or needs more than three bytes, and Envoy ends of lines.
            let valid: String = key.utf8_chunks().map(|chunk| chunk.valid()).collect();
            let short: String = valid.chars().filter(|char| *char < '\u{ffff}').collect();
            let on_one_line = text.replace('\r', "");
            for whole in [
                key.clone(),
                text.into_owned().into(),
                decoded,
                latin.into(),
                each_byte_repaired(key),
                valid.into(),
                short.into(),
                on_one_line.into(),
            ] {
                forms.extend(whole.split(|byte| b",&#;?\r\n".contains(byte)).map(<[u8]>::to_vec));
                forms.push(whole);
            }
        }
        let read: Vec<_> = forms.iter().map(|form| without_ends(form).to_vec()).collect();
        let canonical: Vec<_> = read.iter().map(|form| others_replaced(form)).collect();
        forms.extend(read);
        forms.extend(canonical);
        // What has not the request's number is no key of its own.
        forms.retain(|form| form.windows(5).any(|window| window.iter().all(u8::is_ascii_digit)));
        forms.sort();
        forms.dedup();
        forms
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        if self.is_h2 {
            return self.framed();
        }
        let mut bytes =
            [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\nconnection: close\r\n"].concat();
        for (name, value) in &self.headers {
            bytes.extend([name.as_slice(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes
    }

    fn framed(&self) -> Vec<u8> {
        let pseudo: [(&str, &[u8]); 4] = [
            (":method", self.method.as_bytes()),
            (":scheme", b"http"),
            (":path", &self.target),
            (":authority", b"127.0.0.1"),
        ];
        let mut fields: Vec<Field> =
            pseudo.map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).to_vec();
        fields.extend(self.headers.iter().filter(|header| header.0 != b"host").cloned());
        frames::whole(&fields)
    }
}

impl OddRequest {
    /// The same with the number and so the key of another.
    pub fn renumbered(&self, from: &str, to: usize) -> Self {
        let halves = [from[..10].to_owned(), from[10..].to_owned()];
        let new = key(to);
        let swap = |text: &[u8]| {
            let mut text = replaced(text, halves[0].as_bytes(), &new.as_bytes()[..10]);
            text = replaced(&text, halves[1].as_bytes(), &new.as_bytes()[10..]);
            replaced(&text, format!("case-{}", &from[5..10]).as_bytes(), format!("case-{to:05}").as_bytes())
        };
        Self {
            target: swap(&self.target),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), swap(value))).collect(),
            keys: self.keys.iter().map(|key| swap(key)).collect(),
            ..self.clone()
        }
    }
}

/// Without the bytes at its ends that are no printable ASCII.
fn without_ends(key: &[u8]) -> &[u8] {
    let Some(first) = key.iter().position(u8::is_ascii_graphic) else { return &[] };
    &key[first..=key.iter().rposition(u8::is_ascii_graphic).unwrap_or(first)]
}

/// With one U+FFFD for each run of bytes that are no printable ASCII.
fn others_replaced(key: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    for byte in key {
        match byte {
            b' '..=b'~' => text.push(char::from(*byte)),
            _ if text.ends_with('\u{fffd}') => {}
            _ => text.push('\u{fffd}'),
        }
    }
    text.into()
}

/// Go writes U+FFFD for each byte that is no UTF-8, and not for each sequence that is cut.
fn each_byte_repaired(text: &[u8]) -> Vec<u8> {
    let repaired =
        text.utf8_chunks().map(|chunk| chunk.valid().to_owned() + &"\u{fffd}".repeat(chunk.invalid().len()));
    repaired.collect::<String>().into()
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, from) {
        result.extend([&rest[..at], to].concat());
        rest = &rest[at + from.len()..];
    }
    result.extend(rest);
    result
}
