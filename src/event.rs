//! What a request is, once its log record has been read.
//!
//! Owns the small typed values that every later module speaks in. An [`Event`] is the compact form of
//! one request: it borrows its few texts (route, agent, handles) from the batch that it was decoded from,
//! and never holds a raw API key. Does no I/O and reads no clock.

mod clamped;
mod flags;
mod key;
mod printable;

pub use clamped::{AHEAD_MAX, clamped};
pub use flags::Flags;
pub use key::{KeyId, KeyIdError, KeyKind};
pub use printable::printable;

use std::{fmt, time::Duration};

/// When the gateway served a request, in milliseconds since the Unix epoch. The only time the engine knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub u64);

impl EventTime {
    /// Time since `earlier`, or zero if the two arrived out of order.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `after`, saturating.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This time minus `before`, or the epoch.
    #[must_use]
    pub fn before(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(before.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Reads RFC 3339; `None` for anything else, and for times before the epoch.
    pub fn parse(text: &str) -> Option<Self> {
        let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        u64::try_from(millis).ok().map(Self)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-22T03:11:40.000Z`.
    pub fn rfc3339_millis(self) -> String {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis).map_or_else(|_| self.0.to_string(), |t| format!("{t:.3}"))
    }

    /// RFC 3339 in UTC with whole seconds, as users see it.
    ///
    /// ```
    /// # use keyhound::event::EventTime;
    /// assert_eq!(EventTime(1_795_317_100_000).rfc3339(), "2026-11-22T03:11:40Z");
    /// ```
    pub fn rfc3339(self) -> String {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map_or_else(|_| self.0.to_string(), |t| t.to_string())
    }
}

/// A short text with its hash. The hash is what profiles keep; the text is what evidence shows.
///
/// The hash is the same in every process (SipHash-1-3 under a fixed key), so it may be persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name<'a> {
    pub hash: u64,
    pub text: &'a str,
}

impl<'a> Name<'a> {
    /// No name at all: hash 0 and an empty text.
    pub const NONE: Name<'static> = Name { hash: 0, text: "" };

    /// Names `text`; an empty text is [`Name::NONE`].
    pub fn new(text: &'a str) -> Self {
        if text.is_empty() { Name::NONE } else { Self { hash: stable_hash(text.as_bytes()), text } }
    }
}

/// A 64-bit hash that is the same in every process and on every machine; never 0. Not keyed: not for secrets.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(0x6b65_7968_6f75_6e64, 1);
    hasher.write(bytes);
    hasher.finish().max(1)
}

/// The request method. Anything that is not in RFC 9110 or PATCH is `Other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    #[default]
    Other,
}

impl Method {
    /// How many there are.
    pub const COUNT: usize = Self::Other as usize + 1;

    /// Reads the method's name in upper case.
    pub fn parse(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The method's name in upper case; `OTHER` for what is not in the list.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "OTHER",
        }
    }
}

/// What kind of network an address belongs to, as far as the databases and lists say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NetworkType {
    #[default]
    Unknown,
    Residential,
    Mobile,
    Business,
    Hosting,
    Vpn,
    Tor,
}

impl NetworkType {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Unknown, Self::Residential, Self::Mobile, Self::Business, Self::Hosting, Self::Vpn, Self::Tor];

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Residential => "residential",
            Self::Mobile => "mobile",
            Self::Business => "business",
            Self::Hosting => "hosting",
            Self::Vpn => "vpn",
            Self::Tor => "tor",
        }
    }
}

/// An ISO 3166-1 alpha-2 country code; two zero bytes where it is not known.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(pub [u8; 2]);

impl Country {
    /// No country known.
    pub const UNKNOWN: Self = Self([0; 2]);

    /// Reads two ASCII letters; anything else is [`Country::UNKNOWN`].
    pub fn parse(text: &str) -> Self {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()])
            }
            _ => Self::UNKNOWN,
        }
    }

    /// Whether a database named a country.
    pub fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() {
            f.write_str(std::str::from_utf8(&self.0).unwrap_or("??"))
        } else {
            f.write_str("??")
        }
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where a request came from, as the databases say. Fields that no database gave are zero or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place<'a> {
    pub country: Country,
    /// Autonomous system number; 0 = not known.
    pub asn: u32,
    /// The name of the autonomous system's organisation; empty = not known.
    pub asn_name: &'a str,
    pub network_type: NetworkType,
    /// Latitude and longitude in hundredths of a degree; `None` = not known.
    pub cell: Option<(i16, i16)>,
    /// Radius around `cell` that holds the client with the database's stated confidence, in kilometres.
    pub accuracy_km: u16,
}

impl Place<'_> {
    /// The same, with its name copied into an arena.
    pub fn kept_in(self, arena: &bumpalo::Bump) -> Place<'_> {
        Place { asn_name: arena.alloc_str(self.asn_name), ..self }
    }
}

/// The client's address, cut and hashed: the whole address is never kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientAddress {
    /// The first 48 bits of the address as IPv6 (a /48), or an IPv4 /24 as `::ffff:a.b.c.0` folded to
    /// `1 << 63 | a << 16 | b << 8 | c`. 0 = no address.
    pub prefix: u64,
    /// SipHash of the whole address under a key derived from the pepper. 0 = no address.
    pub hash: u64,
}

/// The prefix of a client address in text: `203.0.113.0/24` or `2001:db8:1::/48`.
pub fn prefix_text(prefix: u64) -> String {
    if prefix == 0 {
        return "unknown".to_owned();
    }
    if prefix >> 63 == 1 {
        return format!("{}.{}.{}.0/24", (prefix >> 16) & 255, (prefix >> 8) & 255, prefix & 255);
    }
    let bits = u128::from(prefix) << 80;
    format!("{}/48", std::net::Ipv6Addr::from(bits))
}

/// Cuts an address to what is kept: a /24 or a /48, in the form of [`ClientAddress::prefix`].
pub fn address_prefix(address: std::net::IpAddr) -> u64 {
    match address.to_canonical() {
        std::net::IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            1 << 63 | u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c)
        }
        #[allow(clippy::cast_possible_truncation)] // 128 bits shifted by 80 leave 48
        std::net::IpAddr::V6(v6) => (u128::from(v6) >> 80) as u64,
    }
}

/// Who refused a request, if it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// It was not refused.
    #[default]
    None,
    /// The upstream answered 401, 403 or 429.
    Upstream,
    /// The gateway answered in the upstream's place: an invalid key, another limiter.
    Gateway,
    /// The gateway refused it and the record carries Keyhound's own header: pressure, never a finding.
    Ours,
}

/// What an actuator needs to find the key at its gateway. Empty = not in the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handles<'a> {
    /// The gateway namespace of the source.
    pub gateway: &'a str,
    pub consumer: &'a str,
    pub credential: &'a str,
}

/// The place of a record in the inputs: which input partition, and where in it.
///
/// `offset` is a Kafka offset, the byte at which a line begins in a file, or a line's number on standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Index of the input partition in the order in which the slot first saw it; named in position records.
    pub input: u32,
    pub offset: u64,
    /// Index within the record, for records that hold several requests (arrays, batches).
    pub index: u32,
}

/// One request in compact, typed form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    pub time: EventTime,
    pub key: KeyId,
    /// The other id of the same key, where the record shows both.
    pub alias: Option<KeyId>,
    pub method: Method,
    /// HTTP status code; 0 = the client went away before there was one. `None` = the record does not say.
    pub status: Option<u16>,
    pub refusal: Refusal,
    pub flags: Flags,
    /// The gateway's own route name, or the templated path.
    pub route: Name<'a>,
    /// Product tokens of the user agent (`acme-sdk/4.2`), or `#` and a hash for anything else.
    pub agent: Name<'a>,
    /// Bytes received from the client, at most `u32::MAX`. `None` = the record does not say.
    pub request_bytes: Option<u32>,
    /// Bytes sent to the client, at most `u32::MAX`. `None` = the record does not say.
    pub response_bytes: Option<u32>,
    /// Time to serve the request, in microseconds, at most `u32::MAX`. `None` = the record does not say.
    pub latency_us: Option<u32>,
    pub address: ClientAddress,
    pub place: Place<'a>,
    /// Hash of the request id; 0 = not in the record.
    pub request_id: u64,
    pub handles: Handles<'a>,
    pub position: Position,
}

impl Event<'_> {
    /// A record of which only this can be read. `time`: the epoch if that is not known.
    pub fn unreadable(key: KeyId, time: EventTime, position: Position) -> Self {
        Self {
            time,
            key,
            alias: None,
            method: Method::Other,
            status: None,
            refusal: Refusal::None,
            flags: Flags(Flags::UNREADABLE),
            route: Name::NONE,
            agent: Name::NONE,
            request_bytes: None,
            response_bytes: None,
            latency_us: None,
            address: ClientAddress::default(),
            place: Place::default(),
            request_id: 0,
            handles: Handles::default(),
            position,
        }
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A request that was served and of which nothing else is known.
    pub fn plain(key: KeyId, time: EventTime) -> Event<'static> {
        let event = Event::unreadable(key, time, Position::default());
        Event { method: Method::Get, status: Some(200), flags: Flags::default(), ..event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_read_as_people_write_them() {
        let check = |address: &str, text: &str| {
            assert_eq!(prefix_text(address_prefix(address.parse().unwrap())), text);
        };
        check("203.0.113.7", "203.0.113.0/24");
        check("::ffff:203.0.113.7", "203.0.113.0/24");
        check("2001:db8:1:2::3", "2001:db8:1::/48");
    }
}
