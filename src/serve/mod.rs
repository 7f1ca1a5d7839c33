//! Answers over HTTP: gateways that ask whether to serve a key, and operators who look and command.
//!
//! Owns the table of decisions in force ([`table`]) and what operators see ([`board`]), both bounded and in memory,
//! both filled from committed outputs by [`dispatch`]. Two listeners: `gateways_listen` answers checks and nothing
//! else; `listen` has metrics, health and the operators' API. Judges freshness and ends by the wall clock. A raw key
//! that a gateway forwards is fingerprinted at once and never kept, logged or answered.

pub mod board;
pub mod checks;
pub mod commands;
pub mod dispatch;
pub mod identity;
pub mod listener;
pub mod operators;
pub mod read_back;
pub mod settings;
pub mod table;
pub mod view;

mod bucket;
mod ext_authz;
mod record_log;

pub use board::Board;
pub use checks::Checks;
pub use commands::{Asked, Commander};
pub use dispatch::ToServe;
pub use operators::Operators;
pub use settings::{CheckSettings, ServeSettings};
pub use table::{Applied, Decisions, Verdict};

#[cfg(test)]
mod canary_tests;
