//! Measures embedded databases under the load of a slot: a commit each 200 ms with positions, a piece of the
//! sequence and the outbox, and every 50th with a checkpoint of 100,000 entries of 200 B in the order of keys.
//!
//! `cargo run --release -- STORE SYNC DIR [COMMITS]`, STORE one of redb, redb-quick, fjall, sqlite,
//! sqlite-pieces; SYNC one of
//! full (fsync each commit), os (given to the kernel only, where the database can).
//! With `crash` as a fourth word it ends itself by SIGKILL after the last commit; `open` then measures opening.

mod stores;

use std::{path::Path, time::Instant};

use stores::Rows;

/// CPU time of this process so far, in microseconds: user and system.
fn cpu_us() -> (i64, i64) {
    // SAFETY: rusage is plain data, and the call fills it.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let micros = |t: libc::timeval| t.tv_sec * 1_000_000 + t.tv_usec;
    (micros(usage.ru_utime), micros(usage.ru_stime))
}

fn size(dir: &Path) -> u64 {
    std::fs::read_dir(dir).map_or(0, |entries| {
        entries.flatten().map(|e| if e.path().is_dir() { size(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
    })
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn key(n: u64) -> [u8; 17] {
    let mut key = [1; 17];
    key[1..9].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[9..].copy_from_slice(&n.to_be_bytes());
    key
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (name, sync, dir) = (args[1].as_str(), args[2] == "full", Path::new(&args[3]));
    let commits: u64 = args.get(4).map_or(500, |n| n.parse().unwrap());
    let mode = args.get(5).map_or("", String::as_str);
    std::fs::create_dir_all(dir).unwrap();
    if mode == "open" {
        let start = Instant::now();
        let mut store = stores::open(name, dir, sync);
        let opened = start.elapsed();
        let (entries, bytes) = store.scan();
        println!("{name}: open {opened:?}, scan of {entries} entries ({bytes} B) {:?}", start.elapsed() - opened);
        return;
    }
    let mut store = stores::open(name, dir, sync);
    let (mut seed, mut outbox) = (88_172_645_463_325_252, 0u64);
    let (mut small, mut big) = (Vec::new(), Vec::new());
    let (mut small_cpu, mut big_cpu, mut largest) = ((0, 0), (0, 0), 0);
    for n in 1..=commits {
        let checkpoint = n % 50 == 0;
        let mut rows = Rows::default();
        for input in 0..4u32 {
            rows.positions.push((input, vec![n as u8; 64]));
        }
        rows.sequence = (n, vec![n as u8; 150]);
        for _ in 0..60 {
            rows.outbox.push((outbox, vec![n as u8; 500]));
            outbox += 1;
        }
        // Dispatchers are five commits behind.
        rows.trim = outbox.saturating_sub(300);
        if checkpoint {
            rows.truncate = Some(n);
            let mut keys: Vec<_> = (0..100_000).map(|_| key(next(&mut seed) % 300_000)).collect();
            keys.sort_unstable();
            keys.dedup();
            rows.state = keys.into_iter().map(|k| (k, vec![n as u8; 200])).collect();
        }
        let (before, start) = (cpu_us(), Instant::now());
        let entries = rows.state.len();
        store.commit(rows);
        let (after, took) = (cpu_us(), start.elapsed());
        let (times, cpu) = if checkpoint { (&mut big, &mut big_cpu) } else { (&mut small, &mut small_cpu) };
        times.push(took);
        cpu.0 += after.0 - before.0;
        cpu.1 += after.1 - before.1;
        largest = largest.max(size(dir));
        if checkpoint {
            eprintln!("  commit {n}: {entries} entries in {took:?}, {} MB on disk", size(dir) >> 20);
        }
    }
    for (what, times, cpu) in [("commit", &mut small, small_cpu), ("checkpoint", &mut big, big_cpu)] {
        times.sort_unstable();
        let n = times.len() as i64;
        println!(
            "{name} sync={sync} {what}: wall p50 {:?} p99 {:?}; cpu user {} us + system {} us each; largest {} MB, end {} MB",
            times[times.len() / 2], times[times.len() * 99 / 100], cpu.0 / n, cpu.1 / n, largest >> 20, size(dir) >> 20,
        );
    }
    // SAFETY: ends this process, as asked.
    unsafe { if mode == "crash" { libc::kill(libc::getpid(), libc::SIGKILL); } }
}
