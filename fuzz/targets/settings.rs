//! See `harness/settings.rs`.
#![no_main]

use std::sync::LazyLock;

use keyhound_fuzz::{
    harness::{Target, target},
    write_seeds,
};

static TARGET: LazyLock<&Target> = LazyLock::new(|| target("settings"));

libfuzzer_sys::fuzz_target!(init: write_seeds(&TARGET), |input: &[u8]| (TARGET.run)(input));
