//! One MaxMind DB file in memory.

use std::{collections::BTreeMap, net::IpAddr};

use maxminddb::{LookupResult, MaxMindDbError};

use super::shape::{Facts, Shape};

pub(super) type Reader = maxminddb::Reader<Vec<u8>>;

/// A database and the shape of its records.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader,
    shape: Shape,
}

/// Why a file's bytes are of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    #[error(transparent)]
    Format(#[from] MaxMindDbError),
    #[error("no known field")]
    Shape { database_type: String, fields: String },
}

impl Database {
    /// Reads the head of the file and finds its shape. A file that was cut short has no head (it stands at the end)
    /// and is refused.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let reader = Reader::from_source(bytes)?;
        let shape = Shape::find(&reader);
        if shape.is_empty() {
            return Err(DatabaseError::Shape {
                database_type: reader.metadata().database_type.clone(),
                fields: first_fields(&reader),
            });
        }
        Ok(Self { reader, shape })
    }

    /// Where the record of an address begins in the data section; the same record has the same offset.
    /// `None` where the database has nothing to say.
    pub(super) fn offset(&self, address: IpAddr) -> Option<usize> {
        self.find(address)?.offset()
    }

    /// What the database says of an address.
    pub(super) fn facts(&self, address: IpAddr) -> Facts<'_> {
        self.find(address).map(|record| self.shape.read(&record)).unwrap_or_default()
    }

    /// An IPv6 address in an IPv4 file, or a damaged tree: nothing is known.
    fn find(&self, address: IpAddr) -> Option<LookupResult<'_, Vec<u8>>> {
        self.reader.lookup(address).ok()
    }
}

/// The field names of the first record, for the message that says why a file is of no use.
fn first_fields(reader: &Reader) -> String {
    let record = reader.networks(maxminddb::WithinOptions::default()).ok().and_then(|mut all| all.next());
    let fields: Option<BTreeMap<String, serde_json::Value>> =
        record.and_then(Result::ok).and_then(|record| record.decode().ok().flatten());
    match fields {
        Some(fields) if !fields.is_empty() => fields.into_keys().take(20).collect::<Vec<_>>().join(", "),
        _ => "none".to_owned(),
    }
}
