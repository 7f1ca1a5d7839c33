//! The form in which state is kept: field by field, variable-length integers, a version in front.
//!
//! LEB128 for integers (DWARF 5, section 7.6), little-endian IEEE 754 for floats.

/// The version that is written. What was written by another is refused.
pub const VERSION: u8 = 8;

/// State that cannot be read back.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    #[error("state entry ends early, at byte {0}")]
    Truncated(usize),
    #[error("state entry has codec version {found}; this build reads {VERSION}")]
    Version { found: u8 },
    #[error("state entry holds an impossible value at byte {0}")]
    Impossible(usize),
}

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// An entry that begins with the codec version.
    pub fn versioned() -> Self {
        Self(vec![VERSION])
    }

    pub fn uint(&mut self, mut value: u64) {
        loop {
            #[allow(clippy::cast_possible_truncation)] // seven bits
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                self.0.push(byte);
                return;
            }
            self.0.push(byte | 0x80);
        }
    }

    pub fn float(&mut self, value: f32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.uint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub fn raw(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// Counts, each after the other: how many there are is the reader's to know.
    pub fn counts(&mut self, counts: impl Iterator<Item = u32>) {
        for count in counts {
            self.uint(u64::from(count));
        }
    }
}

/// Reads fields in the order in which they were written.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads an entry that begins with the codec version.
    pub fn versioned(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Self { bytes, at: 0 };
        match reader.byte()? {
            VERSION => Ok(reader),
            found => Err(CodecError::Version { found }),
        }
    }

    pub fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(self.at).ok_or(CodecError::Truncated(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    pub fn uint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError::Impossible(self.at))
    }

    pub fn u32(&mut self) -> Result<u32, CodecError> {
        u32::try_from(self.uint()?).map_err(|_| CodecError::Impossible(self.at))
    }

    pub fn u16(&mut self) -> Result<u16, CodecError> {
        u16::try_from(self.uint()?).map_err(|_| CodecError::Impossible(self.at))
    }

    pub fn float(&mut self) -> Result<f32, CodecError> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.raw(N)?.try_into().map_err(|_| CodecError::Truncated(self.at))
    }

    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(length).ok_or(CodecError::Impossible(self.at))?;
        let slice = self.bytes.get(self.at..end).ok_or(CodecError::Truncated(self.at))?;
        self.at = end;
        Ok(slice)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = usize::try_from(self.uint()?).map_err(|_| CodecError::Impossible(self.at))?;
        self.raw(length)
    }

    /// `n` counts, as [`Writer::counts`] wrote them.
    pub fn counts(&mut self, n: usize) -> Result<Vec<u32>, CodecError> {
        (0..n).map(|_| self.u32()).collect()
    }

    /// Whether everything was read.
    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }
}
