//! Why a record, or a request within one, was not decoded.

/// A reason code; each is a fixed metric label. It carries nothing of the record: a record may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reject {
    /// No bytes, or only white space.
    Empty,
    /// Compressed, and over 64 MiB when unpacked.
    TooLarge,
    /// Brackets nested deeper than 32.
    TooDeep,
    /// Wrappers within wrappers, deeper than two.
    WrappedTooDeep,
    /// Neither UTF-8 nor JSON.
    NotUtf8,
    /// Starts with the gzip magic but does not decompress.
    BadGzip,
    /// JSON that ends before it is complete.
    Truncated,
    NotJson,
    /// A line of text, as gateways write it unless they are told to write JSON.
    TextLog,
    /// JSON, but not an object, or an object where the mapping wants a value.
    WrongType,
    MissingTime,
    /// A time that is not in the mapping's unit, or before 2001 or after 2100.
    BadTime,
    MissingStatus,
    /// A status that is not a whole number of at most 999.
    BadStatus,
}

impl Reject {
    /// All reasons, in the order of their label's index.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::TooLarge,
        Self::TooDeep,
        Self::WrappedTooDeep,
        Self::NotUtf8,
        Self::BadGzip,
        Self::Truncated,
        Self::NotJson,
        Self::TextLog,
        Self::WrongType,
        Self::MissingTime,
        Self::BadTime,
        Self::MissingStatus,
        Self::BadStatus,
    ];

    /// The metric label, which users see too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::WrappedTooDeep => "wrapped_too_deep",
            Self::NotUtf8 => "not_utf8",
            Self::BadGzip => "bad_gzip",
            Self::Truncated => "truncated",
            Self::NotJson => "not_json",
            Self::TextLog => "text_log",
            Self::WrongType => "wrong_type",
            Self::MissingTime => "missing_time",
            Self::BadTime => "bad_time",
            Self::MissingStatus => "missing_status",
            Self::BadStatus => "bad_status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_index_and_label() {
        for (index, reason) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert_eq!(Reject::ALL.iter().filter(|other| other.as_str() == reason.as_str()).count(), 1);
        }
    }
}
