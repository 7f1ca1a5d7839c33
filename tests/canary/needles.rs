//! The keys, what callers make of them, and the search for any half of them in what a program wrote.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const SEED: u64 = 20_261_124;
/// The shortest part that may not be left: half of a key.
const PART_BYTES: usize = 16;

/// Raw keys in the shapes that platforms hand out, each of 32 characters or more.
pub fn canaries(count: usize) -> Vec<String> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut of = |alphabet: &[u8], length: usize| -> String {
        (0..length).map(|_| char::from(alphabet[random.random_range(0..alphabet.len())])).collect()
    };
    let base62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hex = b"0123456789abcdef";
    // Each shape comes to each preset.
    let one = |n| match (n + n / 10) % 5 {
        0 => of(base62, 32),
        1 => of(hex, 32),
        2 => format!("sk_live_{}", of(base62, 32)),
        3 => [8, 4, 4, 4, 12].map(|length| of(hex, length)).join("-"),
        _ => of(b"0123456789abcdefghijklmnopqrstuvwxyz", 40),
    };
    (0..count).map(one).collect()
}

/// What a caller may make of a key, in its order: each holds half of it at least.
pub fn forms(key: &str) -> Vec<String> {
    let (first, second) = key.split_at(key.len() / 2);
    let hex = |key: &str| key.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let percent = |key: &str| key.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let url = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    vec![
        key.to_owned(),
        format!("{first}/1.0 {second}/2.0"),
        BASE64_STANDARD.encode(key),
        format!("{first}/{second}"),
        url(key.to_owned()),
        format!("sdk/{first} ({second})"),
        hex(key),
        format!("{first}&x={second}"),
        percent(key),
        format!("{first} {second}"),
        key.chars().rev().collect(),
        format!("a-{first}.{second}-b"),
        jwt(key),
        second.to_owned(),
        key.to_ascii_uppercase(),
        format!("{first}, {second}"),
        BASE64_STANDARD.encode(format!("user:{key}")),
        format!("{second}_{first}"),
        percent(&percent(key)),
        format!("acme{first}/1"),
        hex(key).to_ascii_uppercase(),
        format!("{first}:{second}@"),
        url(key.chars().rev().collect()),
        format!("sdk/1.{first}"),
    ]
}

fn jwt(key: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", part(r#"{"alg":"none"}"#), part(&format!(r#"{{"sub":"{key}"}}"#)))
}

/// All parts of half a key's length, of all forms of the keys, whatever the case of their letters.
pub struct Needles {
    /// Sorted.
    parts: Vec<u64>,
    /// A bit for each hash's first bits: most places are told by it.
    filter: Vec<u64>,
}

const FILTER_BITS: u32 = 27;
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Needles {
    pub fn new(keys: &[String]) -> Self {
        // What all tokens have in common is no part of a key.
        let common: Vec<u64> = hashes(jwt("").as_bytes()).map(|(_, hash)| hash).collect();
        let mut parts = Vec::new();
        for form in keys.iter().flat_map(|key| forms(key)) {
            parts.extend(hashes(form.as_bytes()).map(|(_, hash)| hash).filter(|hash| !common.contains(hash)));
        }
        parts.sort_unstable();
        parts.dedup();
        let mut filter = vec![0; 1 << (FILTER_BITS - 6)];
        for bit in parts.iter().map(|hash| place(*hash)) {
            filter[bit / 64] |= 1 << (bit % 64);
        }
        Self { parts, filter }
    }

    /// Where a part of a key stands.
    pub fn find(&self, bytes: &[u8]) -> Option<usize> {
        let is_part = |(_, hash): &(usize, u64)| {
            let bit = place(*hash);
            self.filter[bit / 64] >> (bit % 64) & 1 == 1 && self.parts.binary_search(hash).is_ok()
        };
        hashes(bytes).find(is_part).map(|(at, _)| at)
    }
}

#[allow(clippy::cast_possible_truncation)] // fewer than 32 bits are left
fn place(hash: u64) -> usize {
    (hash.wrapping_mul(BASE) >> (64 - FILTER_BITS)) as usize
}

/// The hash of each part, in lower case, with its place.
fn hashes(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let (mut hash, first) = (0_u64, BASE.wrapping_pow(u32::try_from(PART_BYTES).unwrap_or(0)));
    bytes.iter().enumerate().filter_map(move |(at, byte)| {
        hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(byte.to_ascii_lowercase()) + 1);
        let gone = at.checked_sub(PART_BYTES);
        if let Some(gone) = gone {
            hash = hash.wrapping_sub(first.wrapping_mul(u64::from(bytes[gone].to_ascii_lowercase()) + 1));
        }
        (at + 1 >= PART_BYTES).then(|| (at + 1 - PART_BYTES, hash))
    })
}

#[test]
fn a_half_of_a_key_is_found_in_any_form_and_nothing_else_is() {
    let keys = canaries(50);
    let needles = Needles::new(&keys);
    for key in &keys {
        for form in forms(key) {
            let text = format!("{{\"level\":\"info\",\"agent\":\"x{form}y\"}}");
            assert!(needles.find(text.as_bytes()).is_some(), "{text}");
        }
        let (first, second) = key.split_at(key.len() / 2);
        assert_eq!(needles.find(format!("<{first}>").as_bytes()), Some(1));
        assert_eq!(needles.find(format!("<<{}>", second.to_uppercase()).as_bytes()), Some(2));
        assert_eq!(needles.find(&first.as_bytes()[..PART_BYTES - 1]), None);
    }
    for other in canaries(100).drain(50..) {
        assert_eq!(needles.find(format!("sk_live_{other}{}", jwt("")).as_bytes()), None);
    }
}
