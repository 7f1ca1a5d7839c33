//! Incidents: a stranger has the key, or its owner misuses it.

use rand::Rng;

use super::{Alteration, DAY_MS, HOUR_MS, MINUTE_MS, Phase, Scale, Scene, Script};
use crate::{
    event::NetworkType,
    generate::{
        places::hosts,
        random::{Random, between, pick, pick_some},
        request::Style,
    },
};

const REFUSED: &[u16] = &[403];
const NOT_THERE: &[u16] = &[404, 404, 404, 403];

/// 40 to 160 discovery calls, 30–60 % refused, on 6 to 12 routes that the key never called; then a spike ×20–50.
pub(super) fn leak(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let addresses = scene.strange_addresses(key, NetworkType::Hosting, random);
    let wanted = between(random, 6, 12);
    let new_routes = pick_some(random, &other_routes(scene, key), wanted);
    let minutes = between(random, 2, 4) as u64;
    #[allow(clippy::cast_precision_loss)] // small counts
    let calls_per_minute = between(random, 40, 160) as f64 / minutes as f64;
    let discovered = at + minutes * MINUTE_MS;
    let discovery = Style {
        addresses,
        routes: new_routes,
        agent: Some(
            (*pick(random, &["python-requests/2.32.3", "curl/8.5.0", "Go-http-client/1.1"])).to_owned(),
        ),
        failures: Some((random.random_range(0.35..0.55), REFUSED)),
        ..Style::default()
    };
    // What worked is used: the refused share falls, and the key's own routes are among those called.
    let mut routes = scene.keys[key].routes.clone();
    routes.extend(&discovery.routes);
    let spike =
        Style { routes, failures: Some((random.random_range(0.1..0.2), REFUSED)), ..discovery.clone() };
    let spike_from = discovered + MINUTE_MS;
    let spike_to = spike_from + between(random, 10, 15) as u64 * MINUTE_MS;
    let usual = scene.keys[key].per_minute.max(1.0);
    let spike_per_minute = usual * random.random_range(20.0..50.0);
    Script {
        phases: vec![
            phase(key, (at, discovered), calls_per_minute, discovery),
            phase(key, (spike_from, spike_to), spike_per_minute, spike),
        ],
        alterations: Vec::new(),
    }
}

/// 8 to 20 networks in several countries over 48 h, beside the owner, ×2–6 in all.
pub(super) fn reseller(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let count = between(random, 8, 20);
    let networks = pick_some(random, &scene.strange_networks(key, NetworkType::Residential), count);
    let total = scene.keys[key].per_minute * random.random_range(2.0..6.0);
    #[allow(clippy::cast_precision_loss)] // small counts
    let each = total / networks.len() as f64;
    let phases = networks
        .into_iter()
        .map(|network| {
            let from = at + between(random, 0, 12) as u64 * HOUR_MS / 2;
            let agent =
                pick(random, &["axios/1.7.9", "okhttp/4.12.0", "python-requests/2.32.3", "node-fetch/3.3"]);
            let style = Style {
                addresses: hosts(scene.world, network, 1, 4, random),
                agent: Some((*agent).to_owned()),
                ..Style::default()
            };
            phase(key, (from, at + 2 * DAY_MS), each, style)
        })
        .collect();
    Script { phases, alterations: Vec::new() }
}

/// ×5–50 for two hours, reading only, ids in sequence, evenly paced, three times as large.
pub(super) fn scrape(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let profile = &scene.keys[key];
    let all = &scene.tenants[profile.tenant].routes;
    let reading: Vec<usize> =
        (0..all.len()).filter(|route| all[*route].method == "GET" && all[*route].id.is_some()).collect();
    let style = Style {
        addresses: scene.strange_addresses(key, NetworkType::Hosting, random),
        routes: pick_some(random, &reading, 1),
        bytes: 3.0,
        sequential: true,
        ..Style::default()
    };
    let per_minute = profile.per_minute.max(1.0) * random.random_range(5.0..50.0);
    let phase = Phase { paced: true, ..phase(key, (at, at + 2 * HOUR_MS), per_minute, style) };
    Script { phases: vec![phase], alterations: Vec::new() }
}

/// All routes of the tenant, over half of the calls not found, for half an hour.
pub(super) fn enumeration(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let style = Style {
        addresses: scene.strange_addresses(key, NetworkType::Hosting, random),
        routes: (0..scene.tenants[scene.keys[key].tenant].routes.len()).collect(),
        failures: Some((0.65, NOT_THERE)),
        ..Style::default()
    };
    let per_minute = scene.keys[key].per_minute.max(6.0);
    Script { phases: vec![phase(key, (at, at + HOUR_MS / 2), per_minute, style)], alterations: Vec::new() }
}

/// A second place for an hour, at the owner's volume, with the owner's agent.
pub(super) fn two_places(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let style = Style {
        addresses: scene.strange_addresses(key, NetworkType::Residential, random),
        ..Style::default()
    };
    let per_minute = scene.keys[key].per_minute.max(1.0);
    Script { phases: vec![phase(key, (at, at + HOUR_MS), per_minute, style)], alterations: Vec::new() }
}

/// From now on another network and another agent, and nothing from the owner.
pub(super) fn takeover(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let style = Style {
        addresses: scene.strange_addresses(key, NetworkType::Vpn, random),
        agent: Some("Go-http-client/2.0".to_owned()),
        ..Style::default()
    };
    alter(vec![key], (at, at + DAY_MS), Scale::Times(1.0), style)
}

/// The same requests, twenty times as large and slow, for three hours.
pub(super) fn cost_abuse(key: usize, at: u64) -> Script {
    let style = Style { bytes: 20.0, latency: 20.0, ..Style::default() };
    alter(vec![key], (at, at + 3 * HOUR_MS), Scale::Times(1.0), style)
}

/// Eight times as much, flat and evenly paced, for six hours, from the key's own places.
pub(super) fn quota_drain(scene: &Scene<'_>, key: usize, at: u64) -> Script {
    let per_minute = scene.keys[key].per_minute.max(1.0) * 8.0;
    let flat = phase(key, (at, at + 6 * HOUR_MS), per_minute, Style::default());
    Script { phases: vec![Phase { paced: true, ..flat }], alterations: Vec::new() }
}

/// 5 % more each day until the traffic ends.
pub(super) fn poisoning(scene: &Scene<'_>, key: usize, at: u64) -> Script {
    alter(vec![key], (at, scene.end.0), Scale::Growth(1.05), Style::default())
}

/// Silent from the start of the traffic; then used from abroad for an hour.
pub(super) fn dormant_revived(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let mut script = alter(vec![key], (scene.start.0, scene.end.0), Scale::Times(0.0), Style::default());
    // The truth is about the use, which ends; the silence goes on.
    script.alterations[0].to_ms = at + HOUR_MS;
    let style =
        Style { addresses: scene.strange_addresses(key, NetworkType::Vpn, random), ..Style::default() };
    script.phases.push(phase(key, (at, at + HOUR_MS), scene.keys[key].per_minute.max(2.0), style));
    script
}

/// Routes of the tenant with paths that the key never calls, one a path; all routes if it calls each.
fn other_routes(scene: &Scene<'_>, key: usize) -> Vec<usize> {
    let profile = &scene.keys[key];
    let all = &scene.tenants[profile.tenant].routes;
    let mut seen: Vec<_> = profile.routes.iter().map(|route| all[*route].template()).collect();
    let mut others = Vec::new();
    for (index, route) in all.iter().enumerate() {
        if !seen.contains(&route.template()) {
            seen.push(route.template());
            others.push(index);
        }
    }
    if others.is_empty() { (0..all.len()).collect() } else { others }
}

fn phase(key: usize, (from_ms, to_ms): (u64, u64), per_minute: f64, style: Style) -> Phase {
    Phase { key, from_ms, to_ms, per_minute, paced: false, style }
}

pub(super) fn alter(keys: Vec<usize>, (from_ms, to_ms): (u64, u64), scale: Scale, style: Style) -> Script {
    Script { phases: Vec::new(), alterations: vec![Alteration { keys, from_ms, to_ms, scale, style }] }
}
