//! The two secrets that Keyhound reads: the pepper, and a raw API key while it is being fingerprinted.
//!
//! Both are zeroised on drop, have a redacted `Debug`, and cannot be displayed or serialised. A raw key never
//! leaves `decode`, `serve` and the `fingerprint` command; what leaves is its key id.

use std::fmt;

use zeroize::Zeroizing;

/// The least length of a pepper, in bytes: the output length of SHA-256, as RFC 2104 asks of an HMAC key.
pub const PEPPER_BYTES_MIN: usize = 32;

/// The secret under which raw keys become key ids. Without it, a key id cannot be matched with a key.
pub struct Pepper(Zeroizing<Vec<u8>>);

/// Why bytes are not a pepper.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PepperError {
    #[error(
        "the pepper is {bytes} bytes, at least {PEPPER_BYTES_MIN} are needed (head -c 32 /dev/urandom > FILE)"
    )]
    TooShort { bytes: usize },
}

impl Pepper {
    /// Takes a pepper file's bytes; one trailing line end is not part of it.
    pub fn new(bytes: &[u8]) -> Result<Self, PepperError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.len() < PEPPER_BYTES_MIN {
            return Err(PepperError::TooShort { bytes: bytes.len() });
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The secret itself, for keying an HMAC.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(redacted)")
    }
}

/// A raw API key that has to be owned for a moment: by the check endpoint, or by the `fingerprint` command.
pub struct RawKey(Zeroizing<Vec<u8>>);

impl RawKey {
    /// Takes the key's bytes, and with them the duty to wipe them.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key itself, for [`super::fingerprint`] and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RawKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_line_end_is_not_part_of_the_pepper() {
        let with = Pepper::new(b"0123456789abcdef0123456789abcdef\r\n").unwrap();
        assert_eq!(with.expose(), b"0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn a_short_pepper_is_refused() {
        let error = Pepper::new(b"0123456789abcdef0123456789abcde\n").unwrap_err();
        assert_eq!(error, PepperError::TooShort { bytes: 31 });
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let pepper = Pepper::new(b"0123456789abcdef0123456789abcdef").unwrap();
        let key = RawKey::new(b"sk_live_1".to_vec());
        assert_eq!(format!("{pepper:?} {key:?}"), "Pepper(redacted) RawKey(redacted)");
    }
}
