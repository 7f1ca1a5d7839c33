//! Takes records through one stage of the benchmark and ends, so that its instructions can be counted.
//!
//! `instructions stages` names the stages. `instructions records STAGE COUNT` writes a stage's records, a line each: the same for
//! the same arguments. `instructions run STAGE FILE COUNT` takes the first of them through the stage.
//!
//! It knows what differs between commits by `library.rs` only, and is compiled with an older commit as well, with
//! `base/library.rs` in its place. `make compare` counts both (see tests/compare/run).

mod library;
mod records;
mod stage;

use std::{
    env, fs,
    io::{self, BufWriter, Write as _},
    process::ExitCode,
};

use stage::Stage;

/// As the daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.as_slice() {
        ["stages"] => Stage::ALL.iter().try_for_each(|(name, _)| writeln!(out, "{name}")),
        ["records", stage, count] => records::write(Stage::named(stage), number(count), &mut out),
        ["run", stage, file, count] => {
            let bytes = fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
            let seen = Stage::named(stage).run(&bytes, number(count));
            writeln!(out, "{seen}")
        }
        _ => {
            eprintln!("instructions: stages | records STAGE COUNT | run STAGE FILE COUNT");
            return ExitCode::FAILURE;
        }
    }
    .expect("standard output takes it");
    ExitCode::SUCCESS
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("\"{text}\" is no number"))
}
