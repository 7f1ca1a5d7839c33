//! Golden records, taken apart into their values, so that one can be changed.

use std::{collections::BTreeSet, path::Path};

use bumpalo::Bump;
use keyhound::{
    decode::{
        Decoded, Decoder, Fingerprinter, Format, KeyPolicy, Pepper, Settings, credential_fingerprint,
        fingerprint, presets,
    },
    event::{EventTime, KeyId},
};
use rand::{Rng, seq::IndexedRandom};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;

const VICTIM: &str = "VICTIM0123456789abcdef";

fn pepper() -> Pepper {
    Pepper::new(b"0123456789abcdef0123456789abcdef").expect("32 bytes")
}

/// Somebody whose key a caller knows, and writes wherever he can.
pub struct Victim {
    pub ids: Vec<KeyId>,
    /// Texts that are a record, or the end of one and the beginning of the next, of the victim's.
    fragments: Vec<String>,
}

impl Victim {
    pub fn new() -> Self {
        let mut ids = vec![fingerprint(&pepper(), VICTIM.as_bytes())];
        ids.extend(presets::names().map(|name| credential_fingerprint(&pepper(), name, VICTIM)));
        let members = [
            format!(
                r#""api_key":"{VICTIM}","credential_id":"{VICTIM}","apiKeyId":"{VICTIM}","msec":1795327660.839,"ts":1795327660.839,"status":200"#
            ),
            format!(
                r#""authenticated_entity":{{"id":"{VICTIM}","key":"{VICTIM}"}},"started_at":1795327660839,"response":{{"status":200}}"#
            ),
            format!(
                r#""request":{{"headers":{{"x-api-key":"{VICTIM}","apikey":["{VICTIM}"]}}}},"consumer":{{"credential_id":"{VICTIM}"}},"start_time":"2026-11-22T06:07:40.839Z""#
            ),
            format!(
                r#""request_X-Api-Key":"{VICTIM}","x-api-key":"{VICTIM}","StartUTC":"2026-11-22T06:07:40.839Z","DownstreamStatus":200"#
            ),
        ];
        let mut fragments = Vec::new();
        for members in members {
            fragments.push(format!("\",{members},\"x\":\""));
            fragments.push(format!("\\\",{members},\"x\":\"\\"));
            fragments.push(format!("\"}},{members},\"x\":{{\"y\":\""));
            fragments.push(format!("{{{members}}}"));
            fragments.push(format!("\"}}\n{{{members}}}\n{{\"x\":\""));
            fragments.push(format!("\"}}{{{members}}}"));
            fragments.push(format!("\u{2028}{{{members}}}"));
            fragments.push(format!(",{members},"));
        }
        Self { ids, fragments }
    }
}

/// One golden record that is one event.
pub struct Golden {
    pub decoder: Decoder,
    pub expected: (EventTime, KeyId),
    pub text: Vec<u8>,
    record: Value,
    /// Values whose change changes neither time nor key.
    free: Vec<String>,
    /// The byte behind the last value that time and key need.
    needed: usize,
}

/// The golden records of every preset that are one event with a key.
pub fn goldens() -> Vec<Golden> {
    let mut goldens = Vec::new();
    for name in presets::names() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.jsonl"));
        let text = std::fs::read_to_string(path).expect("a golden file for each preset");
        let mut policy = KeyPolicy::Raw;
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some("key: credential") => policy = KeyPolicy::Credential,
                Some("key: raw") => policy = KeyPolicy::Raw,
                Some(_) => {}
                None => goldens.extend(Golden::new(name, policy, line)),
            }
        }
    }
    goldens
}

impl Golden {
    fn new(name: &str, policy: KeyPolicy, line: &str) -> Option<Self> {
        let settings = Settings::new(Format::preset(name).expect("a preset"), policy);
        let fingerprinter = Fingerprinter::with_entries(&pepper(), 64);
        let mut decoder = Decoder::with_fingerprinter(&settings, fingerprinter).expect("a valid preset");
        let record: Value = serde_json::from_str(line).ok().filter(Value::is_object)?;
        let (text, ends) = written(&record, None);
        let expected = one_event(&mut decoder, &text)?;
        let mut paths = Vec::new();
        leaves(&record, "", &mut paths);
        let probes = [
            "null",
            "\"probe\"",
            "\"/?api_key=probe\"",
            "1795327660.5",
            "1795327660500",
            "\"2026-11-22T06:07:40.5Z\"",
        ];
        let mut is_needed = |path: &String| {
            probes.iter().any(|probe| {
                let (text, _) = written(&record, Some((path, Change::To(probe.as_bytes()))));
                one_event(&mut decoder, &text) != Some(expected)
            })
        };
        let needed: BTreeSet<String> = paths.iter().filter(|path| is_needed(path)).cloned().collect();
        let last = ends.iter().filter(|(path, _)| needed.contains(path)).map(|(_, end)| *end).max()?;
        let free = paths.into_iter().filter(|path| !needed.contains(path)).collect();
        Some(Self { decoder, expected, text, record, free, needed: last + 1 })
    }

    /// The record with one change: what was changed, the bytes, and whether it must still be the same event.
    pub fn mutated(&self, victim: &Victim, random: &mut Xoshiro256PlusPlus) -> (&'static str, Vec<u8>, bool) {
        let Some(path) = self.free.choose(random) else { return ("unchanged", self.text.clone(), true) };
        let to = |bytes: &[u8]| written(&self.record, Some((path, Change::To(bytes)))).0;
        match random.random_range(0..12) {
            0 => ("absent", written(&self.record, Some((path, Change::Gone))).0, true),
            1 => ("null or another type", to(WORDS.choose(random).expect("not empty")), true),
            2 => ("no value, or without quotes", to(BARE.choose(random).expect("not empty")), true),
            3 => ("bytes that are no UTF-8", to(&quoted(&random_bytes(random, 0x80..=0xff))), true),
            4 => ("any byte but quotes and ends", to(&quoted(&random_bytes(random, 0..=0xff))), true),
            5 => ("escapes that are none", to(ESCAPES.choose(random).expect("not empty")), true),
            6 => {
                let length =
                    if random.random_range(0..50) == 0 { 300_000 } else { random.random_range(0..3_000) };
                ("a long text", to(&quoted(&vec![b'a'; length])), true)
            }
            7 => {
                let fragment = victim.fragments.choose(random).expect("not empty");
                let text = serde_json::to_string(fragment).expect("a text");
                ("a text that looks like JSON", to(text.as_bytes()), true)
            }
            8 => {
                let fragment = victim.fragments.choose(random).expect("not empty");
                let text = fragment.replace('\\', "\\x5C").replace('"', "\\x22").replace('\n', "\\x0A");
                ("the same, in escapes of NGINX", to(&quoted(text.as_bytes())), true)
            }
            9 => {
                let at = random.random_range(self.needed..=self.text.len());
                ("cut", self.text[..at].to_vec(), true)
            }
            10 => {
                let fragment = victim.fragments.choose(random).expect("not empty");
                let (text, _) = {
                    let text = serde_json::to_string(fragment).expect("a text");
                    written(&self.record, Some((path, Change::To(text.as_bytes()))))
                };
                let at = random.random_range(0..=text.len());
                ("hostile text, cut anywhere", text[..at].to_vec(), false)
            }
            _ => ("structure", structural(&self.text, random), false),
        }
    }
}

const WORDS: [&[u8]; 10] = [
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"[]",
    b"{}",
    b"[[1],{\"a\":2}]",
    b"{\"a\":{\"b\":[]}}",
    b"\"\"",
    b"\"-\"",
];
const BARE: [&[u8]; 10] = [
    b"",
    b"-",
    b".5",
    b"01",
    b"nan",
    b"0,033",
    b"0.1, 0.2 : 0.3",
    b"1m2s",
    b"undefined",
    b"2026-11-22T06:07:40Z",
];
const ESCAPES: [&[u8]; 8] = [
    br#""\x22""#,
    br#""\u12""#,
    br#""\ud800""#,
    br#""\udc00\ud800x""#,
    br#""\'""#,
    br#""\0""#,
    br#""\u""#,
    b"\"\\\xc3\xa9\"",
];

fn quoted(text: &[u8]) -> Vec<u8> {
    [b"\"", text, b"\""].concat()
}

/// Bytes that a gateway may hand on as they are: any but those that end a text or a line.
fn random_bytes(random: &mut Xoshiro256PlusPlus, range: std::ops::RangeInclusive<u8>) -> Vec<u8> {
    let length = random.random_range(1..20);
    let bytes = std::iter::repeat_with(|| random.random_range(range.clone()));
    bytes.filter(|byte| !matches!(byte, b'"' | b'\\' | b'\n')).take(length).collect()
}

/// Cuts, flips, doubles and replaces bytes, so that most of the record still looks like one.
fn structural(text: &[u8], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len().max(1));
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = random.random(),
            2 if !bytes.is_empty() => bytes[at] = *b"{}[]\",:-0\\\n".choose(random).expect("not empty"),
            3 => bytes.splice(at..at, b"[[[[{\"a\":".iter().copied()).for_each(drop),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let copy = bytes[at.min(bytes.len())..].to_vec();
                bytes.extend(copy);
            }
        }
    }
    bytes
}

fn one_event(decoder: &mut Decoder, payload: &[u8]) -> Option<(EventTime, KeyId)> {
    let mut events = Vec::new();
    decoder.decode(payload, &Bump::new(), |decoded| {
        events.push(match decoded {
            Decoded::Request(request) => Some((request.event.time, request.event.key)),
            _ => None,
        });
    });
    if let [event] = events[..] { event } else { None }
}

/// The paths of all values that are no object, and lists as a whole.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, &format!("{path}/{name}"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

#[derive(Clone, Copy)]
enum Change<'c> {
    To(&'c [u8]),
    Gone,
}

/// The record as text, with one value changed, and where each value ends.
fn written(record: &Value, change: Option<(&str, Change<'_>)>) -> (Vec<u8>, Vec<(String, usize)>) {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    write(record, "", change, &mut text, &mut ends);
    (text, ends)
}

fn write(
    value: &Value,
    path: &str,
    change: Option<(&str, Change<'_>)>,
    text: &mut Vec<u8>,
    ends: &mut Vec<(String, usize)>,
) {
    match (value, change) {
        (_, Some((changed, Change::To(bytes)))) if changed == path => text.extend_from_slice(bytes),
        (Value::Object(members), _) => {
            text.push(b'{');
            let mut is_first = true;
            for (name, value) in members {
                let path = format!("{path}/{name}");
                if matches!(change, Some((changed, Change::Gone)) if changed == path) {
                    continue;
                }
                if !std::mem::take(&mut is_first) {
                    text.push(b',');
                }
                text.extend(serde_json::to_vec(name).expect("a name"));
                text.push(b':');
                write(value, &path, change, text, ends);
            }
            text.push(b'}');
        }
        (value, _) => text.extend(serde_json::to_vec(value).expect("a value")),
    }
    ends.push((path.to_owned(), text.len()));
}
