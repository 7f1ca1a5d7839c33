//! What a source has to say that is no error.

use std::fmt;

/// Something that an operator may want to know, and that stopped nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A broker or a connection failed; the client goes on trying by itself.
    Transport { source: u16, text: String },
    /// A partition that was not there at the start is read from its beginning.
    NewPartition { source: u16, input: u32, topic: String, partition: i32 },
    /// A file became shorter than what had been read of it; it is read from its beginning.
    Truncated { source: u16, input: u32, path: String, read_to: u64, size: u64 },
    /// A file could not be opened or read; it is tried again.
    Unreadable { source: u16, path: String, text: String },
    /// A compressed file was left alone, since it is what became of a file that was followed.
    Compressed { source: u16, path: String },
    /// A record is longer than `record_bytes_max`; its beginning goes on, as cut.
    Oversized { source: u16, input: u32, offset: u64, length: u64 },
    /// A partition no longer has the position where reading was to go on; it goes on at the earliest record that
    /// there is. `lost` records were never read; `None` = the log was made anew or shortened, so nobody knows how many,
    /// and it goes on at the first record that is as new as what was read.
    Lost { source: u16, input: u32, topic: String, partition: i32, from: u64, to: u64, lost: Option<u64> },
    /// A topic keeps its records for a shorter time, or fewer of them, than a restart may need.
    ShortRetention { source: u16, topic: String, text: String },
    /// What a source brings is odd: nothing, no key, or times that cannot be right.
    Odd { source: u16, kind: &'static str, text: String },
    /// How much of a source waits, and how long that will take.
    Behind { source: u16, text: String },
    /// A source that was behind is not any more.
    CaughtUp { source: u16, text: String },
    /// How long a topic keeps its records could not be asked.
    RetentionUnknown { source: u16, topic: String, text: String },
}

impl Notice {
    /// A fixed label for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Transport { .. } => "transport",
            Self::NewPartition { .. } => "new_partition",
            Self::Truncated { .. } => "truncated",
            Self::Unreadable { .. } => "unreadable",
            Self::Compressed { .. } => "compressed",
            Self::Oversized { .. } => "oversized",
            Self::Lost { .. } => "lost",
            Self::ShortRetention { .. } => "short_retention",
            Self::RetentionUnknown { .. } => "retention_unknown",
            Self::Behind { .. } => "behind",
            Self::CaughtUp { .. } => "caught_up",
            Self::Odd { kind, .. } => kind,
        }
    }

    /// Whether nobody has to do anything about it.
    pub const fn is_only_information(&self) -> bool {
        matches!(
            self,
            Self::NewPartition { .. }
                | Self::RetentionUnknown { .. }
                | Self::Behind { .. }
                | Self::CaughtUp { .. }
        )
    }

    /// The index of the source.
    pub const fn source(&self) -> u16 {
        match *self {
            Self::Transport { source, .. }
            | Self::NewPartition { source, .. }
            | Self::Truncated { source, .. }
            | Self::Unreadable { source, .. }
            | Self::Compressed { source, .. }
            | Self::Oversized { source, .. }
            | Self::Lost { source, .. }
            | Self::ShortRetention { source, .. }
            | Self::Odd { source, .. }
            | Self::Behind { source, .. }
            | Self::CaughtUp { source, .. }
            | Self::RetentionUnknown { source, .. } => source,
        }
    }
}

impl fmt::Display for Notice {
    /// Without the source, which is named by whoever knows its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport { text, .. }
            | Self::Odd { text, .. }
            | Self::Behind { text, .. }
            | Self::CaughtUp { text, .. } => f.write_str(text),
            Self::NewPartition { topic, partition, .. } => {
                write!(f, "{topic}/{partition} is new and is read from its beginning")
            }
            Self::Truncated { path, read_to, size, .. } => write!(
                f,
                "{path} has {size} bytes, and {read_to} of it were read: it was cut, and is read from its beginning"
            ),
            Self::Unreadable { path, text, .. } => {
                write!(f, "{path} cannot be read, and is tried again: {text}")
            }
            Self::Compressed { path, .. } => {
                write!(f, "{path} is left alone: rotation made it of a file that was followed")
            }
            Self::Oversized { offset, length, .. } => write!(
                f,
                "the record at {offset} has {length} bytes, more than record_bytes_max: only its beginning is read"
            ),
            Self::Lost { topic, partition, from, to, lost: Some(lost), .. } => write!(
                f,
                "{topic}/{partition} no longer has the offset {from}: reading goes on at {to}, {lost} records are lost"
            ),
            Self::Lost { topic, partition, from, to, lost: None, .. } => write!(
                f,
                "{topic}/{partition} was made anew or shortened, and has not the offset {from}: reading goes on at {to}"
            ),
            Self::ShortRetention { topic, text, .. } => write!(f, "topic {topic}: {text}"),
            Self::RetentionUnknown { topic, text, .. } => {
                write!(f, "how long topic {topic} keeps its records cannot be asked: {text}")
            }
        }
    }
}
