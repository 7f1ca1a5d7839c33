//! Records from files, one a line: several files and patterns, followed through rotation and truncation, or read
//! once to their ends; plain or gzip.
//!
//! A file is known by its identity, not its name: after a rotation the old one is read to its end, then the new
//! one. Files that hold a backlog are read side by side in the order of event time, none more than [`SKEW_MAX`](super::SKEW_MAX) ahead of
//! another: what a key does is spread over the files of several gateways, and over those that each has rotated. What is
//! new in those that are at their ends is read meanwhile. Reads no clock: it is told the time with each poll.

mod backlog;
mod content;
mod found;
mod identity;
mod settings;
mod tracked;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io::Take,
    path::{Path, PathBuf},
    time::Duration,
};

pub use settings::{FileSettings, FileSettingsError, FileStart};

use self::{
    backlog::Until,
    content::Content,
    found::Found,
    identity::Identity,
    tracked::{Round, Tracked, append},
};
use super::{
    Batch, Contact, InputLag, InputName, Inputs, Notice, RECORD_BYTES_MAX, Source, SourceError, TimeOf,
    contact::Reach, lines::Step, parts::LogLines,
};

/// How long to wait between two looks at files that hold nothing new.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often to look which files there are.
const SCAN_EVERY: Duration = Duration::from_millis(250);

/// A range that is being read again, kept open so that the next range goes on from there.
struct Again {
    input: u32,
    to: u64,
    lines: LogLines<Take<Content>>,
}

impl Again {
    /// Goes on to `to`, if this is where `from` is.
    fn extend(mut self, input: u32, from: u64, to: u64) -> Option<Self> {
        if (self.input, self.lines.position()) != (input, from) || to < self.to {
            return None;
        }
        let content = self.lines.input();
        content.set_limit(content.limit() + (to - self.to));
        self.to = to;
        Some(self)
    }
}

/// The source of a `file` section.
pub struct FileSource {
    source: u16,
    settings: FileSettings,
    files: Vec<Tracked>,
    /// When to look next which files there are.
    next_scan: Duration,
    /// Which file that is at its end is read first.
    turn: usize,
    notices: Vec<Notice>,
    /// Paths that could not be opened or were left alone, each told once.
    told: HashSet<PathBuf>,
    /// Paths that the patterns find and that cannot be opened now, with the reason.
    closed: BTreeMap<PathBuf, String>,
    /// Patterns that have found a file at some time.
    fruitful: BTreeSet<String>,
    reach: Reach,
    record_bytes_max: usize,
    again: Option<Again>,
    time_of: TimeOf,
}

impl FileSource {
    /// A source with the index `source` in the settings.
    pub fn new(source: u16, settings: FileSettings) -> Self {
        Self {
            source,
            settings,
            files: Vec::new(),
            next_scan: Duration::ZERO,
            turn: 0,
            notices: Vec::new(),
            told: HashSet::new(),
            closed: BTreeMap::new(),
            fruitful: BTreeSet::new(),
            reach: Reach::default(),
            record_bytes_max: RECORD_BYTES_MAX,
            again: None,
            time_of: Box::new(|_| None),
        }
    }

    /// `time_of` tells the times of its records. Without it, backlogs are read one after the other, the oldest file first.
    #[must_use]
    pub fn aligned_by(mut self, time_of: TimeOf) -> Self {
        self.time_of = time_of;
        self
    }

    /// Of a line that is longer it takes so many bytes.
    #[must_use]
    pub const fn bounded(mut self, record_bytes_max: usize) -> Self {
        self.record_bytes_max = record_bytes_max;
        self
    }

    /// Looks which files the patterns find now, opens new ones, and lets those go that are done and gone.
    fn scan(&mut self, inputs: &mut dyn Inputs, now: Duration, first: bool) -> Result<(), SourceError> {
        self.next_scan = now + SCAN_EVERY;
        let found = found::by_patterns(&self.settings)?;
        let identities: HashSet<&Identity> = found.iter().map(|file| &file.identity).collect();
        for file in &mut self.files {
            // What is in a folder that is out of reach for a while is not gone.
            if !identities.contains(&file.identity) && found::lists_folder_of(&file.path) {
                file.not_found(now);
            }
        }
        let paths: HashSet<&PathBuf> = found.iter().map(|file| &file.path).collect();
        self.told.retain(|path| paths.contains(path));
        self.closed.retain(|path, _| paths.contains(path));
        // What is there at the very first start is history; what appears while Keyhound is down is new.
        let never_ran = first && !inputs.knows_any(self.source);
        // Looked up once, and only if it is asked for: there may be thousands of files, and of inputs that are kept.
        let (mut known, source) = (None, self.source);
        let mut is_known = |file: &Found, inputs: &dyn Inputs| {
            known.get_or_insert_with(|| found::known(source, inputs)).contains(&file.identity)
        };
        let mut fresh: Vec<Found> = Vec::new();
        for (place, file) in self.places(&found).into_iter().zip(found) {
            if let Some(place) = place {
                self.files[place].found_at(&file.path);
            } else if file.by_the_way && !never_ran && !is_known(&file, inputs) {
                self.leave(&file.path);
            } else {
                fresh.push(file);
            }
        }
        if first {
            // What was being read when Keyhound stopped may have been renamed since.
            let beside = found::beside_patterns(&self.settings)?;
            fresh.extend(beside.into_iter().filter(|file| is_known(file, inputs)));
        }
        fresh.sort();
        for file in fresh {
            // Two patterns, or a link, may name one file.
            if !self.files.iter().any(|tracked| tracked.identity == file.identity) {
                self.open(&file.path, never_ran && self.settings.start() == FileStart::End, inputs);
            }
        }
        self.files.retain(|file| {
            let gone = file.is_done() && file.is_away();
            if gone {
                inputs.ended(file.input);
            }
            !gone
        });
        self.look_for_faults(now);
        Ok(())
    }

    /// Takes down whether everything is in reach that was: the folders, the files that are there, and a file for each
    /// pattern that ever had one.
    fn look_for_faults(&mut self, now: Duration) {
        let mut barren = Vec::new();
        let mut fault = self.closed.iter().next().map(|(path, text)| format!("{}: {text}", path.display()));
        fault = fault.or_else(|| self.files.iter().find_map(Tracked::fault));
        for pattern in self.settings.paths() {
            match found::there_is_one(pattern) {
                Ok(true) => drop(self.fruitful.insert(pattern.clone())),
                Ok(false) if self.settings.follow() && self.fruitful.contains(pattern) => {
                    fault.get_or_insert_with(|| format!("no file is found by {pattern} any more"));
                }
                Ok(false) => barren.push(pattern.as_str()),
                Err(text) => drop(fault.get_or_insert(text)),
            }
        }
        let nothing = format!("no file is found by {}", barren.join(", "));
        self.reach.nothing_there((!barren.is_empty()).then_some(nothing));
        match fault {
            None => self.reach.well(now),
            Some(text) => self.reach.fault(None, text),
        }
    }

    /// For each file that was found, its place among those that are read.
    fn places(&self, found: &[Found]) -> Vec<Option<usize>> {
        let places: HashMap<&Identity, usize> =
            self.files.iter().enumerate().map(|(place, file)| (&file.identity, place)).collect();
        found.iter().map(|file| places.get(&file.identity).copied()).collect()
    }

    fn leave(&mut self, path: &Path) {
        if self.told.insert(path.to_owned()) {
            self.notices.push(Notice::Compressed { source: self.source, path: path.display().to_string() });
        }
    }

    fn open(&mut self, path: &Path, at_end: bool, inputs: &mut dyn Inputs) {
        match Tracked::new((self.source, self.record_bytes_max), path, at_end, inputs, &mut self.notices) {
            Ok(file) => {
                self.told.remove(path);
                self.closed.remove(path);
                self.files.push(file);
            }
            Err(error) => {
                self.closed.insert(path.to_owned(), error.to_string());
                if self.told.insert(path.to_owned()) {
                    let (source, path) = (self.source, path.display().to_string());
                    self.notices.push(Notice::Unreadable { source, path, text: error.to_string() });
                }
            }
        }
    }

    /// Reads what is there: what is new in files that had been read to their ends, in turn, and of the backlogs as much.
    fn read(&mut self, batch: &mut Batch, inputs: &mut dyn Inputs, now: Duration) {
        let mut round = Round { follow: self.settings.follow(), now, inputs, notices: &mut self.notices };
        let is_behind = self.files.iter().any(Tracked::is_behind);
        let leave = if is_behind { batch.room() / 2 } else { 0 };
        let count = self.files.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            if batch.room() <= leave {
                // None waits for ever.
                self.turn = at;
                break;
            }
            if !self.files[at].is_behind() {
                self.files[at].read(batch, &mut round, &mut Until::full(leave));
            }
        }
        if batch.room() > leave {
            self.turn = 0;
        }
        if is_behind {
            backlog::read(&mut self.files, batch, &mut round, &mut self.time_of);
        }
    }

    /// Why a file that is not open cannot be read again: it is gone, unless it could be there and out of reach.
    fn missing(&self, name: &InputName, from: u64, to: u64) -> Result<SourceError, SourceError> {
        let input = name.clone();
        if let Some(text) = found::obstacle(&self.settings) {
            return Ok(SourceError::ReadAgain { input, from, to, text });
        }
        let is_open = |identity: &Identity| self.files.iter().any(|file| file.identity == *identity);
        let there = found::beside_patterns(&self.settings)?;
        if let Some(file) =
            there.iter().find(|file| file.identity.truncations(&name.0).is_some() && !is_open(&file.identity))
        {
            let text = format!("{} could not be opened", file.path.display());
            return Ok(SourceError::ReadAgain { input, from, to, text });
        }
        let text = "no file with this identity is left in the folders of \"paths\"".to_owned();
        Ok(SourceError::Gone { input, from, to, text })
    }

    fn again(&mut self, input: u32, name: &InputName, from: u64, to: u64) -> Result<Again, SourceError> {
        if let Some(again) = self.again.take().and_then(|again| again.extend(input, from, to)) {
            return Ok(again);
        }
        let Some(file) = self.files.iter().find(|file| file.input == input) else {
            return Err(self.missing(name, from, to)?);
        };
        Ok(Again { input, to, lines: file.open_range(name, from, to)? })
    }
}

impl Source for FileSource {
    fn reads(&self) -> Vec<String> {
        self.settings.paths().iter().map(|pattern| format!("file:{pattern}")).collect()
    }

    fn start(&mut self, inputs: &mut dyn Inputs) -> Result<(), SourceError> {
        self.scan(inputs, Duration::ZERO, true)
    }

    fn poll(
        &mut self,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        now: Duration,
        wait: Duration,
    ) -> Result<(), SourceError> {
        // What is new is read now, so what was old has been.
        self.again = None;
        self.reach.begin(now);
        let (before, until) = (batch.len(), now + wait);
        let mut now = now;
        loop {
            self.read(batch, inputs, now);
            if self.settings.follow() && now >= self.next_scan {
                self.scan(inputs, now, false)?;
                self.read(batch, inputs, now);
            }
            let pause = until.saturating_sub(now).min(LOOK_AGAIN);
            if batch.len() > before || self.finished() || pause.is_zero() {
                return Ok(());
            }
            std::thread::sleep(pause);
            now += pause;
        }
    }

    fn read_again(
        &mut self,
        input: u32,
        name: &InputName,
        from: u64,
        to: u64,
        batch: &mut Batch,
    ) -> Result<u64, SourceError> {
        if from >= to {
            return Ok(to);
        }
        let mut again = self.again(input, name, from, to)?;
        while batch.room() > 0 && (again.lines.position() < to || again.lines.holds_last()) {
            let position = again.lines.position();
            let failed =
                |text: String| SourceError::ReadAgain { input: name.clone(), from: position, to, text };
            match again.lines.step().map_err(|error| failed(error.to_string()))? {
                Step::Line(line) => append(self.source, input, line, batch, &mut self.notices),
                Step::Pending | Step::End => {
                    // Something was given that ends here, so what waits was given too.
                    while let Some(line) = again.lines.remainder() {
                        append(self.source, input, line, batch, &mut self.notices);
                    }
                    let position = again.lines.position();
                    if position < to {
                        let text = format!("the file ends at {position}");
                        return Err(SourceError::Gone { input: name.clone(), from: position, to, text });
                    }
                }
            }
        }
        let position = again.lines.position().min(to);
        self.again = Some(again);
        Ok(position)
    }

    fn rewindable(&self) -> bool {
        true
    }

    fn lag(&self) -> Vec<InputLag> {
        self.files
            .iter()
            .map(|file| InputLag {
                input: file.input,
                records_behind: None,
                bytes_behind: file.bytes_behind(),
                newest_log_time_ms: None,
            })
            .collect()
    }

    fn idle(&self, input: u32) -> bool {
        self.files.iter().find(|file| file.input == input).is_none_or(Tracked::is_idle)
    }

    fn waits(&self, input: u32) -> bool {
        self.files.iter().find(|file| file.input == input).is_some_and(Tracked::waits)
    }

    fn finished(&self) -> bool {
        !self.settings.follow() && self.files.iter().all(Tracked::is_done)
    }

    fn describe(&self, input: u32) -> Option<String> {
        self.files.iter().find(|file| file.input == input).map(|file| file.path.display().to_string())
    }

    fn contact(&self, now: Duration) -> Contact {
        self.reach.contact(now)
    }

    fn notices(&mut self, into: &mut Vec<Notice>) {
        into.append(&mut self.notices);
    }
}
