//! Lines out of a stream of bytes, in bounded memory.
//!
//! A line that is not complete yet waits; one that is too long is read on to its end but kept as its beginning
//! only, which says that it was cut: the decoder takes what stands before the cut, and the rest goes on.

use std::io::{self, ErrorKind, Read};

/// What is read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// A buffer that a long line has made larger than this is made small again after it.
const BUFFER_KEPT: usize = 1 << 20;

/// One line, without its line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The byte in the stream where it starts.
    pub offset: u64,
    /// The byte after its line break.
    pub next: u64,
    pub bytes: &'a [u8],
    /// Its whole length, if it was cut.
    pub cut_from: Option<u64>,
}

/// What the reader came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Line(Line<'a>),
    /// Nothing to read right now, from a stream that would block.
    Pending,
    /// The end of the stream, as it is now.
    End,
}

/// Where a line is: in the stream, and in the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    start: usize,
    /// The end of what is kept of it.
    keep: usize,
    /// The end of it in the buffer.
    at: usize,
    /// The byte in the stream where it starts.
    pub offset: u64,
    /// The byte after its line break.
    pub next: u64,
    dropped: u64,
    line_break: usize,
}

impl Span {
    /// Nothing, at a place in the stream.
    pub const fn empty(at: u64) -> Self {
        Self { start: 0, keep: 0, at: 0, offset: at, next: at, dropped: 0, line_break: 0 }
    }

    /// Of the whole line, without its line break.
    pub const fn length(&self) -> u64 {
        self.next - self.offset - self.line_break as u64
    }
}

/// What the reader came to, by its place.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    Line(Span),
    /// Nothing to read right now, from a stream that would block.
    Pending,
    /// The end of the stream, as it is now.
    End,
}

/// Splits what it reads into lines.
pub struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// The line that is being read is `buffer[start..end]`; no line break lies before `searched`.
    start: usize,
    searched: usize,
    end: usize,
    /// Where in the stream that line starts.
    offset: u64,
    /// How many bytes of it were thrown away.
    dropped: u64,
    /// How many lines were gone over.
    count: u64,
    /// The longest line that is kept whole, and what is kept of a longer one.
    bytes_max: usize,
}

impl<R: Read> LineReader<R> {
    /// Reads from `input`, whose first byte is at `offset` of the stream, at the start of a line. Of a line that is longer
    /// than `bytes_max` so much is kept.
    pub fn new(input: R, offset: u64, bytes_max: usize) -> Self {
        let buffer = vec![0; CHUNK_BYTES];
        Self { input, buffer, start: 0, searched: 0, end: 0, offset, dropped: 0, count: 0, bytes_max }
    }

    /// Where the line starts that is not complete yet: where reading goes on after a restart.
    pub const fn position(&self) -> u64 {
        self.offset
    }

    /// How many lines were gone over.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The stream itself, to set how it reads.
    pub const fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// The stream itself.
    pub const fn stream(&self) -> &R {
        &self.input
    }

    /// How far the stream itself has been read.
    pub const fn read_to(&self) -> u64 {
        self.offset + (self.end - self.start) as u64 + self.dropped
    }

    /// Goes over the next complete line, and says where it is until the reader goes on.
    pub fn advance(&mut self) -> io::Result<Found> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..self.end]) {
                return Ok(Found::Line(self.take(self.searched + at, 1)));
            }
            if self.end - self.start > self.bytes_max {
                self.dropped += (self.end - self.start - self.bytes_max) as u64;
                self.end = self.start + self.bytes_max;
            }
            self.searched = self.end;
            match self.fill() {
                Ok(0) => return Ok(Found::End),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Found::Pending),
                Err(error) => return Err(error),
            }
        }
    }

    /// The line that has no line break, once nothing more will come.
    pub fn rest(&mut self) -> Option<Span> {
        (self.end > self.start).then(|| self.take(self.end, 0))
    }

    /// Goes back over the line that was gone over last.
    pub fn put_back(&mut self, span: &Span) {
        (self.start, self.searched) = (span.start, span.at);
        (self.offset, self.dropped) = (span.offset, span.dropped);
        self.count -= 1;
    }

    /// The bytes of a line that was gone over, up to the line feed: with the carriage return before it.
    pub fn bytes(&self, span: &Span) -> &[u8] {
        &self.buffer[span.start..span.keep]
    }

    /// A line that was gone over.
    pub fn line(&self, span: &Span) -> Line<'_> {
        let cut_from = (span.length() > self.bytes_max as u64).then_some(span.length());
        Line {
            offset: span.offset,
            next: span.next,
            bytes: without_carriage_return(self.bytes(span)),
            cut_from,
        }
    }

    /// The line that ends before `at`, and as many bytes of line break.
    fn take(&mut self, at: usize, line_break: usize) -> Span {
        let length = (at - self.start) as u64 + self.dropped;
        // By its length alone: whether some of it was dropped hangs on how the reads fell.
        let keep = if length > self.bytes_max as u64 { self.start + self.bytes_max } else { at };
        let (start, offset, dropped) = (self.start, self.offset, self.dropped);
        self.offset += length + line_break as u64;
        self.start = at + line_break;
        self.searched = self.start;
        self.dropped = 0;
        self.count += 1;
        Span { start, keep, at, offset, next: self.offset, dropped, line_break }
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.searched -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() > BUFFER_KEPT && self.end < CHUNK_BYTES {
            self.buffer.truncate(CHUNK_BYTES);
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            // Bounded: a line is cut as soon as it is longer than `bytes_max`.
            self.buffer.resize(self.end + CHUNK_BYTES, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A line without the first byte of its line break, if that is `\r\n`.
pub fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::{BUFFER_KEPT, CHUNK_BYTES, Found, LineReader, Step};

    const BYTES_MAX: usize = 2 << 20;

    fn step<R: Read>(lines: &mut LineReader<R>) -> Step<'_> {
        match lines.advance().unwrap() {
            Found::Line(span) => Step::Line(lines.line(&span)),
            Found::Pending => Step::Pending,
            Found::End => Step::End,
        }
    }

    /// Gives its bytes in pieces of these sizes, in turn.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let size = self.sizes.next().copied().unwrap_or(1);
            let size = size.min(buffer.len()).min(self.bytes.len());
            buffer[..size].copy_from_slice(&self.bytes[..size]);
            self.bytes = &self.bytes[size..];
            Ok(size)
        }
    }

    proptest! {
        /// However the bytes arrive, the lines are those of splitting the whole text, and their places join up.
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_arrive(
            text in "[a-c\n]{0,300}",
            sizes in prop::collection::vec(1..40_usize, 1..5),
        ) {
            let pieces = Pieces { bytes: text.as_bytes(), sizes: sizes.iter().cycle() };
            let mut lines = LineReader::new(pieces, 0, BYTES_MAX);
            let (mut seen, mut at) = (Vec::new(), 0);
            while let Step::Line(line) = step(&mut lines) {
                prop_assert_eq!(line.offset, at);
                at = line.next;
                seen.push(line.bytes.to_vec());
            }
            prop_assert_eq!(lines.position(), at);
            prop_assert_eq!(lines.read_to(), text.len() as u64);
            seen.extend(lines.rest().map(|span| lines.bytes(&span).to_vec()));
            let expected: Vec<&[u8]> = text.split_terminator('\n').map(str::as_bytes).collect();
            prop_assert_eq!(seen, expected);
        }
    }

    /// Offset, next and text of each line; the remainder, if any, after a bar.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut lines = LineReader::new(text.as_bytes(), 0, BYTES_MAX);
        let mut seen = Vec::new();
        while let Step::Line(line) = step(&mut lines) {
            seen.push(format!("{}-{}:{}", line.offset, line.next, String::from_utf8_lossy(line.bytes)));
        }
        if let Some(span) = lines.rest() {
            let line = lines.line(&span);
            seen.push(format!("| {}-{}:{}", line.offset, line.next, String::from_utf8_lossy(line.bytes)));
        }
        assert_eq!(seen.join(" "), expected);
    }

    #[test]
    fn lines_carry_where_they_start_and_where_the_next_one_does() {
        check("a\nbc\n", "0-2:a 2-5:bc");
        check("a\r\nb\n", "0-3:a 3-5:b");
    }

    #[test]
    fn an_empty_line_is_a_line() {
        check("\n\nx\n", "0-1: 1-2: 2-4:x");
    }

    #[test]
    fn a_line_without_its_break_waits() {
        check("a\nbc", "0-2:a | 2-4:bc");
    }

    #[test]
    fn a_huge_line_is_cut_and_the_next_one_is_whole() {
        let length = 5 * BYTES_MAX + 17;
        let text = format!("first\n{}\nlast\n", "x".repeat(length));
        let mut lines = LineReader::new(text.as_bytes(), 0, BYTES_MAX);
        step(&mut lines);
        let Step::Line(huge) = step(&mut lines) else { panic!("the huge line is missing") };
        assert_eq!(huge.bytes.len(), BYTES_MAX);
        assert_eq!(huge.cut_from, Some(length as u64));
        assert_eq!((huge.offset, huge.next), (6, 6 + length as u64 + 1));
        let Step::Line(last) = step(&mut lines) else { panic!("the last line is missing") };
        assert_eq!((last.bytes, last.cut_from), (&b"last"[..], None));
        assert!(lines.buffer.len() <= BYTES_MAX + 4 * CHUNK_BYTES, "memory stays bounded");
        assert!(matches!(step(&mut lines), Step::End));
        assert!(lines.buffer.capacity() <= BUFFER_KEPT, "and is given back");
    }

    #[test]
    fn whether_a_line_is_cut_does_not_hang_on_how_the_bytes_arrive() {
        for length in [BYTES_MAX, BYTES_MAX + 1, BYTES_MAX + CHUNK_BYTES - 2] {
            let text = format!("first\n{}\nlast\n", "x".repeat(length));
            for sizes in [&[1 << 20, 100][..], &[70_000], &[4_096], &[6, 30_000]] {
                let mut lines = LineReader::new(
                    Pieces { bytes: text.as_bytes(), sizes: sizes.iter().cycle() },
                    0,
                    BYTES_MAX,
                );
                step(&mut lines);
                let Step::Line(line) = step(&mut lines) else { panic!("the line is missing") };
                let (cut, next) = (length > BYTES_MAX, line.next);
                let kept = length.min(BYTES_MAX);
                assert_eq!((line.bytes.len(), line.cut_from), (kept, cut.then_some(length as u64)));
                assert_eq!(next, 6 + length as u64 + 1);
            }
        }
    }

    #[test]
    fn a_line_just_within_the_limit_is_whole() {
        let text = format!("{}\n", "y".repeat(BYTES_MAX));
        let mut lines = LineReader::new(text.as_bytes(), 0, BYTES_MAX);
        let Step::Line(line) = step(&mut lines) else { panic!("the line is missing") };
        assert_eq!((line.bytes.len(), line.cut_from), (BYTES_MAX, None));
    }
}
