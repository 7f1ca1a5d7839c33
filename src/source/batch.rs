//! Records in batches: what a [`Source`](super::Source) fills and a slot reads.
//!
//! A [`Batch`] is reused for ever: its tables are allocated once, and a record in it is either a message that
//! librdkafka owns (given back by [`Batch::clear`]) or a range of the batch's own bytes. Reading it allocates
//! nothing and copies nothing.

use super::kafka::batch_queue::Messages;

/// The stable name of an input partition: what a position is kept under.
///
/// `kafka:TOPIC/PARTITION`, `file:…` (the file's identity, not its path, which rotation changes) or `stdin`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputName(pub String);

impl std::fmt::Display for InputName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One record, borrowed from the batch that it lies in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record<'b> {
    /// Index of the source in the settings.
    pub source: u16,
    /// Index in the table of inputs.
    pub input: u32,
    /// Where it is: Kafka's offset, the byte in the (decompressed) file, the line of standard input.
    pub offset: u64,
    /// Where reading goes on after it.
    pub next: u64,
    /// Kafka's `CreateTime` or `LogAppendTime`, in milliseconds since the Unix epoch.
    pub log_time_ms: Option<u64>,
    pub bytes: &'b [u8],
    /// Whether it is the beginning only of a record that was longer than may be.
    pub cut: bool,
}

/// Without its bytes: raw keys are in there.
impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { source, input, offset, next, log_time_ms, bytes, cut } = self;
        let cut = if *cut { ", cut" } else { "" };
        write!(
            f,
            "Record {{ {source}, {input}, {offset}..{next}, {log_time_ms:?}, {} bytes{cut} }}",
            bytes.len()
        )
    }
}

/// What a record is, without its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub source: u16,
    pub input: u32,
    pub offset: u64,
    pub next: u64,
    pub log_time_ms: Option<u64>,
}

/// Where a record's bytes are.
#[derive(Clone, Copy, Debug)]
enum Backing {
    /// The index of a message that librdkafka owns, and how many of its bytes are the record.
    Message(usize, usize),
    /// A range of the batch's own bytes.
    Own { start: usize, len: usize },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u64,
    next: u64,
    log_time_ms: Option<u64>,
    backing: Backing,
    cut: bool,
}

/// Entries that came one after the other from one input.
#[derive(Clone, Copy, Debug)]
struct Run {
    source: u16,
    input: u32,
    start: usize,
    end: usize,
}

/// A reusable batch of records.
pub struct Batch {
    capacity: usize,
    entries: Vec<Entry>,
    /// In the order in which they came.
    runs: Vec<Run>,
    bytes: Vec<u8>,
    messages: Messages,
    /// Of the messages that are records.
    message_bytes: usize,
}

impl Batch {
    /// A batch is full when its records' bytes reach this, whatever its capacity in records.
    pub const BYTES_MAX: usize = 64 << 20;
    /// So much of its own memory it keeps when it is cleared.
    const BYTES_KEPT: usize = 4 << 20;

    /// An empty batch of at most `capacity` records (at least one).
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            capacity,
            entries: Vec::with_capacity(capacity),
            runs: Vec::with_capacity(64),
            bytes: Vec::new(),
            messages: Messages::with_capacity(capacity),
            message_bytes: 0,
        }
    }

    /// Gives every message back and forgets the records; keeps what is allocated.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.runs.clear();
        self.bytes.clear();
        self.bytes.shrink_to(Self::BYTES_KEPT);
        self.messages.clear();
        self.message_bytes = 0;
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many records still fit.
    pub fn room(&self) -> usize {
        if self.bytes.len() + self.message_bytes >= Self::BYTES_MAX {
            0
        } else {
            self.capacity - self.entries.len()
        }
    }

    /// The records, in the order in which they were read.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.runs.iter().flat_map(|run| {
            self.entries[run.start..run.end].iter().map(|entry| Record {
                source: run.source,
                input: run.input,
                offset: entry.offset,
                next: entry.next,
                log_time_ms: entry.log_time_ms,
                bytes: match entry.backing {
                    Backing::Message(index, len) => &self.messages.payload(index)[..len],
                    Backing::Own { start, len } => &self.bytes[start..start + len],
                },
                cut: entry.cut,
            })
        })
    }

    /// Appends a record with a copy of its bytes. The caller has seen to it that there is [`Batch::room`].
    pub fn push(&mut self, record: Record<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record.bytes);
        let Record { source, input, offset, next, log_time_ms, bytes, cut } = record;
        let backing = Backing::Own { start, len: bytes.len() };
        self.append(Position { source, input, offset, next, log_time_ms }, backing, cut);
    }

    /// The messages, for the consumer to add to; each one that is a record is then named to `push_message`.
    pub(super) fn messages_mut(&mut self) -> &mut Messages {
        &mut self.messages
    }

    /// Appends the record that the message at `index` is: its first `bytes_max` bytes. Returns its whole length if that
    /// is not all of it.
    pub(super) fn push_message(
        &mut self,
        position: Position,
        index: usize,
        bytes_max: usize,
    ) -> Option<usize> {
        let whole = self.messages.payload(index).len();
        let len = whole.min(bytes_max);
        self.message_bytes += whole;
        self.append(position, Backing::Message(index, len), len < whole);
        (len < whole).then_some(whole)
    }

    fn append(&mut self, position: Position, backing: Backing, cut: bool) {
        let Position { source, input, offset, next, log_time_ms } = position;
        let at = self.entries.len();
        self.entries.push(Entry { offset, next, log_time_ms, backing, cut });
        match self.runs.last_mut() {
            Some(run) if run.input == input => run.end = at + 1,
            _ => self.runs.push(Run { source, input, start: at, end: at + 1 }),
        }
    }
}

impl std::fmt::Debug for Batch {
    /// Says how many, and nothing of what is in them: records may hold raw keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} of {})", self.entries.len(), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Record};

    fn push(batch: &mut Batch, input: u32, offset: u64) {
        let text = format!("{input}/{offset}");
        let (next, bytes) = (offset + 1, text.as_bytes());
        batch.push(Record { source: 0, input, offset, next, log_time_ms: None, bytes, cut: false });
    }

    fn shown(batch: &Batch) -> Vec<String> {
        batch.records().map(|r| String::from_utf8_lossy(r.bytes).into_owned()).collect()
    }

    #[test]
    fn records_come_in_the_order_in_which_they_were_read() {
        let mut batch = Batch::new(16);
        for (input, offset) in [(2, 0), (2, 1), (0, 7), (1, 3), (2, 2), (0, 8), (0, 9)] {
            push(&mut batch, input, offset);
        }
        assert_eq!(shown(&batch), ["2/0", "2/1", "0/7", "1/3", "2/2", "0/8", "0/9"]);
        assert_eq!(batch.len(), 7);
    }

    #[test]
    fn a_cleared_batch_is_empty_and_takes_records_again() {
        let mut batch = Batch::new(2);
        push(&mut batch, 0, 0);
        push(&mut batch, 0, 1);
        assert_eq!(batch.room(), 0);
        batch.clear();
        assert!(batch.is_empty() && batch.room() == 2);
        push(&mut batch, 1, 5);
        assert_eq!(shown(&batch), ["1/5"]);
    }

    #[test]
    fn a_batch_is_full_by_its_bytes_too_and_gives_them_back() {
        let (mut batch, bytes) = (Batch::new(4096), vec![0; 8 << 20]);
        let mut count = 0;
        while batch.room() > 0 {
            batch.push(Record {
                source: 0,
                input: 0,
                offset: count,
                next: count + 1,
                log_time_ms: None,
                bytes: &bytes,
                cut: false,
            });
            count += 1;
        }
        assert_eq!(count, 8);
        batch.clear();
        assert!(batch.bytes.capacity() <= Batch::BYTES_KEPT);
    }

    #[test]
    fn a_batch_can_be_sent_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Batch>();
    }

    #[test]
    fn debug_never_shows_what_a_record_holds() {
        let mut batch = Batch::new(2);
        push(&mut batch, 0, 0);
        assert_eq!(format!("{batch:?}"), "Batch(1 of 2)");
    }
}
