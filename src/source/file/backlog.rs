//! Files that are behind, read side by side in the order of event time.
//!
//! Of the files that have not been read to their ends yet, the one that stands earliest is read until it is
//! [`SKEW_MAX`](super::super::SKEW_MAX) ahead of the next one. Where a file stands is the time of its next line, which waits outside the batch until it is its
//! turn: after a gap in a file, the others come first. Of a compressed file that is not open, the time of its first line
//! was looked at; so files that one gateway has rotated follow each other, and few are open at a time.

use super::{
    super::{Batch, TimeOf, aligned::earliest},
    tracked::{Round, Tracked},
};

/// So many compressed files are open at a time. If more overlap, those that wait come late.
const OPEN_MAX: usize = 64;

/// How long a file is read.
pub struct Until<'a> {
    /// The room that the batch is left with.
    pub leave: usize,
    /// The time after which a line waits, in milliseconds, and what tells the times of lines; `None` = none waits.
    pub most: Option<(u64, &'a mut TimeOf)>,
}

impl Until<'_> {
    /// Until there is no more, or the batch has so much room.
    pub const fn full(leave: usize) -> Self {
        Self { leave, most: None }
    }
}

/// Reads until the batch is full or no file is behind.
pub fn read(files: &mut [Tracked], batch: &mut Batch, round: &mut Round<'_>, time_of: &mut TimeOf) {
    for file in files.iter_mut().filter(|file| file.is_behind()) {
        file.look_ahead(round, time_of);
    }
    while batch.room() > 0 {
        let open = files.iter().filter(|file| file.is_behind() && file.is_unpacking()).count();
        let may_read = |file: &Tracked| file.is_behind() && (open < OPEN_MAX || !file.is_packed());
        let stand = files.iter().enumerate().filter(|(_, file)| may_read(file));
        let Some((at, most_ms)) = earliest(stand.map(|(at, file)| (at, file.next_ms()))) else { return };
        let most = most_ms.map(|most_ms| (most_ms, &mut *time_of));
        files[at].read(batch, round, &mut Until { leave: 0, most });
    }
}
