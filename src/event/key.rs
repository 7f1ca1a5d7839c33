//! The ids of API keys: what may be shown of a key.

use std::fmt;

/// Which kind of evidence a key id was made from; set per source, never guessed per record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// `kf1_…`: from the raw key.
    Raw = 1,
    /// `kc1_…`: from the gateway namespace and the credential id.
    Credential = 2,
}

/// The name of an API key that may be shown: 128 bits of HMAC-SHA256 under the pepper.
///
/// Written `kf1_` or `kc1_` and 32 hex digits. It cannot be turned back into the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    pub kind: KeyKind,
    pub hash: [u8; 16],
}

impl KeyId {
    /// The partition that owns this key among `partitions`: its first 8 bytes, big-endian, modulo.
    pub fn partition(&self, partitions: u16) -> u16 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.hash[..8]);
        // The remainder is below a u16, so nothing is cut off.
        #[allow(clippy::cast_possible_truncation)]
        {
            (u64::from_be_bytes(first) % u64::from(partitions.max(1))) as u16
        }
    }

    /// Short form for people: `kf1_9c41…e07b`.
    pub fn short(&self) -> String {
        let full = self.to_string();
        format!("{}…{}", &full[..8], &full[full.len() - 4..])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            KeyKind::Raw => "kf1_",
            KeyKind::Credential => "kc1_",
        })?;
        for byte in self.hash {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not a key id.
///
/// ```
/// # use keyhound::event::KeyId;
/// let id: KeyId = "kf1_9c410000000000000000000000ade07b".parse()?;
/// assert_eq!(id.to_string(), "kf1_9c410000000000000000000000ade07b");
/// // A raw key that was pasted by mistake is not echoed.
/// let error = "sk_live_4242".parse::<KeyId>().unwrap_err();
/// assert!(!error.to_string().contains("4242"));
/// # Ok::<(), keyhound::event::KeyIdError>(())
/// ```
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a text of {characters} characters is not a key id: expected kf1_ or kc1_ and 32 hex digits")]
pub struct KeyIdError {
    characters: usize,
}

impl std::str::FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text is not echoed: an operator may have pasted a raw key.
        let wrong = || KeyIdError { characters: text.chars().count() };
        let (kind, hex) = match text.split_at_checked(4) {
            Some(("kf1_", hex)) => (KeyKind::Raw, hex),
            Some(("kc1_", hex)) => (KeyKind::Credential, hex),
            _ => return Err(wrong()),
        };
        if hex.len() != 32 || !hex.is_ascii() {
            return Err(wrong());
        }
        let mut hash = [0; 16];
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self { kind, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_reads_what_it_writes() {
        let id = KeyId { kind: KeyKind::Credential, hash: *b"0123456789abcdef" };
        assert_eq!(id.to_string().parse::<KeyId>(), Ok(id));
        assert_eq!(id.short(), "kc1_3031…6566");
    }

    #[test]
    fn a_pasted_raw_key_is_not_echoed() {
        let error = "sk_live_verysecret".parse::<KeyId>().unwrap_err().to_string();
        assert!(!error.contains("verysecret"), "{error}");
    }
}
