//! What a replay came to, for people.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write as _},
};

use super::IncidentCounts;
use crate::{
    event::EventTime,
    incident::Severity,
    telemetry::{self, grouped},
};

/// What a replay came to.
#[derive(Clone, Debug)]
pub struct BacktestSummary {
    pub lines: u64,
    /// When the first line came, and the last.
    pub from: EventTime,
    pub to: EventTime,
    /// It was stopped before its end.
    pub is_interrupted: bool,
    /// Numbers of lines after which something was to be exchanged, and that were not reached.
    pub exchanges_left: Vec<u64>,
    pub incidents: IncidentCounts,
    /// What the slot counted.
    pub reading: telemetry::Reading,
}

impl Display for BacktestSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.reading.partitions.iter().map(|partition| partition.keys).sum();
        let source = self.reading.sources.first().cloned().unwrap_or_default();
        let how_far = if self.is_interrupted { ", interrupted" } else { "" };
        writeln!(
            f,
            "read       {}{how_far}: {} of {}",
            counted(self.lines, "line"),
            counted(source.events, "request"),
            counted(keys, "key")
        )?;
        if self.lines > 0 {
            writeln!(f, "from       {} to {}", self.from.rfc3339(), self.to.rfc3339())?;
        }
        let odd = [
            (source.anonymous, "without a key"),
            (source.clamped, "with a time that was ahead, set back"),
            (source.late, "a day late, not learnt"),
            (self.reading.engine.events_repeated, "repeated, counted once"),
        ];
        for (count, what) in odd.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "           {} {what}", counted(count, "request"))?;
        }
        if self.reading.engine.log_gaps > 0 {
            let gaps = counted(self.reading.engine.log_gaps, "gap");
            writeln!(f, "           {gaps} in the logs, of which nothing is learnt")?;
        }
        let mut rejected: Vec<(&str, u64)> = source.rejected.clone();
        rejected.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
        if !rejected.is_empty() {
            writeln!(f, "rejected   {}", list(rejected.into_iter()))?;
        }
        for lines in &self.exchanges_left {
            writeln!(f, "           the input ends before line {lines}: nothing was exchanged there")?;
        }
        self.incidents.fmt(f)
    }
}

impl Display for IncidentCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.severities.values().sum();
        let mut severities = Severity::ALL
            .map(|severity| (severity.as_str(), self.severities.get(&severity).copied().unwrap_or_default()));
        severities.reverse();
        write!(f, "incidents  {}", grouped(all))?;
        if all > 0 {
            let told = severities.into_iter().filter(|(_, count)| *count > 0);
            write!(f, ": {}; {} open at the end", list(told), grouped(self.open))?;
        }
        f.write_char('\n')?;
        if !self.rules.is_empty() {
            writeln!(f, "by rule    {}", list(by_count(&self.rules)))?;
        }
        let steps = |steps: String| if steps.is_empty() { "none".to_owned() } else { steps };
        writeln!(f, "steps      {}", steps(list(self.granted.iter().map(|(step, count)| (*step, *count)))))?;
        writeln!(f, "withheld   {}", steps(list(by_count(&self.withheld))))
    }
}

/// The greatest first.
fn by_count(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = (&str, u64)> {
    let mut counts: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    counts.into_iter()
}

/// `throttle 7, restrict 2`.
fn list<'n>(counts: impl Iterator<Item = (&'n str, u64)>) -> String {
    let words: Vec<String> = counts.map(|(name, count)| format!("{name} {}", grouped(count))).collect();
    words.join(", ")
}

/// `1 line`, `12,000 lines`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}
