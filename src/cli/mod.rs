//! The sub-commands, a file each: parse, run, exit code.

pub mod daemon;
pub mod decisions;
pub mod incidents;

mod table;
