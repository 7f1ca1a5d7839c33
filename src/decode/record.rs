//! A record's outside: its compression, its wrappers, and the requests within it one by one.
//!
//! Each request is handed on once, and so is each line or list of which nothing can be read.

use std::io::Read;

use bumpalo::Bump;

use super::{
    Coverage, Decoded, Reject,
    fields::{Fields, Slot},
    json::{Failed, Json, Kind},
    layout::Layout,
    lines::{is_text, next_record, without_brackets, without_prefix},
    plan::{Plan, ROOT},
    request::Assembler,
    scan::Scan,
};
use crate::event::Flags;

/// The most that a compressed record is unpacked to, in bytes.
pub const UNZIPPED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The deepest nesting of brackets that the strict reader takes.
pub const DEPTH_MAX: usize = 32;
/// How often, on average, a byte of a record may be read by the lenient reader.
const LENIENT_READS_MAX: usize = 4;
/// How many wrappers are opened, one within the other. An array counts as one.
pub const WRAPPERS_MAX: u8 = 2;

/// What became of a value that has been read to its end: handed on, or no record and why.
type ValueRead = Result<(), Reject>;

/// One record's way through the decoder.
pub(super) struct Pass<'p, 'a, S> {
    pub plan: &'p Plan,
    pub layout: &'p mut Layout,
    pub assembler: &'p mut Assembler,
    pub coverage: Option<&'p mut Coverage>,
    pub arena: &'a Bump,
    pub sink: S,
    /// Index of the next request within the record.
    pub index: u32,
    /// The record is no UTF-8: what was none has been replaced.
    pub is_repaired: bool,
    /// What failed last has been handed on.
    pub is_told: bool,
    /// How much the lenient reader may still read: of lines that never end, it would read all that follow each time.
    pub lenient_bytes: usize,
}

impl<'a, S: FnMut(Decoded<'a>)> Pass<'_, 'a, S> {
    /// Decodes all requests of a record.
    pub fn record(&mut self, payload: &'a [u8]) {
        let decoded = match payload {
            [0x1f, 0x8b, ..] => self.zipped(payload),
            payload => self.bytes(payload),
        };
        if let Err(reject) = decoded {
            self.reject(reject);
        }
    }

    /// A compressed record. If it is damaged, or unpacks to too much, what comes before that counts.
    fn zipped(&mut self, payload: &[u8]) -> Result<(), Reject> {
        let mut plain = Vec::new();
        let limit = UNZIPPED_BYTES_MAX as u64 + 1;
        let read = flate2::read::MultiGzDecoder::new(payload).take(limit).read_to_end(&mut plain);
        let is_too_large = plain.len() > UNZIPPED_BYTES_MAX;
        plain.truncate(UNZIPPED_BYTES_MAX);
        let decoded = self.bytes(self.arena.alloc_slice_copy(&plain));
        match read {
            Err(_) => Err(Reject::BadGzip),
            Ok(_) if is_too_large => Err(Reject::TooLarge),
            Ok(_) => decoded,
        }
    }

    fn bytes(&mut self, bytes: &'a [u8]) -> Result<(), Reject> {
        self.lenient_bytes = bytes.len().saturating_mul(LENIENT_READS_MAX);
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text, 0),
            Err(_) => self.repaired(bytes),
        }
    }

    /// A record that is no UTF-8. A caller writes what he likes into an agent: it hides nothing.
    #[cold]
    fn repaired(&mut self, bytes: &[u8]) -> Result<(), Reject> {
        self.is_repaired = true;
        self.text(self.arena.alloc_str(&String::from_utf8_lossy(bytes)), 0)
    }

    /// Decodes a text that holds a record, a list of them, or one after the other.
    fn text(&mut self, text: &'a str, wrappers: u8) -> Result<(), Reject> {
        let mut rest = without_prefix(text.trim_ascii());
        if rest.is_empty() {
            return Err(Reject::Empty);
        }
        loop {
            let mut json = Json::new(rest);
            let read = self.value(&mut json, wrappers);
            if read == Ok(Ok(())) && json.is_at_end() {
                return Ok(());
            }
            rest = match self.following(read, &json) {
                Some(next) => next,
                None => return Ok(()),
            };
        }
    }

    /// Where the next record begins after one that is not the last, or is none.
    fn following(&mut self, read: Result<ValueRead, Failed>, json: &Json<'a>) -> Option<&'a str> {
        let (text, at) = (json.text(), json.offset());
        let reason = match read {
            Ok(Ok(())) if text[at..].starts_with('{') => return Some(&text[at..]),
            Ok(Ok(())) => {
                // What follows a record on its line belongs to it.
                let is_new_line = text[text[..at].trim_ascii_end().len()..at].contains('\n');
                let rest = if is_new_line { &text[at..] } else { text[at..].split_once('\n')?.1 };
                return Some(without_prefix(rest.trim_ascii())).filter(|rest| !rest.is_empty());
            }
            Ok(Err(reason)) => reason,
            Err(Failed) => json.failure(),
        };
        if !std::mem::take(&mut self.is_told) {
            if let Some(record) = without_brackets(text) {
                return Some(record);
            }
            self.reject(self.reason(reason, text));
        }
        // What a list held before the fault has been decoded already; of an object, nothing has.
        next_record(&text[if text.starts_with('[') { at } else { 0 }..])
    }

    /// Why nothing can be read at the beginning of a text.
    fn reason(&self, reason: Reject, text: &str) -> Reject {
        let line = text.lines().next().unwrap_or_default();
        match reason {
            Reject::NotJson | Reject::WrongType if self.is_repaired && line.contains('\u{fffd}') => {
                Reject::NotUtf8
            }
            Reject::NotJson | Reject::WrongType if is_text(line) => Reject::TextLog,
            reason => reason,
        }
    }

    /// A value that is a record, a list of them, or a text that holds one: JSON that was quoted once more.
    fn value(&mut self, json: &mut Json<'a>, wrappers: u8) -> Result<ValueRead, Failed> {
        let depth = json.depth();
        match json.value()? {
            Kind::Object => {
                let begin = json.offset();
                let mut fields = Fields::new();
                let (plan, layout, arena) = (self.plan, &mut *self.layout, self.arena);
                if (Scan { plan, layout, arena, json, fields: &mut fields }).object(ROOT, wrappers).is_err() {
                    return self.lenient(json, (begin, depth), wrappers);
                }
                if json.is_repaired || self.is_repaired {
                    mark(json, begin, &mut fields);
                }
                self.finish(&fields, wrappers);
            }
            Kind::Array if wrappers < WRAPPERS_MAX => return self.array(json, wrappers + 1),
            Kind::String if wrappers < WRAPPERS_MAX => {
                let raw = json.string()?;
                let text = json.unescaped(raw, self.arena);
                if !text.contains('{') {
                    return Ok(Err(Reject::WrongType));
                }
                self.wrapped(text, wrappers);
            }
            kind => {
                json.skip(kind)?;
                let is_wrapper = matches!(kind, Kind::Array | Kind::String);
                return Ok(Err(if is_wrapper { Reject::WrappedTooDeep } else { Reject::WrongType }));
            }
        }
        Ok(Ok(()))
    }

    /// An object that is no JSON, and began at an offset, within so many brackets: all of it counts if one can read past the fault,
    /// and else what stands before it.
    #[cold]
    fn lenient(
        &mut self,
        json: &mut Json<'a>,
        (begin, depth): (usize, usize),
        wrappers: u8,
    ) -> Result<ValueRead, Failed> {
        if self.lenient_bytes == 0 {
            return Err(Failed);
        }
        let mut fields = Fields::new();
        let mut lenient = Json::<true>::at(json.text(), begin, depth + 1);
        let (plan, layout, arena) = (self.plan, &mut *self.layout, self.arena);
        let scan =
            Scan { plan, layout, arena, json: &mut lenient, fields: &mut fields }.object(ROOT, wrappers);
        self.lenient_bytes = self.lenient_bytes.saturating_sub(lenient.offset() - begin);
        if scan.is_ok() {
            json.resume(&lenient);
            fields.flags.set(Flags::REPAIRED);
            self.finish(&fields, wrappers);
            return Ok(Ok(()));
        }
        fields.flags.set(Flags::CUT);
        mark(&mut lenient, begin, &mut fields);
        if self.is_request(&fields) {
            self.request(&fields);
        } else if fields.wrapped.is_some() {
            self.wrapper(&fields, wrappers);
        } else {
            // Of what is no JSON, the lenient reader knows more.
            let failure = json.failure();
            let reason = if failure == Reject::NotJson { lenient.failure() } else { failure };
            let decoded = self.assembler.rejected(reason, &fields, arena);
            self.emit(decoded);
        }
        self.is_told = true;
        Err(Failed)
    }

    /// A list of records. What else is in it is told once.
    fn array(&mut self, json: &mut Json<'a>, wrappers: u8) -> Result<ValueRead, Failed> {
        let (mut first, mut decoded) = (true, Ok(()));
        while json.element(first)? {
            first = false;
            decoded = decoded.and(self.value(json, wrappers)?);
        }
        Ok(if first { Err(Reject::Empty) } else { decoded })
    }

    /// An object has been read: it is a request, or the wrapper of one or more.
    fn finish(&mut self, fields: &Fields<'a>, wrappers: u8) {
        let has_both = fields.has(Slot::Time) && fields.has(Slot::Status);
        if fields.wrapped.is_none() || has_both || self.is_request(fields) {
            self.request(fields);
        } else {
            self.wrapper(fields, wrappers);
        }
    }

    fn wrapper(&mut self, fields: &Fields<'a>, wrappers: u8) {
        for text in fields.wrapped.iter().chain(&fields.more_wrapped) {
            self.wrapped(text, wrappers);
        }
    }

    /// Whether an object has what makes an event. What its texts hold is a caller's then, and not the record.
    fn is_request(&self, fields: &Fields<'a>) -> bool {
        fields.has(Slot::Time) && self.assembler.has_key(fields, self.arena)
    }

    fn request(&mut self, fields: &Fields<'a>) {
        if let Some(coverage) = &mut self.coverage {
            coverage.count(fields);
        }
        let index = self.index;
        let decoded = self.assembler.assemble(fields, index, self.arena);
        self.emit(decoded);
        if !self.assembler.further.is_empty() {
            self.further(fields, index);
        }
    }

    /// The other events of a request that shows several keys. The request is put together once more: to keep it would
    /// cost each request a copy.
    #[cold]
    fn further(&mut self, fields: &Fields<'a>, index: u32) {
        let further = std::mem::take(&mut self.assembler.further);
        let decoded = self.assembler.assemble(fields, index, self.arena);
        self.assembler.further.clear();
        let Decoded::Request(mut request) = decoded else { return };
        request.event.flags.set(Flags::FURTHER_KEY);
        for key in further {
            request.event.key = key;
            request.event.position.index = self.index;
            self.emit(Decoded::Request(request));
        }
    }

    fn wrapped(&mut self, text: &'a str, wrappers: u8) {
        let decoded =
            if wrappers < WRAPPERS_MAX { self.text(text, wrappers + 1) } else { Err(Reject::WrappedTooDeep) };
        if let Err(reject) = decoded {
            self.reject(reject);
        }
    }

    /// A record, or what should have been one, of which nothing can be read.
    fn reject(&mut self, reason: Reject) {
        self.emit(Decoded::Rejected { reason, key: None, time: None });
    }

    #[inline]
    #[allow(clippy::large_types_passed_by_value)] // on its way to the sink, which takes it whole
    fn emit(&mut self, decoded: Decoded<'a>) {
        self.index = self.index.saturating_add(1);
        (self.sink)(decoded);
    }
}

/// Marks an object that has a text that was repaired.
#[cold]
fn mark<'a, const LENIENT: bool>(json: &mut Json<'a, LENIENT>, begin: usize, fields: &mut Fields<'a>) {
    let text = &json.text()[begin..json.offset()];
    if std::mem::take(&mut json.is_repaired) || text.contains('\u{fffd}') {
        fields.flags.set(Flags::REPAIRED);
    }
}
