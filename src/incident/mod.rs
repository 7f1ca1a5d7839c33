//! Findings of one subject that belong together, and what is told about them.
//!
//! Owns the incident record and its life: opened by a finding, raised by others, closed by quiet.

pub mod case;
pub mod fuse;
pub mod origins;
pub mod record;
#[cfg(test)]
pub mod testing;

pub use case::Case;
pub use fuse::{Cause, MATURE, VERDICTS, Verdict};
pub use origins::Origins;
pub use record::{Doing, Evidence, Held, Incident, IncidentId, Outcome, Reason, Sample, Severity};
