//! The demonstration: two weeks of traffic are learnt, then one key leaks while honest look-alikes go on.
//!
//! Generated log lines go through the daemon's own `decode`, `enrich` and engines; the decision goes to the real check
//! endpoint, and real HTTP calls ask it. Only the clock is the story's own. No server is needed, nothing is written
//! to disk, only loopback is listened on, and the same seed tells the same story. The raw keys are invented and are
//! never shown.

mod cast;
mod clock;
mod gate;
mod open_house;
mod play;
mod screen;
mod stage;
mod tally;
mod telling;
mod verdict;

use std::sync::Arc;

use crate::{
    decode::Pepper,
    event::EventTime,
    generate::{Formats, Plan},
};
use play::Play;
pub use screen::Screen;
pub use verdict::{Alarm, Asked, Verdict};

/// What to play.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub keys: usize,
    pub days: u16,
    pub formats: Formats,
    /// All rates are scaled down so that about this many lines are expected at most.
    pub lines_max: u64,
    /// When the traffic ends, in the story's own time.
    pub end: EventTime,
    /// Seconds of event time in a second of the live part; `None` = as fast as it goes.
    pub speed: Option<f64>,
    /// Stay up afterwards, until Ctrl-C.
    pub serve: bool,
}

/// 2026-11-17T14:30:00Z, a Tuesday: offices in Europe and America are at work.
const END: EventTime = EventTime(1_794_925_800_000);

impl Default for Settings {
    /// 300 keys behind nginx, Kong and Envoy; the live part takes less than a minute.
    fn default() -> Self {
        Self {
            seed: 1,
            keys: 300,
            days: 14,
            formats: Formats::Mixed,
            lines_max: Plan::default().lines_max,
            end: END,
            speed: Some(36.0),
            serve: false,
        }
    }
}

/// What key ids are made under, in the demonstration only: the keys are invented, and ids are the same each time.
const PEPPER: &[u8] = b"the pepper of the demonstration!";

/// Plays the story on `screen`, and says what came of it.
pub fn run(settings: &Settings, screen: &mut Screen) -> anyhow::Result<Verdict> {
    let mut play = Play::prepare(settings, Arc::new(Pepper::new(PEPPER)?))?;
    play.learn(screen)?;
    play.live(screen)?;
    play.conclude(screen)?;
    let verdict = play.verdict();
    telling::verdict(&verdict, screen)?;
    if settings.serve {
        open_house::stay(&mut play, screen)?;
    }
    Ok(verdict)
}
