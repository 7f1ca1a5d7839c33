//! The slot on the embedded database, with sources that read from memory.

use std::path::Path;

use super::*;
use crate::{
    source::{InputLag, InputName, Inputs, Notice, Source, SourceError},
    store::{EmbeddedLog, Identity, Outbox},
};

/// Later than all records, so that none is ahead of the clock.
/// So much later than all records that none of the inputs comes near the clock: what is waited for hangs on that.
const NOW_MS: u64 = START_MS + 20_000_000;

/// A source of one input that gives `step` records a poll.
struct Reel {
    source: u16,
    records: Vec<Vec<u8>>,
    step: u64,
    input: u32,
    next: u64,
}

impl Reel {
    fn boxed(source: u16, records: &[String], step: u64) -> Box<dyn Source> {
        let records = records.iter().map(|text| text.clone().into_bytes()).collect();
        Box::new(Self { source, records, step, input: 0, next: 0 })
    }

    fn push(&self, from: u64, to: u64, batch: &mut Batch) -> u64 {
        let mut offset = from;
        while offset < to && batch.room() > 0 {
            let bytes = &self.records[usize::try_from(offset).unwrap()];
            let (source, input, next) = (self.source, self.input, offset + 1);
            batch.push(crate::source::Record {
                source,
                input,
                offset,
                next,
                log_time_ms: None,
                bytes,
                cut: false,
            });
            offset = next;
        }
        offset
    }
}

impl Source for Reel {
    fn reads(&self) -> Vec<String> {
        vec![format!("reel:{}", self.source)]
    }

    fn start(&mut self, inputs: &mut dyn Inputs) -> Result<(), SourceError> {
        let (input, next) = inputs.input(self.source, &InputName(format!("reel:{}", self.source)));
        self.input = input;
        self.next = next.unwrap_or(0);
        inputs.starts_at(input, self.next);
        Ok(())
    }

    fn poll(
        &mut self,
        batch: &mut Batch,
        _: &mut dyn Inputs,
        _: Duration,
        _: Duration,
    ) -> Result<(), SourceError> {
        let to = (self.next + self.step).min(self.records.len() as u64);
        self.next = self.push(self.next, to, batch);
        Ok(())
    }

    fn read_again(
        &mut self,
        _: u32,
        _: &InputName,
        from: u64,
        to: u64,
        batch: &mut Batch,
    ) -> Result<u64, SourceError> {
        Ok(self.push(from, to, batch))
    }

    fn rewindable(&self) -> bool {
        true
    }

    fn lag(&self) -> Vec<InputLag> {
        Vec::new()
    }

    fn idle(&self, _: u32) -> bool {
        self.finished()
    }

    fn finished(&self) -> bool {
        self.next == self.records.len() as u64
    }

    fn describe(&self, _: u32) -> Option<String> {
        None
    }

    fn notices(&mut self, _: &mut Vec<Notice>) {}
}

fn identity() -> Identity {
    Identity { partitions: 8, topic_prefix: "keyhound.".to_owned(), pepper_check: "kc1_0".to_owned() }
}

/// Two sources of 60 records each, five and three a poll.
fn open(dir: &Path) -> EmbeddedLog {
    let records = |behind: u64| -> Vec<String> {
        (0..60).map(|n| format!("{} k{}", 1000 + n * 7 - behind, n % 4)).collect()
    };
    let sources = vec![Reel::boxed(0, &records(0), 5), Reel::boxed(1, &records(300), 3)];
    EmbeddedLog::open(dir.to_owned(), &identity(), sources, &["alertmanager".to_owned()]).unwrap()
}

/// Goes on for at most `steps`; returns whether it came to the end, which a life that is cut short does not commit.
fn live(dir: &Path, steps: usize, clock: &VirtualClock) -> (bool, Outbox) {
    let log = open(dir);
    let outbox = log.outbox();
    let status = Arc::new(Status::default());
    let (_ask, asks) = mpsc::channel();
    let mut slot =
        Slot::start(log, Toy::default(), clock.clone(), settings(64), asks, Arc::clone(&status)).unwrap();
    assert_ne!(status.returned().comparison, Comparison::Differs);
    for _ in 0..steps {
        clock.advance(Duration::from_millis(70));
        if slot.step().unwrap() {
            slot.commit(Writes::All).unwrap();
            return (true, outbox);
        }
    }
    (false, outbox)
}

#[test]
fn a_store_that_is_opened_again_goes_on_as_if_it_had_never_been_closed() {
    let outputs = |steps: &[usize]| {
        let dir = tempfile::tempdir().unwrap();
        let clock = VirtualClock::new(NOW_MS);
        let mut lives = steps.iter().copied().chain(std::iter::repeat(usize::MAX));
        loop {
            let (ended, outbox) = live(dir.path(), lives.next().unwrap(), &clock);
            if ended {
                let all = outbox.after(0, 10_000).unwrap();
                let decisions = outbox.current(Topic::Decisions, false).unwrap();
                return (all, outbox.open_incidents().unwrap(), decisions);
            }
        }
    };
    let undisturbed = outputs(&[]);
    assert_eq!(undisturbed.1.len(), 4);
    assert_eq!(undisturbed.2.len(), 4);
    assert!(undisturbed.0.len() > 40);
    assert_eq!(outputs(&[1, 2, 3, 5, 4, 1, 7]), undisturbed);
    assert_eq!(outputs(&[6, 6]), undisturbed);
}

#[test]
fn an_acknowledged_output_is_trimmed_and_what_is_current_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = VirtualClock::new(NOW_MS);
    let (_, outbox) = live(dir.path(), 12, &clock);
    let dispatcher = outbox.dispatcher("alertmanager").unwrap();
    let newest = *outbox.newest().borrow();
    let seen = outbox.after(0, 10).unwrap();
    assert!(seen.len() == 10 && newest > 10, "{newest}");
    dispatcher.ack(seen[9].seq);
    dispatcher.ack(3);
    assert_eq!(dispatcher.acked(), 10, "an acknowledgement never goes back");
    // The acknowledgement was not committed, so another life delivers again.
    drop((dispatcher, outbox));
    let log = open(dir.path());
    let dispatcher = log.outbox().dispatcher("alertmanager").unwrap();
    assert_eq!(dispatcher.acked(), 0);
    dispatcher.ack(10);
    let outbox = log.outbox();
    let (_ask, asks) = mpsc::channel();
    let mut slot =
        Slot::start(log, Toy::default(), clock.clone(), settings(64), asks, Arc::default()).unwrap();
    clock.advance(Duration::from_millis(300));
    slot.step().unwrap();
    assert_eq!(outbox.after(0, 1).unwrap()[0].seq, 11);
    assert!(!outbox.open_incidents().unwrap().is_empty());
    assert!(outbox.dispatcher("nobody").is_none());
}
