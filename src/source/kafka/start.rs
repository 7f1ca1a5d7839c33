//! Where the first reading of a topic starts.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::{Timestamp, Unit};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// `beginning`, `end`, a time, or so long ago (`-7d`); also Kafka's own words `earliest` and `latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    Earliest,
    Latest,
    /// At the first record that is not older than this, in milliseconds since the Unix epoch.
    At(u64),
    /// At the first record that is not older than so many seconds.
    Ago {
        seconds: u64,
    },
}

impl Default for Start {
    /// A week: a full cycle of what is normal.
    fn default() -> Self {
        Self::Ago { seconds: 7 * DAY }
    }
}

const DAY: u64 = 86_400;
/// The units of `-7d`, longest first.
const UNITS: [(char, u64); 5] = [('w', 7 * DAY), ('d', DAY), ('h', 3_600), ('m', 60), ('s', 1)];

/// A text that is not a start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"start\" is \"{0}\"; it must be beginning, end, so long ago (-7d, -12h, -30m; at most -520w), \
     or a time (2026-11-01T00:00:00Z)"
)]
pub struct StartError(String);

impl Start {
    /// The time to look for, given the time now; none for the ends of the log.
    pub const fn time_ms(self, now_ms: u64) -> Option<u64> {
        match self {
            Self::Earliest | Self::Latest => None,
            Self::At(ms) => Some(ms),
            Self::Ago { seconds } => Some(now_ms.saturating_sub(seconds * 1000)),
        }
    }
}

impl FromStr for Start {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || StartError(text.to_owned());
        match text {
            "beginning" | "earliest" => return Ok(Self::Earliest),
            "end" | "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(ago) = text.strip_prefix('-') {
            let (_, unit) = UNITS.into_iter().find(|(name, _)| ago.ends_with(*name)).ok_or_else(wrong)?;
            let count: u64 = ago[..ago.len() - 1].parse().map_err(|_| wrong())?;
            let seconds = count.checked_mul(unit).filter(|s| *s <= 520 * 7 * DAY).ok_or_else(wrong)?;
            return Ok(Self::Ago { seconds });
        }
        let time: Timestamp = text.parse().map_err(|_| wrong())?;
        u64::try_from(time.as_millisecond()).map(Self::At).map_err(|_| wrong())
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Earliest => f.write_str("beginning"),
            Self::Latest => f.write_str("end"),
            Self::At(ms) => {
                match i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
                    Some(time) => write!(f, "{}", time.round(Unit::Millisecond).unwrap_or(time)),
                    None => write!(f, "{ms} ms"),
                }
            }
            Self::Ago { seconds } => {
                let (name, unit) =
                    UNITS.into_iter().find(|(_, unit)| seconds % unit == 0).unwrap_or(('s', 1));
                write!(f, "-{}{name}", seconds / unit)
            }
        }
    }
}

impl TryFrom<String> for Start {
    type Error = StartError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        start.to_string()
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "beginning, end, so long ago (-7d, -12h), or a time (2026-11-01T00:00:00Z)",
            "pattern": "^(beginning|end|earliest|latest|-[0-9]+[wdhms]|[0-9]{4}-.+)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Start;

    #[track_caller]
    fn check(text: &str, expected: Start) {
        let start: Start = text.parse().unwrap();
        assert_eq!(start, expected);
        assert_eq!(start.to_string().parse::<Start>().unwrap(), expected, "as it is written");
    }

    #[test]
    fn the_ways_to_say_where_to_start() {
        check("beginning", Start::Earliest);
        check("end", Start::Latest);
        check("earliest", Start::Earliest);
        check("latest", Start::Latest);
        check("-7d", Start::Ago { seconds: 604_800 });
        check("-90m", Start::Ago { seconds: 5_400 });
        check("2026-11-01T00:00:00Z", Start::At(1_793_491_200_000));
    }

    #[test]
    fn anything_else_is_refused_with_what_would_be_right() {
        for text in ["", "7d", "-d", "-7", "-7y", "-99999w", "yesterday", "-7é"] {
            let refused = text.parse::<Start>().unwrap_err().to_string();
            assert!(refused.contains(&format!("\"start\" is \"{text}\"")), "{refused}");
        }
    }

    #[test]
    fn so_long_ago_counts_from_now() {
        assert_eq!(Start::Ago { seconds: 10 }.time_ms(25_000), Some(15_000));
        assert_eq!(Start::At(7).time_ms(25_000), Some(7));
        assert_eq!(Start::Latest.time_ms(25_000), None);
    }
}
