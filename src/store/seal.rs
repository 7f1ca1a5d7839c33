//! Checksums of what lies in the database, so that a byte that a disk or a program has changed is noticed where it is
//! read: SQLite checks the form of its pages, not their content.

use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;

/// Bytes of a checksum.
const BYTES: usize = 8;

/// The checksum of a value under its key. Against accidents, not against people: the key of the hash is known.
fn sum(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_usize(key.len());
    hasher.write(key);
    hasher.write(value);
    hasher.finish()
}

/// The checksum alone, for rows that have a column for it.
pub(super) fn sum_of(key: &[u8], value: &[u8]) -> i64 {
    sum(key, value).cast_signed()
}

/// Puts the checksum behind the value.
pub(super) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + BYTES);
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&sum(key, value).to_le_bytes());
    sealed
}

/// The value, if its checksum is right.
pub(super) fn open<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (value, kept) = sealed.split_last_chunk::<BYTES>()?;
    (u64::from_le_bytes(*kept) == sum(key, value)).then_some(value)
}

/// The same for a text, which stays one: the checksum stands before it, in hex.
pub(super) fn seal_text(key: &str, text: &str) -> String {
    format!("{:016x} {text}", sum(key.as_bytes(), text.as_bytes()))
}

/// The text, if its checksum is right.
pub(super) fn open_text<'a>(key: &str, sealed: &'a str) -> Option<&'a str> {
    let (kept, text) = sealed.split_once(' ')?;
    (u64::from_str_radix(kept, 16).ok()? == sum(key.as_bytes(), text.as_bytes())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_bit_and_another_key_are_noticed() {
        let sealed = seal(b"key", b"value");
        assert_eq!(open(b"key", &sealed), Some(&b"value"[..]));
        assert_eq!(open(b"kez", &sealed), None);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(b"key", &changed), None, "bit {bit}");
        }
        assert_eq!(open(b"key", b"short"), None);
        let text = seal_text("name", "{\"a\":7}");
        assert_eq!(open_text("name", &text), Some("{\"a\":7}"));
        assert_eq!(open_text("name", &text.replace('7', "8")), None);
        assert_eq!(open_text("other", &text), None);
    }
}
