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
                        eprintln!("{title}: {}", progress(made.len(), items.len(), started.elapsed()));
                    }
                }
            });
        }
    });
    eprintln!("{title}: {} in {:.1} s", items.len(), started.elapsed().as_secs_f64());
    let mut made = made.into_inner().unwrap();
    made.sort_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, result)| result).collect()
}

/// What is done, and when the rest will be if it goes on like that.
fn progress(done: usize, all: usize, taken: Duration) -> String {
    let left = taken.mul_f64((all - done) as f64 / done as f64);
    let share = done * 100 / all;
    format!("{share} % ({done} of {all}) after {} s, about {} s to go", taken.as_secs(), left.as_secs())
}
