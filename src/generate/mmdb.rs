//! Writes MaxMind DB files: enough of the format for a small synthetic database.
//!
//! Follows the MaxMind DB File Format Specification 2.0 (github.com/maxmind/MaxMind-DB): a binary search tree over the
//! bits of IPv6 addresses with IPv4 under `::/96`, 24-bit records, a data section in which equal records are written
//! once, and the metadata at the end. Equal calls give equal bytes.

use std::collections::BTreeMap;

use ipnet::IpNet;

/// A value of the data section.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Double(f64),
    Unsigned16(u16),
    Unsigned32(u32),
    Unsigned64(u64),
    Array(Vec<Value>),
    /// Written in the order given.
    Map(Vec<(&'static str, Value)>),
}

/// What a database says of itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub database_type: &'static str,
    pub description: &'static str,
    /// Seconds since the Unix epoch; given rather than read from a clock, so that the bytes are the same each time.
    pub build_epoch: u64,
}

/// Where a branch of the tree leads.
#[derive(Clone, Copy, Debug)]
enum Branch {
    Nothing,
    Node(usize),
    /// Offset in the data section.
    Data(usize),
}

/// A database in the making.
#[derive(Debug)]
pub struct Writer {
    nodes: Vec<[Branch; 2]>,
    data: Vec<u8>,
    written: BTreeMap<Vec<u8>, usize>,
}

const METADATA_MARKER: &[u8] = b"\xAB\xCD\xEFMaxMind.com";
const DATA_SECTION_SEPARATOR: [u8; 16] = [0; 16];
const RECORD_BITS: u16 = 24;
/// The largest size that a control byte with one size byte can say: 29 + 255.
const SIZE_MAX: usize = 284;

impl Default for Writer {
    fn default() -> Self {
        Self { nodes: vec![[Branch::Nothing; 2]], data: Vec::new(), written: BTreeMap::new() }
    }
}

impl Writer {
    /// Says what holds for a network. A network within one that was put before takes its part of it.
    pub fn insert(&mut self, network: IpNet, record: &Value) {
        let data = Branch::Data(self.write_record(record));
        let (bits, length) = match network {
            IpNet::V4(net) => (u128::from(u32::from(net.network())), 96 + u32::from(net.prefix_len())),
            IpNet::V6(net) => (u128::from(net.network()), u32::from(net.prefix_len())),
        };
        assert!(length > 0, "a network of all addresses has no branch of its own");
        let mut node = 0;
        for depth in 0..length - 1 {
            node = self.descend(node, side(bits, depth));
        }
        self.nodes[node][side(bits, length - 1)] = data;
    }

    /// The whole file.
    pub fn finish(self, about: &About) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.nodes.len() * 6 + self.data.len() + 512);
        for branch in self.nodes.iter().flatten() {
            let pointer = match branch {
                Branch::Nothing => self.nodes.len(),
                Branch::Node(node) => *node,
                Branch::Data(offset) => self.nodes.len() + DATA_SECTION_SEPARATOR.len() + offset,
            };
            let bytes = u32::try_from(pointer).unwrap_or(u32::MAX).to_be_bytes();
            assert!(bytes[0] == 0, "the database is too large for 24-bit records");
            file.extend_from_slice(&bytes[1..]);
        }
        file.extend_from_slice(&DATA_SECTION_SEPARATOR);
        file.extend_from_slice(&self.data);
        file.extend_from_slice(METADATA_MARKER);
        write(&metadata(about, self.nodes.len()), &mut file);
        file
    }

    /// The node under a branch; one is made where there is none, and a record on the way is pushed down to both sides.
    fn descend(&mut self, node: usize, side: usize) -> usize {
        let branch = self.nodes[node][side];
        if let Branch::Node(next) = branch {
            return next;
        }
        let next = self.nodes.len();
        self.nodes.push([branch; 2]);
        self.nodes[node][side] = Branch::Node(next);
        next
    }

    fn write_record(&mut self, record: &Value) -> usize {
        let mut bytes = Vec::new();
        write(record, &mut bytes);
        let data = &mut self.data;
        *self.written.entry(bytes).or_insert_with_key(|bytes| {
            let offset = data.len();
            data.extend_from_slice(bytes);
            offset
        })
    }
}

fn metadata(about: &About, nodes: usize) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    Value::Map(vec![
        ("binary_format_major_version", Value::Unsigned16(2)),
        ("binary_format_minor_version", Value::Unsigned16(0)),
        ("build_epoch", Value::Unsigned64(about.build_epoch)),
        ("database_type", text(about.database_type)),
        ("description", Value::Map(vec![("en", text(about.description))])),
        ("ip_version", Value::Unsigned16(6)),
        ("languages", Value::Array(vec![text("en")])),
        ("node_count", Value::Unsigned32(u32::try_from(nodes).unwrap_or(u32::MAX))),
        ("record_size", Value::Unsigned16(RECORD_BITS)),
    ])
}

/// The bit at `depth` of a 128-bit address, the highest first.
fn side(bits: u128, depth: u32) -> usize {
    usize::from(bits >> (127 - depth) & 1 == 1)
}

/// Appends a value: a control byte (type, size), for types from 8 on a second one, then the payload.
fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Double(number) => {
            control(3, 8, out);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Unsigned16(number) => unsigned(5, &number.to_be_bytes(), out),
        Value::Unsigned32(number) => unsigned(6, &number.to_be_bytes(), out),
        Value::Unsigned64(number) => unsigned(9, &number.to_be_bytes(), out),
        Value::Map(entries) => {
            control(7, entries.len(), out);
            for (key, value) in entries {
                control(2, key.len(), out);
                out.extend_from_slice(key.as_bytes());
                write(value, out);
            }
        }
        Value::Array(items) => {
            control(11, items.len(), out);
            for item in items {
                write(item, out);
            }
        }
    }
}

/// Unsigned numbers are written without leading zero bytes.
fn unsigned(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    control(kind, bytes.len() - zeros, out);
    out.extend_from_slice(&bytes[zeros..]);
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    assert!(size <= SIZE_MAX, "a value of {size} bytes or entries; at most {SIZE_MAX} are supported");
    #[allow(clippy::cast_possible_truncation)] // at most 284, split below
    let (low, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    if kind < 8 {
        out.push(kind << 5 | low);
    } else {
        out.extend([low, kind - 7]);
    }
    out.extend(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About =
        About { database_type: "Test", description: "for a test", build_epoch: 1_795_000_000 };

    fn number(asn: u32) -> Value {
        Value::Map(vec![("autonomous_system_number", Value::Unsigned32(asn))])
    }

    #[track_caller]
    fn check(reader: &maxminddb::Reader<Vec<u8>>, address: &str, asn: Option<u32>) {
        let found = reader.lookup(address.parse().unwrap()).unwrap();
        let path = [maxminddb::PathElement::Key("autonomous_system_number")];
        assert_eq!(found.decode_path::<u32>(&path).unwrap(), asn, "{address}");
    }

    #[test]
    fn the_reader_finds_what_was_written() {
        let mut writer = Writer::default();
        writer.insert("240.1.0.0/16".parse().unwrap(), &number(1));
        writer.insert("240.1.128.0/20".parse().unwrap(), &number(70_000));
        writer.insert("3fff:1::/32".parse().unwrap(), &number(1));
        let reader = maxminddb::Reader::from_source(writer.finish(&ABOUT)).unwrap();
        reader.verify().unwrap();
        check(&reader, "240.1.2.3", Some(1));
        check(&reader, "240.1.128.1", Some(70_000));
        check(&reader, "240.1.144.1", Some(1));
        check(&reader, "240.2.0.0", None);
        check(&reader, "3fff:1:ffff::1", Some(1));
        check(&reader, "3fff:2::1", None);
        assert_eq!(reader.metadata().build_epoch, 1_795_000_000);
    }

    #[test]
    fn long_texts_are_written_with_their_size() {
        let mut writer = Writer::default();
        let name = "n".repeat(284);
        let record = Value::Map(vec![("autonomous_system_organization", Value::Text(name.clone()))]);
        writer.insert("240.0.0.0/8".parse().unwrap(), &record);
        let reader = maxminddb::Reader::from_source(writer.finish(&ABOUT)).unwrap();
        let found = reader.lookup("240.9.9.9".parse().unwrap()).unwrap();
        let path = [maxminddb::PathElement::Key("autonomous_system_organization")];
        assert_eq!(found.decode_path::<String>(&path).unwrap(), Some(name));
    }
}
