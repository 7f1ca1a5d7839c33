//! The loop of one dispatcher: read the outbox, deliver, acknowledge, wait.
//!
//! Runs on a thread of its own, since the outbox may touch the disk. At least once, in order: a record is
//! acknowledged only after it was delivered, and a failure is tried again from where it happened.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::{Outbox, OutboxError};
use crate::store::OutRecord;

/// Records that one turn takes at most.
const BATCH: usize = 512;
/// How long a dispatcher waits for news if nobody rings: each commit with outputs does.
const IDLE: Duration = Duration::from_secs(1);
/// How long it waits after a failure before it tries again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A destination of outputs.
pub trait Deliver: Send {
    /// The dispatcher's name in the outbox and in metrics; never changes.
    const NAME: &'static str;

    /// Delivers `records` in order and gives the sequence of the last one that has arrived. A record that can never be
    /// delivered is told, counted and passed over.
    fn deliver(&mut self, records: &[OutRecord]) -> Result<u64, DeliverError>;

    /// There is nothing to deliver now: time to see whether the destination is in reach.
    fn idle(&mut self) {}
}

/// Why delivery stopped. Everything through `through` has arrived; the rest will be tried again.
#[derive(Debug, thiserror::Error)]
#[error("delivery stopped after record {through}: {reason}")]
pub struct DeliverError {
    pub through: u64,
    pub reason: String,
}

/// Says to dispatchers that there is news, or that it is time to end.
#[derive(Debug, Default)]
pub struct Stop {
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Stop {
    /// There is news in the outbox.
    pub fn ring(&self) {
        self.change(|state| state.0 += 1);
    }

    /// Deliver what is there, then end.
    pub fn stop(&self) {
        self.change(|state| state.1 = true);
    }

    /// Whether [`Stop::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Waits for a stop, or `at_most`.
    pub fn pause(&self, at_most: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(state, at_most, |state| !state.1));
    }

    /// Rings whenever `newest` changes, for as long as it lives.
    pub async fn ring_with(&self, mut newest: tokio::sync::watch::Receiver<u64>) {
        while newest.changed().await.is_ok() {
            self.ring();
        }
    }

    /// Waits for a ring after `seen`, a stop, or `at_most`. Gives the rings so far.
    pub fn wait(&self, seen: u64, at_most: Duration) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, at_most, |state| state.0 == seen && !state.1);
        waited.unwrap_or_else(PoisonError::into_inner).0.0
    }

    fn change(&self, change: impl FnOnce(&mut (u64, bool))) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

/// Brings records from the outbox to one destination.
pub struct Dispatcher<D> {
    outbox: Arc<dyn Outbox>,
    destination: D,
    through: u64,
}

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Deliver(#[from] DeliverError),
}

impl<D: Deliver> Dispatcher<D> {
    /// Starts after what was acknowledged before.
    pub fn new(outbox: Arc<dyn Outbox>, destination: D) -> Result<Self, OutboxError> {
        let through = outbox.acknowledged(D::NAME)?;
        Ok(Self { outbox, destination, through })
    }

    /// One turn: delivers the next records, if any, and acknowledges them. Gives how many there were.
    pub fn turn(&mut self) -> Result<usize, TurnError> {
        let records = self.outbox.after(self.through, BATCH)?;
        if records.is_empty() {
            return Ok(0);
        }
        let delivered = self.destination.deliver(&records);
        let through = match &delivered {
            Ok(through) | Err(DeliverError { through, .. }) => *through,
        };
        if through > self.through {
            self.outbox.acknowledge(D::NAME, through)?;
            self.through = through;
        }
        delivered?;
        Ok(records.len())
    }

    /// Turns until it is stopped and nothing is left, or until it is stopped and cannot deliver. Where the outbox cannot
    /// be read, it ends at once: what commits to the same database has to know.
    pub fn run(mut self, stop: &Stop) -> Result<(), OutboxError> {
        let mut seen = 0;
        loop {
            let wait = match self.turn() {
                Ok(0) if stop.is_stopped() => return Ok(()),
                Ok(0) => {
                    self.destination.idle();
                    IDLE
                }
                Ok(_) => continue,
                Err(TurnError::Outbox(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(event = "delivery_failed", dispatcher = D::NAME, %error, "delivery failed; it will be retried");
                    if stop.is_stopped() {
                        return Ok(());
                    }
                    AFTER_FAILURE
                }
            };
            seen = stop.wait(seen, wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        time::Instant,
    };

    use super::*;
    use crate::{deliver::outbox::MemoryOutbox, store::Topic};

    /// Takes records until one whose key is `poison`, then fails once.
    #[derive(Default)]
    struct Fragile {
        got: Arc<Mutex<Vec<u64>>>,
        failed: bool,
    }

    impl Deliver for Fragile {
        const NAME: &'static str = "fragile";

        fn deliver(&mut self, records: &[OutRecord]) -> Result<u64, DeliverError> {
            let mut through = 0;
            for record in records {
                if record.key == "poison" && !self.failed {
                    self.failed = true;
                    return Err(DeliverError { through, reason: "poison".to_owned() });
                }
                self.got.lock().unwrap().push(record.seq);
                through = record.seq;
            }
            Ok(through)
        }
    }

    fn outbox(keys: &[&str]) -> Arc<MemoryOutbox> {
        let outbox = Arc::new(MemoryOutbox::default());
        for key in keys {
            outbox.append(Topic::Incidents, key, b"");
        }
        outbox
    }

    #[test]
    fn a_failure_is_tried_again_from_where_it_happened() {
        let outbox = outbox(&["a", "poison", "c"]);
        let mut dispatcher = Dispatcher::new(outbox.clone(), Fragile::default()).unwrap();
        let got = dispatcher.destination.got.clone();
        dispatcher.turn().unwrap_err();
        assert_eq!(outbox.acknowledged("fragile").unwrap(), 1);
        assert_eq!(dispatcher.turn().unwrap(), 2);
        assert_eq!(
            (got.lock().unwrap().clone(), outbox.acknowledged("fragile").unwrap()),
            (vec![1, 2, 3], 3)
        );
    }

    #[test]
    fn a_new_process_goes_on_after_what_was_acknowledged() {
        let outbox = outbox(&["a", "b"]);
        outbox.acknowledge("fragile", 1).unwrap();
        let mut dispatcher = Dispatcher::new(outbox, Fragile::default()).unwrap();
        let got = dispatcher.destination.got.clone();
        dispatcher.turn().unwrap();
        assert_eq!(*got.lock().unwrap(), [2]);
    }

    /// Counts how often it is read.
    #[derive(Default)]
    struct Counted {
        records: MemoryOutbox,
        reads: AtomicUsize,
    }

    impl Outbox for Counted {
        fn after(&self, seq: u64, limit: usize) -> Result<Vec<OutRecord>, OutboxError> {
            self.reads.fetch_add(1, Relaxed);
            self.records.after(seq, limit)
        }

        fn acknowledged(&self, dispatcher: &str) -> Result<u64, OutboxError> {
            self.records.acknowledged(dispatcher)
        }

        fn acknowledge(&self, dispatcher: &str, seq: u64) -> Result<(), OutboxError> {
            self.records.acknowledge(dispatcher, seq)
        }
    }

    #[test]
    fn an_outbox_is_read_when_there_is_news_and_once_a_second_else() {
        let (outbox, stop) = (Arc::new(Counted::default()), Stop::default());
        let dispatcher = Dispatcher::new(outbox.clone(), Fragile::default()).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| dispatcher.run(&stop).unwrap());
            let started = Instant::now();
            while outbox.reads.load(Relaxed) < 2 {
                std::thread::yield_now();
            }
            assert!(started.elapsed() > Duration::from_millis(500), "nobody rang: {:?}", started.elapsed());
            outbox.records.append(Topic::Incidents, "a", b"");
            stop.ring();
            while outbox.acknowledged("fragile").unwrap() < 1 {
                std::thread::yield_now();
            }
            stop.stop();
        });
    }

    #[test]
    fn a_stopped_dispatcher_delivers_what_is_left_and_ends() {
        let outbox = outbox(&["a", "b"]);
        let stop = Stop::default();
        stop.stop();
        Dispatcher::new(outbox.clone(), Fragile::default()).unwrap().run(&stop).unwrap();
        assert_eq!(outbox.acknowledged("fragile").unwrap(), 2);
    }
}
