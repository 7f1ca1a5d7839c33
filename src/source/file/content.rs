//! The bytes of a file, plain or gzip, from a position on.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

/// A place in a file: several can read one open file without moving each other.
pub struct Cursor {
    file: Arc<File>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// A file's bytes; of a gzip file the decompressed ones.
pub enum Content {
    Plain(Cursor),
    Gzip(Box<MultiGzDecoder<BufReader<Cursor>>>),
}

impl Content {
    /// Whether a file is gzip: by its name, since an empty or growing file has no bytes to tell.
    pub fn is_gzip(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "gz")
    }

    /// How many bytes of the file itself have been used.
    pub fn used(&self) -> u64 {
        match self {
            Self::Plain(cursor) => cursor.at,
            Self::Gzip(decoder) => {
                let packed = decoder.get_ref();
                packed.get_ref().at.saturating_sub(packed.buffer().len() as u64)
            }
        }
    }

    /// The bytes from `offset` on.
    pub fn at(file: Arc<File>, gzip: bool, offset: u64) -> io::Result<Self> {
        if !gzip {
            return Ok(Self::Plain(Cursor { file, at: offset }));
        }
        let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, Cursor { file, at: 0 }));
        let skipped = io::copy(&mut decoder.by_ref().take(offset), &mut io::sink())?;
        if skipped < offset {
            let text = format!("it holds {skipped} bytes, {offset} had been read of it");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(Self::Gzip(Box::new(decoder)))
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(cursor) => cursor.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

/// Where the last complete line of a file ends.
pub fn end_of_last_line(file: &Arc<File>, gzip: bool) -> io::Result<u64> {
    let mut content = Content::at(Arc::clone(file), gzip, 0)?;
    if gzip {
        // A gzip file is complete, so its last line is too.
        return io::copy(&mut content, &mut io::sink());
    }
    let size = file.metadata()?.len();
    let mut until = size;
    let mut block = vec![0; 64 << 10];
    while until > 0 {
        let from = until.saturating_sub(block.len() as u64);
        let part = &mut block[..usize::try_from(until - from).unwrap_or(0)];
        file.read_exact_at(part, from)?;
        if let Some(at) = memchr::memrchr(b'\n', part) {
            return Ok(from + at as u64 + 1);
        }
        until = from;
    }
    Ok(0)
}
