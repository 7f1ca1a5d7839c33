//! What repeats, told at once and then once a minute with how often it was: a flood of it makes no flood of log lines.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Between two lines.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// How often it was since somebody was told, and when that was.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<(usize, Option<Instant>)>);

impl Seldom {
    /// It happened so many more times. Gives how many are to be told of now.
    pub fn add(&self, count: usize) -> Option<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (untold, told) = &mut *state;
        *untold += count;
        let now = Instant::now();
        let is_due = *untold > 0 && told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        is_due.then(|| {
            *told = Some(now);
            std::mem::take(untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_losses_is_one_line_a_minute_with_their_number() {
        let losses = Seldom::default();
        assert_eq!(losses.add(0), None);
        assert_eq!(losses.add(3), Some(3));
        let mut told = Vec::new();
        for _ in 0..150 {
            tokio::time::advance(Duration::from_secs(1)).await;
            told.extend(losses.add(2));
        }
        assert_eq!(told, [120, 120]);
        tokio::time::advance(TELL_EVERY).await;
        assert_eq!(losses.add(0), Some(60), "the rest is told without another loss");
    }

    #[tokio::test(start_paused = true)]
    async fn what_repeats_is_told_once_a_minute_with_how_often_it_was() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let mut told = Vec::new();
        for seconds in [0, 1, 59, 60, 61] {
            tokio::time::advance(start + Duration::from_secs(seconds) - Instant::now()).await;
            told.push(seldom.add(1));
        }
        assert_eq!(told, [Some(1), None, None, Some(3), None]);
    }
}
