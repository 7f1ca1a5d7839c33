//! One file that is being read: through renames, up to its end, until it is done.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        Batch, InputName, Inputs, Notice, Record, SourceError,
        lines::{Line, LineReader, Step},
    },
    content::{Content, end_of_last_line},
    identity::Identity,
};

/// After this many scans without a new byte, a file that was renamed out of the patterns is done. Its writer
/// has been told to write elsewhere by then, and workers that obey late have obeyed.
const QUIET_SCANS_MAX: u32 = 64;

/// What a file is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There may be more right now.
    Reading,
    /// Everything that it holds has been read.
    AtEnd,
    /// Nothing will ever be read from it again.
    Done,
}

pub struct Tracked {
    pub identity: Identity,
    pub path: PathBuf,
    pub input: u32,
    source: u16,
    truncations: u32,
    file: Arc<File>,
    gzip: bool,
    lines: LineReader<Content>,
    state: State,
    /// Whether its end has been reached once: until then it is backlog, and read before what follows.
    caught_up: bool,
    /// Whether the patterns no longer find it.
    away: bool,
    quiet_scans: u32,
    /// The size at which reading failed; tried again when it has changed.
    failed_at: Option<u64>,
}

impl Tracked {
    /// Opens a file where its position says, or at its beginning, or, `at_end`, after its last complete line.
    pub fn open(
        source: u16,
        path: &Path,
        at_end: bool,
        inputs: &mut dyn Inputs,
        notices: &mut Vec<Notice>,
    ) -> io::Result<Self> {
        let file = Arc::new(File::open(path)?);
        let metadata = file.metadata()?;
        let identity = Identity::of(&metadata);
        let gzip = Content::is_gzip(path);
        let mut truncations = 0;
        while inputs.is_known(source, &identity.input_name(truncations + 1)) {
            truncations += 1;
        }
        let (mut input, kept) = inputs.input(source, &identity.input_name(truncations));
        let mut offset = match kept {
            Some(offset) => offset,
            None if at_end => end_of_last_line(&file, gzip)?,
            None => 0,
        };
        if kept.is_none() {
            inputs.starts_at(input, offset);
        }
        if !gzip && offset > metadata.len() {
            let (read_to, size) = (offset, metadata.len());
            truncations += 1;
            (input, _) = inputs.input(source, &identity.input_name(truncations));
            inputs.starts_at(input, 0);
            offset = 0;
            notices.push(Notice::Truncated {
                source,
                input,
                path: path.display().to_string(),
                read_to,
                size,
            });
        }
        let lines = LineReader::new(Content::at(Arc::clone(&file), gzip, offset)?, offset);
        Ok(Self {
            identity,
            path: path.to_owned(),
            input,
            source,
            truncations,
            file,
            gzip,
            lines,
            state: State::Reading,
            caught_up: false,
            away: false,
            quiet_scans: 0,
            failed_at: None,
        })
    }

    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether it holds nothing more right now.
    pub const fn is_idle(&self) -> bool {
        !matches!(self.state, State::Reading)
    }

    pub const fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    pub const fn is_away(&self) -> bool {
        self.away
    }

    /// The patterns find it, here.
    pub fn found_at(&mut self, path: &Path) {
        if self.path != path {
            path.clone_into(&mut self.path);
        }
        self.away = false;
    }

    /// The patterns do not find it (any more).
    pub fn not_found(&mut self) {
        self.away = true;
        if self.is_idle() {
            self.quiet_scans += 1;
        }
    }

    /// Bytes that have not been read; unknown for gzip.
    pub fn bytes_behind(&self) -> Option<u64> {
        if self.gzip {
            return None;
        }
        self.file.metadata().ok().map(|metadata| metadata.len().saturating_sub(self.lines.position()))
    }

    /// Appends what is there, up to the batch's room. `follow`: whether lines may still be added.
    pub fn read(
        &mut self,
        batch: &mut Batch,
        follow: bool,
        inputs: &mut dyn Inputs,
        notices: &mut Vec<Notice>,
    ) {
        if self.is_done() || self.still_fails() {
            return;
        }
        while batch.room() > 0 {
            match self.lines.step() {
                Ok(Step::Line(line)) => {
                    append(self.source, self.input, line, batch, notices);
                    self.state = State::Reading;
                    self.quiet_scans = 0;
                }
                Ok(Step::Pending | Step::End) => {
                    if !self.was_truncated(inputs, notices) {
                        self.at_end(batch, follow, notices);
                        return;
                    }
                }
                Err(error) => return self.failed(&error, notices),
            }
        }
        self.state = State::Reading;
    }

    /// The end was reached: wait there, or, if nothing more can come, take the last line as it is.
    fn at_end(&mut self, batch: &mut Batch, follow: bool, notices: &mut Vec<Notice>) {
        self.caught_up = true;
        self.state = State::AtEnd;
        let left_alone = self.away && self.quiet_scans >= QUIET_SCANS_MAX;
        if self.gzip || !follow || left_alone {
            if let Some(line) = self.lines.remainder() {
                append(self.source, self.input, line, batch, notices);
            }
            self.state = State::Done;
        }
    }

    /// If the file is shorter than what was read of it, starts it again as another input.
    fn was_truncated(&mut self, inputs: &mut dyn Inputs, notices: &mut Vec<Notice>) -> bool {
        let read_to = self.lines.read_to();
        let Some(size) = self.file.metadata().ok().map(|metadata| metadata.len()) else { return false };
        if self.gzip || size >= read_to {
            return false;
        }
        let Ok(content) = Content::at(Arc::clone(&self.file), false, 0) else { return false };
        self.truncations += 1;
        (self.input, _) = inputs.input(self.source, &self.identity.input_name(self.truncations));
        inputs.starts_at(self.input, 0);
        self.lines = LineReader::new(content, 0);
        let (source, input, path) = (self.source, self.input, self.path.display().to_string());
        notices.push(Notice::Truncated { source, input, path, read_to, size });
        true
    }

    fn failed(&mut self, error: &io::Error, notices: &mut Vec<Notice>) {
        self.failed_at = Some(self.file.metadata().map_or(0, |metadata| metadata.len()));
        self.state = State::AtEnd;
        self.caught_up = true;
        let (source, path) = (self.source, self.path.display().to_string());
        notices.push(Notice::Unreadable { source, path, text: error.to_string() });
    }

    /// Whether reading failed and nothing has changed since. A gzip file that was still being written is opened
    /// again when it has grown.
    fn still_fails(&mut self) -> bool {
        let Some(size) = self.failed_at else { return false };
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == size) {
            return true;
        }
        let offset = self.lines.position();
        match Content::at(Arc::clone(&self.file), self.gzip, offset) {
            Ok(content) => {
                self.lines = LineReader::new(content, offset);
                self.failed_at = None;
                false
            }
            Err(_) => true,
        }
    }

    /// A reader of its own for the bytes `from..to`, so that what follows is not disturbed.
    pub fn open_range(
        &self,
        name: &InputName,
        from: u64,
        to: u64,
    ) -> Result<LineReader<Box<dyn Read + Send>>, SourceError> {
        let failed = |text: String| SourceError::ReadAgain { input: name.clone(), from, to, text };
        let gone = |text: String| SourceError::Gone { input: name.clone(), from, to, text };
        if *name != self.identity.input_name(self.truncations) {
            return Err(gone(format!("{} has been truncated since", self.path.display())));
        }
        // Through the open file, since its name may be another's by now.
        let content = Content::at(Arc::clone(&self.file), self.gzip, from).map_err(|error| {
            let text = format!("{}: {error}", self.path.display());
            if error.kind() == io::ErrorKind::UnexpectedEof { gone(text) } else { failed(text) }
        })?;
        Ok(LineReader::new(Box::new(content.take(to - from)) as Box<dyn Read + Send>, from))
    }
}

/// Appends a line as a record.
pub fn append(source: u16, input: u32, line: Line<'_>, batch: &mut Batch, notices: &mut Vec<Notice>) {
    let Line { offset, next, bytes, cut_from } = line;
    if let Some(length) = cut_from {
        notices.push(Notice::Oversized { source, input, offset, length });
    }
    batch.push(Record { source, input, offset, next, log_time_ms: None, bytes });
}
