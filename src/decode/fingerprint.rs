//! From a raw key or a credential id to the key id that may be shown.
//!
//! A key id is HMAC-SHA256 under the pepper, cut to 128 bits. An HMAC costs about 130 ns and up, so a thread keeps a
//! [`Fingerprinter`]: a bounded cache that is indexed by a SipHash-128 of the key under a secret derived from the
//! pepper, and that holds key ids, never raw keys.

use std::{fmt, net::IpAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::{sip::SipHasher13, sip128};

use super::{key_text::canonical_key, secret::Pepper};
use crate::event::{ClientAddress, KeyId, KeyKind, address_prefix};

/// Entries of a thread's cache unless said otherwise: 256 Ki of 32 bytes, 8 MiB.
pub const CACHE_ENTRIES_DEFAULT: usize = 1 << 18;

/// The key id of a raw key in any form, computed afresh: for whoever asks rarely (`serve`, the `fingerprint` command).
pub fn fingerprint(pepper: &Pepper, raw: &[u8]) -> KeyId {
    let key = canonical_key(raw);
    KeyId { kind: KeyKind::Raw, hash: first_half(&keyed(pepper), &[key.as_bytes()]) }
}

/// The key id of a credential id at a gateway, computed afresh.
pub fn credential_fingerprint(pepper: &Pepper, namespace: &str, credential: &str) -> KeyId {
    let hash = first_half(&keyed(pepper), &[namespace.as_bytes(), b"\0", credential.as_bytes()]);
    KeyId { kind: KeyKind::Credential, hash }
}

/// A key for another purpose, of which `label` speaks. No key id ever shows it.
pub fn derived_key(pepper: &Pepper, label: &[&[u8]]) -> [u8; 16] {
    second_half(&keyed(pepper), label)
}

/// One thread's way from keys to key ids, with a bounded cache.
pub struct Fingerprinter {
    hmac: Hmac<Sha256>,
    index: sip128::SipHasher13,
    address: SipHasher13,
    entries: Box<[Entry]>,
}

/// A slot of the cache. An all-zero tag is an empty slot; a real tag is zero with probability 2^-128.
#[derive(Clone, Copy)]
struct Entry {
    tag: (u64, u64),
    hash: [u8; 16],
}

impl Fingerprinter {
    /// With a cache of [`CACHE_ENTRIES_DEFAULT`].
    pub fn new(pepper: &Pepper) -> Self {
        Self::with_entries(pepper, CACHE_ENTRIES_DEFAULT)
    }

    /// With a cache of `entries`, rounded up to a power of two, at least 2.
    pub fn with_entries(pepper: &Pepper, entries: usize) -> Self {
        let empty = Entry { tag: (0, 0), hash: [0; 16] };
        Self {
            hmac: keyed(pepper),
            index: sip128::SipHasher13::new_with_key(&second_half(&keyed(pepper), &[b"keyhound/cache"])),
            address: SipHasher13::new_with_key(&second_half(&keyed(pepper), &[b"keyhound/address"])),
            entries: vec![empty; entries.next_power_of_two().max(2)].into_boxed_slice(),
        }
    }

    /// The key id of a raw key in its one form; equal to [`fingerprint`].
    pub fn raw(&mut self, key: &[u8]) -> KeyId {
        let tag = self.index.hash(key);
        let hash = self.cached((tag.h1, tag.h2), |hmac| first_half(hmac, &[key]));
        KeyId { kind: KeyKind::Raw, hash }
    }

    /// The key id of a credential id at a gateway; equal to [`credential_fingerprint`].
    pub fn credential(&mut self, namespace: &str, credential: &str) -> KeyId {
        let tag = self.index.hash(credential.as_bytes());
        // The namespace and the kind are mixed in afterwards: both come from the settings, not from a caller.
        let domain = crate::event::stable_hash(namespace.as_bytes());
        let tag = (tag.h1 ^ domain, tag.h2 ^ 0xc1);
        let parts = [namespace.as_bytes(), b"\0", credential.as_bytes()];
        KeyId { kind: KeyKind::Credential, hash: self.cached(tag, |hmac| first_half(hmac, &parts)) }
    }

    /// What is kept of a client's address: its network, and a keyed hash of the whole.
    pub fn address(&self, address: IpAddr) -> ClientAddress {
        let canonical = address.to_canonical();
        let hash = match canonical {
            IpAddr::V4(v4) => self.address.hash(&v4.octets()),
            IpAddr::V6(v6) => self.address.hash(&v6.octets()),
        };
        ClientAddress { prefix: address_prefix(canonical), hash: hash.max(1) }
    }

    /// A short keyed hash of a text that must not be shown, the same for the same text under one pepper.
    pub(super) fn short_hash(&self, text: &str) -> u32 {
        #[allow(clippy::cast_possible_truncation)] // any 32 bits of a SipHash are as good as others
        {
            self.index.hash(text.as_bytes()).h2 as u32
        }
    }

    /// Two ways: the first holds the last one found, so that a hot key is not driven out by a cold one.
    fn cached(&mut self, tag: (u64, u64), compute: impl FnOnce(&Hmac<Sha256>) -> [u8; 16]) -> [u8; 16] {
        #[allow(clippy::cast_possible_truncation)] // only the low bits choose the slot
        let slot = (tag.0 as usize) & (self.entries.len() - 1) & !1;
        let Some([first, second]) = self.entries.get_mut(slot..slot + 2) else {
            return compute(&self.hmac);
        };
        if first.tag == tag {
            return first.hash;
        }
        if second.tag == tag {
            std::mem::swap(first, second);
            return first.hash;
        }
        let hash = compute(&self.hmac);
        *second = Entry { tag, hash };
        hash
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprinter({} entries)", self.entries.len())
    }
}

fn keyed(pepper: &Pepper) -> Hmac<Sha256> {
    Hmac::new_from_slice(pepper.expose())
        .unwrap_or_else(|_| unreachable!("an HMAC takes a key of any length"))
}

/// The half of the HMAC that key ids show.
fn first_half(hmac: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 16] {
    half(hmac, parts, 0)
}

/// The half that no key id ever shows, so that nothing shown can be a derived secret.
fn second_half(hmac: &Hmac<Sha256>, label: &[&[u8]]) -> [u8; 16] {
    half(hmac, label, 16)
}

fn half(hmac: &Hmac<Sha256>, parts: &[&[u8]], from: usize) -> [u8; 16] {
    let mut hmac = hmac.clone();
    for part in parts {
        hmac.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hmac.finalize().into_bytes()[from..from + 16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper() -> Pepper {
        Pepper::new(b"0123456789abcdef0123456789abcdef").unwrap()
    }

    #[test]
    fn a_fingerprint_is_the_hmac_of_the_key() {
        // printf good | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef | cut -c1-32
        assert_eq!(fingerprint(&pepper(), b"good").to_string(), "kf1_4da044eaa65a5b633cb84f2d661cfa8e");
    }

    #[test]
    fn the_cache_never_changes_an_answer() {
        let mut cached = Fingerprinter::with_entries(&pepper(), 4);
        for round in 0..3 {
            for n in 0..64 {
                let text = format!("key-{n}");
                assert_eq!(cached.raw(text.as_bytes()), fingerprint(&pepper(), text.as_bytes()), "{round}");
                let credential = cached.credential("kong", &text);
                assert_eq!(credential, credential_fingerprint(&pepper(), "kong", &text));
                assert_ne!(credential, cached.credential("envoy", &text));
            }
        }
    }

    #[test]
    fn an_address_has_one_hash_in_both_of_its_forms() {
        let fingerprinter = Fingerprinter::with_entries(&pepper(), 2);
        let of = |text: &str| fingerprinter.address(text.parse().unwrap());
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.7"));
        assert_ne!(of("203.0.113.7").hash, of("203.0.113.8").hash);
        assert_eq!(of("203.0.113.7").prefix, of("203.0.113.8").prefix);
    }
}
