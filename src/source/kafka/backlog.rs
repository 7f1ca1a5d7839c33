//! Partitions that are behind, read side by side in the order of event time.
//!
//! A partition has a queue of its own until it has been read to its end for the first time; then its queue is forwarded
//! to the shared one for good. Of those that are behind, the one that stands earliest is read until it is
//! [`SKEW_MAX`](super::super::SKEW_MAX) ahead of the next one. Messages are taken from its queue in runs, and wait outside
//! the batch until it is their turn: after a gap in a partition, the others come first. Nothing is paused and nothing is
//! sought, so nothing is fetched twice.
//!
//! Only the first and the last record of a run are decoded, and a few between them where the run is longer than what may
//! be read of it.
//!
//! The end of a partition moves while it waits for others, and its queue still holds the mark of where the end was. So it
//! is at its end where that mark is the last in its queue. A partition in which records always come has no such mark: it
//! is at its end where it has come to the end that the statistics told, if they are no older than its queue, see
//! [`Behind::told_end`].

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    super::{
        Batch, SourceError, TimeOf,
        aligned::{Pace, bound_ms, earliest},
    },
    Client, KafkaSource,
    batch_queue::{BatchQueue, Messages},
    now_ms,
};
use crate::event::{EventTime, clamped};

/// So many messages wait outside the batch, of one partition.
const RUN: usize = 256;
/// What librdkafka needs for a message beside its bytes.
const MESSAGE_BYTES: usize = 400;
/// So many are taken at once.
const STEP: usize = 32;
/// A run is topped up when so few are left, so that the time of one odd record at its end does not stand for the rest.
const LOW: usize = 64;
/// How long a partition that brings nothing is waited for. It may have no leader. One that is refused is not waited for.
const PASSED_OVER_AFTER: Duration = Duration::from_secs(10);
/// How long to wait for one partition before the others are looked at.
const SLICE: Duration = Duration::from_millis(10);

/// A partition that has not been read to its end yet.
pub struct Behind {
    pub place: usize,
    pub input: u32,
    queue: Arc<BatchQueue>,
    /// What waits outside the batch.
    ahead: Messages,
    /// No more is taken once what waits has so many bytes.
    run_bytes: usize,
    /// Whether something was taken or given since the times were looked at.
    is_changed: bool,
    /// The time of the record that comes next, or, where none is ahead, of the one that came last, in milliseconds.
    stands_ms: u64,
    /// The time of the last record ahead.
    last_ms: Option<u64>,
    /// Since when it has brought nothing.
    empty_since: Option<Duration>,
    /// How fast it comes on while others wait for it.
    pace: Pace,
    /// Whether the broker refuses to give its records.
    is_refused: bool,
    /// Whether its queue was found empty since the last statistics, and between those and the ones before.
    was_drained: [bool; 2],
    /// Where the log ends, if the statistics that told it are no older than what waits.
    end: Option<u64>,
    /// Whether its end has been read, or will never be: it is slower than the clock. What comes then waits for nothing.
    caught_up: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Read this one, up to a time in milliseconds if it is not the only one.
    Read(usize, Option<u64>),
    /// Nothing can be read before this one has brought something.
    Wait(usize),
    Nothing,
}

impl Behind {
    pub fn new(place: usize, input: u32, queue: BatchQueue, run_bytes: usize) -> Self {
        Self {
            place,
            input,
            queue: Arc::new(queue),
            ahead: Messages::with_capacity(STEP),
            run_bytes,
            is_changed: true,
            stands_ms: 0,
            last_ms: None,
            empty_since: None,
            pace: Pace::default(),
            is_refused: false,
            was_drained: [false; 2],
            end: None,
            caught_up: false,
        }
    }

    /// Whether its next record waits for others.
    pub const fn waits(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// How many messages wait.
    #[cfg(test)]
    pub const fn waiting(&self) -> usize {
        self.ahead.len()
    }

    fn is_passed_over(&self, now: Duration) -> bool {
        let is_over = |since: Duration| now.saturating_sub(since) >= PASSED_OVER_AFTER;
        self.ahead.is_empty() && (self.is_refused || self.empty_since.is_some_and(is_over))
    }

    /// The statistics say that the log ends here. While a queue is full nothing is fetched, and what they say is as old as
    /// the last fetch: hours, if the partition has waited for so long. A queue that was found empty before the last
    /// statistics was filled after that, so these are at most two intervals old.
    pub fn told_end(&mut self, end: Option<u64>) {
        self.end = end.filter(|_| self.was_drained[1]);
        self.was_drained = [false, self.was_drained[0]];
    }

    /// Takes more from its queue if little is left.
    fn fill(&mut self) {
        let before = self.ahead.len();
        let mut bytes = 0;
        while !self.caught_up && before <= LOW && self.ahead.len() < RUN && bytes < self.run_bytes {
            let most = STEP.min(RUN - self.ahead.len());
            let taken = self.take(most, Duration::ZERO);
            if taken.len() < most {
                self.was_drained[0] = true;
                break;
            }
            bytes += taken.map(|index| self.ahead.payload(index).len() + MESSAGE_BYTES).sum::<usize>();
        }
    }

    fn take(&mut self, most: usize, wait: Duration) -> Range<usize> {
        let taken = self.queue.take(&mut self.ahead, most, wait);
        self.is_changed |= !taken.is_empty();
        taken
    }

    fn give(&mut self, count: usize, to: &mut Messages) -> Range<usize> {
        self.is_changed |= count > 0;
        self.ahead.give(count, to)
    }

    /// How many messages stand in front of the first record: errors, and the end of the log.
    fn errors_in_front(&self) -> usize {
        (0..self.ahead.len()).take_while(|index| self.ahead.head(*index).error.is_some()).count()
    }

    /// Finds where it stands.
    fn look(&mut self, now: Duration, time_at: &mut TimeAt<'_>) {
        if self.ahead.is_empty() {
            self.stands_ms = self.last_ms.unwrap_or(self.stands_ms);
            self.empty_since.get_or_insert(now);
            return;
        }
        self.empty_since = None;
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        self.last_ms = time_at.or_before(&self.ahead, self.ahead.len() - 1).or(self.last_ms);
        // A record without a time belongs to the one before it.
        let first_ms = time_at.of(&self.ahead, 0).unwrap_or(self.stands_ms);
        self.stands_ms = match self.last_ms {
            // One whose time is far ahead does not stand for the rest.
            Some(last_ms) if first_ms > bound_ms(last_ms) => time_at.least(&self.ahead).unwrap_or(last_ms),
            Some(last_ms) => first_ms.min(last_ms),
            None => first_ms,
        };
    }

    /// How many messages ahead are not later than `most_ms`; at least one.
    fn until(&self, most_ms: Option<u64>, time_at: &mut TimeAt<'_>) -> usize {
        let Some(most_ms) = most_ms else { return self.ahead.len() };
        if self.last_ms.is_some_and(|last_ms| last_ms <= most_ms) {
            return self.ahead.len();
        }
        // Records of a partition are in order, more or less: it is looked for by halves.
        let (mut low, mut high) = (0, self.ahead.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if time_at.or_before(&self.ahead, middle).is_none_or(|ms| ms <= most_ms) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.max(1)
    }
}

/// Tells the times of messages, as the judgement will have them.
struct TimeAt<'a> {
    time_of: &'a mut TimeOf,
    record_bytes_max: usize,
    wall_ms: u64,
}

impl TimeAt<'_> {
    fn of(&mut self, messages: &Messages, index: usize) -> Option<u64> {
        if messages.head(index).error.is_some() {
            return None;
        }
        let whole = messages.payload(index);
        let time = EventTime((self.time_of)(&whole[..whole.len().min(self.record_bytes_max)])?);
        // A partition whose clock is ahead would come last, and late.
        let log_time =
            messages.time_ms(index).map_or(self.wall_ms, |log_time_ms| log_time_ms.min(self.wall_ms));
        Some(clamped(time, EventTime(log_time)).unwrap_or(time).0)
    }

    /// The least of all.
    #[cold]
    fn least(&mut self, messages: &Messages) -> Option<u64> {
        (0..messages.len()).filter_map(|index| self.of(messages, index)).min()
    }

    /// That of a message, or of the last one before it that has any.
    fn or_before(&mut self, messages: &Messages, index: usize) -> Option<u64> {
        (0..=index).rev().find_map(|index| self.of(messages, index))
    }
}

/// Which partition is read next, and how far.
fn turn(behind: &[Behind], now: Duration) -> Turn {
    // What comes after the end that it had is new, and waits for nothing.
    if let Some(at) = behind.iter().position(|one| one.caught_up && one.waits()) {
        return Turn::Read(at, None);
    }
    let waited_for = || {
        let stand = behind.iter().enumerate().filter(|(_, one)| !one.is_passed_over(now));
        stand.map(|(at, one)| (at, one.stands_ms))
    };
    let Some((first, most_ms)) = earliest(waited_for()) else { return Turn::Nothing };
    if behind[first].waits() {
        return Turn::Read(first, most_ms);
    }
    // What it brings may be earlier than what the others have: of these, only what is near may be read.
    let most_ms = bound_ms(behind[first].stands_ms);
    match earliest(waited_for().filter(|(at, _)| behind[*at].waits())) {
        Some((ready, _)) if behind[ready].stands_ms <= most_ms => Turn::Read(ready, Some(most_ms)),
        _ => Turn::Wait(first),
    }
}

impl KafkaSource {
    /// Appends what is ready while partitions are behind; waits at most `wait` for the first record.
    pub(super) fn take_aligned(
        &mut self,
        client: &mut Client,
        shared: &Arc<BatchQueue>,
        batch: &mut Batch,
        now: Duration,
        wait: Duration,
    ) -> Result<(), SourceError> {
        let before = batch.len();
        let mut left = wait;
        // What is new does not wait for a backlog.
        self.take(client, shared, batch, batch.room().div_ceil(2), Duration::ZERO)?;
        loop {
            let missing = self.read_behind(client, shared, batch, now)?;
            if batch.len() > before || left.is_zero() || batch.room() == 0 {
                break;
            }
            let Some(missing) = missing else { return self.take_batch(client, shared, batch, left) };
            let slice = left.min(SLICE);
            client.behind[missing].take(1, slice);
            left -= slice;
            self.take(client, shared, batch, usize::MAX, Duration::ZERO)?;
        }
        // If the backlog has left room.
        self.take(client, shared, batch, usize::MAX, Duration::ZERO)
    }

    /// Reads until the batch is full, or the partition that is returned has to bring something first.
    fn read_behind(
        &mut self,
        client: &mut Client,
        shared: &BatchQueue,
        batch: &mut Batch,
        now: Duration,
    ) -> Result<Option<usize>, SourceError> {
        let mut at = 0;
        while at < client.behind.len() {
            if self.settle(client, at, shared, batch, now)? {
                at += 1;
            }
        }
        while batch.room() > 0 {
            match turn(&client.behind, now) {
                Turn::Read(at, most_ms) => {
                    let count = match self.time_at() {
                        Some(mut time_at) => client.behind[at].until(most_ms, &mut time_at),
                        None => usize::MAX,
                    };
                    self.push_ahead(client, at, count.min(batch.room()), batch)?;
                    self.settle(client, at, shared, batch, now)?;
                }
                Turn::Wait(at) => {
                    let is_awaited = client.behind.iter().any(Behind::waits);
                    let one = &mut client.behind[at];
                    if !is_awaited || !one.pace.is_slow(now, one.stands_ms) {
                        return Ok(Some(at));
                    }
                    one.caught_up = true;
                    self.settle(client, at, shared, batch, now)?;
                }
                Turn::Nothing => return Ok(None),
            }
        }
        // It is we who are slow.
        client.behind.iter_mut().for_each(|one| one.pace.forget());
        Ok(None)
    }

    /// Takes more of a partition and finds where it stands. One that is not behind any more leaves the table: false.
    fn settle(
        &mut self,
        client: &mut Client,
        at: usize,
        shared: &BatchQueue,
        batch: &mut Batch,
        now: Duration,
    ) -> Result<bool, SourceError> {
        client.behind[at].fill();
        let errors = client.behind[at].errors_in_front();
        self.push_ahead(client, at, errors, batch)?;
        let one = &mut client.behind[at];
        let partition = self.partitions.at(one.place);
        one.caught_up |= partition.at_end && !one.waits();
        one.caught_up |= one.end.is_some_and(|end| partition.position >= end);
        if one.caught_up && !one.waits() {
            one.queue.forward_to(shared);
            partition.caught_up = true;
            client.behind.remove(at);
            return Ok(false);
        }
        one.is_refused = partition.refused.is_some();
        if let Some(mut time_at) = self.time_at() {
            one.look(now, &mut time_at);
        }
        Ok(true)
    }

    /// Moves the first messages that a partition has ahead into the batch.
    fn push_ahead(
        &mut self,
        client: &mut Client,
        at: usize,
        count: usize,
        batch: &mut Batch,
    ) -> Result<(), SourceError> {
        let one = &mut client.behind[at];
        let moved = one.give(count.min(one.ahead.len()), batch.messages_mut());
        self.append(client, batch, moved)
    }

    fn time_at(&mut self) -> Option<TimeAt<'_>> {
        let record_bytes_max = self.record_bytes_max;
        self.time_of.as_mut().map(|time_of| TimeAt { time_of, record_bytes_max, wall_ms: now_ms() })
    }
}
