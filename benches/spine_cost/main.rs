//! What Keyhound costs beside consumers that do nothing, on one real broker in one run.
//!
//! `make bench`, or `cargo bench --bench spine_cost -- --quick` while developing. Every contender is a process of its
//! own and reads the same records; the processor's time of the whole process is taken between 30 % and 100 % of them,
//! so that starting costs nothing. Rounds alternate, and each round gives one ratio. Seconds are printed and never
//! judged: they tell more about the machine than about the program. `docs/performance.md` has figures. With `--beside`
//! another Keyhound, as of an older commit, is one more contender; it is not judged either.

mod bare;
mod daemon;
mod harness;
#[path = "../../tests/compare/instructions/library.rs"]
mod library;
mod load;
mod process;
mod report;
mod stages;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use harness::{folder::Folder, kafka::Kafka, program::Program};
use report::{Measured, Round};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of the bare `poll` loop's processor time.
const RATIO_MAX: f64 = 3.2;
/// Resident memory for each further key.
const BYTES_PER_KEY_MAX: f64 = 600.0;
/// Keys that the records are drawn from, by Zipf's law; in the second topic so many that a million are seen.
const KEYS: u32 = 100_000;
const KEYS_WIDE: u32 = 4_000_000;

/// Measures the cost of reading access logs against bare Kafka consumers.
#[derive(Debug, Parser)]
struct Args {
    /// Records in each topic. Fewer than five million are not judged.
    #[arg(long, default_value_t = 5_000_000)]
    records: u64,
    /// How often each contender reads them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A million records, two rounds: for a first look.
    #[arg(long)]
    quick: bool,
    /// Only what each stage costs, in this process and without a broker.
    #[arg(long)]
    stages: bool,
    /// Keys of `--stages`.
    #[arg(long, default_value_t = KEYS)]
    keys: u32,
    /// Another Keyhound that reads the records in each round too.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
    /// What a child process does: a bare consumer's way, the brokers, the topic.
    #[arg(long, num_args = 3, hide = true)]
    consume: Option<Vec<String>>,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.quick {
        (args.records, args.rounds) = (1_000_000, 2);
    }
    if let Some([way, brokers, topic]) = args.consume.as_deref() {
        println!("{}", bare::consume(way.parse().expect("a way to consume"), brokers, topic));
        return ExitCode::SUCCESS;
    }
    if args.stages {
        stages::run(args.records, args.keys);
        return ExitCode::SUCCESS;
    }
    if measure(&args) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether everything is within its bounds, or too little was measured to say.
fn measure(args: &Args) -> bool {
    let kafka = Kafka::start();
    let folder = Folder::new("spine-cost");
    let (topic, wide) = (kafka.topic("requests", 4), kafka.topic("requests-wide", 4));
    println!("── producing twice {} records of about 400 B, lz4, 4 partitions", args.records);
    load::produce(&kafka.plain, &topic, args.records, KEYS);
    load::produce(&kafka.plain, &wide, args.records, KEYS_WIDE);
    println!("── {} rounds of {KEYS} keys (Zipf, s = 1)", args.rounds);
    let rounds: Vec<Round> =
        (0..args.rounds).map(|number| round(number, &kafka.plain, &topic, args, folder.path())).collect();
    // What waits in librdkafka differs from one run to the next by tens of megabytes.
    println!("── {} rounds of {KEYS_WIDE} keys, for the memory of each", args.rounds);
    let wide: Vec<Round> = (0..args.rounds)
        .map(|_| {
            let daemon = |executable: &Path| daemon::run(executable, &kafka.plain, &wide, args.records);
            let beside = args.beside.as_deref().map(daemon);
            Round { keyhound: daemon(Path::new(daemon::EXECUTABLE)), beside, ..Round::default() }
        })
        .collect();
    report::print(&rounds, &wide);
    let ratio = report::median_ratio(&rounds);
    let bytes = report::bytes_per_key(&rounds, &wide, |round| Some(round.keyhound)).unwrap_or(f64::INFINITY);
    if args.records < 5_000_000 {
        println!("not judged: fewer than 5,000,000 records");
        return true;
    }
    report::judge("CPU of the bare poll loop, times", ratio, RATIO_MAX)
        & report::judge("resident bytes a key", bytes, BYTES_PER_KEY_MAX)
}

/// Every contender once; who begins changes from round to round.
fn round(number: usize, brokers: &str, topic: &str, args: &Args, folder: &Path) -> Round {
    let daemon = |executable: &Path| daemon::run(executable, brokers, topic, args.records);
    let mut round = Round::default();
    for turn in 0..4 {
        match (number + turn) % 4 {
            0 => round.poll = consumer("poll", brokers, topic, folder),
            1 => round.batch = consumer("batch", brokers, topic, folder),
            2 => round.keyhound = daemon(Path::new(daemon::EXECUTABLE)),
            _ => round.beside = args.beside.as_deref().map(daemon),
        }
    }
    report::print_round(number + 1, &round);
    round
}

/// A bare consumer in a process of its own.
fn consumer(way: &'static str, brokers: &str, topic: &str, folder: &Path) -> Measured {
    let path = std::env::current_exe().expect("this program has a path");
    // Its output is appended to that of the rounds before; the last line is this one's.
    let mut program = Program::start(way, path, ["--consume", way, brokers, topic], folder);
    let code = program.wait_for_end(daemon::LIMIT);
    let output = program.output();
    assert_eq!(code, Some(0), "{output}");
    output.lines().last().and_then(|line| line.parse().ok()).expect("a line of figures")
}
