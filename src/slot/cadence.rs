//! When to commit, and when to take a checkpoint. Pure: the time is given.

use std::{collections::VecDeque, time::Duration};

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CadenceSettings {
    /// Between commits while something waits.
    pub commit_every: Duration,
    /// Between checkpoints while something changes.
    pub checkpoint_every: Duration,
    /// Entries of a checkpoint that one commit writes at most.
    pub checkpoint_entries: usize,
}

impl Default for CadenceSettings {
    fn default() -> Self {
        Self {
            commit_every: Duration::from_millis(200),
            checkpoint_every: Duration::from_secs(10),
            checkpoint_entries: 16_384,
        }
    }
}

/// Commits may take this share of the time, as a divisor.
const SHARE: u32 = 4;

/// A commit that took so long makes the next one write less of a checkpoint.
const LONG: Duration = Duration::from_millis(80);

/// The first commit writes this part of what one may write, as a divisor: how fast the disk is shows only then.
const FIRST: usize = 8;

/// The time over which that share is taken.
const SECOND: Duration = Duration::from_secs(1);

/// Remembers the last commits.
#[derive(Debug)]
pub struct Cadence {
    settings: CadenceSettings,
    committed: Duration,
    checkpointed: Duration,
    /// The commits of the last second: when each ended and how long it took.
    recent: VecDeque<(Duration, Duration)>,
    /// Entries of a checkpoint that the next commit may write.
    entries: usize,
}

impl Cadence {
    pub fn new(settings: CadenceSettings, now: Duration) -> Self {
        Self {
            settings,
            committed: now,
            checkpointed: now,
            recent: VecDeque::new(),
            entries: (settings.checkpoint_entries / FIRST).max(1),
        }
    }

    /// Whether to commit now, given that something waits. `urgent` = a decision or a command does.
    pub fn commit_due(&self, now: Duration, urgent: bool) -> bool {
        if now.saturating_sub(self.committed) < self.settings.commit_every && !urgent {
            return false;
        }
        let since = now.saturating_sub(SECOND);
        let spent: Duration = self.recent.iter().filter(|(end, _)| *end > since).map(|(_, took)| *took).sum();
        // A commit that took longer than the whole share ends its own second before the next one.
        spent <= SECOND / SHARE
    }

    /// Entries of a checkpoint that a commit may write, so that nobody waits for it for long: as many as the disk takes.
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// Whether a checkpoint is due.
    pub fn checkpoint_due(&self, now: Duration) -> bool {
        now.saturating_sub(self.checkpointed) >= self.settings.checkpoint_every
    }

    /// How long one may wait for records before the next commit is due. Once that moment is past, nothing waits for a
    /// commit, or commits have had their share: then as long as ever.
    pub fn wait(&self, now: Duration, max: Duration) -> Duration {
        match (self.committed + self.settings.commit_every).saturating_sub(now) {
            Duration::ZERO => max,
            left => left.clamp(Duration::from_millis(1), max),
        }
    }

    /// A commit has been made.
    pub fn committed(&mut self, start: Duration, end: Duration, checkpoint: bool) {
        self.committed = end;
        let most = self.settings.checkpoint_entries;
        let took = end.saturating_sub(start);
        // Twice as many take twice as long: more only where there is room for that.
        let entries = if took >= LONG {
            self.entries / 2
        } else if took < LONG / 2 {
            self.entries.saturating_mul(2)
        } else {
            self.entries
        };
        self.entries = entries.clamp((most / 32).max(1), most);
        if checkpoint {
            self.checkpointed = end;
        }
        let since = end.saturating_sub(SECOND);
        while self.recent.front().is_some_and(|(end, _)| *end <= since) {
            self.recent.pop_front();
        }
        self.recent.push_back((end, end.saturating_sub(start)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_decision_does_not_wait_for_the_interval() {
        let mut cadence = Cadence::new(CadenceSettings::default(), ms(0));
        cadence.committed(ms(1000), ms(1010), false);
        assert!(!cadence.commit_due(ms(1100), false));
        assert!(cadence.commit_due(ms(1100), true));
        assert!(cadence.commit_due(ms(1210), false));
    }

    #[test]
    fn waiting_ends_when_a_commit_is_due_and_is_as_long_as_ever_when_nothing_wants_one() {
        let mut cadence = Cadence::new(CadenceSettings::default(), ms(0));
        cadence.committed(ms(1000), ms(1010), false);
        let wait = |now| cadence.wait(ms(now), ms(20));
        assert_eq!([wait(1100), wait(1205), wait(1210), wait(9000)], [ms(20), ms(5), ms(20), ms(20)]);
    }

    #[test]
    fn slow_commits_are_spread_out() {
        let mut cadence = Cadence::new(CadenceSettings::default(), ms(0));
        cadence.committed(ms(1000), ms(1300), false);
        assert!(!cadence.commit_due(ms(1600), true), "300 ms of the last second went to commits");
        assert!(cadence.commit_due(ms(2300), true));
    }

    #[test]
    fn a_slow_disk_gets_less_of_a_checkpoint_at_a_time() {
        let mut cadence = Cadence::new(CadenceSettings::default(), ms(0));
        let mut after = |took| {
            cadence.committed(ms(0), ms(took), false);
            cadence.entries()
        };
        assert_eq!([10; 4].map(&mut after), [4_096, 8_192, 16_384, 16_384]);
        assert_eq!([100, 100, 50, 10, 79].map(&mut after), [8_192, 4_096, 4_096, 8_192, 8_192]);
        assert_eq!([90; 9].map(&mut after)[8], 512, "it goes on, however slow");
    }

    #[test]
    fn checkpoints_come_every_ten_seconds() {
        let mut cadence = Cadence::new(CadenceSettings::default(), ms(0));
        assert!(!cadence.checkpoint_due(ms(9_999)));
        assert!(cadence.checkpoint_due(ms(10_000)));
        cadence.committed(ms(10_000), ms(10_020), true);
        assert!(!cadence.checkpoint_due(ms(20_000)));
    }
}
