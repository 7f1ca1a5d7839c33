//! Records from a file or standard input, for the commands that look at a log without a daemon.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{
    decode::{Format, Mapping, Pepper, presets},
    rules::document::did_you_mean,
};

/// One line of the input.
pub struct Record {
    /// The byte at which the line begins, after decompression; 0 for the first.
    pub offset: u64,
    /// The line's number, from 1.
    pub line: u64,
    pub bytes: Vec<u8>,
}

/// The lines of a file, or of standard input for `-`; gzip is recognised.
pub fn records(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Record>>> {
    let name = path.display().to_string();
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("{name} cannot be opened"))?)
    };
    let mut raw = BufReader::new(raw);
    let zipped = raw.fill_buf().with_context(|| format!("{name} cannot be read"))?.starts_with(&[0x1f, 0x8b]);
    let mut lines: Box<dyn BufRead> = if zipped {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(raw)))
    } else {
        Box::new(raw)
    };
    let (mut offset, mut line) = (0, 0);
    Ok(std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        match lines.read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(length) => {
                line += 1;
                let record = Record { offset, line, bytes };
                offset += length as u64;
                Some(Ok(record))
            }
            Err(error) => {
                Some(Err(error).with_context(|| format!("{name} cannot be read past byte {offset}")))
            }
        }
    }))
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
