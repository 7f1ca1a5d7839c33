//! One file that is being read: through renames, up to its end, until it is done.

mod open;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use self::open::{HeldLine, Open};
use super::{
    super::{
        Batch, Inputs, Notice, Record, TimeOf,
        lines::{Line, Step},
        parts::LogLines,
    },
    backlog::Until,
    content::{Content, end_of_last_line},
    identity::Identity,
};

/// When there has been nothing new for so long in a file that was renamed out of the patterns, it is done. Its writer
/// has been told to write elsewhere by then, and workers that obey late have obeyed.
const QUIET_MAX: Duration = Duration::from_mins(1);

/// What a file is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There may be more right now.
    Reading,
    /// Everything that it holds has been read.
    AtEnd,
    /// Nothing will ever be read from it again. It is not open.
    Done,
}

/// What a round of reading goes by.
pub struct Round<'a> {
    /// Whether lines may still be added.
    pub follow: bool,
    /// The time, by any steady clock.
    pub now: Duration,
    pub inputs: &'a mut dyn Inputs,
    pub notices: &'a mut Vec<Notice>,
}

pub struct Tracked {
    pub identity: Identity,
    pub path: PathBuf,
    pub input: u32,
    source: u16,
    record_bytes_max: usize,
    truncations: u32,
    gzip: bool,
    /// The size of a compressed file when it was found: it has been written by then.
    packed: u64,
    /// A compressed file is open only while it is its turn: there may be hundreds, and they are not deleted as soon as
    /// they are renamed.
    open: Option<Open>,
    /// Where reading goes on while it is not open.
    position: u64,
    state: State,
    /// Whether its end has been reached once: until then it is backlog, and read before what follows.
    caught_up: bool,
    /// Since when the patterns no longer find it and nothing new has been read of it; `None` = they find it.
    quiet_since: Option<Duration>,
    /// The size at which reading failed; tried again when it has changed.
    failed_at: Option<u64>,
    /// Why reading failed.
    failure: String,
    /// The time of the next line, or of one before it, in milliseconds; `None` = not looked at yet.
    next_ms: Option<u64>,
}

impl Tracked {
    /// Takes a file up where its position says, or at its beginning, or, `at_end`, after its last complete line.
    pub fn new(
        (source, record_bytes_max): (u16, usize),
        path: &Path,
        at_end: bool,
        inputs: &mut dyn Inputs,
        notices: &mut Vec<Notice>,
    ) -> io::Result<Self> {
        let file = Arc::new(File::open(path)?);
        let metadata = file.metadata()?;
        let (identity, gzip, size) = (Identity::of(&metadata), Content::is_gzip(path), metadata.len());
        let truncations = truncations_known(source, &identity, inputs);
        let (input, kept) = inputs.input(source, &identity.input_name(truncations));
        let position = match kept {
            Some(position) => position,
            None if at_end => end_of_last_line(&file, gzip)?,
            None => 0,
        };
        if kept.is_none() {
            inputs.starts_at(input, position);
        }
        let mut tracked = Self {
            identity,
            path: path.to_owned(),
            input,
            source,
            record_bytes_max,
            truncations,
            gzip,
            packed: if gzip { size } else { 0 },
            open: None,
            position,
            state: State::Reading,
            caught_up: false,
            quiet_since: None,
            failed_at: None,
            failure: String::new(),
            // Of what was read before a restart the newest is known.
            next_ms: if position > 0 { inputs.newest_ms(input) } else { None },
        };
        if gzip {
            // To know by unpacking it that there is nothing more would take as long as to read it.
            if inputs.finished_size(input) == Some(size) {
                (tracked.state, tracked.caught_up) = (State::Done, true);
            }
            return Ok(tracked);
        }
        if position > size {
            tracked.truncated(position, size, inputs, notices);
        }
        let lines = tracked.lines(&file, tracked.position)?;
        tracked.open = Some(Open::new(file, lines));
        Ok(tracked)
    }

    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether it holds nothing more right now.
    pub const fn is_idle(&self) -> bool {
        !matches!(self.state, State::Reading)
    }

    /// Whether it has not been read to its end yet.
    pub const fn is_behind(&self) -> bool {
        !self.caught_up && !self.is_done()
    }

    /// Whether its next line waits for those of other files.
    pub fn waits(&self) -> bool {
        self.is_behind() && self.open.as_ref().is_none_or(|open| open.ahead.is_some())
    }

    /// Whether it is compressed, and not open.
    pub const fn is_packed(&self) -> bool {
        self.gzip && !self.is_open()
    }

    /// Whether it is compressed, and open.
    pub const fn is_unpacking(&self) -> bool {
        self.gzip && self.is_open()
    }

    /// The time of the next line as far as it is known, in milliseconds.
    pub fn next_ms(&self) -> u64 {
        self.next_ms.unwrap_or(0)
    }

    /// Looks at the time of the first line, if nothing is known yet.
    pub fn look_ahead(&mut self, round: &mut Round<'_>, time_of: &mut TimeOf) {
        if self.next_ms.is_some() || self.still_fails() {
            return;
        }
        let was_open = self.is_open();
        if !self.opens(round.notices) {
            return;
        }
        let Some(open) = &mut self.open else { return };
        // What goes wrong is told when the file is read.
        if let (None, Ok(Step::Line(line))) = (&open.ahead, open.lines.step()) {
            self.next_ms = time_of(line.bytes);
            open.ahead = Some(HeldLine::of(line));
        }
        self.next_ms = self.next_ms.or(Some(0));
        if !was_open {
            self.close();
        }
    }

    /// Why it cannot be read now. A compressed file that is still being written is no fault.
    pub fn fault(&self) -> Option<String> {
        let is_fault = self.failed_at.is_some() && !self.gzip && !self.is_done();
        is_fault.then(|| format!("{}: {}", self.path.display(), self.failure))
    }

    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the patterns no longer find it.
    pub const fn is_away(&self) -> bool {
        self.quiet_since.is_some()
    }

    /// The patterns find it, here.
    pub fn found_at(&mut self, path: &Path) {
        if self.path != path {
            path.clone_into(&mut self.path);
            self.failed_at = None;
        }
        if self.quiet_since.take().is_some() && self.is_done() {
            // It came back before it was let go of.
            self.state = State::Reading;
        }
    }

    /// The patterns do not find it (any more).
    pub fn not_found(&mut self, now: Duration) {
        self.quiet_since.get_or_insert(now);
    }

    /// Appends what is there, up to the batch's room and as `until` says.
    pub fn read(&mut self, batch: &mut Batch, round: &mut Round<'_>, until: &mut Until<'_>) {
        if self.is_done() {
            return;
        }
        if self.still_fails() || !self.opens(round.notices) {
            if self.is_left_alone(round.now) {
                self.done();
            }
            return;
        }
        let before = batch.len();
        let is_at_end = self.take_lines(batch, round, until);
        if batch.len() > before
            && let Some(since) = &mut self.quiet_since
        {
            *since = round.now;
        }
        match is_at_end {
            Ok(true) => self.at_end(batch, round),
            Ok(false) => self.state = State::Reading,
            Err(error) => self.failed(&error, round.notices),
        }
    }

    /// Appends complete lines; whether the end was reached.
    fn take_lines(
        &mut self,
        batch: &mut Batch,
        round: &mut Round<'_>,
        until: &mut Until<'_>,
    ) -> io::Result<bool> {
        if batch.room() > until.leave
            && let Some(ahead) = self.open.as_mut().and_then(|open| open.ahead.take())
        {
            append(self.source, self.input, ahead.line(), batch, round.notices);
        }
        while batch.room() > until.leave {
            let Some(open) = &mut self.open else { return Ok(true) };
            match open.lines.step()? {
                Step::Line(line) => {
                    if let Some((most_ms, time_of)) = &mut until.most {
                        // A line without a time belongs to the one before it.
                        self.next_ms = time_of(line.bytes).or(self.next_ms);
                        if self.next_ms > Some(*most_ms) {
                            open.ahead = Some(HeldLine::of(line));
                            return Ok(false);
                        }
                    }
                    append(self.source, self.input, line, batch, round.notices);
                }
                Step::Pending | Step::End => {
                    if !self.was_truncated(round) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// The end was reached: wait there, or, if nothing more can come, take the last line as it is.
    fn at_end(&mut self, batch: &mut Batch, round: &mut Round<'_>) {
        self.caught_up = true;
        self.state = State::AtEnd;
        if self.gzip || !round.follow || self.is_left_alone(round.now) {
            while let Some(line) = self.open.as_mut().and_then(|open| open.lines.remainder()) {
                append(self.source, self.input, line, batch, round.notices);
            }
            if let Some(size) = self.size().filter(|_| self.gzip) {
                round.inputs.finished_at(self.input, size);
            }
            self.done();
        }
    }

    fn is_left_alone(&self, now: Duration) -> bool {
        self.quiet_since.is_some_and(|since| now.saturating_sub(since) >= QUIET_MAX)
    }

    fn done(&mut self) {
        self.close();
        self.state = State::Done;
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.position = open.position();
        }
    }

    /// If the file is shorter than what was read of it, starts it again as another input.
    fn was_truncated(&mut self, round: &mut Round<'_>) -> bool {
        let Some(open) = self.open.as_ref().filter(|_| !self.gzip) else { return false };
        let (file, read_to) = (Arc::clone(&open.file), open.lines.read_to());
        let Some(size) = self.size().filter(|size| *size < read_to) else { return false };
        let Ok(content) = Content::at(Arc::clone(&file), false, 0) else { return false };
        self.truncated(read_to, size, round.inputs, round.notices);
        self.open = Some(Open::new(file, LogLines::new(content, 0, self.record_bytes_max)));
        true
    }

    /// From here on it is another input, from its beginning; the one that it was has ended.
    fn truncated(&mut self, read_to: u64, size: u64, inputs: &mut dyn Inputs, notices: &mut Vec<Notice>) {
        inputs.ended(self.input);
        self.truncations += 1;
        (self.input, _) = inputs.input(self.source, &self.identity.input_name(self.truncations));
        inputs.starts_at(self.input, 0);
        self.position = 0;
        let (source, input, path) = (self.source, self.input, self.path.display().to_string());
        notices.push(Notice::Truncated { source, input, path, read_to, size });
    }

    fn failed(&mut self, error: &io::Error, notices: &mut Vec<Notice>) {
        self.failed_at = Some(self.size().unwrap_or(0));
        self.failure = error.to_string();
        self.state = State::AtEnd;
        self.caught_up = true;
        if self.gzip {
            // What was unpacked of it so far does not go on: it is unpacked anew.
            self.close();
        }
        let (source, path) = (self.source, self.path.display().to_string());
        notices.push(Notice::Unreadable { source, path, text: error.to_string() });
    }

    /// Whether reading failed and nothing has changed since. A gzip file that was still being written is opened
    /// again when it has grown.
    fn still_fails(&mut self) -> bool {
        let Some(size) = self.failed_at else { return false };
        if self.size().is_none_or(|now| now == size) {
            return true;
        }
        self.failed_at = None;
        false
    }

    fn size(&self) -> Option<u64> {
        let metadata = match &self.open {
            Some(open) => open.file.metadata(),
            None => fs::metadata(&self.path),
        };
        metadata.ok().map(|metadata| metadata.len())
    }
}

/// How often a file was truncated, as far as its inputs are known. Those before the last truncation have ended: a crash
/// may have kept the store from forgetting them.
fn truncations_known(source: u16, identity: &Identity, inputs: &mut dyn Inputs) -> u32 {
    let mut known: Vec<(u32, u32)> = Vec::new();
    inputs.each_known(source, &mut |input, name| {
        known.extend(identity.truncations(name).map(|truncations| (truncations, input)));
    });
    known.sort_unstable();
    let Some((truncations, _)) = known.pop() else { return 0 };
    for (_, earlier) in known {
        inputs.ended(earlier);
    }
    truncations
}

/// Appends a line as a record.
pub fn append(source: u16, input: u32, line: Line<'_>, batch: &mut Batch, notices: &mut Vec<Notice>) {
    let Line { offset, next, bytes, cut_from } = line;
    if let Some(length) = cut_from {
        notices.push(Notice::Oversized { source, input, offset, length });
    }
    batch.push(Record { source, input, offset, next, log_time_ms: None, bytes, cut: cut_from.is_some() });
}
