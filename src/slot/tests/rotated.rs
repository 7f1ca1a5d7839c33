//! Files that come and go: what is kept of one ends with it.

use super::*;
use crate::{
    source::{InputLag, InputName, Inputs, Notice, Record, Source, SourceError},
    store::{EmbeddedLog, Identity},
};

/// A new file at each poll, with one record; the one before ends.
#[derive(Default)]
struct Rotated {
    files: u32,
    input: Option<u32>,
}

impl Source for Rotated {
    fn reads(&self) -> Vec<String> {
        vec!["file:rotated".to_owned()]
    }

    fn start(&mut self, _: &mut dyn Inputs) -> Result<(), SourceError> {
        Ok(())
    }

    fn poll(
        &mut self,
        batch: &mut Batch,
        inputs: &mut dyn Inputs,
        _: Duration,
        _: Duration,
    ) -> Result<(), SourceError> {
        if let Some(before) = self.input {
            inputs.ended(before);
        }
        self.files += 1;
        let (input, _) = inputs.input(0, &InputName(format!("file:{}", self.files)));
        self.input = Some(input);
        let text = format!("{} a", 1_000 + self.files / 100);
        let log_time_ms = Some(START_MS + 1_000_000_000);
        batch.push(Record {
            source: 0,
            input,
            offset: 0,
            next: 1,
            log_time_ms,
            bytes: text.as_bytes(),
            cut: false,
        });
        Ok(())
    }

    fn read_again(
        &mut self,
        _: u32,
        _: &InputName,
        _: u64,
        to: u64,
        _: &mut Batch,
    ) -> Result<u64, SourceError> {
        Ok(to)
    }

    fn rewindable(&self) -> bool {
        true
    }

    fn lag(&self) -> Vec<InputLag> {
        Vec::new()
    }

    fn idle(&self, input: u32) -> bool {
        self.input != Some(input)
    }

    fn finished(&self) -> bool {
        false
    }

    fn describe(&self, _: u32) -> Option<String> {
        None
    }

    fn notices(&mut self, _: &mut Vec<Notice>) {}
}

#[test]
fn ten_thousand_rotated_files_leave_no_more_than_those_since_the_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let identity =
        Identity { partitions: 8, topic_prefix: "keyhound.".to_owned(), pepper_check: "kc1_0".to_owned() };
    let sources: Vec<Box<dyn Source>> = vec![Box::new(Rotated::default())];
    let log = EmbeddedLog::open(dir.path().to_owned(), &identity, sources, &[]).unwrap();
    let clock = VirtualClock::new(START_MS);
    let (_ask, asks) = mpsc::channel();
    let mut slot =
        Slot::start(log, Toy::default(), clock.clone(), settings(64), asks, Arc::default()).unwrap();
    let mut most = 0;
    for _ in 0..10_000 {
        clock.advance(Duration::from_millis(2));
        slot.step().unwrap();
        let kept = [
            slot.course.judge.names(),
            slot.course.named(),
            slot.course.watermarks.states().len(),
            slot.quiet.len(),
            slot.timeless.len(),
            slot.ended.len(),
        ];
        most = most.max(kept.into_iter().max().unwrap());
    }
    // A checkpoint a second, which is 500 files, and the commits in which it is written.
    assert!((500..2_000).contains(&most), "{most}");
}
