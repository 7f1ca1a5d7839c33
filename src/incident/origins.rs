//! Which networks the evidence of an incident came from.
//!
//! Whoever has a key that ships in an app or a page can make it look attacked, from where he is. Evidence from a few
//! networks says something about those, and nothing about the key's other users.

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Networks that are counted, by Space-Saving (Metwally et al. 2005).
const KEPT: usize = 16;
/// As many networks as one person has without effort: home, phone, office, a rented server.
const FEW: usize = 4;
/// With less evidence than this it is not known where it comes from.
const ENOUGH: u32 = 10;

/// The networks of an incident's evidence: the autonomous system where it is known, else the /24 or /32 of the address.
/// Requests without an address count as one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origins {
    total: u32,
    counts: Vec<(u64, u32)>,
}

impl Origins {
    /// Counts a request that was evidence, by its [`network`].
    pub fn count(&mut self, network: u64) {
        self.total = self.total.saturating_add(1);
        if let Some((_, n)) = self.counts.iter_mut().find(|(known, _)| *known == network) {
            *n = n.saturating_add(1);
        } else if self.counts.len() < KEPT {
            self.counts.push((network, 1));
        } else if let Some(least) = self.counts.iter_mut().min_by_key(|(known, n)| (*n, *known)) {
            *least = (network, least.1.saturating_add(1));
        }
    }

    /// Whether the evidence is spread over many networks: the four heaviest have less than half of it.
    pub fn are_many(&self) -> bool {
        let mut counts: Vec<u32> = self.counts.iter().map(|(_, n)| *n).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let heaviest: u64 = counts.iter().take(FEW).map(|n| u64::from(*n)).sum();
        self.total >= ENOUGH && 2 * heaviest < u64::from(self.total)
    }
}

/// What tells one network from another. A provider of IPv6 has a /32 at least, and gives a /48 to whoever asks.
pub fn network(event: &Event<'_>) -> u64 {
    let prefix = event.address.prefix;
    match event.place.asn {
        0 if prefix >> 63 == 1 => prefix,
        0 => prefix >> 16,
        asn => 1 << 62 | u64::from(asn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ClientAddress, EventTime, KeyId, KeyKind, Place, address_prefix, testing::plain};

    fn from(address: &str, asn: u32) -> u64 {
        let address = ClientAddress { prefix: address_prefix(address.parse().unwrap()), hash: 1 };
        let place = Place { asn, ..Place::default() };
        let key = KeyId { kind: KeyKind::Raw, hash: [1; 16] };
        network(&Event { address, place, ..plain(key, EventTime(1)) })
    }

    fn are_many(networks: impl Iterator<Item = u64>) -> bool {
        let mut origins = Origins::default();
        networks.for_each(|network| origins.count(network));
        origins.are_many()
    }

    #[test]
    fn two_addresses_of_one_network_are_one_origin() {
        assert_eq!(from("203.0.113.1", 0), from("203.0.113.200", 0));
        assert_eq!(from("203.0.113.1", 64500), from("198.51.100.1", 64500));
        assert_eq!(from("2001:db8:1::1", 0), from("2001:db8:2::1", 0));
        assert_ne!(from("203.0.113.1", 0), from("203.0.114.1", 0));
        assert_ne!(from("2001:db8:1::1", 0), from("2001:db9:1::1", 0));
    }

    #[test]
    fn few_networks_and_little_evidence_are_not_many() {
        assert!(!are_many((0..500).map(|_| 0)), "no address is known");
        assert!(!are_many((0..500).map(|n| n % 4)), "four in turn");
        assert!(!are_many(0..5), "five requests");
        assert!(!are_many((0..500).map(|n| if n % 30 == 0 { n } else { 1 })), "one, among honest users");
    }

    #[test]
    fn a_thousand_networks_are_many_and_so_are_twenty() {
        assert!(are_many(0..1_000));
        assert!(are_many((0..60).map(|n| n % 20)));
    }
}
