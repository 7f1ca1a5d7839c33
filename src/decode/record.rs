//! A record's outside: its limits, its compression, its wrappers, and the requests within it one by one.

use std::io::Read;

use bumpalo::Bump;

use super::{
    Coverage, Decoded, Reject,
    fields::{Fields, Slot},
    json::{Failed, Json, Kind},
    layout::Layout,
    plan::{Plan, ROOT},
    request::Assembler,
    scan::Scan,
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
    pub layout: &'p mut Layout,
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
            self.reject(reject);
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
                self.reject(reject);
            }
        }
        Ok(())
    }

    /// JSON values one after the other; after a broken one, the next line that begins with an object.
    fn values(&mut self, text: &'a str, wrappers: u8) -> Result<(), Reject> {
        let mut rest = text;
        loop {
            let mut json = Json::new(rest);
            rest = match self.value(&mut json, wrappers) {
                Ok(()) if json.is_at_end() => return Ok(()),
                Ok(()) => &rest[json.offset()..],
                Err(Failed) => {
                    let reject = json.failure();
                    // What an array held before the error has been decoded already; of an object, nothing has.
                    let from = if rest.starts_with('[') { json.offset() } else { 0 };
                    let Some(next) = rest.as_bytes()[from..].windows(2).position(|pair| pair == b"\n{")
                    else {
                        return Err(reject);
                    };
                    self.reject(reject);
                    &rest[from + next + 1..]
                }
            };
        }
    }

    /// A value that is a record, an array of them, or a text that holds one: JSON that was quoted once more.
    fn value(&mut self, json: &mut Json<'a>, wrappers: u8) -> Result<(), Failed> {
        match json.value()? {
            Kind::Object => {
                let mut fields = Fields::new();
                let (plan, layout, arena) = (self.plan, &mut *self.layout, self.arena);
                Scan { plan, layout, arena, json, fields: &mut fields }.object(ROOT, wrappers)?;
                self.finish(&fields, wrappers);
                Ok(())
            }
            Kind::Array if wrappers < WRAPPERS_MAX => self.array(json, wrappers + 1),
            Kind::String if wrappers < WRAPPERS_MAX => {
                let raw = json.string()?;
                let text = json.unescaped(raw, self.arena).filter(|text| text.contains('{'));
                let decoded = text.map_or(Err(Reject::WrongType), |text| self.text(text, wrappers + 1));
                if let Err(reject) = decoded {
                    self.reject(reject);
                }
                Ok(())
            }
            kind => {
                json.skip(kind)?;
                let is_wrapper = matches!(kind, Kind::Array | Kind::String);
                let reject = if is_wrapper { Reject::WrappedTooDeep } else { Reject::WrongType };
                self.reject(reject);
                Ok(())
            }
        }
    }

    fn array(&mut self, json: &mut Json<'a>, wrappers: u8) -> Result<(), Failed> {
        let mut first = true;
        while json.element(first)? {
            first = false;
            self.value(json, wrappers)?;
        }
        if first {
            self.reject(Reject::Empty);
        }
        Ok(())
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
                self.reject(reject);
            }
        }
    }

    /// A record, or what should have been one, of which nothing can be read.
    fn reject(&mut self, reason: Reject) {
        self.emit(Decoded::Rejected { reason, key: None, time: None });
    }

    #[allow(clippy::large_types_passed_by_value)] // on its way to the sink, which takes it whole
    fn emit(&mut self, decoded: Decoded<'a>) {
        self.index = self.index.saturating_add(1);
        (self.sink)(decoded);
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

fn unzipped<'a>(payload: &[u8], arena: &'a Bump) -> Result<&'a [u8], Reject> {
    let mut plain = Vec::new();
    let limit = BATCH_BYTES_MAX as u64 + 1;
    flate2::read::MultiGzDecoder::new(payload)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_| Reject::BadGzip)?;
    if plain.len() > BATCH_BYTES_MAX { Err(Reject::TooLarge) } else { Ok(arena.alloc_slice_copy(&plain)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syslog_header_is_cut_off() {
        assert_eq!(without_prefix("<134>Nov 22 06:09:18 edge haproxy[7]: {\"a\":1}"), "{\"a\":1}");
        assert_eq!(without_prefix("no json"), "no json");
    }
}
