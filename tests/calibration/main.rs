//! Whether a surprise is a probability: counts without anomalies through a key's own profile, and how often a window has a
//! surprise of s or more. Beside it, what is found of counts with an anomaly, here and at an older commit.
//!
//! `CALIBRATION_WINDOWS` is the number of minutes of each kind (default: 40,000), `CALIBRATION_SEED` where the random
//! numbers begin. `CALIBRATION_OUT=FOLDER` writes calibration.md and calibration.svg there. `CALIBRATION_TRACES` names
//! folders of labelled traces, with `:` between them; `CALIBRATION_BASE` is the name of an older commit and the program that
//! measures it, with `:` between them. `make calibrate` is the whole of it.

mod key;
mod plot;
mod power;
mod recorded;
mod report;
mod source;
mod surprises;
mod threads;

use std::{env, fs, path::Path, process::Command};

use keyhound::detect::Scale;

use crate::{
    power::Found,
    report::{Asked, Row},
    source::{DAY, Kind, SCORED, START, Source, TAUGHT},
    surprises::{Played, STEPS_PER_UNIT, Span},
};

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// What follows a name in the environment, with `:` between; nothing if it is not there or empty.
fn list(name: &str) -> Vec<String> {
    env::var(name).unwrap_or_default().split(':').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Keys of each kind until so many minutes were scored.
fn invented(keys: u64, seed: u64) -> Vec<Row> {
    let span = Span { start: START, taught: TAUGHT, scored: SCORED };
    let items: Vec<(Kind, u64)> = (1..=keys)
        .flat_map(|number| Kind::ALL.map(|kind| (kind, seed ^ (number << 8) ^ kind as u64)))
        .collect();
    let all = threads::each("keys", &items, |(kind, seed)| {
        let mut source = Source::new(*kind, *seed);
        surprises::play(span, *seed, |minute| source.next(minute))
    });
    let row = |kind: Kind| {
        let mut played = Played::default();
        let of_kind = items.iter().zip(&all).filter(|((other, _), _)| *other == kind);
        of_kind.for_each(|(_, one)| played.add(one));
        Row { name: format!("{kind:?}"), about: kind.about().into(), played }
    };
    Kind::ALL.into_iter().map(row).collect()
}

/// The honest keys of labelled traces, if there are any.
fn traced(seed: u64) -> Row {
    let folders = list("CALIBRATION_TRACES");
    let mut played = Played::default();
    for folder in &folders {
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
    Row { name: "Trace".into(), about, played }
}

/// What an older commit finds, measured by its own program.
fn base(keys: u64, seed: u64) -> Option<(String, Found)> {
    let [commit, program] = <[String; 2]>::try_from(list("CALIBRATION_BASE")).ok()?;
    eprintln!("power of {commit}");
    let output =
        Command::new(&program).args([keys, seed].map(|n| n.to_string())).output().expect("it starts");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some((commit, power::parsed(&String::from_utf8(output.stdout).expect("numbers"))))
}

#[test]
fn a_surprise_is_a_probability_and_what_is_odd_is_found() {
    let asked = Asked { minutes: number("CALIBRATION_WINDOWS", 40_000), seed: number("CALIBRATION_SEED", 1) };
    let keys = asked.minutes.div_ceil(u64::from(SCORED * DAY));
    let mut rows = invented(keys, asked.seed);
    rows.push(Row {
        name: "Generated".into(),
        about: "keys of `keyhound generate`, without scenarios".into(),
        played: recorded::generated(usize::try_from(keys).unwrap(), asked.seed),
    });
    rows.push(traced(asked.seed));
    let keys = (asked.minutes / 10_000).clamp(2, 100);
    let found = power::found(keys, asked.seed);
    let power = report::power(keys, &found, base(keys, asked.seed).as_ref());
    let text = report::report(&rows, &asked, &power);
    println!("{text}");
    if let Ok(folder) = env::var("CALIBRATION_OUT") {
        fs::write(Path::new(&folder).join("calibration.md"), &text).expect("written");
        fs::write(Path::new(&folder).join("calibration.svg"), plot::plot(&rows)).expect("written");
    }
    rows.iter().for_each(judge);
    // Five a minute, thirty times as much for a minute; one in two minutes, for an hour.
    assert_eq!((found[2][2], found[1][5]), (keys, keys));
}

/// One window of 24 h in a thousand and less cannot be told apart from none here.
fn judge(Row { name, played, .. }: &Row) {
    for (scale, of) in Scale::ALL.into_iter().zip(&played.shares).take(3) {
        let scale = scale.as_str();
        assert!(of.ratio(2 * STEPS_PER_UNIT) <= 10.0, "{name}, {scale}: {of:?}");
        // A key whose use shifts for good to ×1.7 has an hour that is called now and then.
        let each = if matches!(name.as_str(), "LevelShift" | "Trace") { 5_000 } else { 20_000 };
        assert!(of.called <= of.windows / each, "{name}, {scale}: {of:?}");
    }
}
