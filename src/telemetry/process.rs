//! The process's own memory, CPU time and open files, under the names that every Prometheus client uses.

use std::fs;

/// What the kernel says of this process. Zero where it cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub resident_bytes: i64,
    pub cpu_seconds: f64,
    pub open_files: i64,
}

impl Process {
    /// Reads `/proc/self`; see proc(5) for the fields.
    pub fn read() -> Self {
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            resident_bytes: resident_bytes().unwrap_or(0),
            cpu_seconds: cpu_seconds().unwrap_or(0.0),
            open_files: i64::try_from(open_files).unwrap_or(i64::MAX),
        }
    }
}

fn resident_bytes() -> Option<i64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// User and system time, fields 14 and 15 of `stat`, in ticks of which Linux shows 100 a second to every program.
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name stands in brackets and may hold spaces: fields are counted from the last bracket.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory_and_files() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.open_files > 0 && process.cpu_seconds >= 0.0, "{process:?}");
    }
}
