//! The databases and lists that are in use together, and their version.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::{
    database::{Database, DatabaseError},
    hosting::is_hosting_network,
    lists::{ListError, NetworkList},
    shape::Facts,
};
use crate::event::{Country, NetworkType, Place};

/// What is read from the files. Absent = not configured.
#[derive(Clone, Debug, Default)]
pub struct Databases {
    /// Bytes of a MaxMind DB file.
    pub city: Option<Vec<u8>>,
    /// Bytes of a MaxMind DB file.
    pub country: Option<Vec<u8>>,
    /// Bytes of a MaxMind DB file.
    pub asn: Option<Vec<u8>>,
    pub lists: ListTexts,
}

/// The texts of the lists, as [`NetworkList::parse`] reads them. Absent = not configured.
#[derive(Clone, Debug, Default)]
pub struct ListTexts {
    pub tor: Option<String>,
    pub vpn: Option<String>,
    pub hosting: Option<String>,
}

/// A file that cannot be used. `field` is its name in the settings: `geo.city`, `geo.lists.tor`.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    #[error("{field}: this is not a whole MaxMind DB file: {source}")]
    Format { field: &'static str, source: maxminddb::MaxMindDbError },
    #[error(
        "{field}: a \"{database_type}\" file that names neither country, network, place nor kind of network; \
         fields of its first record: {fields}"
    )]
    Shape { field: &'static str, database_type: String, fields: String },
    #[error("{field}: {source}")]
    List { field: &'static str, source: ListError },
}

/// All that is known of where addresses are. Never changes: a new file is a new `Geo`.
#[derive(Debug)]
pub struct Geo {
    /// In the order in which they are asked: city, country, asn.
    databases: [Option<Database>; 3],
    /// In the order in which they are asked: tor, vpn, hosting.
    lists: [Option<NetworkList>; 3],
    version: String,
}

const DATABASE_FIELDS: [&str; 3] = ["geo.city", "geo.country", "geo.asn"];
const LIST_FIELDS: [&str; 3] = ["geo.lists.tor", "geo.lists.vpn", "geo.lists.hosting"];
const LIST_KINDS: [NetworkType; 3] = [NetworkType::Tor, NetworkType::Vpn, NetworkType::Hosting];
const ASN: usize = 2;

/// Which records an address leads to. Addresses with equal sources have equal places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sources {
    records: [u32; 3],
    listed: NetworkType,
}

impl Geo {
    /// Knows nothing of any address; its version is `none`.
    pub fn empty() -> Self {
        Self { databases: [None, None, None], lists: [None, None, None], version: "none".to_owned() }
    }

    /// Reads all files, or none: the first that cannot be used is the error.
    pub fn new(files: Databases) -> Result<Self, GeoError> {
        let bytes = [files.city, files.country, files.asn];
        let texts = [files.lists.tor, files.lists.vpn, files.lists.hosting];
        let version = version_of(&bytes, &texts);
        let mut geo = Self { version, ..Self::empty() };
        for (index, bytes) in bytes.into_iter().enumerate() {
            let field = DATABASE_FIELDS[index];
            geo.databases[index] =
                bytes.map(Database::new).transpose().map_err(|error| in_field(field, error))?;
        }
        for (index, text) in texts.iter().enumerate() {
            let field = LIST_FIELDS[index];
            geo.lists[index] = text
                .as_deref()
                .map(NetworkList::parse)
                .transpose()
                .map_err(|source| GeoError::List { field, source })?;
        }
        Ok(geo)
    }

    /// The first 8 hex digits of the SHA-256 of all contents; `none` without files.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which records hold for an address; cheap, decodes nothing.
    pub(super) fn sources(&self, address: IpAddr) -> Sources {
        let mut records = [0; 3];
        for (record, database) in records.iter_mut().zip(&self.databases) {
            let offset = database.as_ref().and_then(|database| database.offset(address));
            // Data sections are below 4 GiB: pointers in the format have 32 bits. 0 stands for no record.
            *record =
                offset.map_or(0, |offset| u32::try_from(offset).map_or(u32::MAX, |at| at.saturating_add(1)));
        }
        let listed = self.lists.iter().zip(LIST_KINDS).find_map(|(list, kind)| {
            list.as_ref().is_some_and(|list| list.contains(address)).then_some(kind)
        });
        Sources { records, listed: listed.unwrap_or_default() }
    }

    /// Decodes and joins what the databases and lists say of an address.
    pub(super) fn place(&self, address: IpAddr, sources: Sources) -> Place<'_> {
        let facts = self
            .databases
            .each_ref()
            .map(|database| database.as_ref().map(|database| database.facts(address)).unwrap_or_default());
        join(&facts, sources.listed)
    }
}

/// The first database that knows a fact gives it; for the network's number and name that is the one for networks.
fn join<'a>(facts: &[Facts<'a>; 3], listed: NetworkType) -> Place<'a> {
    let network = [&facts[ASN], &facts[0], &facts[1]].into_iter().find(|facts| facts.asn.is_some());
    let asn = network.and_then(|facts| facts.asn).unwrap_or_default();
    let located = facts.iter().find(|facts| facts.cell.is_some());
    Place {
        country: facts.iter().find_map(|facts| facts.country).unwrap_or(Country::UNKNOWN),
        asn,
        asn_name: network.and_then(|facts| facts.asn_name).unwrap_or_default(),
        network_type: kind_of(facts, listed, asn),
        cell: located.and_then(|facts| facts.cell),
        accuracy_km: located.and_then(|facts| facts.accuracy_km).unwrap_or_default(),
    }
}

/// Lists go before databases, databases before the built-in table.
fn kind_of(facts: &[Facts<'_>; 3], listed: NetworkType, asn: u32) -> NetworkType {
    if listed != NetworkType::Unknown {
        return listed;
    }
    match facts.iter().find_map(|facts| facts.kind) {
        Some(kind) => kind,
        None if is_hosting_network(asn) => NetworkType::Hosting,
        None => NetworkType::Unknown,
    }
}

fn in_field(field: &'static str, error: DatabaseError) -> GeoError {
    match error {
        DatabaseError::Format(source) => GeoError::Format { field, source },
        DatabaseError::Shape { database_type, fields } => GeoError::Shape { field, database_type, fields },
    }
}

fn version_of(bytes: &[Option<Vec<u8>>; 3], texts: &[Option<String>; 3]) -> String {
    let parts = bytes
        .iter()
        .map(Option::as_deref)
        .chain(texts.iter().map(|text| text.as_ref().map(String::as_bytes)));
    let mut hasher = Sha256::new();
    let mut any = false;
    for part in parts {
        // Absent and empty differ, and no byte of one file can pass for the next one's.
        hasher.update(part.map_or(0, |part| part.len() as u64 + 1).to_be_bytes());
        hasher.update(part.unwrap_or_default());
        any |= part.is_some();
    }
    if !any {
        return "none".to_owned();
    }
    hasher.finalize().iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
