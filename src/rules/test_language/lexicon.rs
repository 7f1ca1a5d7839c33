//! Words of the test language: positions, durations, rates, places.

use std::time::Duration;

use super::ScriptError;
use crate::event::Country;

/// A word and the column (from 1) at which it begins.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    pub text: &'a str,
    pub line: u32,
    pub column: u32,
}

impl Word<'_> {
    pub fn wrong(&self, message: impl Into<String>) -> ScriptError {
        ScriptError { line: self.line, column: self.column, message: message.into() }
    }
}

/// Splits a line into words; what follows a `#` at a word's beginning is a comment.
pub fn words(text: &str, line: u32) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut column = 1;
    loop {
        let blank = rest.len() - rest.trim_start().len();
        column += rest[..blank].chars().count();
        rest = &rest[blank..];
        if rest.is_empty() || rest.starts_with('#') {
            return words;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let number = u32::try_from(column).unwrap_or(u32::MAX);
        words.push(Word { text: &rest[..end], line, column: number });
        column += rest[..end].chars().count();
        rest = &rest[end..];
    }
}

const UNITS: [(&str, u64); 5] = [("s", 1), ("min", 60), ("m", 60), ("h", 3_600), ("d", 86_400)];

fn unit(text: &str) -> Option<u64> {
    UNITS.iter().find(|(name, _)| *name == text).map(|(_, seconds)| *seconds)
}

/// `20s`, `90m`, `1h30m`, `6d`: at least a second.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let part = number.parse::<u64>().ok()?.checked_mul(unit(&tail[..letters])?)?;
        seconds = seconds.checked_add(part)?;
        rest = &tail[letters..];
    }
    (seconds > 0).then_some(Duration::from_secs(seconds))
}

/// `5/min`: a whole number of requests in one unit of time.
pub fn rate(text: &str) -> Option<(u32, Duration)> {
    let (count, per) = text.split_once('/')?;
    let count = count.parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
    unit(per).map(|seconds| (count, Duration::from_secs(seconds)))
}

/// `IE/AS16509`, or the country alone.
pub fn place(text: &str) -> Option<(Country, u32)> {
    let (country, network) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let country = Country::parse(country).is_known().then(|| Country::parse(country))?;
    let asn = match network {
        None => 0,
        Some(network) => network.strip_prefix("AS")?.parse().ok().filter(|asn| *asn > 0)?,
    };
    Some((country, asn))
}

/// One letter from `a` to `z`.
pub fn key(text: &str) -> Option<char> {
    let mut letters = text.chars();
    letters.next().filter(|key| key.is_ascii_lowercase() && letters.next().is_none())
}
