//! Use that is counted from log lines: of `keyhound generate`, and of the honest keys of a labelled trace.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
};

use keyhound::generate::{Plan, Traffic};

use crate::{
    source::{DAY, SCORED, TAUGHT},
    surprises::{Played, Span, play},
    threads::each,
};

/// Keys of one plan.
const KEYS_OF_PLAN: usize = 100;

/// Requests of keys in each minute.
struct Counts {
    span: Span,
    by_key: Vec<Vec<u32>>,
}

impl Counts {
    fn new(span: Span, keys: usize) -> Self {
        let minutes = (span.taught + span.scored) * DAY;
        Self { span, by_key: vec![vec![0; minutes as usize]; keys] }
    }

    /// Counts a request; one outside of the time is not looked at.
    fn count(&mut self, key: usize, second: u64) {
        let minute = (second / 60).checked_sub(u64::from(self.span.start));
        if let Some(count) = minute.and_then(|minute| self.by_key[key].get_mut(usize::try_from(minute).ok()?))
        {
            *count += 1;
        }
    }

    fn play(&self, key: usize, seed: u64) -> Played {
        let counts = &self.by_key[key];
        play(self.span, seed ^ (key as u64) << 20, |minute| counts[minute as usize])
    }
}

/// So many keys of `keyhound generate`, without scenarios.
pub fn generated(keys: usize, seed: u64) -> Played {
    let plans: Vec<usize> =
        (0..keys).step_by(KEYS_OF_PLAN).map(|first| KEYS_OF_PLAN.min(keys - first)).collect();
    let plans: Vec<(u64, usize)> = (seed..).zip(plans).collect();
    let mut all = Played::default();
    for played in each("Generated", &plans, |(seed, keys)| generate(*keys, *seed)) {
        all.add(&played);
    }
    all
}

fn generate(keys: usize, seed: u64) -> Played {
    let days = u16::try_from(TAUGHT + SCORED).unwrap();
    let plan = Plan { seed, keys, days, lines_max: 1_000_000_000, ..Plan::default() };
    let start = u32::try_from(plan.start.0 / 60_000).unwrap();
    let mut counts = Counts::new(Span { start, taught: TAUGHT, scored: SCORED }, keys);
    let mut traffic = Traffic::new(plan).unwrap();
    while let Some(line) = traffic.next_line() {
        counts.count(line.key, line.time.0 / 1000);
    }
    let mut all = Played::default();
    (0..keys).for_each(|key| all.add(&counts.play(key, seed)));
    all
}

/// The keys of a trace that nothing is planted on, over its whole time; the first half teaches. `folder` has the trace in
/// the form of nginx, and what is true of it (see tests/trace/run).
pub fn traced(folder: &Path, seed: u64) -> Played {
    let labels: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("labels.json")).expect("labels"))
            .expect("labels are JSON");
    let number =
        |name: &str| labels["meta"][name].as_u64().unwrap_or_else(|| panic!("labels.json: meta.{name}"));
    let day = |name| u32::try_from(number(name).div_ceil(86_400_000)).unwrap();
    let (start, days) = (day("start") * DAY, day("end") - day("start"));
    let honest =
        labels["keys"].as_array().expect("labels.json: keys").iter().filter(|key| key["role"] == "clean");
    let keys: HashMap<&[u8], usize> =
        honest.map(|key| key["key"].as_str().expect("a key").as_bytes()).zip(0..).collect();
    let span = Span { start, taught: days / 2, scored: days - days / 2 };
    let mut counts = Counts::new(span, keys.len());
    let mut lines =
        BufReader::with_capacity(1 << 20, File::open(folder.join("trace.ndjson")).expect("a trace"));
    let (mut line, mut past) = (Vec::new(), number("past_lines"));
    while lines.read_until(b'\n', &mut line).expect("the trace can be read") > 0 {
        if past > 0 {
            past -= 1;
        } else if let Some(key) = field(&line, b"\"api_key\":\"").and_then(|key| keys.get(key)) {
            let second = field(&line, b"\"msec\":\"")
                .and_then(|time| std::str::from_utf8(time).ok()?.split('.').next());
            counts.count(*key, second.and_then(|second| second.parse().ok()).expect("a time"));
        }
        line.clear();
    }
    let numbers: Vec<usize> = (0..keys.len()).collect();
    let mut all = Played::default();
    for played in each("Trace", &numbers, |key| counts.play(*key, seed)) {
        all.add(&played);
    }
    all
}

/// What stands between a field's beginning and the next quotation mark.
fn field<'l>(line: &'l [u8], begins: &[u8]) -> Option<&'l [u8]> {
    let at = memchr::memmem::find(line, begins)? + begins.len();
    let length = memchr::memchr(b'"', &line[at..])?;
    Some(&line[at..at + length])
}
