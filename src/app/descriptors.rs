//! Whether the process may open as many files and connections as its settings allow.

use super::listeners::OPERATORS_MAX;
use crate::config::Config;

/// For the database, logs, place files, sources and their brokers, Alertmanagers.
const OTHERS: u64 = 256;

/// Raises the soft limit of open files to the hard one, and warns where that is less than what connections may take.
pub fn check(config: &Config) {
    let needed = needed(config.serve.connections_max);
    let Some(limit) = raise() else { return };
    if limit < needed {
        tracing::warn!(
            event = "file_limit_low",
            limit,
            needed,
            "the limit of open files (ulimit -n) is less than serve.connections_max and all else may take: beyond \
             it, connections wait and files of sources are not opened. Raise it (systemd: LimitNOFILE={needed}), or \
             lower serve.connections_max"
        );
    }
}

fn needed(connections_max: u32) -> u64 {
    u64::from(connections_max) + OPERATORS_MAX as u64 + OTHERS
}

/// Gives what the limit is then; `None` = the kernel does not say.
fn raise() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a pointer to a value that lives across the call.
    #[allow(unsafe_code)]
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return None;
        }
        let hard = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const hard) == 0 {
            limit = hard;
        }
    }
    Some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connections_and_all_else_take_is_added_up() {
        assert_eq!(needed(768), 768 + 128 + 256);
    }
}
