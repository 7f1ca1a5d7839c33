//! MaxMind's own test databases, read as an operator's would be: what their sources say must come out.
//!
//! The files are fetched by `tests/install/maxmind.sh` (`make test`).

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;
use keyhound::{
    enrich::{Databases, Enricher, Geo, GeoError},
    event::{NetworkType, Place},
    generate::mmdb::{self, About, Writer},
};
use serde_json::Value;

/// One of the fetched files. Without them the test fails: a conformance that was skipped is none.
fn test_data(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/maxmind-test-data");
    assert!(
        folder.is_dir(),
        "MaxMind's test databases are not in {}: run `tests/install/run maxmind`",
        folder.display()
    );
    folder.join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(test_data(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn city(name: &str) -> Result<Geo, GeoError> {
    Geo::new(Databases { city: Some(bytes(name)), ..Databases::default() })
}

/// The networks of a source file with their records, without those in which a narrower one lies.
fn source(name: &str) -> Vec<(IpNet, Value)> {
    let text = String::from_utf8(bytes(name)).unwrap();
    let list: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&text).unwrap();
    let all: Vec<(IpNet, Value)> =
        list.into_iter().flatten().map(|(network, record)| (network.parse().unwrap(), record)).collect();
    let has_narrower =
        |network: &IpNet| all.iter().any(|(other, _)| other != network && network.contains(other));
    all.iter().filter(|(network, _)| !has_narrower(network)).cloned().collect()
}

/// Checks the first and the last address of each network of a source against what its database gives.
#[track_caller]
fn check(database: &str, see: impl Fn(&Value, &Place<'_>, IpAddr)) {
    let geo = city(&format!("{database}.mmdb")).unwrap();
    let mut enricher = Enricher::new(Arc::new(geo));
    let networks = source(&format!("{database}.json"));
    assert!(networks.len() > 10, "{database} has {} networks", networks.len());
    for (network, record) in networks {
        for address in [network.network(), network.broadcast()] {
            let index = enricher.resolve(address);
            see(&record, &enricher.place(index), address);
        }
    }
}

fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn check_country(record: &Value, place: &Place<'_>, address: IpAddr) {
    let expected = match text(record, "/country/iso_code") {
        "" => text(record, "/registered_country/iso_code"),
        country => country,
    };
    let expected = if expected.is_empty() { "??" } else { expected };
    assert_eq!(place.country.to_string(), expected, "{address}");
}

fn check_location(record: &Value, place: &Place<'_>, address: IpAddr) {
    let degrees = |name: &str| record.pointer(&format!("/location/{name}")).and_then(Value::as_f64);
    match (degrees("latitude").zip(degrees("longitude")), place.cell) {
        (Some((latitude, longitude)), Some(cell)) => {
            assert!((f64::from(cell.0) / 100.0 - latitude).abs() <= 0.005_001, "{address}: {cell:?}");
            assert!((f64::from(cell.1) / 100.0 - longitude).abs() <= 0.005_001, "{address}: {cell:?}");
            let radius = record.pointer("/location/accuracy_radius").and_then(Value::as_u64);
            assert_eq!(u64::from(place.accuracy_km), radius.unwrap_or_default(), "{address}");
        }
        (expected, found) => assert_eq!(expected.is_some(), found.is_some(), "{address}"),
    }
}

#[test]
fn countries_and_places_are_those_of_the_city_databases() {
    for database in ["GeoLite2-City-Test", "GeoIP2-City-Test"] {
        check(database, |record, place, address| {
            check_country(record, place, address);
            check_location(record, place, address);
        });
    }
}

#[test]
fn countries_are_those_of_the_country_databases() {
    check("GeoLite2-Country-Test", check_country);
    check("GeoIP2-Country-Test", check_country);
}

#[test]
fn networks_are_those_of_the_network_databases() {
    for database in ["GeoLite2-ASN-Test", "GeoIP2-ISP-Test"] {
        check(database, |record, place, address| {
            let number = record["autonomous_system_number"].as_u64().unwrap_or_default();
            assert_eq!(u64::from(place.asn), number, "{address}");
            if number != 0 {
                let names = ["/autonomous_system_organization", "/organization"];
                let name = names.map(|name| text(record, name)).into_iter().find(|name| !name.is_empty());
                assert_eq!(place.asn_name, name.unwrap_or_default(), "{address}");
            }
        });
    }
}

#[test]
fn the_kind_of_network_is_that_of_the_enterprise_database() {
    let known = std::cell::Cell::new(0);
    check("GeoIP2-Enterprise-Test", |record, place, address| {
        check_country(record, place, address);
        let expected = match text(record, "/traits/user_type") {
            "residential" => NetworkType::Residential,
            "cellular" => NetworkType::Mobile,
            "business" | "government" => NetworkType::Business,
            "hosting" => NetworkType::Hosting,
            _ => return,
        };
        let flagged = record.pointer("/traits/is_anonymous_vpn").is_some();
        assert!(flagged || place.network_type == expected, "{address}: {:?}", place.network_type);
        known.set(known.get() + 1);
    });
    assert!(known.get() > 0, "the enterprise database names no kind of network");
}

#[test]
fn exits_are_found_in_the_anonymous_database() {
    check("GeoIP2-Anonymous-IP-Test", |record, place, address| {
        let is = |flag: &str| record[flag].as_bool().unwrap_or_default();
        let expected = match () {
            () if is("is_tor_exit_node") => NetworkType::Tor,
            () if is("is_anonymous_vpn") || is("is_public_proxy") => NetworkType::Vpn,
            () if is("is_hosting_provider") => NetworkType::Hosting,
            () => return,
        };
        assert_eq!(place.network_type, expected, "{address}");
    });
}

#[test]
fn a_city_and_a_network_file_are_joined() {
    let files = Databases {
        city: Some(bytes("GeoLite2-City-Test.mmdb")),
        asn: Some(bytes("GeoLite2-ASN-Test.mmdb")),
        ..Databases::default()
    };
    let mut enricher = Enricher::new(Arc::new(Geo::new(files).unwrap()));
    let index = enricher.resolve("89.160.20.112".parse().unwrap());
    let place = enricher.place(index);
    assert_eq!((place.country.to_string().as_str(), place.asn), ("SE", 29_518));
    assert_eq!(place.asn_name, "Bredband2 AB");
}

#[test]
fn damaged_files_are_refused_or_say_nothing_but_never_stop_us() {
    let mut tried = 0;
    for entry in fs::read_dir(test_data("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "mmdb") {
            continue;
        }
        tried += 1;
        let files = Databases { city: Some(fs::read(&path).unwrap()), ..Databases::default() };
        let Ok(geo) = Geo::new(files) else { continue };
        let mut enricher = Enricher::new(Arc::new(geo));
        for address in ["1.1.1.1", "81.2.69.160", "216.160.83.56", "2001:218::1", "::1.1.1.32", "::"] {
            let index = enricher.resolve(address.parse().unwrap());
            let _ = enricher.place(index);
        }
    }
    assert!(tried > 30, "{tried} files");
}

#[test]
fn a_file_without_any_known_field_is_refused_by_name() {
    let error = city("MaxMind-DB-test-ipv4-24.mmdb").unwrap_err().to_string();
    assert!(error.starts_with("geo.city: a \"Test\" file that names neither country"), "{error}");
    assert!(error.ends_with("fields of its first record: ip"), "{error}");
}

#[test]
fn the_flat_country_file_of_npm_gives_the_country() {
    // `@ip-location-db` on npm: a record is `country_code` and nothing else.
    let mut writer = Writer::default();
    for (network, country) in [("1.0.0.0/24", "AU"), ("5.8.0.0/16", "IE"), ("2a00::/16", "SE")] {
        let record = mmdb::Value::Map(vec![("country_code", mmdb::Value::Text(country.to_owned()))]);
        writer.insert(network.parse().unwrap(), &record);
    }
    let about = About { database_type: "flat", description: "as on npm", build_epoch: 1_795_327_660 };
    let country = Some(writer.finish(&about));
    let geo = Geo::new(Databases { country, ..Databases::default() }).unwrap();
    let mut enricher = Enricher::new(Arc::new(geo));
    for (address, country) in [("1.0.0.7", "AU"), ("5.8.200.1", "IE"), ("2a00::1", "SE"), ("9.9.9.9", "??")] {
        let index = enricher.resolve(address.parse().unwrap());
        assert_eq!(enricher.place(index).country.to_string(), country, "{address}");
    }
}
