//! Real processes, killed by SIGKILL at random moments: what they leave is what an undisturbed one leaves.
//!
//! The child is this same program, run again with a state directory in its environment. It reads a file through the
//! slot into the embedded store. `KEYHOUND_SEED` repeats a run.

#[path = "crash/counting.rs"]
mod counting;
mod daemon;
#[path = "crash/daemon.rs"]
mod daemon_tests;
#[path = "crash/damage.rs"]
mod damage;
#[path = "crash/gone.rs"]
mod gone;
#[path = "crash/lives.rs"]
mod lives;
#[path = "crash/signals.rs"]
mod signals;
#[path = "crash/state.rs"]
mod state;
#[path = "crash/table.rs"]
mod table;
#[path = "crash/turned.rs"]
mod turned;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::{Duration, Instant, SystemTime},
};

use counting::Counting;
use daemon::LIMIT;
use keyhound::{
    slot::{CadenceSettings, End, Slot, SlotSettings, Status},
    source::file::{FileSettings, FileSource, FileStart},
    store::{EmbeddedLog, Identity, Log, OutRecord, SystemClock},
    telemetry::Status as _,
};

/// So many kills in all, over as many runs as it takes.
const KILLS: u32 = 100;

/// Lines of the log.
const LINES: u64 = 120_000;

const DIR: &str = "KEYHOUND_CRASH_DIR";

fn open(dir: &Path, sources: Vec<Box<dyn keyhound::source::Source>>) -> EmbeddedLog {
    let (topic_prefix, pepper_check) = ("keyhound.".to_owned(), "kc1_0".to_owned());
    let identity = Identity { partitions: 8, topic_prefix, pepper_check };
    // It never acknowledges, so that nothing is trimmed before it is compared.
    EmbeddedLog::open(dir.join("state"), &identity, sources, &["comparison".to_owned()]).unwrap()
}

/// The child: reads the log to its end. Does nothing unless it is told where.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let path = dir.join("access.log").display().to_string();
    let settings = FileSettings::try_new(vec![path], false, FileStart::Beginning).unwrap();
    let log = open(&dir, vec![Box::new(FileSource::new(0, settings))]);
    let settings = SlotSettings {
        batch_records: 256,
        cadence: CadenceSettings {
            commit_every: Duration::from_millis(5),
            checkpoint_every: Duration::from_millis(40),
            // Few, so that it is killed between the pieces of one.
            checkpoint_entries: 3,
        },
        ..SlotSettings::default()
    };
    let (status, (_ask, asks)) = (Arc::new(Status::default()), mpsc::channel());
    let judge = Counting::default();
    let mut slot = Slot::start(log, judge, SystemClock::new(), settings, asks, Arc::clone(&status)).unwrap();
    assert_eq!(status.read().digest_mismatches, 0, "a replay led elsewhere");
    assert_eq!(slot.run(&AtomicBool::new(false)).unwrap(), End::Finished);
}

fn write_log(dir: &Path) {
    let mut text = String::new();
    for n in 0..LINES {
        if n % 997 == 5 {
            text.push_str("broken\n");
        }
        writeln!(text, "{} k{}", 1_700_000_000_000 + n * 20, n * n % 211).unwrap();
    }
    std::fs::write(dir.join("access.log"), text).unwrap();
}

/// Runs the child, to its end or for `life`.
fn run_child(dir: &Path, life: Option<Duration>) -> Option<ExitStatus> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while start.elapsed() < life.unwrap_or(LIMIT) {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(life.is_some(), "it hangs");
    None
}

struct Left {
    outputs: Vec<OutRecord>,
    state: Vec<(Vec<u8>, Vec<u8>)>,
    digest: String,
    watermark_ms: u64,
}

fn left_in(dir: &Path) -> Left {
    let mut log = open(dir, Vec::new());
    let outputs = log.outbox().after(0, 1_000_000).unwrap();
    let mut state = Vec::new();
    log.restore(&mut |key, value| {
        state.push((key.to_vec(), value.to_vec()));
        Ok(())
    })
    .unwrap();
    let progress = log.assign().unwrap().progress.unwrap();
    Left { outputs, state, digest: progress.digest, watermark_ms: progress.watermark_ms }
}

/// From the clock, unless `KEYHOUND_SEED` names one.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    std::env::var("KEYHOUND_SEED").map_or(u64::from(now) | 1, |seed| seed.parse().unwrap())
}

/// The next number of a xorshift generator.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn a_hundred_kills_leave_no_trace() {
    let seed = seed();
    println!("KEYHOUND_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    write_log(dir.path());
    assert!(run_child(dir.path(), None).unwrap().success());
    let undisturbed = left_in(dir.path());
    assert!(undisturbed.outputs.len() > 10_000 && undisturbed.state.len() > 40);

    let (mut random, mut kills, mut runs) = (seed, 0, 0);
    while kills < KILLS {
        // The same file each time: its identity is part of what rejections say.
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        loop {
            let life = (kills < KILLS).then(|| Duration::from_millis(next(&mut random) % 120));
            match run_child(dir.path(), life) {
                None => kills += 1,
                Some(status) => {
                    assert!(status.success(), "after {kills} kills, seed {seed}");
                    break;
                }
            }
        }
        runs += 1;
        let left = left_in(dir.path());
        let pairs = left.outputs.iter().zip(&undisturbed.outputs);
        let other = pairs.into_iter().find(|(left, right)| left != right);
        assert!(other.is_none(), "{other:?}, run {runs}, seed {seed}");
        assert_eq!(left.outputs.len(), undisturbed.outputs.len(), "run {runs}, seed {seed}");
        assert!(left.state == undisturbed.state, "state, run {runs}, seed {seed}");
        assert_eq!(left.digest, undisturbed.digest, "run {runs}, seed {seed}");
        assert_eq!(left.watermark_ms, undisturbed.watermark_ms, "run {runs}, seed {seed}");
    }
    println!("{kills} kills in {runs} runs");
}
