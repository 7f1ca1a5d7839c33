//! Who the client is: the socket's peer, or what the trusted proxies before us say.
//!
//! `X-Forwarded-For` is walked from the right, one trusted network at a time. The left-most entry is never taken for
//! its place: the caller writes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The client's address, `None` if the record has no address that can be read.
pub(super) fn client(peer: Option<&str>, forwarded_for: Option<&str>, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer.and_then(parse)?;
    let Some(forwarded_for) = forwarded_for.filter(|_| is_trusted(peer, trusted)) else { return Some(peer) };
    let mut client = peer;
    for hop in forwarded_for.rsplit(',') {
        // A hop that cannot be read ("unknown", an obfuscated name) ends the walk at the last proxy that we trust.
        let Some(address) = parse(hop) else { break };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    Some(client)
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Reads `a.b.c.d`, `a.b.c.d:port`, `v6`, `[v6]`, `[v6]:port`; an IPv4 address in IPv6 form becomes IPv4.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim_ascii();
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let is_port =
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        return if is_port { v6(address) } else { None };
    }
    match text.split_once(':') {
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some((_, rest)) if rest.contains(':') => v6(text),
        Some((address, port)) => {
            port.parse::<u16>().ok()?;
            address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
    }
}

fn v6(text: &str) -> Option<IpAddr> {
    // A zone (`%eth0`) names an interface of the gateway, not a place.
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<Ipv6Addr>().ok().map(|v6| IpAddr::V6(v6).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded_for: &str, trusted: &[&str], expected: &str) {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let client = client(Some(peer), Some(forwarded_for), &trusted);
        assert_eq!(client.map_or("none".to_owned(), |client| client.to_string()), expected);
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
        check("203.0.113.7:5512", "198.51.100.1", &["10.0.0.0/8"], "203.0.113.7");
        check("10.0.0.1:1", "198.51.100.1", &[], "10.0.0.1");
    }

    #[test]
    fn the_walk_ends_at_the_first_hop_that_is_not_trusted() {
        check("10.0.0.1", "1.2.3.4, 203.0.113.7, 10.9.9.9", &["10.0.0.0/8"], "203.0.113.7");
        check("10.0.0.1", "1.2.3.4,203.0.113.7", &["10.0.0.0/8", "203.0.113.0/24"], "1.2.3.4");
    }

    #[test]
    fn a_hop_that_cannot_be_read_ends_the_walk() {
        check("10.0.0.1", "1.2.3.4, unknown, 10.9.9.9", &["10.0.0.0/8"], "10.9.9.9");
        check("10.0.0.1", "", &["10.0.0.0/8"], "10.0.0.1");
    }

    #[test]
    fn addresses_come_with_ports_brackets_and_mapped_forms() {
        for (text, expected) in [
            ("203.0.113.7:0", Some("203.0.113.7")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("/var/run/socket", None),
            ("[2001:db8::1]x", None),
            ("203.0.113.7:99999", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }
}
