//! The open file, and the line that was read and waits.

use std::{
    fs::File,
    io::{self, Read as _, Take},
    sync::Arc,
};

use super::{
    super::{
        super::{InputName, Notice, SourceError, lines::Line, parts::LogLines},
        content::Content,
        identity::Identity,
    },
    Tracked,
};

pub struct Open {
    pub file: Arc<File>,
    pub lines: LogLines<Content>,
    /// A line that was read, and waits until the other files have come so far.
    pub ahead: Option<HeldLine>,
}

impl Open {
    pub const fn new(file: Arc<File>, lines: LogLines<Content>) -> Self {
        Self { file, lines, ahead: None }
    }

    /// Where reading goes on if it is opened again.
    pub fn position(&self) -> u64 {
        self.ahead.as_ref().map_or_else(|| self.lines.position(), |ahead| ahead.offset)
    }
}

/// A line with its bytes.
pub struct HeldLine {
    offset: u64,
    next: u64,
    bytes: Vec<u8>,
    cut_from: Option<u64>,
}

impl HeldLine {
    pub fn of(line: Line<'_>) -> Self {
        let Line { offset, next, bytes, cut_from } = line;
        Self { offset, next, bytes: bytes.to_vec(), cut_from }
    }

    pub fn line(&self) -> Line<'_> {
        Line { offset: self.offset, next: self.next, bytes: &self.bytes, cut_from: self.cut_from }
    }
}

impl Tracked {
    /// Bytes that have not been read; of gzip, compressed bytes.
    pub fn bytes_behind(&self) -> Option<u64> {
        match &self.open {
            None if self.is_behind() => Some(self.packed),
            None => Some(0),
            Some(open) if self.gzip => Some(self.packed.saturating_sub(open.lines.stream().used())),
            Some(open) => {
                let size = open.file.metadata().ok()?.len();
                Some(size.saturating_sub(open.position()))
            }
        }
    }

    /// Opens it where reading goes on, if it is not open; whether it is.
    pub(super) fn opens(&mut self, notices: &mut Vec<Notice>) -> bool {
        if self.is_open() {
            return true;
        }
        let position = self.position;
        let opened = self.file().and_then(|file| {
            let lines = self.lines(&file, position)?;
            Ok(Open::new(file, lines))
        });
        match opened {
            Ok(open) => self.open = Some(open),
            Err(error) => self.failed(&error, notices),
        }
        self.is_open()
    }

    /// Its lines from a position on, with the parts of split lines that wait there.
    pub(super) fn lines(&self, file: &Arc<File>, position: u64) -> io::Result<LogLines<Content>> {
        let at = |position| Content::at(Arc::clone(file), self.gzip, position);
        let mut lines = LogLines::new(at(position)?, position, self.record_bytes_max);
        lines.recall(at)?;
        Ok(lines)
    }

    /// The file itself, through its name only if it is not open: that may be another's by now.
    pub(super) fn file(&self) -> io::Result<Arc<File>> {
        if let Some(open) = &self.open {
            return Ok(Arc::clone(&open.file));
        }
        let file = File::open(&self.path)?;
        if Identity::of(&file.metadata()?) != self.identity {
            return Err(io::Error::other("another file has its name by now"));
        }
        Ok(Arc::new(file))
    }

    /// A reader of its own for the bytes `from..to`, so that what follows is not disturbed.
    pub fn open_range(
        &self,
        name: &InputName,
        from: u64,
        to: u64,
    ) -> Result<LogLines<Take<Content>>, SourceError> {
        let failed = |text: String| SourceError::ReadAgain { input: name.clone(), from, to, text };
        let gone = |text: String| SourceError::Gone { input: name.clone(), from, to, text };
        if *name != self.identity.input_name(self.truncations) {
            return Err(gone(format!("{} has been truncated since", self.path.display())));
        }
        let open = |file: Arc<File>| {
            let at = |position| Content::at(Arc::clone(&file), self.gzip, position);
            let mut lines = LogLines::new(at(from)?.take(to - from), from, self.record_bytes_max);
            lines.recall(at)?;
            Ok(lines)
        };
        self.file().and_then(open).map_err(|error| {
            let text = format!("{}: {error}", self.path.display());
            if error.kind() == io::ErrorKind::UnexpectedEof { gone(text) } else { failed(text) }
        })
    }
}
