//! What looks like an incident and is none.

use rand::Rng;

use super::{Alteration, DAY_MS, HOUR_MS, MINUTE_MS, Scale, Scene, Script, hostile::alter};
use crate::{
    event::NetworkType,
    generate::{
        places::hosts,
        random::{Random, between, pick},
        request::Style,
    },
};

/// A broken deployment: the upstream fails, and the limiter answers the retries.
const DEPLOYMENT_FAILURES: &[u16] = &[503, 503, 500, 502, 429];

/// ×5–20 within 10 to 60 min over all keys of a tenant, with as many more clients; errors as ever.
pub(super) fn flash_crowd(scene: &Scene<'_>, tenant: usize, at: u64, random: &mut Random) -> Script {
    let factor = random.random_range(5.0..20.0);
    let rise_ms = between(random, 10, 60) as u64 * MINUTE_MS;
    let fall_ms = 2 * rise_ms;
    let to = at + rise_ms + HOUR_MS + fall_ms;
    let style = Style { crowd: factor, ..Style::default() };
    alter(scene.keys_of(tenant), (at, to), Scale::Swell { rise_ms, fall_ms, factor }, style)
}

/// Nine hours of silence, then three days in another country, a little less than at home, with the same agent.
pub(super) fn traveller(scene: &Scene<'_>, key: usize, at: u64, random: &mut Random) -> Script {
    let landed = at + 9 * HOUR_MS;
    let networks = scene.strange_networks(key, NetworkType::Residential);
    let network = *pick(random, &networks);
    let country = scene.world.networks()[network].country;
    let mobile = *pick(random, &scene.world.of_kind_in(NetworkType::Mobile, country));
    let mut addresses = hosts(scene.world, network, 1, 1, random);
    addresses.extend(hosts(scene.world, mobile, 2, 4, random));
    let silence = alter(vec![key], (at, landed), Scale::Times(0.0), Style::default());
    let abroad = Style { addresses, ..Style::default() };
    let mut script = alter(vec![key], (landed, landed + 3 * DAY_MS), Scale::Times(0.7), abroad);
    script.alterations.extend(silence.alterations);
    script
}

/// For 20 min most requests fail and are retried at once, from the same machines with the same agent.
pub(super) fn retry_storm(key: usize, at: u64) -> Script {
    let style = Style { failures: Some((0.6, DEPLOYMENT_FAILURES)), ..Style::default() };
    alter(vec![key], (at, at + 20 * MINUTE_MS), Scale::Bursts(6.0), style)
}

/// Twice as much each day, over the whole traffic.
pub(super) fn new_customer(scene: &Scene<'_>, key: usize) -> Script {
    alter(vec![key], (scene.start.0, scene.end.0), Scale::Doubling, Style::default())
}

/// Nothing for 20 min, then three times as much for 20 min.
pub(super) fn outage(scene: &Scene<'_>, tenant: usize, at: u64) -> Script {
    let keys = scene.keys_of(tenant);
    let back = at + 20 * MINUTE_MS;
    let mut script = alter(keys.clone(), (at, back), Scale::Times(0.0), Style::default());
    script.alterations.push(Alteration {
        keys,
        from_ms: back,
        to_ms: back + 20 * MINUTE_MS,
        scale: Scale::Times(3.0),
        style: Style::default(),
    });
    script
}
