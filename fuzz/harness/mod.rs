//! What each fuzz target does with its input, and what must hold for any input.
//!
//! The tests compile this too (`tests/fuzz.rs`): they run the seeds, what was found before, and some mutations of them.

pub mod checkpoint;
pub mod grpc_question;
pub mod http_question;
pub mod memory;
pub mod reader;
pub mod rules;
pub mod seeds;
pub mod settings;

/// A raw key. That it appears anywhere behind the reader is a failure.
pub const CANARY: &str = "sk_live_CANARY0123456789abcdef";

/// A fuzz target.
pub struct Target {
    pub name: &'static str,
    /// Panics if something does not hold for this input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All fuzz targets.
pub const TARGETS: [Target; 6] = [
    Target { name: "reader", run: reader::run, seeds: reader::seeds },
    Target { name: "http_question", run: http_question::run, seeds: http_question::seeds },
    Target { name: "grpc_question", run: grpc_question::run, seeds: grpc_question::seeds },
    Target { name: "settings", run: settings::run, seeds: settings::seeds },
    Target { name: "rules", run: rules::run, seeds: rules::seeds },
    Target { name: "checkpoint", run: checkpoint::run, seeds: checkpoint::seeds },
];

/// The target of that name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
}

/// Whether `part` stands anywhere in `bytes`.
pub fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}
