//! What is unusual: each detector compares one request, or a key's windows, with the key's profile.
//!
//! Owns the detectors' parameters and findings. A detector never decides what is done: that is the rules'.

pub mod finding;
pub mod settings;

pub use finding::{Family, Finding};
pub use settings::{Detector, Scale};
