//! The tables of docs/calibration.md.

use std::fmt::Write as _;

use keyhound::detect::Scale;

use crate::{
    power::{Found, RATES, RISES, tolerated},
    surprises::{Played, STEPS_PER_UNIT, Shares},
};

/// Surprises with a column of their own.
const SHOWN: [usize; 6] = [1, 2, 3, 4, 5, 6];
/// With fewer windows than this, a ratio is luck.
const MEANINGFUL: u64 = 10;

/// A kind of use, and what became of it.
pub struct Row {
    pub name: String,
    pub about: String,
    /// Whether there can be as many windows of it as are asked for.
    pub is_invented: bool,
    pub played: Played,
}

/// What was asked for.
pub struct Asked {
    pub windows: u64,
    pub seed: u64,
}

/// All of it.
pub fn report(rows: &[Row], asked: &Asked, power: &str) -> String {
    let Asked { windows, seed } = asked;
    let mut out = format!(
        "# How often a surprise comes\n\nWritten by `make calibrate` (tests/calibration). How often closed windows of use \
         without anomalies had a surprise of s or more, as a ratio to 10^−s: 1 is ideal, more is too often, less too \
         careful.\n\n{}\n\n\
         ![The share of windows with a surprise of s or more, against 10 to the minus s](calibration.svg)\n",
        sizes(rows, *windows, *seed)
    );
    out += &kinds(rows);
    out += &ratios(rows);
    out + power
}

/// How many windows of each scale there are.
fn sizes(rows: &[Row], windows: u64, seed: u64) -> String {
    let least = |scale: usize| {
        let of_kinds = rows.iter().filter(|row| row.is_invented).map(|row| row.played.shares[scale].windows);
        of_kinds.min().unwrap_or(0)
    };
    let recorded: Vec<String> = rows
        .iter()
        .filter(|row| !row.is_invented)
        .map(|Row { name, played, .. }| format!("{name} {}", scales(|i| played.shares[i].windows)))
        .collect();
    format!(
        "Closed windows of each invented kind, which do not overlap: {}; asked for were {windows} of each scale up to an hour, \
         seed {seed}. Of what is counted from log lines there are as many as the lines have: {}.\n\n\
         There are two passes. Keys that are played minute by minute have windows of all scales, keys that are played hour by \
         hour those of an hour and a day, with the same surprises to the bit (`cargo test --test calibration`). Days are what \
         the hours add up to: ten million would be 14,400 million minutes of each kind. So what is said of a day at s ≥ 5 and \
         beyond is said of a handful of windows.",
        scales(least),
        recorded.join("; ")
    )
}

fn scales(windows: impl Fn(usize) -> u64) -> String {
    let of_scales = Scale::ALL.map(|scale| format!("{} of {}", windows(scale as usize), scale.as_str()));
    of_scales.join(", ")
}

/// What each kind is, and where it is furthest from the ideal.
fn kinds(rows: &[Row]) -> String {
    let mut out = format!(
        "\n## Kinds of use\n\nRequests a minute: of the least used, the middle and the most used key. *Too often* and *too \
         careful* are the ratios furthest from 1, where {MEANINGFUL} windows or more are there or should be.\n\n\
         | Kind | Use | Keys | Requests a minute | Too often | Too careful |\n|---|---|---|---|---|---|\n"
    );
    for Row { name, about, played, .. } in rows {
        let mut rates = played.rates.clone();
        rates.sort_by(f64::total_cmp);
        let rate = |part: usize| {
            rates.get((rates.len() * part / 2).min(rates.len().max(1) - 1)).copied().unwrap_or(0.0)
        };
        let of = |wanted: fn(&f64, &f64) -> bool| furthest(&played.shares, wanted);
        let _ = writeln!(
            out,
            "| {name} | {about} | {} | {:.2}, {:.2}, {:.2} | {} | {} |",
            rates.len(),
            rate(0),
            rate(1),
            rate(2),
            of(|ratio, best| ratio > best),
            of(|ratio, best| ratio < best)
        );
    }
    out
}

/// The ratio that is furthest from 1 in a direction, with where it is.
fn furthest(shares: &[Shares; 4], wanted: fn(&f64, &f64) -> bool) -> String {
    let mut best = (1.0, String::from("–"));
    for (scale, of) in Scale::ALL.into_iter().zip(shares) {
        for s in SHOWN {
            let step = s * STEPS_PER_UNIT;
            let (ratio, most) = (of.ratio(step), of.ideal(step).max(of.at_least(step) as f64));
            if most >= MEANINGFUL as f64 && wanted(&ratio, &best.0) {
                best = (ratio, format!("{ratio:.2} ({}, s ≥ {s})", scale.as_str()));
            }
        }
    }
    best.1
}

fn ratios(rows: &[Row]) -> String {
    let mut out = String::from(
        "\n## Ratios to 10^−s\n\nIn brackets the number of windows. *Called* are those that the shipped rules would call a \
         spike.\n\n",
    );
    let heads: Vec<String> = SHOWN.iter().map(|s| format!("s ≥ {s}")).collect();
    let _ = writeln!(out, "| Kind | Window | Windows | {} | Called |", heads.join(" | "));
    let _ = writeln!(out, "|---|---|---|{}---|", "---|".repeat(SHOWN.len()));
    for Row { name, played, .. } in rows {
        for (scale, of) in Scale::ALL.into_iter().zip(&played.shares).filter(|(_, of)| of.windows > 0) {
            let cell = |s: &usize| {
                let step = s * STEPS_PER_UNIT;
                format!("{:.2} ({})", of.ratio(step), of.at_least(step))
            };
            let cells: Vec<String> = SHOWN.iter().map(cell).collect();
            let (scale, windows, called) = (scale.as_str(), of.windows, of.called);
            let _ = writeln!(out, "| {name} | {scale} | {windows} | {} | {called} |", cells.join(" | "));
        }
    }
    out
}

/// How many of `keys` keys are called at each rate and rise, with those of an older commit beside them.
pub fn power(keys: u64, found: &Found, base: Option<&(String, Found)>) -> String {
    let mut out = format!(
        "\n## What is found\n\nHow many of {keys} keys, of a dispersion of 0.1 a minute, the shipped rules call when they are \
         used so many times as much for so long"
    );
    match base {
        Some((commit, _)) => {
            let _ = write!(
                out,
                "; behind the stroke at {commit}, with the same requests. **Bold**: fewer than there. Fewer by more than {} \
                 is an error: which of the keys near a bar are called is chance, since the surprises are not the same",
                tolerated(keys)
            );
        }
        None => out += "; no older commit was measured beside it",
    }
    let heads = RISES.map(|(times, minutes)| format!("×{times}, {}", length(minutes)));
    let _ = write!(
        out,
        ".\n\n| Requests a minute | {} |\n|---|{}\n",
        heads.join(" | "),
        "---|".repeat(RISES.len())
    );
    for (i, rate) in RATES.into_iter().enumerate() {
        let _ = write!(out, "| {rate} |");
        for (j, here) in found[i].into_iter().enumerate() {
            let _ = match base.map(|(_, found)| found[i][j]) {
                Some(there) if here < there => write!(out, " **{here}** / {there} |"),
                Some(there) => write!(out, " {here} / {there} |"),
                None => write!(out, " {here} |"),
            };
        }
        out.push('\n');
    }
    out
}

/// The classes in which fewer keys are called than at an older commit, beyond what is tolerated, with both numbers.
pub fn less(here: &Found, there: &Found, tolerated: u64) -> Vec<String> {
    let mut less = Vec::new();
    for (rate, (here, there)) in RATES.into_iter().zip(here.iter().zip(there)) {
        for ((times, minutes), (here, there)) in RISES.into_iter().zip(here.iter().zip(there)) {
            if here + tolerated < *there {
                less.push(format!(
                    "{rate} requests a minute, ×{times} for {}: {here}, there {there}; {tolerated} fewer are tolerated",
                    length(minutes)
                ));
            }
        }
    }
    less
}

fn length(minutes: u32) -> String {
    match minutes {
        1440.. => format!("{} d", minutes / 1440),
        60.. => format!("{} h", minutes / 60),
        _ => format!("{minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_found_less_often_than_is_tolerated_is_named_with_both_numbers() {
        let (mut here, mut there) = ([[90; RISES.len()]; RATES.len()], [[90; RISES.len()]; RATES.len()]);
        assert_eq!(less(&here, &there, 1), Vec::<String>::new());
        (here[4][0], there[4][0]) = (17, 19);
        (here[0][7], there[0][7]) = (83, 84);
        (here[1][3], there[1][3]) = (100, 20);
        assert_eq!(
            less(&here, &there, 1),
            ["500 requests a minute, ×3 for 1 min: 17, there 19; 1 fewer are tolerated"]
        );
        assert_eq!(less(&here, &there, 0).len(), 2);
    }
}
