//! A record's outside: its limits, its compression, its wrappers, and the requests within it one by one.

use std::{fmt, io::Read};

use bumpalo::Bump;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;

use super::{
    Coverage, Decoded, Reject,
    fields::{Fields, Slot},
    plan::{Plan, ROOT},
    request::Assembler,
    scan::At,
};

/// The longest record, in bytes; in a batch, the longest line.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The longest batch (a JSON array, several lines, or what a compressed record unpacks to), in bytes.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting of brackets.
pub const DEPTH_MAX: usize = 32;
/// How many wrappers are opened, one within the other. An array counts as one.
pub const WRAPPERS_MAX: u8 = 2;

/// How far into a line the JSON may begin, after a syslog header.
const PREFIX_BYTES_MAX: usize = 256;

/// One record's way through the decoder.
pub(super) struct Pass<'p, 'a, S> {
    pub plan: &'p Plan,
    pub assembler: &'p mut Assembler,
    pub coverage: Option<&'p mut Coverage>,
    pub arena: &'a Bump,
    pub sink: S,
    /// Index of the next request within the record.
    pub index: u16,
}

impl<'a, S: FnMut(Decoded<'a>)> Pass<'_, 'a, S> {
    /// Decodes all requests of a record.
    pub fn record(&mut self, payload: &'a [u8]) {
        if let Err(reject) = self.opened(payload) {
            self.emit(Decoded::Rejected(reject));
        }
    }

    fn opened(&mut self, payload: &'a [u8]) -> Result<(), Reject> {
        let payload = match payload {
            [0x1f, 0x8b, ..] => unzipped(payload, self.arena)?,
            payload => payload,
        };
        if payload.len() > BATCH_BYTES_MAX {
            return Err(Reject::TooLarge);
        }
        let text = std::str::from_utf8(payload).map_err(|_| Reject::NotUtf8)?;
        self.text(text, 0)
    }

    /// Decodes a text that holds a record, an array of them, or one after the other.
    fn text(&mut self, text: &'a str, wrappers: u8) -> Result<(), Reject> {
        let text = without_prefix(text.trim_ascii());
        if text.is_empty() {
            return Err(Reject::Empty);
        }
        if text.len() > RECORD_BYTES_MAX && !text.starts_with('[') {
            return self.lines(text, wrappers);
        }
        if too_deep(text.as_bytes()) {
            return Err(Reject::TooDeep);
        }
        self.values(text, wrappers)
    }

    /// A batch of lines that is longer than a record may be: each line is judged alone.
    fn lines(&mut self, text: &'a str, wrappers: u8) -> Result<(), Reject> {
        if !text.as_bytes()[..RECORD_BYTES_MAX].contains(&b'\n') {
            return Err(Reject::TooLarge);
        }
        for line in text.split('\n').filter(|line| !line.trim_ascii().is_empty()) {
            let decoded =
                if line.len() > RECORD_BYTES_MAX { Err(Reject::TooLarge) } else { self.text(line, wrappers) };
            if let Err(reject) = decoded {
                self.emit(Decoded::Rejected(reject));
            }
        }
        Ok(())
    }

    /// JSON values one after the other; after a broken one, the next line that begins with an object.
    fn values(&mut self, text: &'a str, wrappers: u8) -> Result<(), Reject> {
        let mut rest = text;
        loop {
            let mut json = Deserializer::from_str(rest);
            rest = match (Root { pass: self, wrappers }).deserialize(&mut json) {
                Ok(()) => match json.end() {
                    Ok(()) => return Ok(()),
                    Err(trailing) => &rest[offset(rest, &trailing)..],
                },
                Err(error) => {
                    // What an array held before the error has been decoded already; of an object, nothing has.
                    let from = if rest.starts_with('[') { offset(rest, &error) } else { 0 };
                    let reject = reject_of(&error);
                    let Some(next) = rest[from..].find("\n{") else { return Err(reject) };
                    self.emit(Decoded::Rejected(reject));
                    &rest[from + next + 1..]
                }
            };
        }
    }

    /// An object has been read: it is a request, or the wrapper of one or more.
    fn finish(&mut self, fields: &Fields<'a>, wrappers: u8) {
        let is_request = fields.has(Slot::Time) && fields.has(Slot::Status);
        let (false, Some(first)) = (is_request, fields.wrapped) else {
            if let Some(coverage) = &mut self.coverage {
                coverage.count(fields);
            }
            let decoded = self.assembler.assemble(fields, self.index, self.arena);
            return self.emit(decoded);
        };
        for text in std::iter::once(first).chain(fields.more_wrapped.iter().copied()) {
            let decoded = if wrappers < WRAPPERS_MAX {
                self.text(text, wrappers + 1)
            } else {
                Err(Reject::WrappedTooDeep)
            };
            if let Err(reject) = decoded {
                self.emit(Decoded::Rejected(reject));
            }
        }
    }

    fn emit(&mut self, decoded: Decoded<'a>) {
        self.index = self.index.saturating_add(1);
        (self.sink)(decoded);
    }
}

/// A value that is a record, or an array of them.
struct Root<'s, 'p, 'a, S> {
    pass: &'s mut Pass<'p, 'a, S>,
    wrappers: u8,
}

impl<'a, S: FnMut(Decoded<'a>)> Root<'_, '_, 'a, S> {
    fn not_an_object<E: Error>(self) -> Result<(), E> {
        self.pass.emit(Decoded::Rejected(Reject::WrongType));
        Ok(())
    }
}

impl<'a, S: FnMut(Decoded<'a>)> DeserializeSeed<'a> for Root<'_, '_, 'a, S> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, S: FnMut(Decoded<'a>)> Visitor<'a> for Root<'_, '_, 'a, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<M: MapAccess<'a>>(self, map: M) -> Result<(), M::Error> {
        let mut fields = Fields::new();
        let (plan, arena) = (self.pass.plan, self.pass.arena);
        At { plan, arena, fields: &mut fields, node: ROOT, wrappers: self.wrappers }.object(map)?;
        self.pass.finish(&fields, self.wrappers);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.wrappers >= WRAPPERS_MAX {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            self.pass.emit(Decoded::Rejected(Reject::WrappedTooDeep));
            return Ok(());
        }
        let wrappers = self.wrappers + 1;
        let mut empty = true;
        while seq.next_element_seed(Root { pass: &mut *self.pass, wrappers })?.is_some() {
            empty = false;
        }
        if empty {
            self.pass.emit(Decoded::Rejected(Reject::Empty));
        }
        Ok(())
    }

    /// A text within an array or a line: JSON that was quoted once more.
    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<(), E> {
        if self.wrappers >= WRAPPERS_MAX || !text.contains('{') {
            return self.not_an_object();
        }
        if let Err(reject) = self.pass.text(text, self.wrappers + 1) {
            self.pass.emit(Decoded::Rejected(reject));
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let text = self.pass.arena.alloc_str(text);
        self.visit_borrowed_str(text)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.not_an_object()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.not_an_object()
    }
}

/// Cuts a syslog header off (`<134>Nov 22 06:09:18 edge haproxy[7]: {…}`), if there is JSON soon after it.
fn without_prefix(text: &str) -> &str {
    if text.starts_with(['{', '[', '"']) {
        return text;
    }
    match text.bytes().take(PREFIX_BYTES_MAX).position(|byte| byte == b'{') {
        Some(begin) => &text[begin..],
        None => text,
    }
}

/// Whether brackets are nested deeper than [`DEPTH_MAX`]. A record with no more brackets than that cannot be: most
/// have not, and counting them costs a few nanoseconds.
fn too_deep(text: &[u8]) -> bool {
    opening_brackets(text) > DEPTH_MAX && nesting(text) > DEPTH_MAX
}

fn opening_brackets(text: &[u8]) -> usize {
    // Blocks short enough for a count in one byte, so that the compiler can use the vector unit.
    let in_block =
        |block: &[u8]| block.iter().fold(0_u8, |count, byte| count + u8::from(byte | 0x20 == b'{'));
    text.chunks(255).map(|block| usize::from(in_block(block))).sum()
}

fn nesting(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn unzipped<'a>(payload: &[u8], arena: &'a Bump) -> Result<&'a [u8], Reject> {
    let mut plain = Vec::new();
    let limit = BATCH_BYTES_MAX as u64 + 1;
    flate2::read::MultiGzDecoder::new(payload)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_| Reject::BadGzip)?;
    if plain.len() > BATCH_BYTES_MAX { Err(Reject::TooLarge) } else { Ok(arena.alloc_slice_copy(&plain)) }
}

fn reject_of(error: &serde_json::Error) -> Reject {
    match error.classify() {
        serde_json::error::Category::Eof => Reject::Truncated,
        serde_json::error::Category::Data => Reject::WrongType,
        _ => Reject::NotJson,
    }
}

/// The byte at which serde_json stopped: it says line and column, the column in bytes from 1.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let line_begin = match error.line() {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(newline, _)| newline + 1),
    };
    let mut offset = (line_begin + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_texts_only() {
        assert_eq!(nesting(br#"{"a":"[[[[","b":[{"c":"\"{"}]}"#), 3);
        assert_eq!(opening_brackets(&[b'['; 1000]), 1000);
        assert!(too_deep("[".repeat(33).as_bytes()));
        assert!(!too_deep(("[".repeat(32) + &"]".repeat(32)).as_bytes()));
        assert!(!too_deep(br#"[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]"#));
    }

    #[test]
    fn a_syslog_header_is_cut_off() {
        assert_eq!(without_prefix("<134>Nov 22 06:09:18 edge haproxy[7]: {\"a\":1}"), "{\"a\":1}");
        assert_eq!(without_prefix("no json"), "no json");
    }
}
