//! Takes committed outputs to where they are acted on: Alertmanagers, and Keyhound's own topics.
//!
//! Owns one dispatcher for each destination. A dispatcher reads the outbox in order, delivers, and acknowledges; what
//! it has not acknowledged it delivers again after a restart, so each destination must bear repetition. Judges
//! freshness and ends by the wall clock, which it gets as a [`WallClock`]. Never writes state.

pub mod alertmanager;
pub mod clock;
pub mod dispatch;
pub mod outbox;
mod seldom;
pub mod topics;

pub use clock::{WallClock, WallTime};
pub use dispatch::{Deliver, DeliverError, Dispatcher, Stop};
pub use outbox::{Outbox, OutboxError};
pub use seldom::Seldom;
