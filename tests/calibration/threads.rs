//! All processors at work, and how far they have come.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How often it is told, on standard error.
const EVERY: Duration = Duration::from_secs(10);

/// What `work` makes of each item, in the order of the items.
pub fn each<T: Sync, R: Send>(title: &str, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    let (made, told) = (Mutex::new(Vec::with_capacity(items.len())), Mutex::new(started));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(item) = items.get(at)
                {
                    let result = work(item);
                    let mut made = made.lock().unwrap();
                    made.push((at, result));
                    let mut told = told.lock().unwrap();
                    if told.elapsed() >= EVERY {
                        *told = Instant::now();
                        eprintln!(
                            "{title}: {} of {}, {} s",
                            made.len(),
                            items.len(),
                            started.elapsed().as_secs()
                        );
                    }
                }
            });
        }
    });
    let mut made = made.into_inner().unwrap();
    made.sort_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, result)| result).collect()
}
