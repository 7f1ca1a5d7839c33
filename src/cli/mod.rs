//! The sub-commands, a file each: parse, run, exit code.

pub mod check_config;
pub mod daemon;
pub mod decisions;
pub mod decode;
pub mod demo;
pub mod generate;
pub mod incidents;
pub mod inspect;
pub mod records;
pub mod rules;

mod table;
