//! (to be written)

pub mod decode;
pub mod inspect;
pub mod records;
