//! Whether a surprise is a probability: counts without anomalies through a key's own profile, and how often a window has a
//! surprise of s or more. Beside it, what is found of counts with an anomaly, here and at an older commit.
//!
//! Of each invented kind there are two passes: minute by minute, for windows of a minute and of five, and hour by hour, for
//! those of an hour and a day (`Key::see_hour`).
//!
//! `CALIBRATION_WINDOWS` is the number of windows of a minute, five minutes and an hour of each invented kind, and of minutes of
//! the generator's (default: 8,000); `CALIBRATION_KEYS` that of keys with an anomaly, in each class (default: one for 25,000
//! windows, from 2 to 400). `CALIBRATION_SEED` is where the random numbers begin. `CALIBRATION_OUT=FOLDER` writes
//! calibration.md and calibration.svg there. `CALIBRATION_TRACES` names folders of labelled traces, with `:` between them;
//! `CALIBRATION_BASE` is the name of an older commit and the program that measures it, with `:` between them: finding less than
//! that is an error. `make calibrate` is the whole of it.

mod key;
mod plot;
mod power;
mod recorded;
mod report;
mod source;
mod surprises;
mod threads;

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use keyhound::detect::Scale;

use crate::{
    power::Found,
    report::{Asked, Row},
    source::{DAY, Kind, SCORED, START, Source, TAUGHT},
    surprises::{Played, STEPS_PER_UNIT, Span},
};

/// The time of an invented key.
const SPAN: Span = Span { start: START, taught: TAUGHT, scored: SCORED };
/// Keys that are played hour by hour, of which nobody wants to have the result of each.
const KEYS_AT_ONCE: u64 = 8;
/// Keys that are played hour by hour are other ones.
const HOURLY: u64 = 1 << 62;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// What follows a name in the environment, with `:` between; nothing if it is not there or empty.
fn list(name: &str) -> Vec<String> {
    env::var(name).unwrap_or_default().split(':').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Keys of each kind that are played minute by minute, and those that are played hour by hour: until so many windows of five
/// minutes and of an hour were scored.
fn invented(windows: u64, seed: u64) -> Vec<Row> {
    let by_minutes = passed("minutes", 1, keys_for(windows, 12 * 24), |kind, number| {
        let seed = seed ^ (number << 8) ^ kind as u64;
        let mut source = Source::new(kind, seed);
        surprises::play(SPAN, seed, |minute| source.next(minute))
    });
    let by_hours = passed("hours", KEYS_AT_ONCE, keys_for(windows, 24), |kind, number| {
        let seed = seed ^ HOURLY ^ (number << 8) ^ kind as u64;
        let mut source = Source::new(kind, seed);
        surprises::play_hours(SPAN, seed, |hour| source.next_hour(hour))
    });
    let rows = Kind::ALL.into_iter().zip(by_minutes).zip(by_hours);
    rows.map(|((kind, mut played), by_hours)| {
        played.add(&by_hours);
        Row { name: format!("{kind:?}"), about: kind.about().into(), is_invented: true, played }
    })
    .collect()
}

/// How many keys have so many windows, if one has so many in a day.
fn keys_for(windows: u64, a_day: u64) -> u64 {
    windows.div_ceil(u64::from(SCORED) * a_day)
}

/// What `play` makes of so many keys of each kind, some `at_once`.
fn passed(title: &str, at_once: u64, keys: u64, play: impl Fn(Kind, u64) -> Played + Sync) -> Vec<Played> {
    let parts = (1..=keys).step_by(usize::try_from(at_once).unwrap());
    let items: Vec<(Kind, u64)> = parts.flat_map(|first| Kind::ALL.map(|kind| (kind, first))).collect();
    let parts = threads::each(title, &items, |(kind, first)| {
        let mut all = Played::default();
        (*first..=keys.min(first + at_once - 1)).for_each(|number| all.add(&play(*kind, number)));
        all
    });
    let mut of_kinds = vec![Played::default(); Kind::ALL.len()];
    items.iter().zip(&parts).for_each(|((kind, _), part)| of_kinds[*kind as usize].add(part));
    of_kinds
}

/// The honest keys of labelled traces, if there are any.
fn traced(seed: u64) -> Row {
    let folders = list("CALIBRATION_TRACES");
    let mut played = Played::default();
    for folder in &folders {
        eprintln!("Trace: reading {folder}");
        played.add(&recorded::traced(Path::new(folder), seed));
    }
    let names: Vec<&str> =
        folders.iter().filter_map(|folder| Path::new(folder).file_name()?.to_str()).collect();
    let about = if names.is_empty() {
        "no trace was there: `KEYHOUND_TRACE` names its generator".into()
    } else {
        format!(
            "keys of a labelled trace that nothing is planted on, the second half of its days ({})",
            names.join(", ")
        )
    };
    Row { name: "Trace".into(), about, is_invented: false, played }
}

/// What an older commit finds, measured by its own program.
fn base(keys: u64, seed: u64) -> Option<(String, Found)> {
    let [commit, program] = <[String; 2]>::try_from(list("CALIBRATION_BASE")).ok()?;
    eprintln!("power of {commit}");
    let arguments = [keys, seed].map(|n| n.to_string());
    let output = Command::new(&program).args(arguments).stderr(Stdio::inherit()).output().expect("it starts");
    assert!(output.status.success(), "{program}: {}", output.status);
    Some((commit, power::parsed(&String::from_utf8(output.stdout).expect("numbers"))))
}

#[test]
fn a_surprise_is_a_probability_and_what_is_odd_is_found() {
    let asked = Asked { windows: number("CALIBRATION_WINDOWS", 8_000), seed: number("CALIBRATION_SEED", 1) };
    let mut rows = invented(asked.windows, asked.seed);
    let keys = keys_for(asked.windows, u64::from(DAY)).max(2);
    rows.push(Row {
        name: "Generated".into(),
        about: "keys of `keyhound generate`, without scenarios".into(),
        is_invented: false,
        played: recorded::generated(usize::try_from(keys).unwrap(), asked.seed),
    });
    rows.push(traced(asked.seed));
    let keys = number("CALIBRATION_KEYS", (asked.windows / 25_000).clamp(2, 400));
    let found = power::found(keys, asked.seed);
    let base = base(keys, asked.seed);
    let text = report::report(&rows, &asked, &report::power(keys, &found, base.as_ref()));
    println!("{text}");
    if let Ok(folder) = env::var("CALIBRATION_OUT") {
        fs::write(Path::new(&folder).join("calibration.md"), &text).expect("written");
        fs::write(Path::new(&folder).join("calibration.svg"), plot::plot(&rows)).expect("written");
    }
    let mut wrong: Vec<String> = rows.iter().flat_map(judge).collect();
    // Five a minute, thirty times as much for a minute; one in two minutes, for an hour.
    let always = [found[2][2], found[1][5]];
    if always.iter().any(|found| *found < keys - keys / 100) {
        wrong.push(format!("of {keys} keys that are always found, {always:?} are"));
    }
    if let Some((commit, there)) = base {
        let less = report::less(&found, &there, power::tolerated(keys));
        wrong.extend(
            less.iter().map(|less| format!("fewer of {keys} keys are found than at {commit}: {less}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a kind. One window of 24 h in a thousand and less cannot be told apart from none here.
fn judge(Row { name, played, .. }: &Row) -> Vec<String> {
    let mut wrong = Vec::new();
    for (scale, of) in Scale::ALL.into_iter().zip(&played.shares).take(3) {
        let (scale, ratio) = (scale.as_str(), of.ratio(2 * STEPS_PER_UNIT));
        if ratio > 10.0 {
            wrong.push(format!(
                "{name}, {scale}: {ratio:.2} times as many with a surprise of 2 as there should be"
            ));
        }
        // A key whose use shifts for good to ×1.7 has an hour that is called now and then. One is chance, however few windows
        // there are.
        let each = if matches!(name.as_str(), "LevelShift" | "Trace") { 5_000 } else { 20_000 };
        if of.called > of.windows.div_ceil(each) {
            wrong.push(format!("{name}, {scale}: {} of {} windows would be called", of.called, of.windows));
        }
    }
    wrong
}
