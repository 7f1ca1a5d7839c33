//! What the gateways have in common for a test: a port that takes requests, and a log that can be read.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::program::eventually;

/// A running gateway.
pub trait Gateway {
    /// The loopback port that takes requests.
    fn port(&self) -> u16;

    /// The access log as it stands, whole.
    fn log_bytes(&self) -> Vec<u8>;

    /// The same as text.
    fn log(&self) -> String {
        String::from_utf8_lossy(&self.log_bytes()).into_owned()
    }

    /// The full address of a path at this gateway.
    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    /// Waits until the access log has `count` lines of JSON, and returns them. Gateways write behind the answer.
    #[track_caller]
    fn wait_for_records(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} records in the access log"), Duration::from_mins(1), || {
            let log = self.log();
            let records: Vec<String> =
                log.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect();
            (records.len() >= count && log.ends_with('\n')).then_some(records)
        })
    }
}

/// Eight days until now in which each of `keys` made a request every five minutes, made of the gateway's own record of
/// one that was served. `time` writes milliseconds since the epoch as the field does.
pub fn past(served: &Value, keys: &[&str], time_field: &str, time: impl Fn(u64) -> Value) -> String {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let now_ms = u64::try_from(now_ms).expect("the year is not 500 million");
    let (minute_ms, minutes) = (60_000, 8 * 1_440);
    let mut text = String::new();
    for minute in (0..minutes).step_by(5) {
        for (second, key) in (11..).step_by(26).zip(keys) {
            let mut record = served.clone();
            record["api_key"] = (*key).into();
            record["request_id"] = format!("{minute:08x}{second:02x}").into();
            record[time_field] = time(now_ms - (minutes - minute) * minute_ms + second * 1_000);
            let _ = writeln!(text, "{record}");
        }
    }
    text
}
