//! The process's own memory, CPU time and open files, under the names that every Prometheus client uses.

use std::fs;

use prometheus::{Counter, IntGauge};

use super::family::{Families, raise_real};

/// Set from the kernel's numbers at each scrape.
pub(super) struct ProcessMetrics {
    resident_bytes: IntGauge,
    cpu_seconds: Counter,
    open_files: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(f: &Families<'_>) -> Self {
        let start = f.real_gauge(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch, in seconds.",
        );
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        start.set(since_epoch.map_or(0.0, |since| since.as_secs_f64()));
        Self {
            resident_bytes: f.gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
            cpu_seconds: f.real_counter(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent, in seconds.",
            ),
            open_files: f.gauge("process_open_fds", "Number of open file descriptors."),
        }
    }

    /// Reads them anew.
    pub(super) fn read(&self) {
        let process = Process::read();
        self.resident_bytes.set(process.resident_bytes);
        raise_real(&self.cpu_seconds, process.cpu_seconds);
        self.open_files.set(process.open_files);
    }
}

/// What the kernel says of this process. Zero where it cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Process {
    resident_bytes: i64,
    cpu_seconds: f64,
    open_files: i64,
}

impl Process {
    /// Reads `/proc/self`; see proc(5) for the fields.
    fn read() -> Self {
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
