//! What the kernel knows of a process: processor time and memory.

use std::fs;

/// The processor's time of this process's first thread. In nanoseconds; late by a few milliseconds at most.
pub fn thread_nanoseconds() -> u64 {
    let text = fs::read_to_string("/proc/self/schedstat").expect("/proc is mounted");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number of nanoseconds")
}

/// User and system time of a process with all its threads, in seconds. Steps of 10 ms.
pub fn cpu_seconds(id: u32) -> f64 {
    /// `USER_HZ`, which is 100 on every Linux that Rust's standard library runs on.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process is there");
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th field after it.
    let after_name = text.rsplit_once(") ").expect("a process has a name").1;
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    f64::from(ticks.sum::<u32>()) / TICKS_PER_SECOND
}

/// Memory of a process that is resident now, in bytes. `id` may be `self`.
pub fn resident_bytes(id: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") * 1024
}
