//! What the gateways have in common for a test: a port that takes requests, and a log that can be read.

use std::time::Duration;

use super::program::eventually;

/// A running gateway.
pub trait Gateway {
    /// The loopback port that takes requests.
    fn port(&self) -> u16;

    /// The access log as it stands, whole.
    fn log(&self) -> String;

    /// The full address of a path at this gateway.
    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    /// Waits until the access log has `count` lines of JSON, and returns them. Gateways write behind the answer.
    #[track_caller]
    fn wait_for_records(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} records in the access log"), Duration::from_secs(20), || {
            let log = self.log();
            let records: Vec<String> =
                log.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect();
            (records.len() >= count && log.ends_with('\n')).then_some(records)
        })
    }
}
