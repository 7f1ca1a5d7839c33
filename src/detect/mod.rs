//! What is unusual: each detector compares one request, or a key's windows, with the key's profile.
//!
//! Owns the detectors' parameters and findings. A detector never decides what is done: that is the rules'.

#![deny(clippy::disallowed_methods)]

pub mod breadth;
pub mod cost;
pub mod count;
pub mod counting;
pub mod crowd;
pub mod delayed;
pub mod errors;
pub mod finding;
pub mod place;
pub mod settings;
pub mod signal;
pub mod unreadable;
pub mod volume;
pub mod watch;

pub use count::Count;
pub use counting::{CountUse, Counting};
pub use crowd::GroupUse;
pub use finding::{Family, Finding};
pub use settings::{
    BeyondRoute, Detector, FanOut, NewPlace, ParameterError, RefusedShare, Scale, UnreadableShare,
    VolumeSpike,
};
pub use signal::Signal;
pub use watch::Watch;

pub use crate::profile::key::CALLABLE;
