//! Makes the logs of an invented API platform: tenants, keys, clients, and what happens to them.
//!
//! Owns a small world of networks ([`world`]), the traffic of honest keys over days and weeks ([`Traffic`]), the
//! incidents and honest look-alikes that are put into it ([`Scenario`]), and a fast plain stream for benchmarks
//! ([`stream`]). All of it is a function of the seed (on one platform: logarithms may differ in the last
//! bit between mathematical libraries): no clock, no operating system's randomness. What comes out are
//! log lines in a gateway's own form, so that they go through `decode` like everybody's. The raw keys in them are
//! invented, and still never shown anywhere else.

mod keys;
mod lines;
pub mod mmdb;
mod places;
mod plan;
mod random;
mod request;
mod rhythm;
mod routes;
mod scenario;
pub mod stream;
mod traffic;
pub mod world;

pub use keys::{ClientKind, KeyProfile, SyntheticKey, Tenant};
pub use plan::{Format, Formats, Plan, PlanError};
pub use scenario::{Injection, InjectionError, Label, LabelledKey, Scenario};
pub use traffic::{Line, Traffic};
