//! The loop: a batch in, the judgement, and now and then a commit.
//!
//! A slot is a thread that owns its log and all state of its partitions; nothing in its path is shared. It sees the
//! outside through [`Log`] and [`Clock`] only, and records whatever of it the judgement hangs on. It never delivers,
//! never logs, and never changes what was committed.

mod arrivals;
mod cadence;
mod catch_up;
mod commit;
mod course;
mod exclusion;
mod idle;
mod judge;
mod late;
mod left_out;
mod marks;
mod outputs;
#[cfg(test)]
pub(crate) mod planted;
mod quarantine;
mod reading;
mod start;
mod status;
mod watermark;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::Receiver,
    },
    time::Duration,
};

use tokio::sync::oneshot;

use self::{
    arrivals::Arrivals,
    cadence::Cadence,
    catch_up::CatchUps,
    commit::{Unfinished, Writes},
    course::{Course, runs_of},
    exclusion::watched,
};
pub use self::{
    cadence::CadenceSettings,
    judge::{FurtherRejections, Judge, Outcome, REJECTIONS_PRODUCED_MAX, Rejection, Tally, WriteEntry},
    quarantine::Culprit,
    reading::{Change, Reading},
    start::{Comparison, Gap, Return},
    status::{CAUGHT_UP_BELOW, Status},
    watermark::OUT_OF_ORDER,
};
use crate::{
    detect::volume::LESSER_WAITS,
    engine::{Command, Effect, Told},
    source::{Batch, Notice},
    store::{Clock, Entry, InputPosition, Log, LogError, Progress, Run},
};

/// How the slot works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotSettings {
    /// Records of one batch.
    pub batch_records: usize,
    pub cadence: CadenceSettings,
    /// How long an input has to hold nothing before it is taken for idle.
    pub idle_after: Duration,
    /// How long an input has to bring nothing with a time before it is taken for idle.
    pub timeless_after: Duration,
    /// How long an input that is said to hold something has to bring nothing before it is taken for idle.
    pub stalled_after: Duration,
    /// How old what is read may be to be acted on; an input that is always older is told.
    pub fresh_within: Duration,
    /// How long to wait for records at most: also how soon a command or a stop is seen.
    pub wait: Duration,
}

impl Default for SlotSettings {
    fn default() -> Self {
        Self {
            batch_records: 4096,
            cadence: CadenceSettings::default(),
            idle_after: Duration::from_secs(1),
            timeless_after: Duration::from_secs(5),
            stalled_after: Duration::from_secs(10),
            fresh_within: Duration::from_mins(2),
            wait: Duration::from_millis(20),
        }
    }
}

/// What others may ask of a slot. Taken between batches.
pub enum Ask<C> {
    /// An operator's command; its sequence is given to it here. The answer is what it led to, once it is committed.
    Command { command: Command, done: oneshot::Sender<Vec<Effect>> },
    /// Other reference data. The answer comes when it is in force, right after a checkpoint.
    Change { change: C, done: oneshot::Sender<()> },
}

/// Why a slot ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to stop.
    Stopped,
    /// No record will ever come again.
    Finished,
}

/// A change that waits for its checkpoint, and who waits for it.
type WaitingChange<C> = Option<(C, oneshot::Sender<()>)>;

/// An input that brings nothing with a time that can be right.
#[derive(Clone, Copy, Debug)]
struct Timeless {
    since: Duration,
    /// The log's own time that may stand in for it, in milliseconds; 0 = none.
    log_ms: u64,
}

/// The loop with all that it owns.
pub struct Slot<L, J: Judge, C> {
    log: L,
    clock: C,
    settings: SlotSettings,
    course: Course<J>,
    asks: Receiver<Ask<J::Change>>,
    status: Arc<Status>,
    batch: Batch,
    /// Records are read one at a time, since one of those that come may panic.
    singly: bool,
    /// Records that were passed over since the last commit, with their sources: counted once that is sure.
    passed_over: Vec<(u16, Run)>,
    cadence: Cadence,
    progress: Progress,
    /// Since the last commit.
    sequence: Vec<Entry>,
    /// Of the inputs touched since the last commit.
    positions: BTreeMap<u32, InputPosition>,
    waiting_change: WaitingChange<J::Change>,
    /// The checkpoint that is being written.
    unfinished: Option<Unfinished>,
    /// What commands led to, until it is committed.
    answers: Vec<(Vec<Effect>, oneshot::Sender<Vec<Effect>>)>,
    /// Since when an input that is not idle yet has held nothing.
    quiet: BTreeMap<u32, Duration>,
    /// Since when an input that is not idle has brought nothing.
    barren: BTreeMap<u32, Duration>,
    /// Inputs that are taken for idle although they are said to hold something.
    stalled: BTreeSet<u32>,
    /// Inputs that have brought nothing with a usable time of late.
    timeless: BTreeMap<u32, Timeless>,
    arrivals: Arrivals,
    catch_ups: CatchUps,
    ended: Vec<u32>,
    looked: Duration,
    notices: Vec<Notice>,
}

impl<L: Log, J: Judge, C: Clock> Slot<L, J, C> {
    /// Comes back to where the last commit left off. The judge is empty, with its reference data in force.
    pub fn start(
        mut log: L,
        judge: J,
        clock: C,
        settings: SlotSettings,
        asks: Receiver<Ask<J::Change>>,
        status: Arc<Status>,
    ) -> Result<Self, LogError> {
        let mut course = Course::new(judge);
        let mut batch = Batch::new(settings.batch_records);
        let (progress, back) = start::come_back(&mut log, &mut course, &mut batch, &status)?;
        // Counted and forgotten with the checkpoint that follows, since nothing is read again from then on.
        let (comparison, passed_over) = (back.comparison, back.passed_over.clone());
        status.came_back(back, clock.wall_ms());
        status.beat(clock.wall_ms());
        let now = clock.now();
        let mut slot = Self {
            log,
            cadence: Cadence::new(settings.cadence, now),
            clock,
            settings,
            course,
            asks,
            status,
            batch,
            singly: false,
            passed_over,
            progress,
            sequence: Vec::new(),
            positions: BTreeMap::new(),
            waiting_change: None,
            unfinished: None,
            answers: Vec::new(),
            quiet: BTreeMap::new(),
            barren: BTreeMap::new(),
            stalled: BTreeSet::new(),
            timeless: BTreeMap::new(),
            arrivals: Arrivals::new(settings.fresh_within),
            catch_ups: CatchUps::default(),
            ended: Vec::new(),
            looked: now,
            notices: Vec::new(),
        };
        slot.begin(comparison)?;
        slot.enter_exclusions();
        Ok(slot)
    }

    /// A replay must never cross a change of reference data, nor go again over what came out differently or is gone.
    /// What was told then may not be in the state, so it is taken in first.
    fn begin(&mut self, comparison: Comparison) -> Result<(), LogError> {
        match comparison {
            Comparison::Equal if !self.log.has_taken_over()? => return Ok(()),
            Comparison::New => {
                // Of a store that is gone, and whose decisions were taken over.
                let told = start::told(&mut self.log)?;
                if told != Told::default() {
                    self.course.adopt(&told);
                    self.commit(Writes::All)?;
                }
            }
            // Equal too, with decisions of a newer database: the next ones have to be above them.
            _ => {
                let told = start::told(&mut self.log)?;
                self.course.adopt(&told);
                self.commit(Writes::All)?;
            }
        }
        self.enter(Entry::Reference(self.course.judge.references()));
        Ok(())
    }

    /// Runs until it is asked to stop, or until no record will ever come again; ends with a checkpoint.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<End, LogError> {
        let end = loop {
            if stop.load(Relaxed) {
                break End::Stopped;
            }
            if self.step()? {
                break End::Finished;
            }
        };
        // What was asked in the meantime is answered.
        self.take_asks();
        self.commit(Writes::All)?;
        Ok(end)
    }

    /// One round: what was asked, a batch, the watermark, and a commit if one is due. Returns whether no record will
    /// ever come again.
    pub fn step(&mut self) -> Result<bool, LogError> {
        self.take_asks();
        let now = self.clock.now();
        let wait = self.cadence.wait(now, self.settings.wait);
        self.make_batch();
        // While a change waits for its checkpoint nothing is read, so that a whole one has little to write in the end.
        if self.waiting_change.is_none() {
            self.log.poll_batch(&mut self.batch, now, wait)?;
        }
        let polled = self.clock.now();
        self.take_opened();
        self.take_batch();
        self.take_idle();
        if let Some(time) = self.course.watermarks.next(self.clock.wall_ms()) {
            self.enter(Entry::Watermark(time.0));
        }
        self.look();
        self.commit_if_due()?;
        let now = self.clock.now();
        self.status.iterated(now, now.saturating_sub(polled));
        Ok(self.log.finished() && self.batch.is_empty())
    }

    /// No record will come any more: spikes that wait are judged as if nothing came while they do. The clock of the log stands
    /// still, so that only who never comes back to this sequence may do so.
    pub fn end_of_log(&mut self) {
        let newest = self.course.watermarks.current().after(OUT_OF_ORDER);
        for seconds in (5..=LESSER_WAITS + 10).step_by(5) {
            let at = newest.after(Duration::from_secs(seconds.into()));
            self.course.records(&Batch::new(1), at.0);
            self.enter(Entry::Watermark(at.0));
        }
    }

    /// Applies an input that is not a batch, and records it.
    fn enter(&mut self, entry: Entry) {
        watched(&self.status, &mut self.course, |course| course.enter(&entry));
        self.sequence.push(entry);
    }

    fn take_asks(&mut self) {
        // A change in waiting holds back what was asked after it, so that the order stays.
        while self.waiting_change.is_none() {
            let Ok(ask) = self.asks.try_recv() else { return };
            match ask {
                Ask::Command { mut command, done } => {
                    command.sequence = self.course.commands;
                    self.answers.push((self.course.command(&command), done));
                    self.sequence.push(Entry::Command(command));
                }
                Ask::Change { change, done } => self.waiting_change = Some((change, done)),
            }
        }
    }

    fn take_opened(&mut self) {
        let mut opened = Vec::new();
        self.log.opened(&mut opened);
        if !opened.is_empty() {
            // One that had ended may be back.
            self.ended.retain(|ended| !opened.contains(ended));
            self.enter(Entry::Opened(opened));
        }
    }

    /// Empties the batch; it takes a single record while one of those that come may panic.
    fn make_batch(&mut self) {
        let singly = self.status.is_quarantine_on();
        if singly != self.singly {
            self.singly = singly;
            self.batch = Batch::new(if singly { 1 } else { self.settings.batch_records });
            self.course.note_keys(singly);
        }
        self.batch.clear();
    }

    fn take_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let at_ms = self.clock.wall_ms();
        let runs = runs_of(&self.batch);
        self.course.name_inputs(&runs, |input| self.log.input_name(input));
        if self.singly && self.pass_over(&runs) {
            return;
        }
        let name = self.singly.then(|| input_name(&self.log, runs[0].input));
        self.status.take_in_hand(&runs, name);
        let tallies = watched(&self.status, &mut self.course, |course| {
            course.records(&self.batch, at_ms);
            course.end_batch(&runs, |input| self.log.input_name(input))
        });
        self.status.let_go();
        self.status.count(&tallies);
        let now = self.clock.now();
        for (source, tally) in (0..).zip(&tallies) {
            self.arrivals.late.read(source, tally.events + tally.anonymous, now);
        }
        for (input, events) in self.course.late.drain(..) {
            self.arrivals.late.came(input, || input_name(&self.log, input), events, now);
        }
        for run in &runs {
            let newest_ms = self.course.watermarks.newest_ms(run.input);
            self.positions.insert(run.input, InputPosition { input: run.input, next: run.to, newest_ms });
            if let Some(&log_ms) = self.course.timeless.get(&run.input) {
                // Only where all of them are ahead: a single wrong clock among many is counted as such.
                if let Some(&ahead_ms) = self.course.ahead.get(&run.input) {
                    self.arrivals.read(run.input, ahead_ms, at_ms);
                }
                let since = self.clock.now();
                let timeless = self.timeless.entry(run.input).or_insert(Timeless { since, log_ms });
                timeless.log_ms = timeless.log_ms.max(log_ms);
            } else {
                self.arrivals.read(run.input, newest_ms, at_ms);
                self.timeless.remove(&run.input);
            }
            self.end_silence(run.input);
        }
        self.sequence.push(Entry::Batch { at_ms, runs });
    }
}

/// The name of an input, for people.
fn input_name<L: Log>(log: &L, input: u32) -> String {
    log.input_name(input).unwrap_or_else(|| format!("input {input}"))
}
