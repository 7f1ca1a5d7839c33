//! What is normal for a key, and what it does now.
//!
//! Owns the windows, the seasonal profile, the places, the sketches, and their form on disk. Judges nothing.

#![deny(clippy::disallowed_methods)]

pub mod codec;
pub mod fold;
pub mod gaps;
pub mod half_hours;
pub mod key;
pub mod own_tail;
pub mod panes;
pub mod places;
mod route;
pub mod routes;
pub mod season;
pub mod sketch;
pub mod table;
pub mod tail;
pub mod tally;
mod waiting_routes;
pub mod warm;

pub use codec::{CodecError, Reader, Writer};
pub use gaps::{Known, LogMinutes};
pub use key::Hot;
pub use route::Beyond;
pub use routes::RouteTable;
pub use season::{Expected, Season};
pub use table::{KeyTable, Worth};
pub use warm::Warm;
