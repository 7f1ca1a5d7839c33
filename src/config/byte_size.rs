//! A number of bytes in the settings: `300MB`, `2GiB`.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Units, the largest first, so that a size is shown in the largest that divides it.
const UNITS: [(&str, u64); 6] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

/// A number of bytes, at least one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

fn parse(text: &str) -> Option<ByteSize> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, bytes) = UNITS.iter().find(|(known, _)| *known == unit)?;
    let size = number.parse::<u64>().ok()?.checked_mul(*bytes)?;
    (size > 0).then_some(ByteSize(size))
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| de::Error::custom("must be a number of bytes with its unit: 512MiB, 2GB"))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(K|M|G)i?B$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit_and_shown_as_they_were_written() {
        for (text, bytes) in
            [("300MB", 300_000_000), ("512MiB", 512 << 20), ("2GiB", 2 << 30), ("1KB", 1_000)]
        {
            assert_eq!(parse(text), Some(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        for wrong in ["", "300", "MB", "0MB", "3 MB", "-3MB", "1.5GB", "3mb", "3TB", "99999999999999GiB"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn memory_has_a_unit_and_a_least_size() {
        let problems = |size: &str| {
            let text = format!(
                "sources: [{{ stdin: {{}}, format: nginx, key: raw }}]\nfingerprint: {{ pepper_file: p }}\nstate: {{ memory_max: {size} }}\n"
            );
            let read =
                crate::config::Config::parse("k.yaml", &text, &crate::config::Overrides::default(), &|_| {
                    None
                });
            read.err().map(|problems| problems.to_string()).unwrap_or_default()
        };
        let told = problems("20MB");
        assert!(told.contains("state.memory_max: 20MB must be at least 44MiB with partitions: 8"), "{told}");
        let told = problems("2G");
        assert!(told.contains("state.memory_max: \"2G\" must be a number of bytes with its unit"), "{told}");
        assert_eq!(problems("300MB"), "");
    }
}
