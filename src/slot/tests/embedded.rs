//! The slot on the embedded database.
