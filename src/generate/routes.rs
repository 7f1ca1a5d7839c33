//! What a tenant's API offers: some twenty to sixty routes with their sizes and latencies.

use std::fmt::Write;

use rand::Rng;

use super::random::{Random, between, log_uniform, pick_some};

/// How ids in a path look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdStyle {
    Number,
    Uuid,
    Hex,
}

/// One operation of an API.
#[derive(Clone, Debug)]
pub struct Route {
    /// As a gateway would name it: `orders-read`.
    pub name: String,
    pub method: &'static str,
    pub(super) before: String,
    pub(super) id: Option<IdStyle>,
    pub(super) after: &'static str,
    pub(super) paged: bool,
    /// Medians; single requests are log-normal around them.
    pub(super) latency_us: f64,
    pub(super) response_bytes: f64,
    pub(super) body_bytes: f64,
}

/// Deviations of the logarithms.
pub(super) const LATENCY_SIGMA: f64 = 0.45;
pub(super) const BYTES_SIGMA: f64 = 0.5;

const RESOURCES: [&str; 18] = [
    "orders",
    "invoices",
    "customers",
    "payments",
    "products",
    "carts",
    "shipments",
    "refunds",
    "users",
    "sessions",
    "reports",
    "webhooks",
    "subscriptions",
    "tickets",
    "devices",
    "events",
    "files",
    "messages",
];

/// Operation, method, whether the path has an id, what follows the id, whether there is a body.
const OPERATIONS: [(&str, &str, bool, &str, bool); 6] = [
    ("read", "GET", true, "", false),
    ("list", "GET", false, "", false),
    ("create", "POST", false, "", true),
    ("update", "PATCH", true, "", true),
    ("history", "GET", true, "/history", false),
    ("delete", "DELETE", true, "", false),
];

/// Five to ten resources with five or six operations each.
pub(super) fn routes(random: &mut Random) -> Vec<Route> {
    let count = between(random, 5, 10);
    let operations = if random.random::<f64>() < 0.5 { 5 } else { 6 };
    let mut routes = Vec::new();
    for resource in pick_some(random, &RESOURCES, count) {
        let id = [IdStyle::Number, IdStyle::Uuid, IdStyle::Hex][between(random, 0, 2)];
        let latency_us = log_uniform(random, 4_000.0, 60_000.0);
        let response_bytes = log_uniform(random, 300.0, 2_500.0);
        for &(operation, method, has_id, after, has_body) in &OPERATIONS[..operations] {
            let many = operation == "list" || operation == "history";
            routes.push(Route {
                name: format!("{resource}-{operation}"),
                method,
                before: format!("/v1/{resource}"),
                id: has_id.then_some(id),
                after,
                paged: operation == "list",
                latency_us: latency_us * if many { 2.5 } else { 1.0 },
                response_bytes: response_bytes * if many { 8.0 } else { 1.0 },
                body_bytes: if has_body { log_uniform(random, 150.0, 1_500.0) } else { 0.0 },
            });
        }
    }
    routes
}

impl Route {
    /// What a log without route names shows of the route: the path, its ids left out.
    pub(super) fn template(&self) -> (&str, bool, &'static str) {
        (&self.before, self.id.is_some(), self.after)
    }

    /// Writes the path of a request for the object number `object`, and a query where one is usual.
    pub(super) fn write_path(&self, object: u64, random: &mut Random, out: &mut String) {
        out.push_str(&self.before);
        // Writing to a string cannot fail.
        let _ = match self.id {
            None => Ok(()),
            Some(IdStyle::Number) => write!(out, "/{}", object % 10_000_000),
            Some(IdStyle::Hex) => write!(out, "/{object:016x}"),
            Some(IdStyle::Uuid) => write!(
                out,
                "/{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                object >> 32,
                object >> 16 & 0xffff,
                object & 0xfff,
                object >> 12 & 0xfff,
                object.wrapping_mul(0x9e37_79b9) & 0xffff_ffff_ffff
            ),
        };
        out.push_str(self.after);
        if self.paged && random.random::<f64>() < 0.5 {
            let _ = write!(out, "?limit=50&page={}", random.random_range(1..20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::random::random_for, *};

    #[test]
    fn an_api_has_twenty_to_sixty_different_routes() {
        for seed in 0..50 {
            let routes = routes(&mut random_for(seed, &[]));
            assert!((20..=60).contains(&routes.len()), "{}", routes.len());
            let mut names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), routes.len());
        }
    }
}
