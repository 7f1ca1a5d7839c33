//! The name under which a user agent is kept: its product tokens, or a keyed hash.
//!
//! Agents are free text from the client, and clients put keys into them. Only `name/version` tokens (RFC 9110,
//! §10.1.5) in a narrow charset are kept, at most three, with the version cut to two numbers.

use std::hash::BuildHasher;

use bumpalo::Bump;

use super::{
    fingerprint::Fingerprinter,
    secrecy::{PART_BYTES_MIN, any_part_holds_key, holds_half_of_key, looks_secret},
};
use crate::event::Name;

/// The longest agent, in bytes.
pub const AGENT_BYTES_MAX: usize = 64;

const PRODUCTS_MAX: usize = 3;
const PRODUCT_BYTES_MAX: usize = 32;
const HASH_BYTES: usize = 9;

/// One thread's names for agents. A source has few agents, and reading one costs more than looking it up.
///
/// Indexed by a hash of the agent; holds only what may be shown. Agents of equal hash would share a name, which whoever
/// wanted that could have by sending the other's agent.
pub(super) struct Agents(Box<[Entry]>);

const ENTRIES: usize = 1 << 10;
const TAGS: foldhash::quality::FixedState = foldhash::quality::FixedState::with_seed(0x6167_656e);

#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    hash: u64,
    shown: Shown,
    /// Whether a word of it has room for half a key: most agents need no search.
    has_long_word: bool,
}

/// A name put together on the stack.
#[derive(Clone, Copy)]
struct Shown {
    buffer: [u8; AGENT_BYTES_MAX],
    length: usize,
}

impl Shown {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.buffer[..self.length]).unwrap_or("#")
    }
}

impl Agents {
    pub fn new() -> Self {
        let shown = Shown { buffer: [0; AGENT_BYTES_MAX], length: 0 };
        Self(vec![Entry { tag: 0, hash: 0, shown, has_long_word: false }; ENTRIES].into_boxed_slice())
    }

    /// The agent's name, in which neither the record's own raw key nor half of it occurs.
    pub fn name<'a>(
        &mut self,
        agent: &str,
        key: Option<&str>,
        fingerprinter: &Fingerprinter,
        arena: &'a Bump,
    ) -> Name<'a> {
        // Zero is the tag of an empty entry.
        let tag = TAGS.hash_one(agent.as_bytes()) | 1 << 63;
        #[allow(clippy::cast_possible_truncation)] // only the low bits choose the slot
        let entry = &mut self.0[tag as usize % ENTRIES];
        if entry.tag != tag {
            let shown = shown(agent, None, fingerprinter);
            let text = shown.as_str();
            let has_long_word = text.split([' ', '/']).any(|word| word.len() >= PART_BYTES_MIN);
            *entry = Entry { tag, hash: Name::new(text).hash, shown, has_long_word };
        }
        let text = entry.shown.as_str();
        if any_part_holds_key(text, key) || (entry.has_long_word && holds_half_of_key(text, key)) {
            return Name::new(arena.alloc_str(shown(agent, key, fingerprinter).as_str()));
        }
        Name { hash: entry.hash, text: arena.alloc_str(text) }
    }
}

/// The agent's products, or `#` and 8 hex digits for an agent without any.
fn shown(agent: &str, key: Option<&str>, fingerprinter: &Fingerprinter) -> Shown {
    let mut buffer = [0; AGENT_BYTES_MAX];
    let mut length = 0;
    let mut products = 0;
    let mut rest = agent.trim_ascii();
    while products < PRODUCTS_MAX && !rest.is_empty() {
        if rest.starts_with('(') {
            rest = after_comment(rest);
            continue;
        }
        let (token, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after.trim_ascii_start();
        let Some(product) = product(token, key) else {
            if !token.is_empty() && !matches!(token, "like" | "-" | ";") {
                length = push(&mut buffer, length, Piece::Hash(fingerprinter.short_hash(token)));
                products += 1;
            }
            continue;
        };
        length = push(&mut buffer, length, Piece::Product(product));
        products += 1;
    }
    if length == 0 {
        length = push(&mut buffer, 0, Piece::Hash(fingerprinter.short_hash(agent)));
    }
    Shown { buffer, length }
}

#[derive(Clone, Copy)]
enum Piece<'t> {
    Product((&'t str, &'t str)),
    Hash(u32),
}

/// Appends a piece if it fits, with a space before all but the first; the new length.
fn push(buffer: &mut [u8; AGENT_BYTES_MAX], length: usize, piece: Piece<'_>) -> usize {
    let hash;
    let parts = match piece {
        Piece::Product((name, "")) => [name, "", ""],
        Piece::Product((name, version)) => [name, "/", version],
        Piece::Hash(value) => {
            hash = hex(value);
            [std::str::from_utf8(&hash).unwrap_or("#"), "", ""]
        }
    };
    let space = usize::from(length > 0);
    let needed = space + parts.iter().map(|part| part.len()).sum::<usize>();
    if length + needed > AGENT_BYTES_MAX {
        return length;
    }
    let mut at = length;
    for part in ["", " "][space..=space].iter().chain(&parts) {
        buffer[at..at + part.len()].copy_from_slice(part.as_bytes());
        at += part.len();
    }
    at
}

fn hex(value: u32) -> [u8; HASH_BYTES] {
    let mut text = [b'#'; HASH_BYTES];
    for (index, place) in text[1..].iter_mut().enumerate() {
        let digit = (value >> (28 - 4 * index)) & 15;
        *place = b"0123456789abcdef"[digit as usize];
    }
    text
}

/// A token's name and version, if it is a product that may be shown.
fn product<'t>(token: &'t str, key: Option<&str>) -> Option<(&'t str, &'t str)> {
    let token = token.trim_end_matches([',', ';']);
    let (name, version) = token.split_once('/').unwrap_or((token, ""));
    let shown = !name.is_empty()
        && token.len() <= PRODUCT_BYTES_MAX
        && name.as_bytes()[0].is_ascii_alphabetic()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        && !looks_secret(name)
        && !version_looks_secret(version)
        && ![token, name, version].iter().any(|piece| holds_half_of_key(piece, key));
    let version = two_numbers(version);
    (shown && !holds_half_of_key(version, key)).then_some((name, version))
}

/// A version of digits and dots is none, however long: `120.0.6099.71`, `20261122`.
fn version_looks_secret(version: &str) -> bool {
    version.bytes().any(|byte| byte.is_ascii_alphabetic()) && looks_secret(version) || version.len() > 20
}

/// `120.0.6099.71` is kept as `120.0`: a patch release is not a new client.
fn two_numbers(version: &str) -> &str {
    let dots = version.match_indices('.').nth(1);
    dots.map_or(version, |(second, _)| &version[..second])
}

/// What comes after a comment in brackets; they may be nested.
fn after_comment(text: &str) -> &str {
    let mut depth = 0_usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text[index + 1..].trim_ascii_start();
                }
            }
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Pepper;

    fn name(agent: &str, key: Option<&str>) -> String {
        let pepper = Pepper::new(b"0123456789abcdef0123456789abcdef").unwrap();
        let fingerprinter = Fingerprinter::with_entries(&pepper, 2);
        let arena = Bump::new();
        Agents::new().name(agent, key, &fingerprinter, &arena).text.to_owned()
    }

    #[track_caller]
    fn check(agent: &str, expected: &str) {
        assert_eq!(name(agent, None), expected);
    }

    #[track_caller]
    fn check_hashed(agent: &str, key: Option<&str>) {
        let shown = name(agent, key);
        assert!(shown.split(' ').any(|token| token.starts_with('#') && token.len() == HASH_BYTES), "{shown}");
        for secret in agent.split([' ', '/']).filter(|part| key == Some(*part)) {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn products_are_kept_with_two_numbers_of_their_version() {
        check("acme-sdk/4.2", "acme-sdk/4.2");
        check("acme-sdk/4.2.17 python/3.12.1", "acme-sdk/4.2 python/3.12");
        check("curl/8.5.0", "curl/8.5");
        check("sdk", "sdk");
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36",
            "Mozilla/5.0 AppleWebKit/537.36 Chrome/144.0",
        );
        check("Go-http-client/1.1", "Go-http-client/1.1");
    }

    #[test]
    fn what_is_no_product_is_hashed() {
        check_hashed("a\"b\\x", None);
        check_hashed("(only a comment", None);
        check_hashed("sdk/1.0 sk_live_4eC39HqLyjWDarjtT1zdp7dc", None);
        check_hashed("日本", None);
    }

    #[test]
    fn the_own_key_never_survives() {
        check_hashed("good", Some("good"));
        check_hashed("sdk/good", Some("good"));
        check_hashed("good/1.0", Some("good"));
        check_hashed("sdk/1.0 x-secret-y", Some("secret"));
        check_hashed("sdk/1.2.3", Some("1.2"));
    }

    #[test]
    fn half_of_the_own_key_does_not_survive_either() {
        let key = Some("hqwertzuiopasdfgallTheGoodThings");
        assert_eq!(name("allTheGoodThings/1.0", None), "allTheGoodThings/1.0", "it has no secret's shape");
        check_hashed("allTheGoodThings/1.0", key);
        check_hashed("hqwertzuiopasdfg/1.0 allTheGoodThings/2.0", key);
        check_hashed("acme-ALLTHEGOODTHINGS", key);
        assert_eq!(name("llTheGoodThings/1.0", key), "llTheGoodThings/1.0", "less than half");
    }

    #[test]
    fn an_agent_stays_within_its_limit() {
        let long = "a-product-with-a-long-name/1.0 ".repeat(5);
        assert!(name(&long, None).len() <= AGENT_BYTES_MAX);
    }
}
