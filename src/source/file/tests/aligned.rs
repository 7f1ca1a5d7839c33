//! Files that are behind, read side by side.

use std::fmt::Write as _;

use super::Logs;

/// The seconds that a line begins with, in milliseconds.
pub fn time_of(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<u64>().ok().map(|seconds| seconds * 1000)
}

fn aligned(pattern: &'static str) -> Logs {
    let mut logs = Logs::new(pattern);
    logs.has_times = true;
    logs
}

/// Lines `SECONDSname`, every `every` seconds.
fn lines(name: &str, from: u64, to: u64, every: usize) -> String {
    (from..to).step_by(every).fold(String::new(), |mut text, second| {
        let _ = writeln!(text, "{second}{name}");
        text
    })
}

/// Polls until nothing comes, committing after each; restarts in between where `restarts` says so.
fn read_all(logs: &mut Logs, capacity: usize, restarts: bool) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let polled = logs.poll(capacity);
        if polled.is_empty() {
            return seen;
        }
        seen.extend(polled.split(' ').map(str::to_owned));
        if restarts {
            logs.restart();
        }
    }
}

/// How far a line is behind the newest one before it, at most, in seconds.
fn disorder(seen: &[String]) -> u64 {
    let (mut newest, mut most) = (0, 0);
    for line in seen {
        let time = time_of(line.as_bytes()).unwrap_or(newest);
        newest = newest.max(time);
        most = most.max(newest - time);
    }
    most / 1000
}

#[test]
fn files_that_are_behind_are_read_side_by_side() {
    for (capacity, restarts) in [(4_096, false), (7, false), (100, true), (7, true)] {
        let mut logs = aligned("*.log");
        logs.write("a.log", &lines("a", 0, 20_000, 3));
        // It has nothing for a long time, and begins later.
        logs.write("b.log", &(lines("b", 500, 3_000, 7) + &lines("b", 15_000, 18_000, 2)));
        logs.write("c.log", &lines("c", 10_000, 20_000, 900));
        let seen = read_all(&mut logs, capacity, restarts);
        assert!(disorder(&seen) <= 60, "{capacity} {restarts}: {}", disorder(&seen));
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((sorted.len(), seen.len()), (6_667 + 358 + 1_500 + 12, 6_667 + 358 + 1_500 + 12));
        for name in ["a", "b", "c"] {
            assert!(
                seen.iter()
                    .filter(|line| line.ends_with(name))
                    .is_sorted_by_key(|line| time_of(line.as_bytes()))
            );
        }
    }
}

#[test]
fn a_line_without_a_time_stays_with_the_one_before_it() {
    let mut logs = aligned("*.log");
    logs.write("a.log", "head\n100a\n  at x\n  at y\n900a\n");
    logs.write("b.log", "500b\n  at z\n1000b\n");
    assert_eq!(
        read_all(&mut logs, 100, false),
        "head 100a   at x   at y 500b   at z 900a 1000b".split(' ').collect::<Vec<_>>()
    );
}

#[test]
fn what_comes_in_a_file_that_is_at_its_end_does_not_wait_for_a_backlog() {
    let mut logs = aligned("*.log");
    logs.write("a.log", &lines("a", 0, 10, 1));
    read_all(&mut logs, 100, false);
    logs.write("b.log", &lines("b", 0, 100_000, 1));
    logs.poll(100);
    logs.write("a.log", "5000000a\n");
    assert!(logs.poll(100).contains("5000000a"));
}

#[test]
fn a_thousand_compressed_files_are_read_in_the_order_of_time_with_few_of_them_open() {
    let mut logs = aligned("*.gz");
    // Four gateways, and a file of ten minutes each.
    for part in 0..250 {
        for gateway in ["a", "b", "c", "d"] {
            // The newest part has the first name, and the oldest modification.
            let (name, from) = (format!("{:03}{gateway}.gz", 249 - part), part * 600);
            logs.gzip(&name, &lines(gateway, from, from + 600, 60));
            logs.aged(&name, 1_000_000 - part);
        }
    }
    let (mut seen, mut most_open) = (Vec::new(), 0);
    loop {
        let polled = logs.poll(50);
        if polled.is_empty() {
            break;
        }
        seen.extend(polled.split(' ').map(str::to_owned));
        most_open = most_open.max(logs.open());
    }
    assert_eq!(seen.len(), 10_000);
    assert!(disorder(&seen) <= 60, "{}", disorder(&seen));
    assert!(most_open <= 8, "{most_open}");
}
