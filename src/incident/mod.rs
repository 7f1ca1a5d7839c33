//! Findings of one subject that belong together, and what is told about them.
//!
//! Owns the incident record and its life: opened by a finding, raised by others, closed by quiet.

pub mod provenance;
pub mod record;

pub use provenance::{Mode, SubjectRef, Versions};
pub use record::{Doing, Evidence, Held, Incident, IncidentId, Reason, Sample};

// An incident's severity is that of its gravest rule, so it is defined there.
pub use crate::rules::Severity;
