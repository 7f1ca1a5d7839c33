//! The reader of records: from bytes to requests.
//!
//! The first byte chooses the format, the rest is the record. No raw key comes out; each record gives something, and
//! not more than it has lines, brackets or quotes for; a line is read alike whether a good one stands before it or not;
//! a line that a container runtime has split is joined to the same bytes.

use std::cell::RefCell;

use bumpalo::Bump;
use keyhound::{
    decode::{Decoded, Decoder, Fingerprinter, Format, KeyPolicy, Pepper, Settings, fingerprint, presets},
    source::{LogLines, Step},
};
use serde_json::Value;

use super::{CANARY, contains, memory::bounded, seeds};

/// A record of which the compressed form is read may unpack to much more.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// 64 MiB in a list that has grown by doubling, and a copy of it.
const UNZIPPED_HELD: usize = 320 << 20;
/// What a record may make the reader hold, and each byte of it, the texts of what it gave among it.
const HELD: usize = 256 << 10;
const HELD_OF_BYTE: usize = 2 << 10;

/// A format's decoder, and a line that is one request in it.
struct Reader {
    decoder: Decoder,
    good: Option<String>,
}

thread_local! {
    static READERS: RefCell<Vec<Reader>> = RefCell::new(readers());
}

fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).expect("32 bytes")
}

fn readers() -> Vec<Reader> {
    let pepper = pepper();
    let mut readers = Vec::new();
    for name in presets::names() {
        for policy in [KeyPolicy::Raw, KeyPolicy::Credential] {
            let settings = Settings::new(Format::preset(name).expect("a preset"), policy);
            let fingerprinter = Fingerprinter::with_entries(&pepper, 64);
            let mut decoder = Decoder::with_fingerprinter(&settings, fingerprinter).expect("a valid preset");
            let mut is_good = |line: &String| {
                let read = read(&mut decoder, line.as_bytes());
                read.len() == 1 && read[0].starts_with("Request")
            };
            let good = goldens(name).into_iter().find(|line| is_good(line));
            readers.push(Reader { decoder, good });
        }
    }
    readers
}

fn goldens(name: &str) -> Vec<String> {
    let text = seeds::read(&format!("tests/golden/{name}.jsonl"));
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// The golden records, each with the canary as its key, and in the place of one of its other texts besides.
pub fn seeds() -> Vec<Vec<u8>> {
    let own = fingerprint(&pepper(), CANARY.as_bytes()).to_string();
    let mut seeds = Vec::new();
    for (format, name) in (0u8..).step_by(2).zip(presets::names()) {
        let of = |policy: u8, text: &str| [&[format + policy], text.as_bytes()].concat();
        for line in goldens(name) {
            seeds.extend([0, 1].map(|policy| of(policy, &line)));
            let Ok(record) = serde_json::from_str::<Value>(&line) else { continue };
            let mut texts = 0;
            let _ = replaced(&record, &[], &mut texts);
            let with = |places: &[usize]| replaced(&record, places, &mut 0).to_string();
            let is_key = |nth: &usize| {
                READERS.with_borrow_mut(|readers| {
                    let read = read(&mut readers[usize::from(format)].decoder, with(&[*nth]).as_bytes());
                    read.iter().any(|told| told.contains(&own))
                })
            };
            let Some(key) = (0..texts).find(is_key) else { continue };
            seeds.extend((0..texts).map(|nth| of(0, &with(&[key, nth]))));
        }
    }
    seeds
}

/// The value with the canary in its texts of these numbers; counts the texts.
fn replaced(value: &Value, places: &[usize], count: &mut usize) -> Value {
    match value {
        Value::String(_) => {
            *count += 1;
            if places.contains(&(*count - 1)) { CANARY.into() } else { value.clone() }
        }
        Value::Array(values) => values.iter().map(|value| replaced(value, places, count)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), replaced(value, places, count)));
            Value::Object(members.collect())
        }
        _ => value.clone(),
    }
}

/// What a record is read as, as texts, without the index within the record.
fn read(decoder: &mut Decoder, record: &[u8]) -> Vec<String> {
    let mut read = Vec::new();
    let arena = Bump::new();
    decoder.decode(record, &arena, |decoded| {
        read.push(match decoded {
            Decoded::Request(mut request) => {
                request.event.position.index = 0;
                format!("{:?}", Decoded::Request(request))
            }
            decoded => format!("{decoded:?}"),
        });
    });
    read
}

pub fn run(input: &[u8]) {
    let Some((format, record)) = input.split_first() else { return };
    READERS.with_borrow_mut(|readers| {
        let count = readers.len();
        let reader = &mut readers[usize::from(*format) % count];
        let is_zipped = record.starts_with(&GZIP);
        let most = if is_zipped { UNZIPPED_HELD } else { HELD + HELD_OF_BYTE * record.len() };
        let alone = bounded(most, || read(&mut reader.decoder, record));
        assert!(!alone.is_empty(), "nothing came of it");
        assert!(is_zipped || alone.len() <= record.len() + 1, "{} of {} bytes", alone.len(), record.len());
        if contains(record, CANARY) {
            alone.iter().for_each(|told| without_canary(told));
        }
        if let Some(good) = &reader.good {
            behind(&mut reader.decoder, good, record, &alone);
        }
    });
    split(record);
}

/// An event of the canary's has it nowhere. One of another key may have it as a name that the gateway's operators gave to
/// a route or a consumer, and not where a caller writes.
fn without_canary(told: &str) {
    let told = told.to_ascii_lowercase();
    let own = fingerprint(&pepper(), CANARY.as_bytes()).to_string();
    let by_caller = told.split_once("agent: ").map_or("", |(_, rest)| rest);
    let by_caller = by_caller.split("request_bytes: ").next().unwrap_or_default();
    let looked_at = if told.contains(&own) { &told } else { by_caller };
    assert!(!looked_at.contains(&CANARY.to_ascii_lowercase()), "{told}");
}

/// Behind a good record on a line of its own, a record is read as alone.
fn behind(decoder: &mut Decoder, good: &str, record: &[u8], alone: &[String]) {
    // Bytes that are no UTF-8 are told of the whole; blanks alone are nothing behind a record.
    let Ok(text) = std::str::from_utf8(record) else { return };
    if text.trim_ascii().is_empty() || text.contains('\u{fffd}') {
        return;
    }
    let both = read(decoder, format!("{good}\n{text}").as_bytes());
    let first = read(decoder, good.as_bytes());
    assert_eq!(both[..1], first[..], "the good record");
    assert_eq!(&both[1..], alone, "behind a good record");
}

/// Written by a container runtime in parts, a line is joined to what it is in one part. A carriage return at its end is
/// of the line break, in whichever part it stands; any other one is text.
fn split(record: &[u8]) {
    let line = record.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() < 2 {
        return;
    }
    let head = "2026-11-29T17:00:00.000000000Z stdout ";
    let whole = [head.as_bytes(), b"F ", line].concat();
    let expected = whole.strip_suffix(b"\r").unwrap_or(&whole);
    for at in [1 + usize::from(line[0]) % (line.len() - 1), line.len()] {
        let (first, last) = line.split_at(at);
        let parts = [head.as_bytes(), b"P ", first, b"\n", head.as_bytes(), b"F ", last].concat();
        for cut in [whole.len() / 2, parts.len() / 3] {
            assert_eq!(joined(&whole, cut), [expected], "in one part");
            assert_eq!(joined(&parts, cut), [expected], "in two parts");
        }
    }
}

/// The lines of a log that comes in two pieces.
fn joined(log: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let log = [log, b"\n"].concat();
    let (first, last) = log.split_at(cut.min(log.len()));
    let mut lines = LogLines::new(std::io::Read::chain(first, last), 0, 8 << 20);
    let mut found = Vec::new();
    while let Ok(Step::Line(line)) = lines.step() {
        found.push(line.bytes.to_vec());
    }
    found
}
