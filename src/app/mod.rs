//! The composition root: valid settings become threads that know each other.
//!
//! Builds, starts and drains; decides nothing. One thread is the slot's, one each dispatcher's; HTTP and the
//! notifier run on a small tokio runtime that the slot never waits for.

pub mod daemon;
mod delivery;
pub mod demo;
mod descriptors;
mod memory;
mod life;
mod listeners;
pub mod parts;
mod read_back;
mod reload;
pub mod replay;
mod signals;
mod state_keeper;
pub mod secrecy;

pub use daemon::run;
pub use parts::Named;
