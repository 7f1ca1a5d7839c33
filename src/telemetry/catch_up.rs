//! How far a source is behind, how fast it is read and when it will have caught up: as numbers, and in words.

use std::{fmt, time::Duration};

use crate::event::EventTime;

/// What of a source waits to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Records(u64),
    /// Of files; of compressed ones as they lie on the disk.
    Bytes(u64),
}

/// A source that is behind, at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CatchUp {
    pub waiting: Waiting,
    /// Records that were read a second, or by how many bytes a second less waits, over the last minute; `None` = not known
    /// yet.
    pub per_second: Option<f64>,
    /// How long until nothing waits, as fast as what waits became less over the last minute; `None` = not known yet, or it
    /// became no less.
    pub within: Option<Duration>,
}

impl CatchUp {
    /// For people: `12,345,678 records behind, 54,000 a second, caught up in about 4 minutes (at 04:12 UTC)`.
    pub fn text(&self, wall_ms: u64) -> String {
        let waiting = self.waiting;
        let Some(per_second) = self.per_second else {
            return format!("{waiting} behind, for how long is not known yet");
        };
        let rate = self.waiting.of(per_second).amount();
        match self.within {
            None => format!("{waiting} behind, {rate} a second, and no fewer wait than a minute ago"),
            Some(within) => {
                let at = clock(wall_ms, within);
                format!(
                    "{waiting} behind, {rate} a second, caught up in about {} (at {at} UTC)",
                    about(within)
                )
            }
        }
    }
}

impl Waiting {
    /// How much it is, whatever the unit.
    pub const fn count(self) -> u64 {
        match self {
            Self::Records(count) | Self::Bytes(count) => count,
        }
    }

    /// So much, in the same unit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // for people, and no rate is negative
    const fn of(self, amount: f64) -> Self {
        match self {
            Self::Records(_) => Self::Records(amount as u64),
            Self::Bytes(_) => Self::Bytes(amount as u64),
        }
    }

    fn amount(self) -> String {
        match self {
            Self::Records(count) => grouped(count),
            Self::Bytes(count) if count < 10 << 20 => format!("{} KiB", grouped(count >> 10)),
            Self::Bytes(count) => format!("{} MiB", grouped(count >> 20)),
        }
    }
}

impl fmt::Display for Waiting {
    /// With its unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(1) => f.write_str("1 record"),
            Self::Records(_) => write!(f, "{} records", self.amount()),
            Self::Bytes(_) => f.write_str(&self.amount()),
        }
    }
}

/// Digits in groups of three: `12,345,678`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in whole units: `40 seconds`, `4 minutes`, `26 hours`, `3 days`.
pub fn about(time: Duration) -> String {
    const UNITS: [(u64, u64, &str); 4] =
        [(1, 100, "second"), (60, 100, "minute"), (3_600, 48, "hour"), (86_400, u64::MAX, "day")];
    let rounded = |unit: u64| (time.as_secs() + unit / 2) / unit;
    let unit = UNITS.into_iter().find(|(unit, most, _)| rounded(*unit) < *most).unwrap_or(UNITS[3]);
    let (count, name) = (rounded(unit.0).max(1), unit.2);
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// The time of day at which it will be over, with the day if it is another one.
fn clock(wall_ms: u64, within: Duration) -> String {
    let (now, then) = (EventTime(wall_ms).rfc3339(), EventTime(wall_ms).after(within).rfc3339());
    match (now.split_once('T'), then.split_once('T')) {
        (Some((today, _)), Some((day, time))) if today == day => time.get(..5).unwrap_or(time).to_owned(),
        _ => then.get(..16).unwrap_or(&then).replace('T', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T03:11:40Z.
    const NOW_MS: u64 = 1_795_317_100_000;

    #[track_caller]
    fn check(waiting: Waiting, per_second: Option<f64>, within: Option<u64>, expected: &str) {
        let catch_up = CatchUp { waiting, per_second, within: within.map(Duration::from_secs) };
        assert_eq!(catch_up.text(NOW_MS), expected);
    }

    #[test]
    fn it_says_how_much_how_fast_and_until_when() {
        use Waiting::{Bytes, Records};
        check(
            Records(12_345_678),
            Some(54_000.4),
            Some(229),
            "12,345,678 records behind, 54,000 a second, caught up in about 4 minutes (at 03:15 UTC)",
        );
        check(Records(1), None, None, "1 record behind, for how long is not known yet");
        check(
            Records(70_000),
            Some(900.0),
            None,
            "70,000 records behind, 900 a second, and no fewer wait than a minute ago",
        );
        check(
            Bytes(3 << 30),
            Some(9_000_000.0),
            Some(80_000),
            "3,072 MiB behind, 8,789 KiB a second, caught up in about 22 hours (at 2026-11-23 01:25 UTC)",
        );
    }

    #[test]
    fn times_are_told_as_people_say_them() {
        let told = [0, 99, 100, 240, 5_969, 5_970, 129_599, 200_000].map(Duration::from_secs).map(about);
        let expected = [
            "1 second",
            "99 seconds",
            "2 minutes",
            "4 minutes",
            "99 minutes",
            "2 hours",
            "36 hours",
            "2 days",
        ];
        assert_eq!(told, expected);
    }
}
