//! Records from standard input, one a line, until it ends.
//!
//! What was read cannot be read again, so the store checkpoints at each commit. A position is a line number, and
//! goes on counting over restarts, so that no two records ever share one.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Batch, InputLag, InputName, Inputs, Notice, Record, Source, SourceError,
    lines::{Line, Step},
    parts::LogLines,
};

/// Standard input as a source: one record a line. It has no settings of its own yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdinSettings {}

/// A file that says `WouldBlock` instead of blocking, after the time that it may wait.
struct Waiting {
    file: File,
    wait: Duration,
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = std::mem::take(&mut self.wait);
        if is_readable(&self.file, wait)? {
            self.file.read(buffer)
        } else {
            Err(ErrorKind::WouldBlock.into())
        }
    }
}

/// The source of a `stdin` section.
pub struct StdinSource {
    source: u16,
    input: u32,
    lines: LogLines<Waiting>,
    /// The number of the next line.
    next: u64,
    idle: bool,
    finished: bool,
    notices: Vec<Notice>,
}

impl StdinSource {
    /// Reads the process's standard input.
    /// Of a line that is longer than `record_bytes_max` it takes so many bytes.
    pub fn new(source: u16, record_bytes_max: usize) -> Result<Self, SourceError> {
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(SourceError::Stdin)?;
        Ok(Self::reading(source, input, record_bytes_max))
    }

    /// Reads `input`, a pipe or anything else that can be waited for.
    pub fn reading(source: u16, input: OwnedFd, record_bytes_max: usize) -> Self {
        let waiting = Waiting { file: File::from(input), wait: Duration::ZERO };
        Self {
            source,
            input: 0,
            lines: LogLines::new(waiting, 0, record_bytes_max),
            next: 0,
            idle: false,
            finished: false,
            notices: Vec::new(),
        }
    }
}

/// Appends a line as the record with the number `offset`.
fn append(place: (u16, u32, u64), line: Line<'_>, batch: &mut Batch, notices: &mut Vec<Notice>) {
    let (source, input, offset) = place;
    if let Some(length) = line.cut_from {
        notices.push(Notice::Oversized { source, input, offset, length });
    }
    batch.push(Record {
        source,
        input,
        offset,
        next: offset + 1,
        log_time_ms: None,
        bytes: line.bytes,
        cut: line.cut_from.is_some(),
    });
}

impl Source for StdinSource {
    fn reads(&self) -> Vec<String> {
        vec!["stdin".to_owned()]
    }

    fn start(&mut self, inputs: &mut dyn Inputs) -> Result<(), SourceError> {
        let (input, next) = inputs.input(self.source, &InputName("stdin".into()));
        self.input = input;
        self.next = next.unwrap_or(0);
        Ok(())
    }

    fn poll(
        &mut self,
        batch: &mut Batch,
        _inputs: &mut dyn Inputs,
        _now: Duration,
        wait: Duration,
    ) -> Result<(), SourceError> {
        if self.finished {
            return Ok(());
        }
        self.lines.input().wait = wait;
        while batch.room() > 0 {
            match self.lines.step().map_err(SourceError::Stdin)? {
                Step::Line(line) => {
                    append((self.source, self.input, self.next), line, batch, &mut self.notices);
                    self.next += 1;
                    // There is something to give, so nothing more is waited for.
                    self.lines.input().wait = Duration::ZERO;
                }
                Step::Pending => {
                    self.idle = true;
                    return Ok(());
                }
                Step::End => {
                    while let Some(line) = self.lines.remainder() {
                        append((self.source, self.input, self.next), line, batch, &mut self.notices);
                        self.next += 1;
                    }
                    self.idle = true;
                    self.finished = true;
                    return Ok(());
                }
            }
        }
        self.idle = false;
        Ok(())
    }

    fn read_again(
        &mut self,
        _input: u32,
        name: &InputName,
        from: u64,
        to: u64,
        _batch: &mut Batch,
    ) -> Result<u64, SourceError> {
        let text = "standard input is gone once it is read".to_owned();
        Err(SourceError::Gone { input: name.clone(), from, to, text })
    }

    fn rewindable(&self) -> bool {
        false
    }

    fn lag(&self) -> Vec<InputLag> {
        vec![InputLag {
            input: self.input,
            records_behind: self.idle.then_some(0),
            bytes_behind: None,
            newest_log_time_ms: None,
        }]
    }

    fn idle(&self, _input: u32) -> bool {
        self.idle
    }

    fn finished(&self) -> bool {
        self.finished
    }

    fn describe(&self, input: u32) -> Option<String> {
        (input == self.input).then(|| "standard input".to_owned())
    }

    fn notices(&mut self, into: &mut Vec<Notice>) {
        into.append(&mut self.notices);
    }
}

/// Whether a read would not block, after at most `wait`. The end of the input is readable too.
fn is_readable(file: &File, wait: Duration) -> io::Result<bool> {
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is to one valid `pollfd`, as the count says, and the descriptor is open while `file` is
    // borrowed.
    let ready = unsafe { libc::poll(&raw mut wanted, 1, wait_ms) };
    match ready {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match io::Error::last_os_error() {
            // A signal: the caller polls again.
            error if error.kind() == ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, time::Duration};

    use super::{
        super::{Batch, RECORD_BYTES_MAX, Source, testing::Table},
        StdinSource,
    };

    /// Writes, reads what is there, and shows it as `offset:text`.
    fn read(source: &mut StdinSource, table: &mut Table) -> String {
        let mut batch = Batch::new(100);
        source.poll(&mut batch, table, Duration::ZERO, Duration::ZERO).unwrap();
        let shown = batch.records().map(|r| format!("{}:{}", r.offset, String::from_utf8_lossy(r.bytes)));
        shown.collect::<Vec<_>>().join(" ")
    }

    fn started(table: &mut Table) -> (std::io::PipeWriter, StdinSource) {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut source = StdinSource::reading(0, reader.into(), RECORD_BYTES_MAX);
        source.start(table).unwrap();
        (writer, source)
    }

    #[test]
    fn lines_are_numbered_and_a_partial_one_waits() {
        let mut table = Table::default();
        let (mut writer, mut source) = started(&mut table);
        assert_eq!(read(&mut source, &mut table), "");
        writer.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(read(&mut source, &mut table), "0:one 1:two");
        assert!(source.idle(0) && !source.finished());
        writer.write_all(b"ee\n").unwrap();
        assert_eq!(read(&mut source, &mut table), "2:three");
    }

    #[test]
    fn at_the_end_the_last_line_needs_no_break() {
        let mut table = Table::default();
        let (mut writer, mut source) = started(&mut table);
        writer.write_all(b"one\nlast").unwrap();
        drop(writer);
        assert_eq!(read(&mut source, &mut table), "0:one 1:last");
        assert!(source.finished());
        assert_eq!(read(&mut source, &mut table), "");
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let mut table = Table::default();
        let (mut writer, _source) = started(&mut table);
        table.commit(0, 7);
        let (mut second, mut source) = started(&mut table);
        second.write_all(b"next\n").unwrap();
        assert_eq!(read(&mut source, &mut table), "7:next");
        writer.write_all(b"\n").unwrap();
    }

    #[test]
    fn what_was_read_cannot_be_read_again() {
        let mut table = Table::default();
        let (_writer, mut source) = started(&mut table);
        assert!(!source.rewindable());
        let name = super::InputName("stdin".into());
        let refused = source.read_again(0, &name, 0, 1, &mut Batch::new(1)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "stdin has nothing left from 0 to 1: standard input is gone once it is read"
        );
    }
}
