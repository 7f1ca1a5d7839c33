//! What the lenient reader makes of a text that is no JSON.
//!
//! It reads past values that are missing, words without quotes, escapes and control characters that JSON does not know,
//! and brackets however deep. One thing it never does is to look for a place to go on from: where a string ends is
//! always known, so that nothing that a caller wrote into a value is ever taken for a name. Where that cannot be known,
//! it ends, and what was read so far counts. A value at which the text ends is none: the rest of it is not known.

use super::{
    Reject,
    json::{Failed, Json, Kind},
    unescape::Escapes,
};

impl<'a, const LENIENT: bool> Json<'a, LENIENT> {
    /// Begins a value, if there is one.
    pub(super) fn lenient_value(&mut self) -> Result<Kind, Failed> {
        let kind = match self.next()? {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b',' | b'}' | b']' => return Ok(Kind::Missing),
            b':' | b'\\' => return Err(self.fail(Reject::NotJson)),
            _ if self.literal_end().is_some() => return Ok(Kind::Literal),
            _ => return Ok(Kind::Number),
        };
        self.at += 1;
        self.opened(kind)
    }

    /// Where `true`, `false` or `null` ends, if it stands here with nothing after it.
    fn literal_end(&self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word))?;
        let is_whole = matches!(
            rest.as_bytes().get(word.len()),
            Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')
        );
        is_whole.then_some(word.len())
    }

    /// Whether there is a member behind a comma: after the last there may be one too many.
    pub(super) fn another_member(&mut self) -> Result<bool, Failed> {
        while self.next()? == b',' {
            self.at += 1;
        }
        let ends = self.next()? == b'}';
        if ends {
            self.close();
        }
        Ok(!ends)
    }

    /// Passes an escape, of whatever.
    pub(super) fn lenient_escape(&mut self) -> Result<(), Failed> {
        let rest = &self.text[self.at + 1..];
        let Some(escaped) = rest.chars().next().filter(|escaped| *escaped != '\n') else {
            return Err(self.fail(Reject::Truncated));
        };
        let is_known = match escaped {
            '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => true,
            'u' => rest.bytes().skip(1).take(4).filter(u8::is_ascii_hexdigit).count() == 4,
            _ => false,
        };
        self.escapes = self.escapes.max(if is_known { Escapes::Known } else { Escapes::Odd });
        self.at += 1 + escaped.len_utf8();
        Ok(())
    }

    /// Passes a control character in a string. No string goes over the end of a line: that is where a line was cut.
    pub(super) fn control(&mut self, byte: u8) -> Result<(), Failed> {
        if byte == b'\n' {
            return Err(self.fail(Reject::Truncated));
        }
        self.at += 1;
        Ok(())
    }

    /// A word without quotes: a number, or what should have been quoted (`-`, `0.033s`, `0.1, 0.2 : 0.3`).
    pub(super) fn bare(&mut self) -> Result<&'a str, Failed> {
        let begin = self.at;
        loop {
            match self.here() {
                None => return Err(self.fail(Reject::Truncated)),
                Some(b'}' | b']' | b'\n') => break,
                Some(b',') if self.in_array || self.is_before_a_name() => break,
                Some(b'"' | b'\\' | b'{' | b'[') => return Err(self.fail(Reject::NotJson)),
                Some(_) => self.at += 1,
            }
        }
        Ok(self.text[begin..self.at].trim_ascii_end())
    }

    /// Whether behind the comma that stands here come a name, another comma or an end.
    fn is_before_a_name(&self) -> bool {
        let rest = self.text[self.at + 1..].trim_ascii_start();
        rest.is_empty() || rest.starts_with(['"', ',', '}'])
    }

    /// Passes what is left of an object or array by its brackets and strings alone.
    pub(super) fn skip_brackets(&mut self) -> Result<(), Failed> {
        let mut open = 1_usize;
        loop {
            match self.here() {
                None => return Err(self.fail(Reject::Truncated)),
                Some(b'"') => {
                    self.at += 1;
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => open += 1,
                Some(b'}' | b']') if open == 1 => {
                    self.close();
                    return Ok(());
                }
                Some(b'}' | b']') => open -= 1,
                Some(b'\n') if self.is_cut_here() => return Err(self.fail(Reject::Truncated)),
                Some(_) => {}
            }
            self.at += 1;
        }
    }

    /// Whether the line that ends here was cut, and the next record begins behind it.
    fn is_cut_here(&self) -> bool {
        let before = self.text[..self.at].trim_ascii_end();
        self.text[self.at + 1..].starts_with('{') && !before.ends_with(['[', ',', ':'])
    }
}
