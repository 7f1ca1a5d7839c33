//! Where the clients of a key are.

use std::net::IpAddr;

use super::{
    keys::ClientKind,
    random::{Random, between, mix, pick, pick_some},
    world::World,
};
use crate::event::NetworkType;

/// The addresses that a key is used from. Networks are indices into [`World::networks`].
#[derive(Clone, Debug)]
pub(super) enum Places {
    /// The same machines all the time: servers, regions, cron.
    Fixed { networks: Vec<usize>, addresses: Vec<IpAddr> },
    /// Many phones behind carrier-grade NAT: so many addresses a day, others each day.
    Pool { networks: Vec<usize>, addresses_a_day: u64 },
    /// A line at home whose address changes each week.
    Home { network: usize },
    /// At home, or behind one of some VPN exits, for hours at a time.
    Vpn { home: usize, exits: Vec<usize> },
    /// A stable /64 with a new interface id each hour (RFC 8981).
    Privacy { network: usize, subnet: u64 },
}

impl Places {
    /// Chooses the places of a client of this kind, at home in `country`.
    pub(super) fn new(kind: ClientKind, country: &str, world: &World, random: &mut Random) -> Self {
        let home = world.of_kind_in(NetworkType::Residential, country);
        match kind {
            ClientKind::Server => fixed(world, random, 1, 2, 6),
            ClientKind::MultiRegion => {
                let regions = between(random, 3, 5);
                fixed(world, random, regions, 2, 4)
            }
            ClientKind::Cron => fixed(world, random, 1, 1, 2),
            ClientKind::Mobile => {
                let mut networks = world.of_kind_in(NetworkType::Mobile, country);
                let others = between(random, 0, 2);
                networks.extend(pick_some(random, &home, others));
                Self::Pool { networks, addresses_a_day: between(random, 5, 50) as u64 }
            }
            ClientKind::Developer => Self::Home { network: *pick(random, &home) },
            ClientKind::VpnUser => {
                let exits = between(random, 3, 6);
                let exits = pick_some(random, &world.of_kind(NetworkType::Vpn), exits);
                Self::Vpn { home: *pick(random, &home), exits }
            }
            ClientKind::PrivacyV6 => {
                let with_v6: Vec<usize> = world
                    .matching(|network| network.v6.is_some() && network.kind == NetworkType::Residential);
                Self::Privacy { network: *pick(random, &with_v6), subnet: between(random, 1, 1 << 30) as u64 }
            }
        }
    }

    /// The networks that the key is ever used from.
    pub(super) fn networks(&self) -> Vec<usize> {
        match self {
            Self::Fixed { networks, .. } | Self::Pool { networks, .. } => networks.clone(),
            Self::Home { network } | Self::Privacy { network, .. } => vec![*network],
            Self::Vpn { home, exits } => exits.iter().copied().chain([*home]).collect(),
        }
    }

    /// The address of one request. `secret` tells keys apart; `crowd` is how many times more clients there are.
    pub(super) fn address(
        &self,
        world: &World,
        secret: u64,
        time_ms: u64,
        crowd: f64,
        random: &mut Random,
    ) -> IpAddr {
        let (hour, day) = (time_ms / 3_600_000, time_ms / 86_400_000);
        let networks = world.networks();
        match self {
            Self::Fixed { addresses, .. } => *pick(random, addresses),
            Self::Pool { networks: pool, addresses_a_day } => {
                #[allow(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss
                )]
                let clients = (*addresses_a_day as f64 * crowd.max(1.0)) as usize;
                let client = between(random, 0, clients.max(1) - 1) as u64;
                let host = mix(secret, &[day, client]);
                let network = &networks[pool[low(host >> 40) % pool.len()]];
                if (host >> 32).trailing_zeros() >= 2 {
                    network.v6_address(host, mix(host, &[1]))
                } else {
                    network.v4_address(host)
                }
            }
            Self::Home { network } => networks[*network].v4_address(mix(secret, &[day / 7])),
            Self::Vpn { home, exits } => {
                let block = mix(secret, &[hour / 4]);
                let exit = low(block) % (exits.len() * 2);
                let network = exits.get(exit).unwrap_or(home);
                networks[*network].v4_address(mix(secret, &[*network as u64, day / 7]))
            }
            Self::Privacy { network, subnet } => networks[*network].v6_address(*subnet, mix(secret, &[hour])),
        }
    }
}

/// `regions` hosting networks with so many addresses each; several regions are of one cloud where it has enough.
fn fixed(world: &World, random: &mut Random, regions: usize, least: usize, most: usize) -> Places {
    let hosting = world.of_kind(NetworkType::Hosting);
    let asn = world.networks()[*pick(random, &hosting)].asn;
    let of_cloud = world.matching(|network| network.asn == asn);
    let from = if of_cloud.len() >= regions { &of_cloud } else { &hosting };
    let networks = pick_some(random, from, regions);
    let addresses = networks.iter().flat_map(|network| hosts(world, *network, least, most, random)).collect();
    Places::Fixed { networks, addresses }
}

/// Some addresses of one network.
pub(super) fn hosts(
    world: &World,
    network: usize,
    least: usize,
    most: usize,
    random: &mut Random,
) -> Vec<IpAddr> {
    (0..between(random, least, most))
        .map(|_| world.networks()[network].v4_address(between(random, 0, 1 << 24) as u64))
        .collect()
}

/// The low bits of a hash, as an index to be reduced.
fn low(hash: u64) -> usize {
    usize::try_from(hash & 0xffff).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::random::random_for, *};
    use crate::event::address_prefix;

    /// Addresses and prefixes seen in a day of a thousand requests.
    fn day(kind: ClientKind) -> (usize, usize) {
        let world = World::new();
        let mut random = random_for(5, &[kind as u64]);
        let places = Places::new(kind, "IE", &world, &mut random);
        let seen: BTreeSet<IpAddr> =
            (0..1_000_u64).map(|nth| places.address(&world, 9, nth * 86_400, 1.0, &mut random)).collect();
        let prefixes: BTreeSet<u64> = seen.iter().map(|address| address_prefix(*address)).collect();
        (seen.len(), prefixes.len())
    }

    #[test]
    fn each_kind_of_client_is_where_it_should_be() {
        assert!((2..=6).contains(&day(ClientKind::Server).0));
        assert!((6..=20).contains(&day(ClientKind::MultiRegion).0));
        assert!((5..=50).contains(&day(ClientKind::Mobile).0));
        assert_eq!(day(ClientKind::Developer).0, 1);
        assert!((2..=7).contains(&day(ClientKind::VpnUser).0));
        assert_eq!(day(ClientKind::PrivacyV6), (24, 1));
    }
}
