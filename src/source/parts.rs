//! Lines that a container runtime has split, joined again.
//!
//! containerd and CRI-O write a line of more than 16 KiB as parts (`TIME stdout P TEXT`) and a last one (`F`); Docker's
//! `json-file` writes parts whose `log` does not end in a line break. The parts of one stream follow each other, but those
//! of the other stream may lie in between. Every other line passes as it is.
//!
//! **Positions.** A joined line is given where its last part ends, as a record from the end of what was given before to
//! there. So reading goes on where the last record that was given ends; parts before that place which wait for their last
//! one are found again by looking back ([`LogLines::recall`]): what waits is a function of the bytes before a position, and
//! a replay equals. At the end of a file that is done, what waits is given as it is. A position right behind a part can come
//! from that alone, so such a part has been given. What is given as it is behind a line of the other stream ends where that
//! line ends; reading that begins there gives it once more, as a record at the same position.
//!
//! **Carriage returns.** A runtime may split a line behind any byte, so a `\r` at the end of a part is text. That at the end
//! of the joined line is of the program's line break, `\r\n`, in whichever part it stands, as that of any other line.
//!
//! **Bounds.** Of a joined line `bytes_max` bytes are kept. One that has had no part for [`GAP_MAX`] bytes of the file is
//! given as it is. There is no bound in time: what a program has not ended is no line yet, as without a container.

use std::io::{self, Read};

use super::lines::{Found, Line, LineReader, Span, Step, without_carriage_return};

/// How many bytes of the file may lie between two parts of a line.
const GAP_MAX: u64 = 1 << 20;
/// How far to look back for parts that wait: to tell whether this is a container's log, then for parts, and further where
/// a line began before that.
const LOOK_BACK: [u64; 4] = [128 << 10, GAP_MAX + (256 << 10), 8 << 20, 32 << 20];
/// Docker splits a line where it has so many bytes.
const DOCKER_PART_BYTES: usize = 16 << 10;

const DOCKER_HEAD: &[u8] = b"{\"log\":\"";
const DOCKER_TAIL: &[u8] = b"\",\"stream\":\"std";

/// A line of a container's log, taken apart. Places are those in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContainerLine {
    /// 0 = standard output, 1 = standard error.
    stream: usize,
    /// Where the text begins and ends.
    from: usize,
    to: usize,
    /// Whether the text ends a line.
    is_last: bool,
    /// Whether it can be the first part of a line if it is not the last.
    can_begin: bool,
    /// Whether it is no part of a longer line although it does not end one.
    is_alone: bool,
    /// Where the mark stands that says whether it is the last, if there is such a mark.
    mark: Option<usize>,
}

/// The parts of one stream that wait for their last one.
#[derive(Debug, Default)]
struct Waiting {
    /// The first part up to the end of its text, and the text of the others. Empty = none wait.
    bytes: Vec<u8>,
    /// What followed the text in the first part.
    tail: Vec<u8>,
    /// How long it would be in whole.
    whole: u64,
    from: u64,
    to: u64,
    /// Whether its first part is known to be the first.
    is_whole: bool,
}

/// Splits what it reads into lines, split lines joined.
pub struct LogLines<R> {
    lines: LineReader<R>,
    bytes_max: usize,
    waiting: [Waiting; 2],
    /// The end of what was given last.
    given_to: u64,
    /// Whether the line that was read last waits.
    holds_last: bool,
    /// Streams of which a line's end was seen.
    ended: [bool; 2],
    /// The joined line that was given last.
    given: Vec<u8>,
}

impl<R: Read> LogLines<R> {
    /// Reads from `input`, whose first byte is at `offset` of the stream, at the start of a line. Of a line that is longer
    /// than `bytes_max` so much is kept.
    pub fn new(input: R, offset: u64, bytes_max: usize) -> Self {
        Self {
            lines: LineReader::new(input, offset, bytes_max),
            bytes_max,
            waiting: Default::default(),
            given_to: offset,
            holds_last: false,
            ended: [false; 2],
            given: Vec::new(),
        }
    }

    /// Where the line starts that is not complete yet.
    pub const fn position(&self) -> u64 {
        self.lines.position()
    }

    /// How many lines of the stream were read, those that were joined and those that wait included.
    pub const fn count(&self) -> u64 {
        self.lines.count()
    }

    /// The stream itself, to set how it reads.
    pub const fn input(&mut self) -> &mut R {
        self.lines.input()
    }

    /// The stream itself.
    pub const fn stream(&self) -> &R {
        self.lines.stream()
    }

    /// How far the stream itself has been read.
    pub const fn read_to(&self) -> u64 {
        self.lines.read_to()
    }

    /// Whether what was read last waits, so that nothing was given that ends at [`Self::position`].
    pub const fn holds_last(&self) -> bool {
        self.holds_last
    }

    /// The next complete line.
    pub fn step(&mut self) -> io::Result<Step<'_>> {
        loop {
            let span = match self.lines.advance()? {
                Found::Line(span) => span,
                Found::Pending => return Ok(Step::Pending),
                Found::End => return Ok(Step::End),
            };
            let Some(part) = split(self.lines.bytes(&span)) else {
                self.gave(span.next);
                return Ok(Step::Line(self.lines.line(&span)));
            };
            if let Some(joined) = self.take(&span, part) {
                return Ok(Step::Line(self.line(joined, &span)));
            }
        }
    }

    /// What is left once nothing more will come: the line that has no line break, then what waits for its last part. To be
    /// called until there is none.
    pub fn remainder(&mut self) -> Option<Line<'_>> {
        if let Some(span) = self.lines.rest() {
            let Some(part) = split(self.lines.bytes(&span)) else {
                self.gave(span.next);
                return Some(self.lines.line(&span));
            };
            if let Some(joined) = self.take(&span, part) {
                return Some(self.line(joined, &span));
            }
        }
        let waits = |stream: &usize| !self.waiting[*stream].bytes.is_empty();
        let stream = [0, 1].into_iter().filter(waits).min_by_key(|stream| self.waiting[*stream].from)?;
        let at = self.position();
        Some(self.give(stream, None, at))
    }

    /// Looks for parts before the place where reading begins that wait for their last one. `before` reads from a place on.
    pub fn recall<B: Read>(&mut self, before: impl Fn(u64) -> io::Result<B>) -> io::Result<()> {
        let position = self.position();
        for (step, far) in LOOK_BACK.into_iter().enumerate() {
            let from = position.saturating_sub(far);
            let mut bytes = Vec::new();
            before(from)?.take(position - from).read_to_end(&mut bytes)?;
            // The first line may have begun earlier.
            let first =
                if from == 0 { 0 } else { memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1) };
            let bytes = &bytes[first..];
            if !bytes.split(|byte| *byte == b'\n').any(|line| split(line).is_some()) {
                return Ok(());
            }
            if step == 0 && from > 0 {
                continue;
            }
            let mut seen = LogLines::new(bytes, from + first as u64, self.bytes_max);
            while matches!(seen.step()?, Step::Line(_)) {}
            if seen.holds_last {
                // Nothing that was given ends there but what waited: so it has been given.
                return Ok(());
            }
            let is_known = |waiting: &Waiting| waiting.bytes.is_empty() || waiting.is_whole || from == 0;
            if seen.waiting.iter().all(is_known) || step + 1 == LOOK_BACK.len() || from == 0 {
                (self.waiting, self.ended) = (seen.waiting, seen.ended);
                return Ok(());
            }
        }
        Ok(())
    }

    fn gave(&mut self, to: u64) {
        self.given_to = to;
        self.holds_last = false;
    }

    fn line<'a>(&'a self, joined: Joined, span: &Span) -> Line<'a> {
        match joined {
            Joined::AsItIs => self.lines.line(span),
            Joined::From { offset, next, cut_from } => Line { offset, next, bytes: &self.given, cut_from },
        }
    }
}

/// What is given next.
#[derive(Clone, Copy, Debug)]
enum Joined {
    /// The line that was just read.
    AsItIs,
    /// What was joined.
    From { offset: u64, next: u64, cut_from: Option<u64> },
}

impl<R: Read> LogLines<R> {
    /// Takes a container's line. Nothing is given while it waits.
    fn take(&mut self, span: &Span, part: ContainerLine) -> Option<Joined> {
        let (this, other) = (part.stream, 1 - part.stream);
        let is_free = |stream: usize| self.waiting[stream].bytes.is_empty();
        let is_late = |stream: usize| !is_free(stream) && span.offset - self.waiting[stream].to > GAP_MAX;
        if is_free(other) && !is_free(this) && (part.is_alone || is_late(this)) {
            return Some(self.give_before(this, span));
        }
        if is_free(this) && part.is_last && is_late(other) {
            return Some(self.give_before(other, span));
        }
        if is_free(this) && (part.is_last || !part.can_begin) {
            self.ended[this] |= part.is_last;
            self.gave(span.next);
            return Some(Joined::AsItIs);
        }
        self.hold(span, part);
        if !part.is_last {
            self.holds_last = true;
            return None;
        }
        self.ended[this] = true;
        Some(self.join(this, Some(part.to), span, span.next))
    }

    /// Keeps the text of a part.
    fn hold(&mut self, span: &Span, part: ContainerLine) {
        let bytes = self.lines.bytes(span);
        let waiting = &mut self.waiting[part.stream];
        let is_first = waiting.bytes.is_empty();
        let from = if is_first { 0 } else { part.from };
        if is_first {
            (waiting.from, waiting.whole) = (span.offset, 0);
            waiting.is_whole = self.ended[part.stream];
            waiting.tail = bytes[part.to..].to_vec();
        }
        let text = &bytes[from..part.to];
        waiting.whole += text.len() as u64 + span.length().saturating_sub(bytes.len() as u64);
        let room = self.bytes_max.saturating_sub(waiting.bytes.len());
        waiting.bytes.extend_from_slice(&text[..text.len().min(room)]);
        if let Some(mark) = part.mark.filter(|mark| is_first && *mark < waiting.bytes.len()) {
            waiting.bytes[mark] = b'F';
        }
        waiting.to = span.next;
    }

    /// Gives what waits of a stream as it is, ahead of a line that was read and will be read again.
    fn give_before(&mut self, stream: usize, span: &Span) -> Joined {
        self.lines.put_back(span);
        self.join(stream, None, span, span.offset)
    }

    fn give(&mut self, stream: usize, tail_from: Option<usize>, at: u64) -> Line<'_> {
        let span = Span::empty(at);
        match self.join(stream, tail_from, &span, at) {
            Joined::From { offset, next, cut_from } => Line { offset, next, bytes: &self.given, cut_from },
            Joined::AsItIs => Line { offset: at, next: at, bytes: &[], cut_from: None },
        }
    }

    /// Ends what waits of a stream: with what follows the text in the last part, from `tail_from` on, or in the first.
    fn join(&mut self, stream: usize, tail_from: Option<usize>, span: &Span, next: u64) -> Joined {
        let mut waiting = std::mem::take(&mut self.waiting[stream]);
        let tail = tail_from.map_or(waiting.tail.as_slice(), |from| &self.lines.bytes(span)[from..]);
        let is_cut = waiting.whole > waiting.bytes.len() as u64;
        if !is_cut {
            waiting.bytes.extend_from_slice(tail);
            waiting.bytes.truncate(without_carriage_return(&waiting.bytes).len());
        }
        let cut_from = is_cut.then_some(waiting.whole);
        let offset = waiting.from.max(self.given_to).min(next);
        self.given = waiting.bytes;
        self.gave(next);
        Joined::From { offset, next, cut_from }
    }
}

/// Takes a line of a container's log apart; `None` = it is none. Other lines end here at their first bytes.
fn split(line: &[u8]) -> Option<ContainerLine> {
    match line.first()? {
        b'{' if line.starts_with(DOCKER_HEAD) => docker(line),
        b'0'..=b'9' if line.get(4) == Some(&b'-') => cri(line),
        _ => None,
    }
}

/// `2016-10-06T00:17:09.669794202Z stdout P TEXT`. Tags are separated by colons; the first is the mark.
fn cri(line: &[u8]) -> Option<ContainerLine> {
    let time = memchr::memchr(b' ', &line[..line.len().min(64)])?;
    let rest = &line[time + 1..];
    let stream = match rest.get(..7)? {
        b"stdout " => 0,
        b"stderr " => 1,
        _ => return None,
    };
    let mark = time + 8;
    let is_last = match line.get(mark)? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    let tags = &line[mark + 1..line.len().min(mark + 256)];
    if !matches!(tags.first(), None | Some(b' ' | b':')) {
        return None;
    }
    let from = memchr::memchr(b' ', tags).map_or(line.len(), |at| mark + 2 + at);
    Some(ContainerLine {
        stream,
        from,
        to: line.len(),
        is_last,
        can_begin: true,
        is_alone: false,
        mark: Some(mark),
    })
}

/// `{"log":"TEXT","stream":"stdout","time":"…"}`. Quotes of the text are escaped, so the first that is followed by
/// `,"stream":"std` ends it.
fn docker(line: &[u8]) -> Option<ContainerLine> {
    let from = DOCKER_HEAD.len();
    let to = from + memchr::memmem::find(&line[from..], DOCKER_TAIL)?;
    let stream = match line.get(to + DOCKER_TAIL.len()..to + DOCKER_TAIL.len() + 4)? {
        b"out\"" => 0,
        b"err\"" => 1,
        _ => return None,
    };
    let text = &line[from..to];
    let is_last = text
        .strip_suffix(b"n")
        .is_some_and(|before| before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1);
    // Others than Docker write such lines without a line break in the text. A short one is a part only if it is the
    // beginning of an object without its end.
    let (is_short, is_object) = (text.len() < DOCKER_PART_BYTES, text.first() == Some(&b'{'));
    let is_ended = text.last() == Some(&b'}');
    let can_begin = !is_short || is_object && !is_ended;
    let is_alone = !is_last && is_short && is_object && is_ended;
    Some(ContainerLine { stream, from, to, is_last, can_begin, is_alone, mark: None })
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
