//! (to be written)

pub mod geo;
