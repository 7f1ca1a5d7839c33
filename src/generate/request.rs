//! One request, chosen from what its key does and what is happening to it.

use std::net::IpAddr;

use rand::Rng;

use super::{
    keys::{KeyProfile, Tenant},
    random::{Random, early_index, log_normal, pick},
    routes::{BYTES_SIGMA, LATENCY_SIGMA, Route},
    world::World,
};
use crate::event::EventTime;

/// What a gateway would log.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub time: EventTime,
    pub key: &'a KeyProfile,
    pub route: &'a Route,
    /// With the query.
    pub path: &'a str,
    pub status: u16,
    pub received_bytes: u32,
    pub response_bytes: u32,
    pub latency_us: u32,
    pub address: IpAddr,
    pub agent: &'a str,
    pub id: u64,
}

impl Request<'_> {
    /// Whether the gateway answered in the upstream's place: limits and invalid keys.
    pub(super) fn by_gateway(&self) -> bool {
        matches!(self.status, 401 | 429)
    }

    /// Bytes of the body that the client sent.
    pub(super) fn body_bytes(&self) -> u32 {
        if self.route.body_bytes > 0.0 { self.received_bytes.saturating_sub(HEAD_BYTES) } else { 0 }
    }
}

/// How requests differ from what their key does usually. The default differs in nothing.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Instead of the key's own places.
    pub addresses: Vec<IpAddr>,
    /// Instead of the key's own routes.
    pub routes: Vec<usize>,
    /// Instead of the key's own agents.
    pub agent: Option<String>,
    /// Share of requests that fail, and how; instead of the key's own.
    pub failures: Option<(f64, &'static [u16])>,
    /// How many times more clients there are.
    pub crowd: f64,
    /// Factors on sizes and latencies.
    pub bytes: f64,
    pub latency: f64,
    /// Ids count up instead of being drawn.
    pub sequential: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            routes: Vec::new(),
            agent: None,
            failures: None,
            crowd: 1.0,
            bytes: 1.0,
            latency: 1.0,
            sequential: false,
        }
    }
}

/// How honest requests fail: mostly what is not there, seldom a limit or a broken upstream.
const USUAL_FAILURES: &[u16] = &[404, 404, 404, 400, 403, 429, 500, 503];
/// Request line and headers.
const HEAD_BYTES: u32 = 180;
/// Share of requests with a key's usual agent.
const USUAL_AGENT_SHARE: f64 = 0.8;

/// Chooses a request of `key`. `nth` is its number where ids count up; `path` is a buffer.
pub(super) fn request<'a>(
    (key, tenant, world): (&'a KeyProfile, &'a Tenant, &World),
    style: &'a Style,
    (time, nth): (EventTime, u64),
    random: &mut Random,
    path: &'a mut String,
) -> Request<'a> {
    let address = match style.addresses.as_slice() {
        [] => key.places.address(world, key.secret, time.0, style.crowd, random),
        addresses => *pick(random, addresses),
    };
    let routes = if style.routes.is_empty() { &key.routes } else { &style.routes };
    let route = &tenant.routes[routes[early_index(random, routes.len())]];
    let object = if style.sequential { 1_000_000 + nth } else { random.random::<u64>() };
    path.clear();
    route.write_path(object, random, path);
    let status = status(key, route, style, random);
    let body = if route.body_bytes > 0.0 { log_normal(random, route.body_bytes, BYTES_SIGMA) } else { 0.0 };
    Request {
        time,
        key,
        route,
        path,
        status,
        received_bytes: HEAD_BYTES + whole(body),
        response_bytes: response_bytes(route, status, style, random),
        latency_us: latency_us(route, status, style, random),
        address,
        agent: style.agent.as_deref().unwrap_or_else(|| agent(key, random)),
        id: random.random(),
    }
}

fn status(key: &KeyProfile, route: &Route, style: &Style, random: &mut Random) -> u16 {
    let (share, statuses) = style.failures.unwrap_or((key.error_share, USUAL_FAILURES));
    if random.random::<f64>() < share {
        return *pick(random, statuses);
    }
    match route.method {
        "POST" => 201,
        "DELETE" => 204,
        _ => 200,
    }
}

fn response_bytes(route: &Route, status: u16, style: &Style, random: &mut Random) -> u32 {
    match status {
        204 => 0,
        400.. => random.random_range(60..240),
        _ => whole(log_normal(random, route.response_bytes * style.bytes, BYTES_SIGMA)),
    }
}

/// Refusals are quick, broken upstreams are slow.
fn latency_us(route: &Route, status: u16, style: &Style, random: &mut Random) -> u32 {
    let factor = match status {
        401 | 403 | 429 => 0.15,
        503 => 4.0,
        _ => style.latency,
    };
    whole(log_normal(random, route.latency_us * factor, LATENCY_SIGMA)).max(300)
}

fn agent<'a>(key: &'a KeyProfile, random: &mut Random) -> &'a str {
    match key.agents.as_slice() {
        [only] => only,
        agents if random.random::<f64>() < USUAL_AGENT_SHARE => &agents[0],
        agents => pick::<String>(random, agents),
    }
}

/// Rounds; `as` saturates.
fn whole(number: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    {
        number.round() as u32
    }
}
