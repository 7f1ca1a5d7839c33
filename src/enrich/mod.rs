//! Where an address is: country, network, kind of network, place.
//!
//! Owns the reading of MaxMind DB files and of address lists, and what they are joined to: one [`Place`] per
//! address. A [`Geo`] never changes; a new file is a new `Geo`, whose version is named in what is emitted.
//! Works on bytes: `source::geo` reads the files. An address that nothing is known of is a `Place` of unknowns,
//! never an error.
//!
//! [`Place`]: crate::event::Place

mod database;
mod enricher;
mod geo;
mod hosting;
mod lists;
mod settings;
mod shape;

pub use enricher::{Enricher, EnricherStats, PLACES_KEPT, PlaceIndex};
pub use geo::{Databases, Geo, GeoError, ListTexts};
pub use hosting::is_hosting_network;
pub use lists::{ListError, NetworkList};
pub use settings::{ListSettings, Settings};
