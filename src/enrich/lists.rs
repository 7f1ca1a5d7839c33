//! Lists of addresses and networks, as people publish them: one a line.
//!
//! Kept as sorted, disjoint ranges, so that a look-up is one binary search and costs 8 bytes an IPv4 network.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A set of addresses.
#[derive(Clone, Debug, Default)]
pub struct NetworkList {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// A line that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \"{text}\" is neither an address nor a network: write 203.0.113.7 or 203.0.113.0/24")]
pub struct ListError {
    /// Counted from 1.
    pub line: usize,
    /// The first 60 characters of the line.
    pub text: String,
}

impl NetworkList {
    /// Reads one address or network a line. `#` and `;` begin a comment; empty lines are skipped. Of Tor's
    /// `exit-addresses` the `ExitAddress` lines count, the others are skipped.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let Some(word) = network_of(line) else { continue };
            match read(word) {
                Some(IpNet::V4(net)) => v4.push(net),
                Some(IpNet::V6(net)) => v6.push(net),
                None => {
                    return Err(ListError { line: index + 1, text: line.chars().take(60).collect() });
                }
            }
        }
        Ok(Self {
            v4: Ipv4Net::aggregate(&v4)
                .iter()
                .map(|net| (u32::from(net.network()), u32::from(net.broadcast())))
                .collect(),
            v6: Ipv6Net::aggregate(&v6)
                .iter()
                .map(|net| (u128::from(net.network()), u128::from(net.broadcast())))
                .collect(),
        })
    }

    /// Whether the address is in the list. An IPv4 address in IPv6 form is taken as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => is_in(&self.v4, u32::from(v4)),
            IpAddr::V6(v6) => is_in(&self.v6, u128::from(v6)),
        }
    }

    /// How many disjoint ranges the list has.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether the list has no address at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The part of a line that should be a network, or nothing if the line has none to say.
fn network_of(line: &str) -> Option<&str> {
    const TOR_OTHER_FIELDS: [&str; 3] = ["ExitNode", "Published", "LastStatus"];
    let line = line.trim_start_matches('\u{feff}').split(['#', ';']).next().unwrap_or_default();
    let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    let first = words.next()?;
    if first == "ExitAddress" {
        return Some(words.next().unwrap_or_default());
    }
    if TOR_OTHER_FIELDS.contains(&first) { None } else { Some(first) }
}

fn read(word: &str) -> Option<IpNet> {
    let net = word.parse::<IpNet>().or_else(|_| word.parse::<IpAddr>().map(IpNet::from)).ok()?;
    // An IPv4 network in IPv6 form is found by its IPv4 addresses, since look-ups are canonical.
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && v6.prefix_len() >= 96
    {
        return Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(|net| IpNet::V4(net.trunc()));
    }
    Some(net.trunc())
}

fn is_in<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The law: an address is in the list if and only if it is in one of the networks.
        #[test]
        fn a_list_holds_what_its_networks_hold(
            networks in prop::collection::vec((0_u32..=0xffff, 16_u8..=32), 0..20),
            hosts in prop::collection::vec(0_u32..=0xffff, 20),
        ) {
            let address = |host: u32| Ipv4Addr::from(0xc633_0000 | host);
            let networks: Vec<Ipv4Net> =
                networks.iter().map(|(host, length)| Ipv4Net::new_assert(address(*host), *length)).collect();
            let text: String = networks.iter().map(|network| format!("{network}\n")).collect::<Vec<_>>().concat();
            let list = NetworkList::parse(&text).unwrap();
            for host in hosts {
                let expected = networks.iter().any(|network| network.contains(&address(host)));
                prop_assert_eq!(list.contains(IpAddr::V4(address(host))), expected);
            }
        }
    }

    #[track_caller]
    fn check(list: &str, address: &str, inside: bool) {
        let list = NetworkList::parse(list).unwrap();
        assert_eq!(list.contains(address.parse().unwrap()), inside, "{address}");
    }

    #[test]
    fn addresses_and_networks_of_both_families_are_found() {
        let list = "# head\n203.0.113.0/24\n198.51.100.7 ; one\n\n2001:db8::/32\n::ffff:192.0.2.0/120\n";
        check(list, "203.0.113.255", true);
        check(list, "203.0.114.0", false);
        check(list, "198.51.100.7", true);
        check(list, "198.51.100.8", false);
        check(list, "2001:db8:ffff::1", true);
        check(list, "2001:db9::", false);
        check(list, "::ffff:203.0.113.9", true);
        check(list, "192.0.2.77", true);
    }

    #[test]
    fn the_form_of_tors_exit_addresses_is_read() {
        let list = "ExitNode 0011BD\nPublished 2026-11-20 01:02:03\nLastStatus 2026-11-20 02:00:00\nExitAddress 203.0.113.5 2026-11-20 02:10:00\n";
        check(list, "203.0.113.5", true);
        check(list, "203.0.113.6", false);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = NetworkList::parse("203.0.113.0/24\n203.0.113.0/33\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.to_string().contains("203.0.113.0/33"), "{error}");
    }

    #[test]
    fn neighbours_are_joined() {
        let list = NetworkList::parse("203.0.113.0/25\n203.0.113.128/25\n203.0.113.4\n").unwrap();
        assert_eq!(list.len(), 1);
    }
}
