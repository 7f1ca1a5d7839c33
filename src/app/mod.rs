//! The composition root: valid settings become threads that know each other.
//!
//! Builds, starts and drains; decides nothing. One thread is the slot's, one each dispatcher's; HTTP and the
//! notifier run on a small tokio runtime that the slot never waits for.

pub mod daemon;
pub mod demo;
mod life;
pub mod parts;
mod reload;
mod signals;
pub mod secrecy;

pub use daemon::run;
pub use parts::Named;
