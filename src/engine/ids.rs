//! Ids that the same cause gives again after any replay.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The key of the ids' HMAC, derived from the pepper by who composes the process.
#[derive(Clone)]
pub struct IdKey(pub [u8; 32]);

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdKey(…)")
    }
}

impl IdKey {
    /// `prefix` and 32 hex digits of HMAC-SHA256 over the parts, each with its length in front.
    pub fn id(&self, prefix: &str, parts: &[&[u8]]) -> String {
        use std::fmt::Write;
        let mut id = prefix.to_owned();
        for byte in self.bytes(parts) {
            let _ = write!(id, "{byte:02x}");
        }
        id
    }

    /// The first half of HMAC-SHA256 over the parts, each with its length in front.
    pub fn bytes(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes any key length"));
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let all = mac.finalize().into_bytes();
        std::array::from_fn(|n| all[n])
    }
}
