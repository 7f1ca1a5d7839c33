//! Where in a database's records each fact stands.
//!
//! MaxMind DB files share a format, not a schema. The shape is found once, from the first records: of the paths that
//! vendors are known to use, those that lead to a usable value are kept, in order of preference. Sources: MaxMind's
//! GeoIP2 documentation, DB-IP's (the same), the READMEs of `@ip-location-db` on npm (flat `country_code`), IPinfo's
//! and IP2Location's field lists.

use maxminddb::{LookupResult, PathElement, WithinOptions};
use serde::de::{Deserialize, Deserializer, Visitor};

use super::database::Reader;
use crate::event::{Country, NetworkType};

/// A path of map keys to a value.
type Path = &'static [&'static str];

/// How many records are looked at. Enough for files whose first networks are odd ones (no country, no name).
const RECORDS_SEEN_MAX: usize = 1_000;

const COUNTRY: &[Path] =
    &[&["country", "iso_code"], &["country_code"], &["country"], &["registered_country", "iso_code"]];
const ASN: &[Path] =
    &[&["autonomous_system_number"], &["asn"], &["as_number"], &["traits", "autonomous_system_number"]];
const ASN_NAME: &[Path] = &[
    &["autonomous_system_organization"],
    &["as_organization"],
    &["as_name"],
    &["organization"],
    &["name"],
    &["traits", "autonomous_system_organization"],
];
const KIND: &[Path] = &[
    &["network_type"],
    &["user_type"],
    &["traits", "user_type"],
    &["usage_type"],
    &["type"],
    &["connection_type"],
    &["traits", "connection_type"],
];
const LATITUDE: &[Path] = &[&["location", "latitude"], &["latitude"], &["lat"]];
const LONGITUDE: &[Path] = &[&["location", "longitude"], &["longitude"], &["lng"], &["lon"]];
const ACCURACY: &[Path] = &[&["location", "accuracy_radius"], &["accuracy_radius"], &["radius"]];
const TOR: &[Path] = &[&["is_tor_exit_node"], &["traits", "is_tor_exit_node"]];
const VPN: &[Path] = &[&["is_anonymous_vpn"], &["is_public_proxy"], &["traits", "is_anonymous_vpn"]];
const HOSTING: &[Path] = &[&["is_hosting_provider"], &["is_hosting"], &["traits", "is_hosting_provider"]];

/// The paths that lead somewhere in one database.
#[derive(Debug, Default)]
pub(super) struct Shape {
    country: Vec<Path>,
    asn: Vec<Path>,
    asn_name: Vec<Path>,
    kind: Vec<Path>,
    latitude: Vec<Path>,
    longitude: Vec<Path>,
    accuracy: Vec<Path>,
    tor: Vec<Path>,
    vpn: Vec<Path>,
    hosting: Vec<Path>,
}

/// What one record says. Absent facts are `None`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Facts<'a> {
    pub country: Option<Country>,
    pub asn: Option<u32>,
    pub asn_name: Option<&'a str>,
    pub kind: Option<NetworkType>,
    pub cell: Option<(i16, i16)>,
    pub accuracy_km: Option<u16>,
}

type Record<'a> = LookupResult<'a, Vec<u8>>;

impl Shape {
    /// Looks at the first records. A database in which nothing is found has an empty shape.
    pub(super) fn find(reader: &Reader) -> Self {
        let mut shape = Self::default();
        let Ok(networks) = reader.networks(WithinOptions::default()) else { return shape };
        for record in networks.take(RECORDS_SEEN_MAX).flatten() {
            shape.learn(&record);
        }
        shape
    }

    /// Whether no fact was found that is of use.
    pub(super) fn is_empty(&self) -> bool {
        let useful =
            [&self.country, &self.asn, &self.kind, &self.latitude, &self.tor, &self.vpn, &self.hosting];
        useful.iter().all(|paths| paths.is_empty())
    }

    /// Reads what `record` says.
    pub(super) fn read<'a>(&self, record: &Record<'a>) -> Facts<'a> {
        let latitude = first(record, &self.latitude, |value| degrees(value, 90.0));
        let longitude = first(record, &self.longitude, |value| degrees(value, 180.0));
        let flag = |paths: &[Path], kind| first(record, paths, is_set).map(|()| kind);
        Facts {
            country: first(record, &self.country, country),
            asn: first(record, &self.asn, asn),
            asn_name: first(record, &self.asn_name, text),
            kind: flag(&self.tor, NetworkType::Tor)
                .or_else(|| flag(&self.vpn, NetworkType::Vpn))
                .or_else(|| flag(&self.hosting, NetworkType::Hosting))
                .or_else(|| first(record, &self.kind, kind)),
            cell: latitude.zip(longitude),
            accuracy_km: first(record, &self.accuracy, kilometres),
        }
    }

    fn learn(&mut self, record: &Record<'_>) {
        keep(record, COUNTRY, &mut self.country, country);
        keep(record, ASN, &mut self.asn, asn);
        keep(record, ASN_NAME, &mut self.asn_name, text);
        keep(record, KIND, &mut self.kind, kind);
        keep(record, LATITUDE, &mut self.latitude, |value| degrees(value, 90.0));
        keep(record, LONGITUDE, &mut self.longitude, |value| degrees(value, 180.0));
        keep(record, ACCURACY, &mut self.accuracy, kilometres);
        keep(record, TOR, &mut self.tor, is_set);
        keep(record, VPN, &mut self.vpn, is_set);
        keep(record, HOSTING, &mut self.hosting, is_set);
    }
}

/// Adds to `kept`, in the order of `known`, the paths at which `record` has a value that `read` can use.
fn keep<'a, T>(record: &Record<'a>, known: &[Path], kept: &mut Vec<Path>, read: fn(Scalar<'a>) -> Option<T>) {
    if kept.len() == known.len() {
        return;
    }
    let fits = |path: &Path| kept.contains(path) || value(record, path).and_then(read).is_some();
    let found: Vec<Path> = known.iter().copied().filter(fits).collect();
    *kept = found;
}

fn first<'a, T>(record: &Record<'a>, paths: &[Path], read: fn(Scalar<'a>) -> Option<T>) -> Option<T> {
    paths.iter().find_map(|path| value(record, path).and_then(read))
}

/// The value at `path`, or nothing: a record that lacks it, has another type there, or is damaged says nothing.
fn value<'a>(record: &Record<'a>, path: Path) -> Option<Scalar<'a>> {
    let mut elements = [const { PathElement::Key("") }; 2];
    let elements = &mut elements[..path.len()];
    for (element, key) in elements.iter_mut().zip(path) {
        *element = PathElement::Key(key);
    }
    record.decode_path(elements).ok().flatten()
}

fn text(value: Scalar<'_>) -> Option<&str> {
    match value {
        Scalar::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn country(value: Scalar<'_>) -> Option<Country> {
    text(value).map(Country::parse).filter(|country| country.is_known())
}

/// A number, or a text as `AS16509` or `16509`. AS 0 is reserved (RFC 7607) and says nothing.
fn asn(value: Scalar<'_>) -> Option<u32> {
    let number = match value {
        Scalar::Unsigned(number) => u32::try_from(number).ok(),
        Scalar::Text(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
        _ => None,
    };
    number.filter(|number| *number != 0)
}

fn is_set(value: Scalar<'_>) -> Option<()> {
    matches!(value, Scalar::Flag(true)).then_some(())
}

/// Hundredths of a degree, at most `limit` degrees to each side.
fn degrees(value: Scalar<'_>, limit: f64) -> Option<i16> {
    let degrees = number(value).filter(|degrees| degrees.abs() <= limit)?;
    #[allow(clippy::cast_possible_truncation)] // at most 18,000
    Some((degrees * 100.0).round() as i16)
}

fn kilometres(value: Scalar<'_>) -> Option<u16> {
    let km = number(value).filter(|km| (0.0..=65_535.0).contains(km))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the range was just checked
    Some(km.round() as u16)
}

fn number(value: Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Float(number) => Some(number),
        #[allow(clippy::cast_precision_loss)] // coordinates and radii are small
        Scalar::Unsigned(number) => Some(number as f64),
        #[allow(clippy::cast_precision_loss)]
        Scalar::Signed(number) => Some(number as f64),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Flag(_) => None,
    }
}

/// The words that vendors use, lower case: MaxMind's `user_type` and `connection_type`, IPinfo's `type`,
/// IP2Location's `usage_type`, and our own.
fn kind(value: Scalar<'_>) -> Option<NetworkType> {
    Some(match text(value)?.to_ascii_lowercase().as_str() {
        "residential" | "cable/dsl" | "dialup" | "satellite" | "isp" | "consumer" => NetworkType::Residential,
        "mobile" | "cellular" | "mob" | "isp/mob" => NetworkType::Mobile,
        "business" | "corporate" | "college" | "education" | "edu" | "government" | "gov" | "library"
        | "military" | "mil" | "school" | "com" | "org" | "banking" => NetworkType::Business,
        "hosting" | "dch" | "cdn" | "content_delivery_network" | "datacenter" => NetworkType::Hosting,
        "vpn" | "consumer_privacy_network" | "proxy" => NetworkType::Vpn,
        "tor" => NetworkType::Tor,
        _ => return None,
    })
}

/// A single value of a record.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Text(&'a str),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text, a number or a boolean")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Signed(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Flag(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_vendors_write_them() {
        assert_eq!(asn(Scalar::Text("AS16509")), Some(16_509));
        assert_eq!(asn(Scalar::Unsigned(14_061)), Some(14_061));
        assert_eq!(asn(Scalar::Unsigned(0)), None);
        assert_eq!(degrees(Scalar::Text("53.33"), 90.0), Some(5_333));
        assert_eq!(degrees(Scalar::Float(-179.999), 180.0), Some(-18_000));
        assert_eq!(degrees(Scalar::Float(91.0), 90.0), None);
        assert_eq!(degrees(Scalar::Float(f64::NAN), 90.0), None);
    }

    #[test]
    fn the_kind_of_a_network_is_read_in_each_vendors_words() {
        assert_eq!(kind(Scalar::Text("cellular")), Some(NetworkType::Mobile));
        assert_eq!(kind(Scalar::Text("DCH")), Some(NetworkType::Hosting));
        assert_eq!(kind(Scalar::Text("Cable/DSL")), Some(NetworkType::Residential));
        assert_eq!(kind(Scalar::Text("traveler")), None);
    }
}
