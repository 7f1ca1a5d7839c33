//! The sub-commands, a file each: parse, run, exit code.

pub mod daemon;
pub mod decisions;
pub mod decode;
pub mod incidents;
pub mod inspect;
pub mod records;

mod table;
