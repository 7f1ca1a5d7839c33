//! A log that is read once, from its beginning to its end: a file, plain or gzip, or standard input.
//!
//! For whoever looks at a log without a daemon. Unlike the source of files it keeps no position and follows nothing.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The bytes of a log.
pub struct WholeLog {
    /// After decompression; gzip is recognised by its first bytes, whatever the name.
    pub content: Box<dyn Read + Send>,
    /// Of a file that can be opened again and has the same bytes then: how many, as they lie on the disk.
    pub size: Option<u64>,
}

impl WholeLog {
    /// Opens a file, or standard input for `-`. What is read of it, as it lies on the disk, is added to `read`.
    pub fn open(path: &Path, read: Arc<AtomicU64>) -> io::Result<Self> {
        let (raw, size): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let size = metadata.is_file().then_some(metadata.len());
            (Box::new(file), size)
        };
        let raw = BufReader::new(Counted { raw, read });
        Ok(Self { content: Box::new(Unpacked { raw: Some(raw), content: None }), size })
    }
}

/// Looks whether it is gzip once somebody reads: a pipe may bring nothing for long.
struct Unpacked {
    raw: Option<BufReader<Counted>>,
    content: Option<Box<dyn Read + Send>>,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(raw) = &mut self.raw {
            let is_gzip = raw.fill_buf()?.starts_with(&[0x1f, 0x8b]);
            self.content = self.raw.take().map(|raw| -> Box<dyn Read + Send> {
                if is_gzip { Box::new(flate2::bufread::MultiGzDecoder::new(raw)) } else { Box::new(raw) }
            });
        }
        self.content.as_mut().map_or(Ok(0), |content| content.read(buffer))
    }
}

/// Counts what is read.
struct Counted {
    raw: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}
