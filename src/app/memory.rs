//! How much memory this process may have, and a warning before the state has all of its part.

use std::{fs, path::Path};

use crate::telemetry::Reading;

/// Where nothing can be read of it.
const UNKNOWN: u64 = 4 << 30;

/// From this share of its limit on the table of keys is told of, in per cent.
const NEARLY_FULL: u64 = 80;
/// Below this one it may be told of again.
const ROOMY: u64 = 70;

/// Says once that the table of keys is nearly full, which is well before a key has to go.
#[derive(Debug, Default)]
pub struct MemoryWatch {
    told: bool,
}

impl MemoryWatch {
    /// Whether it is nearly full, and was not at the last look.
    pub fn is_newly_full(&mut self, reading: &Reading) -> bool {
        let share = reading.tables.iter().find(|table| table.table == "keys");
        let share = share.map_or(0, |keys| 100 * keys.entries / keys.limit.max(1));
        let before = self.told;
        self.told = share >= NEARLY_FULL || (before && share >= ROOMY);
        self.told && !before
    }
}

/// The memory of the host, or less where a control group says so, in bytes.
pub fn available() -> u64 {
    let host = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = limit(&group, |path| fs::read_to_string(Path::new("/sys/fs/cgroup").join(path)).ok());
    host.into_iter().chain(limit).min().unwrap_or(UNKNOWN)
}

/// `MemTotal` of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of the process's control group and of those around it. `read` reads a file by its path below the
/// root of the control groups. Within a container the root is often the container's own.
fn limit(group: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let of = |prefix: &str| group.lines().find_map(|line| line.split_once(prefix).map(|(_, path)| path));
    let candidates = |path: &str, below: &str, file: &str| {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
        let path = |n: usize| [&[below], &parts[..n], &[file]].concat();
        let paths: Vec<String> = (0..=parts.len())
            .map(|n| path(n).into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
            .collect();
        paths
    };
    let second = candidates(of("0::").unwrap_or_default(), "", "memory.max");
    let first = candidates(of(":memory:").unwrap_or_default(), "memory", "memory.limit_in_bytes");
    // Without a limit there is `max`, or a number that is larger than any host's memory.
    second.iter().chain(&first).filter_map(|path| read(path)?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TableReading;

    #[test]
    fn a_table_that_fills_is_told_once_until_it_has_room_again() {
        let mut watch = MemoryWatch::default();
        let mut full = |entries| {
            let tables = vec![TableReading { table: "keys", entries, limit: 1_000 }];
            watch.is_newly_full(&Reading { tables, ..Reading::default() })
        };
        let told = [0, 799, 800, 990, 750, 900, 690, 799, 801].map(&mut full);
        assert_eq!(told, [false, false, true, false, false, false, false, false, true]);
    }

    #[test]
    fn the_least_limit_counts_and_none_is_none() {
        assert_eq!(total("MemTotal:       16303428 kB\nMemFree: 1 kB\n"), Some(16_303_428 * 1024));
        let files = |files: &'static [(&str, &str)]| {
            move |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        let nested = files(&[("a/memory.max", "2000\n"), ("a/b/memory.max", "max\n")]);
        assert_eq!(limit("0::/a/b\n", nested), Some(2000));
        let container = files(&[("memory.max", "1000\n")]);
        assert_eq!(limit("0::/\n", container), Some(1000));
        let old = files(&[("memory/x/memory.limit_in_bytes", "3000\n")]);
        assert_eq!(limit("5:memory:/x\n1:name=systemd:/x\n", old), Some(3000));
        assert_eq!(limit("0::/\n", files(&[("memory.max", "max\n")])), None);
        assert_eq!(limit("", files(&[])), None);
        assert!(available() > 64 << 20);
    }
}
