//! The figures, and whether they are within their bounds.

use std::{fmt, num::ParseFloatError, str::FromStr, time::Duration};

/// One contender's figure of a round, if it takes part.
pub type Figure = fn(&Round) -> Option<Measured>;

/// What one contender cost in one round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Processor time per record, in microseconds.
    pub cpu_us: f64,
    /// Records a second. Printed only.
    pub per_second: f64,
    /// Keys with a profile, and the process's resident bytes, after the last record.
    pub keys: u64,
    pub resident: u64,
}

impl Measured {
    /// `cpu` in seconds, over so many records.
    pub fn new(records: u64, cpu: f64, time: Duration) -> Self {
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let records = records as f64;
        let per_second = records / time.as_secs_f64();
        Self { cpu_us: cpu / records * 1e6, per_second, ..Self::default() }
    }
}

/// As a child process hands it to its parent.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cpu_us, self.per_second)
    }
}

impl FromStr for Measured {
    type Err = ParseFloatError;

    fn from_str(text: &str) -> Result<Self, ParseFloatError> {
        let (cpu_us, per_second) = text.split_once(' ').unwrap_or((text, ""));
        Ok(Self { cpu_us: cpu_us.parse()?, per_second: per_second.parse()?, ..Self::default() })
    }
}

/// All contenders, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    pub poll: Measured,
    pub batch: Measured,
    pub keyhound: Measured,
    /// Another Keyhound, if there is one.
    pub beside: Option<Measured>,
}

/// One line for a round.
pub fn print_round(number: usize, round: &Round) {
    let Round { poll, batch, keyhound, beside } = round;
    println!(
        "round {number}: CPU µs/event poll {:.2}, batch {:.2}, keyhound {:.2}; ratio {:.2}; events/s {:.0}, {:.0}, {:.0}",
        poll.cpu_us,
        batch.cpu_us,
        keyhound.cpu_us,
        keyhound.cpu_us / poll.cpu_us,
        poll.per_second,
        batch.per_second,
        keyhound.per_second,
    );
    if let Some(beside) = beside {
        let ratio = beside.cpu_us / poll.cpu_us;
        println!("         beside {:.2}; ratio {ratio:.2}; events/s {:.0}", beside.cpu_us, beside.per_second);
    }
}

/// The table at the end.
pub fn print(rounds: &[Round], wide: &[Round]) {
    let contenders: [(&str, Figure); 4] = [
        ("bare librdkafka, poll", |round| Some(round.poll)),
        ("bare librdkafka, batch", |round| Some(round.batch)),
        ("keyhound run", |round| Some(round.keyhound)),
        ("keyhound beside it", |round| round.beside),
    ];
    println!("\n{:<24} {:>12} {:>12} {:>14}", "CPU µs per event", "best", "median", "of poll, median");
    for (name, of) in contenders {
        let (mut costs, ratios): (Vec<f64>, Vec<f64>) = rounds
            .iter()
            .filter_map(|round| of(round).map(|of| (of.cpu_us, of.cpu_us / round.poll.cpu_us)))
            .unzip();
        if costs.is_empty() {
            continue;
        }
        let best = costs.iter().copied().fold(f64::INFINITY, f64::min);
        println!("{name:<24} {best:>12.2} {:>12.2} {:>14.2}", median(&mut costs), median_of(ratios));
    }
    println!();
    for (name, of) in &contenders[2..] {
        let Some(bytes) = bytes_per_key(rounds, wide, *of) else { continue };
        let cpu = median_of(wide.iter().filter_map(of).map(|one| one.cpu_us).collect());
        println!(
            "{name}: resident {}, {}: {bytes:.0} B a key; {cpu:.2} µs per event there",
            memory(rounds, *of),
            memory(wide, *of),
        );
    }
}

/// The median over the rounds of what Keyhound cost, in bare `poll` loops.
pub fn median_ratio(rounds: &[Round]) -> f64 {
    median_of(rounds.iter().map(|round| round.keyhound.cpu_us / round.poll.cpu_us).collect())
}

/// Resident memory for each key that the wide topic has more, by the medians.
pub fn bytes_per_key(rounds: &[Round], wide: &[Round], of: Figure) -> Option<f64> {
    let median = |rounds: &[Round], what: fn(&Measured) -> u64| {
        let all: Option<Vec<f64>> =
            rounds.iter().map(|round| of(round).map(|one| exact(what(&one)))).collect();
        all.map(median_of)
    };
    let bytes = median(wide, |one| one.resident)? - median(rounds, |one| one.resident)?;
    Some(bytes / (median(wide, |one| one.keys)? - median(rounds, |one| one.keys)?))
}

/// The resident memory of each round, and its keys.
fn memory(rounds: &[Round], of: Figure) -> String {
    let all: Vec<Measured> = rounds.iter().filter_map(of).collect();
    let resident: Vec<String> =
        all.iter().map(|one| format!("{:.0}", mebibytes(exact(one.resident)))).collect();
    let keys = median_of(all.iter().map(|one| exact(one.keys)).collect());
    format!("{} MiB with {keys:.0} keys", resident.join(", "))
}

/// Says whether a figure is within its bound.
pub fn judge(what: &str, value: f64, most: f64) -> bool {
    let is_within = value <= most;
    let verdict = if is_within { "ok" } else { "TOO MUCH" };
    println!("{what}: {value:.2}, at most {most}: {verdict}");
    is_within
}

fn median_of(mut values: Vec<f64>) -> f64 {
    median(&mut values)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn exact(value: u64) -> f64 {
    value as f64
}
