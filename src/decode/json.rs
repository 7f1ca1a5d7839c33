//! A JSON reader that borrows: it walks over a text and yields strings and numbers as they are written.
//!
//! A general parser turns what it reads into values; records are mostly skipped over, and numbers are read later in
//! the mapping's unit. Strict (RFC 8259): a property test holds that it accepts what `serde_json` accepts, and reads
//! the same. `docs/decisions/010-json-reader.md` has the measurements that led to it.
//!
//! What the strict reader refuses is read once more by the lenient one (`lenient.rs`): the same code, in which
//! `LENIENT` opens the branches for what is no JSON.

use bumpalo::Bump;

use super::{
    Reject,
    layout::Step,
    plain_bytes::plain_bytes,
    record::DEPTH_MAX,
    unescape::{Escapes, repaired, unescape},
};

/// A place in a JSON text.
pub(super) struct Json<'a, const LENIENT: bool = false> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// Open brackets.
    depth: usize,
    /// What escapes the string has that was read last.
    pub(super) escapes: Escapes,
    failure: Reject,
    /// A text had an escape that stands for no character, and was repaired.
    pub is_repaired: bool,
    /// The value to come is an array's element.
    pub(super) in_array: bool,
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
    /// No value where one should be; lenient only.
    Missing,
}

impl<'a> Json<'a> {
    pub fn new(text: &'a str) -> Self {
        Self::at(text, 0, 0)
    }

    /// Goes on behind what the lenient reader has read.
    pub fn resume(&mut self, lenient: &Json<'a, true>) {
        (self.depth, self.at) = (lenient.depth, lenient.at);
    }
}

impl<'a, const LENIENT: bool> Json<'a, LENIENT> {
    /// A reader that stands at a byte of a text, within so many brackets.
    pub fn at(text: &'a str, at: usize, depth: usize) -> Self {
        let failure = Reject::NotJson;
        Self { text, at, depth, escapes: Escapes::None, failure, is_repaired: false, in_array: false }
    }

    /// Open brackets.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The text that is read.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Where the reader stands.
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
            if !LENIENT && self.depth > DEPTH_MAX {
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
    pub(super) fn fail(&mut self, reject: Reject) -> Failed {
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
        if LENIENT {
            return self.lenient_value();
        }
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
        if LENIENT { self.another_member() } else { Ok(true) }
    }

    #[inline]
    pub(super) fn close(&mut self) {
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
        self.in_array = false;
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
        self.in_array = true;
        Ok(true)
    }

    /// The string that has begun, with its escapes still in it: see [`Self::unescaped`].
    #[inline]
    pub fn string(&mut self) -> Result<&'a str, Failed> {
        let begin = self.at;
        self.escapes = Escapes::None;
        loop {
            self.at += plain_bytes(&self.text.as_bytes()[self.at..]);
            match self.here() {
                Some(b'"') => {
                    let raw = &self.text[begin..self.at];
                    self.at += 1;
                    return Ok(raw);
                }
                Some(b'\\') => {
                    self.escape()?;
                }
                Some(byte) if LENIENT => self.control(byte)?,
                Some(_) => return Err(self.fail(Reject::NotJson)),
                None => return Err(self.fail(Reject::Truncated)),
            }
        }
    }

    /// The text of the string or name that was read last, in the arena if it had escapes. What stands for no character,
    /// such as half of a surrogate pair, is replaced.
    #[inline]
    pub fn unescaped(&mut self, raw: &'a str, arena: &'a Bump) -> &'a str {
        if self.escapes == Escapes::None { raw } else { self.without_escapes(raw, arena) }
    }

    #[inline(never)]
    fn without_escapes(&mut self, raw: &'a str, arena: &'a Bump) -> &'a str {
        if self.escapes == Escapes::Known
            && let Some(text) = unescape(raw, arena)
        {
            return text;
        }
        self.is_repaired = true;
        repaired(raw, arena)
    }

    /// Checks an escape sequence and passes it.
    fn escape(&mut self) -> Result<(), Failed> {
        if LENIENT {
            return self.lenient_escape();
        }
        self.escapes = Escapes::Known;
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
        if LENIENT {
            return self.bare();
        }
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
            Kind::Missing => Ok(()),
            Kind::Object | Kind::Array if LENIENT => self.skip_brackets(),
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
                Some(Kind::Missing) => {}
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
    pub(super) fn next(&mut self) -> Result<u8, Failed> {
        match self.peek() {
            Some(byte) => Ok(byte),
            None => Err(self.fail(Reject::Truncated)),
        }
    }

    /// The next byte that is no white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.here() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte,
            }
        }
    }

    #[inline]
    pub(super) fn here(&self) -> Option<u8> {
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

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
