//! Files in a folder of their own: written, renamed, truncated and compressed between polls.

mod aligned;
mod gzip;
mod rotation;

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::{
    super::{Batch, Notice, RECORD_BYTES_MAX, Source as _, testing::Table},
    FileSettings, FileSource, FileStart,
};

/// A folder of logs, a table that outlives the source, and the source.
struct Logs {
    folder: tempfile::TempDir,
    table: Table,
    patterns: Vec<&'static str>,
    follow: bool,
    start: FileStart,
    source: Option<FileSource>,
    /// The time, and how much of it passes before each poll.
    now: Duration,
    step: Duration,
    /// Lines begin with their times, in seconds.
    has_times: bool,
}

impl Logs {
    fn new(pattern: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (follow, start) = (true, FileStart::Beginning);
        let (table, now, step) = (Table::default(), Duration::ZERO, Duration::from_secs(1));
        let patterns = vec![pattern];
        Self { folder, table, patterns, follow, start, source: None, now, step, has_times: false }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn gzip(&self, name: &str, text: &str) {
        let mut encoder = GzEncoder::new(File::create(self.path(name)).unwrap(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn aged(&self, name: &str, seconds: u64) {
        let file = OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    /// Polls once, commits what came, and shows it; a source is started first if there is none.
    fn poll(&mut self, capacity: usize) -> String {
        let mut batch = Batch::new(capacity);
        let source = self.source.get_or_insert_with(|| {
            let paths = self.patterns.iter().map(|p| self.folder.path().join(p).display().to_string());
            let settings = FileSettings::try_new(paths.collect(), self.follow, self.start).unwrap();
            let mut source = FileSource::new(0, settings);
            if self.has_times {
                source = source.aligned_by(Box::new(aligned::time_of));
            }
            source.start(&mut self.table).unwrap();
            source
        });
        self.now += self.step;
        source.poll(&mut batch, &mut self.table, self.now, Duration::ZERO).unwrap();
        let mut seen = Vec::new();
        for record in batch.records() {
            self.table.commit(record.input, record.next);
            if let Some(time_ms) = aligned::time_of(record.bytes) {
                let newest_ms = self.table.newest_ms.entry(record.input).or_default();
                *newest_ms = time_ms.max(*newest_ms);
            }
            seen.push(String::from_utf8_lossy(record.bytes).into_owned());
        }
        seen.join(" ")
    }

    fn restart(&mut self) {
        self.source = None;
    }

    fn source(&mut self) -> &mut FileSource {
        self.source.as_mut().unwrap()
    }

    fn notices(&mut self) -> Vec<&'static str> {
        let mut notices = Vec::new();
        self.source().notices(&mut notices);
        notices.iter().map(Notice::label).collect()
    }

    /// How many descriptors of files in the folder this process holds.
    fn open(&self) -> usize {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let paths = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        paths.filter(|path| path.starts_with(self.folder.path())).count()
    }

    #[track_caller]
    fn check(&mut self, expected: &str) {
        let polls = std::iter::from_fn(|| Some(self.poll(1_000)).filter(|polled| !polled.is_empty()));
        assert_eq!(polls.collect::<Vec<_>>().join(" "), expected);
    }
}

#[test]
fn new_lines_are_followed_and_a_partial_one_waits() {
    let mut logs = Logs::new("access.log");
    logs.check("");
    logs.write("access.log", "one\ntwo\nthr");
    logs.check("one two");
    logs.check("");
    logs.write("access.log", "ee\n");
    logs.check("three");
    assert!(logs.source().idle(0) && !logs.source().finished());
}

#[test]
fn backlogs_are_read_oldest_first_one_after_the_other() {
    let mut logs = Logs::new("access.log*");
    logs.write("access.log", "3\n");
    logs.write("access.log.1", "2\n2\n");
    logs.gzip("access.log.2.gz", "1\n1\n");
    logs.aged("access.log", 3_000);
    logs.aged("access.log.1", 2_000);
    logs.aged("access.log.2.gz", 1_000);
    let polls: Vec<String> = (0..3).map(|_| logs.poll(2)).collect();
    assert_eq!(polls, ["1 1", "2 2", "3"]);
}

#[test]
fn start_at_the_end_skips_what_is_there_but_not_what_comes() {
    let mut logs = Logs::new("*.log");
    logs.start = FileStart::End;
    logs.write("a.log", "old\npart");
    logs.check("");
    logs.write("a.log", "ial\n");
    logs.write("b.log", "in a new file\n");
    logs.check("partial in a new file");
    logs.restart();
    logs.write("c.log", "made while down\n");
    logs.check("made while down");
    logs.restart();
    // Held open, so that the new file gets none of their inodes: it would be taken for one of them.
    let gone = ["a.log", "b.log", "c.log"].map(|name| logs.path(name));
    let _held = gone.each_ref().map(|path| (File::open(path).unwrap(), fs::remove_file(path).unwrap()));
    logs.write("d.log", "the only one that is left\n");
    logs.check("the only one that is left");
}

#[test]
fn without_follow_the_files_are_read_once_and_it_ends() {
    let mut logs = Logs::new("*.log");
    logs.follow = false;
    logs.write("a.log", "one\ntwo");
    logs.check("one two");
    assert!(logs.source().finished());
    logs.write("b.log", "later\n");
    logs.check("");
}

#[test]
fn a_huge_line_is_cut_counted_and_passed_by() {
    let mut logs = Logs::new("a");
    logs.write("a", &format!("one\n{}\ntwo\n", "x".repeat(2 * RECORD_BYTES_MAX)));
    let seen = logs.poll(10);
    let lengths: Vec<usize> = seen.split(' ').map(str::len).collect();
    assert_eq!(lengths, [3, RECORD_BYTES_MAX, 3]);
    assert_eq!(logs.notices(), ["oversized"]);
}

fn contact(logs: &Logs) -> super::super::Contact {
    logs.source.as_ref().unwrap().contact(logs.now)
}

#[test]
fn a_file_that_is_gone_and_not_made_anew_is_a_fault_and_one_that_never_was_is_none() {
    let mut logs = Logs::new("a.log");
    logs.patterns.push("never-*.log");
    logs.write("a.log", "one\n");
    logs.check("one");
    assert!(contact(&logs).fault.is_none());
    assert!(contact(&logs).nothing_there.unwrap().ends_with("never-*.log"));
    fs::remove_file(logs.path("a.log")).unwrap();
    logs.step = Duration::from_secs(20);
    logs.poll(10);
    logs.poll(10);
    let gone = contact(&logs);
    assert!(!gone.is_connected() && gone.fault.unwrap().ends_with("a.log any more"));
    logs.write("a.log", "two\n");
    logs.check("two");
    assert!(contact(&logs).fault.is_none());
}

#[test]
fn two_patterns_that_name_one_file_read_it_once() {
    let mut logs = Logs::new("a.log");
    logs.patterns.push("*.log");
    logs.write("a.log", "one\n");
    logs.check("one");
}

#[test]
fn lag_is_what_is_not_read_yet_in_bytes() {
    let mut logs = Logs::new("a.log");
    logs.write("a.log", "one\ntwo\nthree\n");
    assert_eq!(logs.poll(1), "one");
    assert_eq!(logs.source().lag()[0].bytes_behind, Some(10));
    assert!(!logs.source().idle(0));
}

proptest! {
    /// Whatever is written, rotated and restarted in whatever order, each line comes exactly once and in order;
    /// and what came is read again exactly, from any line to any other.
    #[test]
    fn every_line_comes_once_through_rotations_and_restarts(
        steps in prop::collection::vec((0..5_u8, 1..6_usize), 1..40),
        range in (0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let mut logs = Logs::new("access.log");
        let (mut written, mut seen, mut rotations) = (Vec::new(), Vec::new(), 0);
        let mut take = |logs: &mut Logs, capacity: usize| -> usize {
            let polled = logs.poll(capacity);
            let before = seen.len();
            seen.extend(polled.split_terminator(' ').map(str::to_owned));
            seen.len() - before
        };
        for (step, size) in steps {
            match step {
                0 | 1 => for _ in 0..size {
                    let line = format!("line{}", written.len());
                    logs.write("access.log", &format!("{line}\n"));
                    written.push(line);
                },
                2 => { take(&mut logs, size); }
                3 => {
                    // Half a line, which the next write or rotation must not tear; its rest follows at once.
                    let line = format!("half{}", written.len());
                    logs.write("access.log", &line);
                    take(&mut logs, size);
                    logs.write("access.log", "\n");
                    written.push(line);
                }
                _ => {
                    if logs.path("access.log").exists() {
                        // A backlog of several rotations is read in the order of age.
                        rotations += 1;
                        take(&mut logs, 10_000);
                        logs.rename("access.log", &format!("access.log.{rotations}"));
                    }
                    logs.restart();
                }
            }
        }
        while take(&mut logs, 7) > 0 {}
        prop_assert_eq!(&seen, &written);

        let Ok(text) = fs::read_to_string(logs.path("access.log")) else { return Ok(()) };
        let path = logs.path("access.log").display().to_string();
        let inputs = u32::try_from(logs.table.names.len()).unwrap();
        let input = (0..inputs).find(|input| logs.source().describe(*input) == Some(path.clone())).unwrap();
        let name = logs.table.name(input);
        let breaks: Vec<u64> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at as u64 + 1)).collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // in range
        let pick = |share: f64| breaks[(share * breaks.len() as f64) as usize];
        let (from, to) = (pick(range.0.min(range.1)), pick(range.0.max(range.1)));
        let (mut at, mut again) = (from, String::new());
        let mut batch = Batch::new(3);
        while at < to {
            at = logs.source().read_again(input, &name, at, to, &mut batch).unwrap();
            for record in batch.records() {
                again += &String::from_utf8_lossy(record.bytes);
                again.push('\n');
            }
            batch.clear();
        }
        let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
        prop_assert_eq!(again, &text[range]);
    }
}
