//! (to be written)

pub mod check_config;
pub mod decode;
pub mod generate;
pub mod inspect;
pub mod records;
pub mod rules;
