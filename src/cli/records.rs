//! Records from a file or standard input, for the commands that look at a log without a daemon.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};

use crate::{
    decode::{Format, Mapping, Pepper, presets},
    rules::document::did_you_mean,
    source::{Line, LogLines, RECORD_BYTES_MAX, Step, WholeLog},
};

/// One record of the input: a line, or one that was split and is joined again, as the daemon does.
pub struct Record {
    /// The byte at which it begins, after decompression; 0 for the first.
    pub offset: u64,
    /// The number of the line, or of the last that belongs to it, from 1.
    pub line: u64,
    pub bytes: Vec<u8>,
}

/// The records of a file, or of standard input for `-`; gzip is recognised.
pub fn records(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Record>>> {
    let name = path.display().to_string();
    let log = WholeLog::open(path, Arc::default()).with_context(|| format!("{name} cannot be read"))?;
    let mut lines = LogLines::new(log.content, 0, RECORD_BYTES_MAX);
    Ok(std::iter::from_fn(move || {
        next(&mut lines)
            .transpose()
            .map(|read| read.with_context(|| format!("{name} cannot be read past byte {}", lines.position())))
    }))
}

fn next(lines: &mut LogLines<impl Read>) -> io::Result<Option<Record>> {
    let owned = |line: Line<'_>| (line.offset, line.bytes.to_vec());
    let found = match lines.step()? {
        Step::Line(line) => Some(owned(line)),
        Step::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        Step::End => lines.remainder().map(owned),
    };
    Ok(found.map(|(offset, bytes)| Record { offset, line: lines.count(), bytes }))
}

/// A preset by its name, or a mapping in a YAML file.
pub fn format(name: &str) -> anyhow::Result<Format> {
    if let Some(format) = Format::preset(name) {
        return Ok(format);
    }
    let path = Path::new(name);
    if !path.exists() {
        bail!(
            "\"{name}\" is neither a preset nor a file with a mapping; {}",
            did_you_mean(name, &presets::names())
        );
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let mapping: Mapping =
        serde_saphyr::from_str(&text).with_context(|| format!("{name} is not a mapping"))?;
    Ok(Format::Mapping(Box::new(mapping)))
}

/// The pepper of a file; without one, a random one: key ids are then the same within this run only.
pub fn pepper(file: Option<&PathBuf>) -> anyhow::Result<Pepper> {
    let Some(file) = file else {
        // Longer than needed, since a line end at its end would not count.
        let mut random = [0; 64];
        File::open("/dev/urandom")
            .and_then(|mut device| device.read_exact(&mut random))
            .context("/dev/urandom cannot be read for a pepper; give one with --pepper-file")?;
        return Ok(Pepper::new(&random)?);
    };
    let name = file.display();
    let bytes =
        zeroize::Zeroizing::new(std::fs::read(file).with_context(|| format!("{name} cannot be read"))?);
    Pepper::new(&bytes).with_context(|| format!("{name} is not a pepper"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The line, the offset and the text of each record of a file that holds `bytes`.
    fn read(bytes: &[u8]) -> Vec<(u64, u64, String)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let text = |record: Record| (record.line, record.offset, String::from_utf8(record.bytes).unwrap());
        records(file.path()).unwrap().map(|record| text(record.unwrap())).collect()
    }

    #[test]
    fn lines_are_numbered_with_or_without_a_line_break_at_the_end() {
        let expected = [(1, 0, "{}".to_owned()), (2, 3, String::new()), (3, 4, "{}".to_owned())];
        assert_eq!(read(b"{}\n\n{}"), expected);
        assert_eq!(read(b"{}\n\n{}\n"), expected);
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(b"{}\n\n{}").unwrap();
        assert_eq!(read(&zip.finish().unwrap()), expected);
    }

    #[test]
    fn lines_that_a_container_runtime_has_split_are_joined() {
        let log = b"2026-11-22T03:11:40Z stdout P {\"a\":\n\
            2026-11-22T03:11:40Z stderr F x\n\
            2026-11-22T03:11:40Z stdout F 1}\n\
            2026-11-22T03:11:41Z stdout P {\"b\":";
        let texts: Vec<(u64, String)> = read(log).into_iter().map(|(line, _, text)| (line, text)).collect();
        assert_eq!(
            texts,
            [
                (2, "2026-11-22T03:11:40Z stderr F x".to_owned()),
                (3, "2026-11-22T03:11:40Z stdout F {\"a\":1}".to_owned()),
                (4, "2026-11-22T03:11:41Z stdout F {\"b\":".to_owned()),
            ]
        );
    }
}
