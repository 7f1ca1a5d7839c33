//! A small invented internet: countries, networks and where they are.
//!
//! About 60 countries and 300 networks of the kinds that matter: residential, mobile, business, hosting, VPN.
//! Addresses are from ranges that nobody uses: IPv4 from 240.0.0.0/4 (reserved, RFC 1112), IPv6 from `3fff::/20`
//! (documentation, RFC 9637). Access networks have private numbers (RFC 6996) and invented names; clouds have their
//! real ones, so that a demonstration reads as the log of a real day would.

mod tables;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::mmdb::{About, Value, Writer};
use crate::event::NetworkType;
use tables::{CLOUDS, VPNS};
pub use tables::{COUNTRIES, CountryRow};

/// A network: a range of addresses in one place, under one autonomous system.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub asn: u32,
    pub name: String,
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    pub kind: NetworkType,
    /// Latitude and longitude in hundredths of a degree.
    pub cell: (i16, i16),
    pub accuracy_km: u16,
    /// A /16.
    pub v4: Ipv4Net,
    /// A /32; not every network has one.
    pub v6: Option<Ipv6Net>,
}

/// All networks, in an order that never changes.
#[derive(Clone, Debug)]
pub struct World {
    networks: Vec<Network>,
}

/// Numbers of invented networks count up from here.
const PRIVATE_ASN_FIRST: u32 = 4_200_000_001;

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Builds the tables; the same each time.
    pub fn new() -> Self {
        let mut world = Self { networks: Vec::with_capacity(320) };
        for (index, country) in COUNTRIES.iter().enumerate() {
            world.add_access_networks(country, index);
        }
        for &(asn, name, country, cell) in CLOUDS {
            world.add(asn, name.to_owned(), country, cell, NetworkType::Hosting);
        }
        for &(name, country) in VPNS {
            let asn = world.next_private_asn();
            let cell = country_row(country).cell;
            world.add(asn, name.to_owned(), country, cell, NetworkType::Vpn);
        }
        world
    }

    /// All networks.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// The networks of a kind, as indices into [`networks`](Self::networks).
    pub fn of_kind(&self, kind: NetworkType) -> Vec<usize> {
        self.matching(|network| network.kind == kind)
    }

    /// The networks of a kind in a country, as indices.
    pub fn of_kind_in(&self, kind: NetworkType, country: &str) -> Vec<usize> {
        self.matching(|network| network.kind == kind && network.country == country)
    }

    /// The networks for which `wanted` holds, as indices.
    pub fn matching(&self, wanted: impl Fn(&Network) -> bool) -> Vec<usize> {
        (0..self.networks.len()).filter(|index| wanted(&self.networks[*index])).collect()
    }

    /// A MaxMind DB file of this world. The same bytes each time.
    pub fn database(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for network in &self.networks {
            let record = network.record();
            writer.insert(IpNet::V4(network.v4), &record);
            if let Some(v6) = network.v6 {
                writer.insert(IpNet::V6(v6), &record);
            }
        }
        writer.finish(&About {
            database_type: "Keyhound-Synthetic-World",
            description: "Invented networks for Keyhound's demonstration and tests",
            build_epoch: 1_795_000_000,
        })
    }

    /// Two to three residential networks a country, a mobile one, and a business one in every second country.
    fn add_access_networks(&mut self, country: &CountryRow, index: usize) {
        const RESIDENTIAL: [&str; 3] = ["Broadband", "Fibre", "Cable"];
        let count = if index.is_multiple_of(4) { 3 } else { 2 };
        for suffix in &RESIDENTIAL[..count] {
            self.add_invented(country, suffix, NetworkType::Residential);
        }
        self.add_invented(country, "Mobile", NetworkType::Mobile);
        if index.is_multiple_of(2) {
            self.add_invented(country, "Business Net", NetworkType::Business);
        }
    }

    fn add_invented(&mut self, country: &CountryRow, suffix: &str, kind: NetworkType) {
        let asn = self.next_private_asn();
        self.add(asn, format!("{} {suffix}", country.name), country.code, country.cell, kind);
    }

    fn next_private_asn(&self) -> u32 {
        PRIVATE_ASN_FIRST + as_u32(self.networks.len())
    }

    fn add(&mut self, asn: u32, name: String, country: &'static str, cell: (i16, i16), kind: NetworkType) {
        let index = as_u32(self.networks.len());
        let accuracy_km = match kind {
            NetworkType::Mobile => 100,
            NetworkType::Residential => 50,
            _ => 20,
        };
        // 240.0.0.0 is left out: network number 0 reads as a placeholder.
        let v4 = Ipv4Net::new_assert(Ipv4Addr::from(0xf000_0000 + ((index + 1) << 16)), 16);
        let has_v6 = kind != NetworkType::Business && !index.is_multiple_of(3);
        let bits = 0x3fff_u128 << 112 | u128::from(index + 1) << 96;
        let v6 = has_v6.then(|| Ipv6Net::new_assert(Ipv6Addr::from(bits), 32));
        self.networks.push(Network { asn, name, country, kind, cell, accuracy_km, v4, v6 });
    }
}

impl Network {
    /// The IPv4 address number `host` of this network; neither the first nor the last of its range.
    pub fn v4_address(&self, host: u64) -> IpAddr {
        let host = u32::try_from(host % 65_533).unwrap_or_default() + 1;
        IpAddr::V4(Ipv4Addr::from(u32::from(self.v4.network()) + host))
    }

    /// The address in subnet number `subnet` (a /64) with the interface id `interface`; IPv4 where there is no IPv6.
    pub fn v6_address(&self, subnet: u64, interface: u64) -> IpAddr {
        let Some(v6) = self.v6 else { return self.v4_address(subnet) };
        let subnet = u128::from(subnet & 0xffff_ffff) << 64;
        IpAddr::V6(Ipv6Addr::from(u128::from(v6.network()) | subnet | u128::from(interface | 1 << 63)))
    }

    fn record(&self) -> Value {
        let degrees = |hundredths: i16| Value::Double(f64::from(hundredths) / 100.0);
        Value::Map(vec![
            ("autonomous_system_number", Value::Unsigned32(self.asn)),
            ("autonomous_system_organization", Value::Text(self.name.clone())),
            ("country", Value::Map(vec![("iso_code", Value::Text(self.country.to_owned()))])),
            (
                "location",
                Value::Map(vec![
                    ("accuracy_radius", Value::Unsigned16(self.accuracy_km)),
                    ("latitude", degrees(self.cell.0)),
                    ("longitude", degrees(self.cell.1)),
                ]),
            ),
            ("network_type", Value::Text(self.kind.as_str().to_owned())),
        ])
    }
}

/// The MaxMind DB file of the invented world, as demo and tests use it.
pub fn database() -> Vec<u8> {
    World::new().database()
}

fn country_row(code: &str) -> &'static CountryRow {
    // The tables are constants; a test asks for each code in them.
    COUNTRIES.iter().find(|row| row.code == code).unwrap_or(&COUNTRIES[0])
}

fn as_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{
        enrich::{Databases, Enricher, Geo},
        event::Country,
    };

    #[test]
    fn the_database_is_the_same_byte_for_byte() {
        let hash =
            Sha256::digest(database()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(hash, "0c72208c7edd27e5c1a5efa65fe1af816ac2610d220c90ab4c9a2619cb6f01bb");
    }

    #[test]
    fn it_is_as_large_as_was_promised() {
        let world = World::new();
        assert!((55..=65).contains(&COUNTRIES.len()), "{} countries", COUNTRIES.len());
        assert!((280..=330).contains(&world.networks().len()), "{} networks", world.networks().len());
        for kind in [NetworkType::Residential, NetworkType::Mobile, NetworkType::Hosting, NetworkType::Vpn] {
            assert!(world.of_kind(kind).len() >= 15, "{kind:?}");
        }
    }

    #[test]
    fn each_address_is_found_where_its_network_is() {
        let world = World::new();
        let geo = Geo::new(Databases { city: Some(world.database()), ..Databases::default() }).unwrap();
        let mut enricher = Enricher::new(std::sync::Arc::new(geo));
        for network in world.networks() {
            assert!(COUNTRIES.iter().any(|row| row.code == network.country), "{}", network.country);
            for address in [network.v4_address(77), network.v4_address(65_535), network.v6_address(9, 12_345)]
            {
                let index = enricher.resolve(address);
                let place = enricher.place(index);
                assert_eq!(place.asn, network.asn, "{address}");
                assert_eq!(place.asn_name, network.name);
                assert_eq!(place.country, Country::parse(network.country));
                assert_eq!(place.network_type, network.kind);
                assert_eq!(place.cell, Some(network.cell));
                assert_eq!(place.accuracy_km, network.accuracy_km);
            }
        }
    }
}
