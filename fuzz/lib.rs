//! What the fuzz targets have in common.

pub mod harness;

use std::{fs, path::PathBuf};

use harness::Target;

/// Writes the seeds of a target into the directory that `FUZZ_SEEDS` names, for libFuzzer to read. Nothing without it.
pub fn write_seeds(target: &Target) {
    let Some(directory) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else { return };
    fs::create_dir_all(&directory).expect("FUZZ_SEEDS: a directory that can be made");
    for (n, seed) in (target.seeds)().iter().enumerate() {
        fs::write(directory.join(format!("seed-{n:05}")), seed).expect("FUZZ_SEEDS: it can be written to");
    }
}
