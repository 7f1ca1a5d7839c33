//! Tells every Alertmanager about incidents, by the contract of Prometheus' own notifier.
//!
//! Each peer has its own queue and its own task, so that one that hangs holds up no other. Nothing is retried:
//! firing alerts are sent again each minute, and that is the retry. Labels are an alert's identity, so they are
//! frozen while it fires ([`roster`]); scores, counts and times are annotations ([`alert`]).

pub mod alert;
pub mod labels;
pub mod links;
pub mod notifier;
pub mod roster;
pub mod settings;
pub mod test_alert;

mod dispatch;
mod peer;
mod queue;
mod text;

pub use alert::Alert;
pub use dispatch::ToAlertmanagers;
pub use labels::LabelSettings;
pub use links::{LinkSigner, Links, PageLinks};
pub use notifier::{Notifier, StartError};
pub use peer::{TrialError, post_once, reach};
pub use settings::Peer;
pub use test_alert::test_alert;
