//! A JSON reader that borrows: it walks over a text and yields strings and numbers as they are written.
//!
//! A general parser turns what it reads into values; records are mostly skipped over, and numbers are read later in
//! the mapping's unit. Strict (RFC 8259): a property test holds that it accepts what `serde_json` accepts, and reads
//! the same. `docs/decisions/010-json-reader.md` has the measurements that led to it.

use bumpalo::Bump;

use super::{Reject, layout::Step, record::DEPTH_MAX, unescape::unescape};

/// A place in a JSON text.
pub(super) struct Json<'a> {
    text: &'a str,
    at: usize,
    /// Open brackets.
    depth: usize,
    /// The string that was read last has escapes.
    escaped: bool,
    failure: Reject,
}

/// The text is not JSON; [`Json::failure`] says why.
///
/// Empty, so that results pass in registers: through memory, with the reason in them, they cost a third of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// What a value is, by its first byte; the reader stands after it, or for a number and a literal at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    /// `true`, `false` or `null`.
    Literal,
}

impl<'a> Json<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, escaped: false, failure: Reject::NotJson }
    }

    /// The byte at which the reader stands.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The bytes from `begin` to where the reader stands.
    pub fn since(&self, begin: usize) -> &'a [u8] {
        &self.text.as_bytes()[begin..self.at]
    }

    /// Passes a step if it stands here.
    #[inline]
    pub fn pass(&mut self, step: &Step) -> bool {
        match step.begins(&self.text.as_bytes()[self.at..]) {
            Some(length) => {
                self.at += length;
                true
            }
            None => false,
        }
    }

    /// A value of this kind has been begun by [`Self::pass`].
    #[inline]
    pub fn opened(&mut self, kind: Kind) -> Result<Kind, Failed> {
        if matches!(kind, Kind::Object | Kind::Array) {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.fail(Reject::TooDeep));
            }
        }
        Ok(kind)
    }

    /// Why reading failed.
    pub fn failure(&self) -> Reject {
        self.failure
    }

    #[cold]
    fn fail(&mut self, reject: Reject) -> Failed {
        self.failure = reject;
        Failed
    }

    /// Skips white space; whether the text ends there.
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Begins a value.
    #[inline]
    pub fn value(&mut self) -> Result<Kind, Failed> {
        let kind = match self.next()? {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'-' | b'0'..=b'9' => return Ok(Kind::Number),
            b't' | b'f' | b'n' => return Ok(Kind::Literal),
            _ => return Err(self.fail(Reject::NotJson)),
        };
        self.at += 1;
        self.opened(kind)
    }

    /// Whether an object has another member. `first` is set for the first one.
    #[inline]
    pub fn member(&mut self, first: bool) -> Result<bool, Failed> {
        let byte = self.next()?;
        if byte == b'}' {
            self.close();
            return Ok(false);
        }
        if !first {
            self.expect(byte, b',')?;
        }
        Ok(true)
    }

    #[inline]
    fn close(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// A member's name, up to its value.
    #[inline]
    pub fn name(&mut self) -> Result<&'a str, Failed> {
        let quote = self.next()?;
        self.expect(quote, b'"')?;
        let name = self.string()?;
        let colon = self.next()?;
        self.expect(colon, b':')?;
        Ok(name)
    }

    /// Whether an array has another element. `first` is set for the first one.
    pub fn element(&mut self, first: bool) -> Result<bool, Failed> {
        let byte = self.next()?;
        if byte == b']' {
            self.close();
            return Ok(false);
        }
        if !first {
            self.expect(byte, b',')?;
        }
        Ok(true)
    }

    /// The string that has begun, with its escapes still in it: see [`Self::unescaped`].
    #[inline]
    pub fn string(&mut self) -> Result<&'a str, Failed> {
        let begin = self.at;
        self.escaped = false;
        loop {
            self.at += plain_bytes(&self.text.as_bytes()[self.at..]);
            match self.here() {
                Some(b'"') => {
                    let raw = &self.text[begin..self.at];
                    self.at += 1;
                    return Ok(raw);
                }
                Some(b'\\') => {
                    self.escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fail(Reject::NotJson)),
                None => return Err(self.fail(Reject::Truncated)),
            }
        }
    }

    /// The text of the string or name that was read last, in the arena if it had escapes. `None` for half of a
    /// surrogate pair, which is no text.
    #[inline]
    pub fn unescaped(&self, raw: &'a str, arena: &'a Bump) -> Option<&'a str> {
        if self.escaped { unescape(raw, arena) } else { Some(raw) }
    }

    /// Checks an escape sequence and passes it.
    fn escape(&mut self) -> Result<(), Failed> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let hex = rest[1..].iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
                if hex < 4 {
                    let reject = if rest.len() == 1 + hex { Reject::Truncated } else { Reject::NotJson };
                    return Err(self.fail(reject));
                }
                self.at += 6;
            }
            Some(_) => return Err(self.fail(Reject::NotJson)),
            None => return Err(self.fail(Reject::Truncated)),
        }
        Ok(())
    }

    /// The number at which the reader stands, as written.
    #[inline]
    pub fn number(&mut self) -> Result<&'a str, Failed> {
        let begin = self.at;
        self.at += usize::from(self.here() == Some(b'-'));
        match self.here() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.here() {
            self.at += 1;
            self.at += usize::from(matches!(self.here(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[begin..self.at])
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Failed> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            let reject = if rest.is_empty() { Reject::Truncated } else { Reject::NotJson };
            return Err(self.fail(reject));
        }
        self.at += count;
        Ok(())
    }

    /// Passes `true`, `false` or `null`.
    pub fn literal(&mut self) -> Result<(), Failed> {
        let rest = &self.text[self.at..];
        for word in ["true", "false", "null"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
            if word.starts_with(rest) {
                return Err(self.fail(Reject::Truncated));
            }
        }
        Err(self.fail(Reject::NotJson))
    }

    /// Passes what is left of a value of which [`Self::value`] has read the beginning.
    ///
    /// Without recursion: the kinds of the open brackets are bits, of which there are more than [`DEPTH_MAX`].
    #[inline]
    pub fn skip(&mut self, kind: Kind) -> Result<(), Failed> {
        match kind {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Literal => self.literal(),
            Kind::Object | Kind::Array => self.skip_nested(kind),
        }
    }

    fn skip_nested(&mut self, kind: Kind) -> Result<(), Failed> {
        let (mut depth, mut objects, mut first) = (0_u32, 0_u64, false);
        let mut kind = Some(kind);
        loop {
            match kind {
                Some(Kind::String) => drop(self.string()?),
                Some(Kind::Number) => drop(self.number()?),
                Some(Kind::Literal) => self.literal()?,
                Some(opened @ (Kind::Object | Kind::Array)) => {
                    depth += 1;
                    objects = objects << 1 | u64::from(opened == Kind::Object);
                    first = true;
                }
                None => {
                    depth -= 1;
                    objects >>= 1;
                }
            }
            if depth == 0 {
                return Ok(());
            }
            let more = if objects & 1 == 1 {
                let more = self.member(first)?;
                if more {
                    self.name()?;
                }
                more
            } else {
                self.element(first)?
            };
            first = false;
            kind = if more { Some(self.value()?) } else { None };
        }
    }

    /// The next byte that is no white space; there must be one.
    #[inline]
    fn next(&mut self) -> Result<u8, Failed> {
        match self.peek() {
            Some(byte) => Ok(byte),
            None => Err(self.fail(Reject::Truncated)),
        }
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.here() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte,
            }
        }
    }

    #[inline]
    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8, wanted: u8) -> Result<(), Failed> {
        if byte != wanted {
            return Err(self.fail(Reject::NotJson));
        }
        self.at += 1;
        Ok(())
    }
}

/// How many bytes there are before a quote, a backslash or a control character: 16 at a time.
#[cfg(target_arch = "x86_64")]
#[inline]
fn plain_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<16>() {
        // SAFETY: SSE2 is part of x86-64.
        #[allow(unsafe_code)]
        let marked = unsafe { marks(chunk) };
        if marked != 0 {
            return at + marked.trailing_zeros() as usize;
        }
        at += 16;
    }
    at + plain_bytes_by_word(&bytes[at..])
}

/// A bit for each byte that is a quote, a backslash or a control character.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn marks(bytes: &[u8; 16]) -> i32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let (halves, _) = bytes.as_chunks::<8>();
    let word = _mm_set_epi64x(i64::from_le_bytes(halves[1]), i64::from_le_bytes(halves[0]));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(word, _mm_set1_epi8(0x1f)), word);
    let quote = _mm_cmpeq_epi8(word, _mm_set1_epi8(0x22));
    let backslash = _mm_cmpeq_epi8(word, _mm_set1_epi8(0x5c));
    _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash)))
}

#[cfg(not(target_arch = "x86_64"))]
use plain_bytes_by_word as plain_bytes;

/// The same on any processor: eight at a time.
#[inline]
fn plain_bytes_by_word(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // The lowest byte that is marked is right; those above it may not be (a borrow), and are not looked at.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let marked = (below(word, 0x20) | below(quote, 1) | below(backslash, 1)) & TOPS;
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    at + rest.unwrap_or(bytes.len() - at)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
