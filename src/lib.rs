//! Keyhound reads API gateway access logs, learns how each API key is used, and stops stolen keys.
//!
//! The modules stand in the order that a log line passes them; each imports only from those before it
//! (held by `tests/layers.rs`). `event` to `generate` are the pure core: no sockets, files, clock or logs.

#![warn(clippy::pedantic)]
// They panic where nobody reads any more: `cli::output` writes.
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![allow(
    clippy::module_name_repetitions, // `IncidentId` in `incident` reads well where it is used
    clippy::missing_errors_doc,      // the error enums say it, a variant each
    clippy::missing_panics_doc,      // no public function panics on input; asserts state invariants
    clippy::must_use_candidate
)]

pub mod event;
pub mod catalogue;
pub mod decode;
pub mod enrich;
pub mod profile;
pub mod detect;
pub mod respond;
pub mod incident;
pub mod rules;
pub mod engine;
pub mod generate;
pub mod telemetry;
pub mod source;
pub mod store;
pub mod slot;
pub mod deliver;
pub mod serve;
pub mod evaluate;
pub mod config;
pub mod app;
pub mod cli;
