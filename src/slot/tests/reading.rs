//! Real records through the real decoder: counts, clamped times, rejections.

use std::{sync::Arc, time::Duration};

use super::START_MS;
use crate::{
    catalogue::{Catalogue, Entry, KeyClass},
    decode::{Decoder, Pepper, fingerprint, settings},
    engine::{self, Effect, Engines, IdKey, MemoryLimits, Reference},
    enrich::Geo,
    generate::{KeyProfile, Traffic},
    incident::Severity,
    respond::Caps,
    rules::RuleSet,
    slot::{Judge, Outcome, REJECTIONS_PRODUCED_MAX, Reading, planted},
    source::{Batch, Record},
    store::{Excluded, Exclusion},
};

/// How late a record may be read and still count as seen in time.
pub const FRESH_WITHIN: Duration = Duration::from_hours(3_650 * 24);

fn pepper() -> Pepper {
    Pepper::new(b"0123456789abcdef0123456789abcdef").unwrap()
}

/// A catalogue that says of all keys of the traffic that servers hold them.
pub fn servers(traffic: &Traffic) -> Catalogue {
    let entry = |key: &KeyProfile| Entry {
        id: Some(fingerprint(&pepper(), key.raw_key.reveal().as_bytes()).to_string()),
        class: KeyClass::Server,
        ..Entry::default()
    };
    Catalogue::new(traffic.keys().iter().map(entry).collect(), "servers".to_owned()).unwrap()
}

/// Empty engines behind the preset of nginx's logs, with these rules.
pub fn reading(rules: RuleSet, catalogue: Catalogue) -> Reading {
    let pepper = pepper();
    let format = settings::Format::preset("nginx").unwrap();
    let settings = settings::Settings::new(format, settings::KeyPolicy::Raw);
    let decoder = Decoder::new(&settings, &pepper).unwrap();
    let engines = Engines::new(engine::Settings {
        partitions: 4,
        limits: MemoryLimits::of_keys(250),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_hours(1),
        // The clock of the crash tests does not follow the records: history counts as fresh there.
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    });
    let reference =
        Reference { rules: Arc::new(rules), catalogue: Arc::new(catalogue), ..Reference::default() };
    Reading::new(vec![decoder], Arc::new(Geo::empty()), engines, reference, String::new(), &pepper)
}

/// What a line of nginx's says of a request `seconds` after the start.
fn line(seconds: i64, key: &str) -> String {
    let time = i64::try_from(START_MS / 1000).unwrap() + seconds;
    format!(
        r#"{{"msec":"{time}.000","status":"200","method":"GET","uri":"/v1/a","api_key":"{key}","remote_addr":"203.0.113.7"}}"#
    )
}

#[test]
fn a_request_with_several_keys_counts_once_in_the_totals_of_its_source() {
    let many: Vec<String> = (0..20).map(|n| format!("key-{n}")).collect();
    let lines = [line(1, "a"), line(2, "a, b"), line(3, "a, b, c, a"), line(4, &many.join(","))];
    let out = read(&lines, None, START_MS + 10_000);
    let tally = &out.tallies[0];
    assert_eq!((tally.records, tally.events, tally.clear_keys), (4, 4, 4));
    assert_eq!((tally.several_keys, tally.keys_left_out), (3, 1));
    let ahead = read(&[line(7_200, "a, b")], None, START_MS);
    assert_eq!(ahead.tallies[0].clamped, 1);
}

fn batch(lines: &[String], log_time_ms: Option<u64>) -> Batch {
    let mut batch = Batch::new(1000);
    for (offset, line) in (0u64..).zip(lines) {
        let (input, next, bytes) = (3, offset + 1, line.as_bytes());
        batch.push(Record { source: 0, input, offset, next, log_time_ms, bytes, cut: false });
    }
    batch
}

fn read(lines: &[String], log_time_ms: Option<u64>, at_ms: u64) -> Outcome {
    let mut out = Outcome::default();
    let batch = batch(lines, log_time_ms);
    reading(RuleSet::default(), Catalogue::default()).read(&batch, at_ms, &mut out);
    out
}

#[test]
fn every_record_is_counted_as_what_it_is() {
    let mut lines: Vec<String> = (0..70).map(|n| line(n, "sk_live_4242424242424242")).collect();
    lines.push(line(5, ""));
    lines.push("{\"half\":".to_owned());
    let out = read(&lines, None, START_MS + 100_000);
    assert_eq!((out.tallies[0].records, out.tallies[0].events, out.tallies[0].anonymous), (72, 70, 1));
    assert_eq!(out.tallies[0].rejected, [("truncated", 1)]);
    assert_eq!(out.seen, [(3, START_MS + 69_000)]);
    let rejection = out.rejections[0];
    assert_eq!((rejection.input, rejection.offset, rejection.length), (3, 71, 8));
    assert_ne!(rejection.hash, 0);
}

#[test]
fn a_request_whose_minute_has_closed_is_counted_as_late_for_its_source() {
    let key = "sk_live_4242424242424242";
    // Served often enough to have a profile.
    let mut lines: Vec<String> = (0..70).map(|n| line(n, key)).collect();
    lines.extend([line(-95_000, key), line(-80_000, key), line(-2_000, key), line(-600, key)]);
    let out = read(&lines, None, START_MS + 100_000);
    assert_eq!((out.tallies[0].events, out.tallies[0].late), (74, 3));
}

#[test]
fn the_requests_of_an_excluded_key_are_rejected_and_those_of_others_judged() {
    let (key, other) = ("sk_live_4242424242424242", "sk_live_other_neighbour_1");
    let lines: Vec<String> = (0..90).map(|n| line(n, if n % 3 == 0 { key } else { other })).collect();
    let mut reading = reading(RuleSet::default(), Catalogue::default());
    let id = fingerprint(&pepper(), key.as_bytes()).to_string();
    let exclusion = Exclusion { what: Excluded::Key(id), until_ms: START_MS };
    reading.exclude(&[exclusion]);
    let batch = batch(&lines, None);
    let mut out = Outcome::default();
    reading.read(&batch, START_MS + 100_000, &mut out);
    assert_eq!((out.tallies[0].records, out.tallies[0].rejected.as_slice()), (90, &[("panicked", 30)][..]));
    assert!(out.rejections.iter().all(|rejection| rejection.hash == 0 && rejection.offset % 3 == 0));
    assert_eq!(reading.engines().counts().map(|counts| counts.keys).sum::<u64>(), 1);
    // Once it is over, it is judged again.
    reading.exclude(&[]);
    reading.read(&batch, START_MS + 100_000, &mut Outcome::default());
    assert_eq!(reading.engines().counts().map(|counts| counts.keys).sum::<u64>(), 2);
}

#[test]
fn a_record_at_which_decoding_panics_is_rejected_and_all_around_it_judged() {
    let key = "sk_live_4242424242424242";
    let mut lines: Vec<String> = (0..90).map(|n| line(n, key)).collect();
    for at in [0, 1, 40, 89] {
        lines[at] = planted::IN_DECODING.to_owned();
    }
    let out = read(&lines, None, START_MS + 100_000);
    let tally = &out.tallies[0];
    assert_eq!((tally.records, tally.events, tally.rejected.as_slice()), (90, 86, &[("panicked", 4)][..]));
    let places: Vec<_> = out.rejections.iter().map(|rejection| (rejection.offset, rejection.hash)).collect();
    assert_eq!(places, [(0, 0), (1, 0), (40, 0), (89, 0)]);
    assert_eq!(out.seen, [(3, START_MS + 88_000)]);
}

#[test]
fn while_immature_keys_are_left_out_mature_ones_are_judged_however_records_are_gathered() {
    let (known, new) = ("sk_live_4242424242424242", "sk_live_other_neighbour_1");
    let at_ms = START_MS + 30 * 86_400_000;
    let judge = || {
        let mut judge = reading(RuleSet::default(), Catalogue::default());
        // Three days, a request in each 20 s.
        let learnt: Vec<String> = (0..3 * 4_320).map(|n| line(20 * n, known)).collect();
        let mut batch = Batch::new(learnt.len());
        for (offset, line) in (0u64..).zip(&learnt) {
            let bytes = line.as_bytes();
            let next = offset + 1;
            batch.push(Record { source: 0, input: 3, offset, next, log_time_ms: None, bytes, cut: false });
        }
        judge.read(&batch, at_ms, &mut Outcome::default());
        judge.exclude(&[Exclusion { what: Excluded::ImmatureKeys, until_ms: at_ms }]);
        judge
    };
    let both = format!("{known}, {new}");
    let keys = [known, new, &both, &both, new, known];
    let lines: Vec<String> =
        (0..90).zip(keys.iter().cycle()).map(|(n, key)| line(3 * 86_400 + n, key)).collect();
    for parts in [1, 7, 90] {
        let (mut judge, mut out) = (judge(), Outcome::default());
        for lines in lines.chunks(parts) {
            judge.read(&batch(lines, None), at_ms, &mut out);
        }
        assert_eq!(out.tallies[0].rejected, [("panicked", 60)], "{parts} at a time");
        assert_eq!(judge.engines().counts().map(|counts| counts.keys).sum::<u64>(), 1, "{parts} at a time");
    }
}

#[test]
fn a_time_ahead_of_its_log_is_set_back_and_moves_nothing_by_itself() {
    const HOUR_MS: u64 = 3_600_000;
    let lines = [line(0, "sk_live_4242424242424242"), line(3600, "sk_live_4242424242424242")];
    let times = |log_time_ms, at_ms| {
        let out = read(&lines, log_time_ms, at_ms);
        (out.tallies[0].clamped, out.seen, out.set_back)
    };
    assert_eq!(times(None, START_MS), (1, vec![(3, START_MS)], vec![(3, START_MS)]));
    let same_wrong_clock = times(Some(START_MS + HOUR_MS), START_MS);
    assert_eq!(same_wrong_clock, (1, vec![(3, START_MS)], vec![(3, START_MS)]));
    let right = times(Some(START_MS + HOUR_MS), START_MS + 2 * HOUR_MS);
    assert_eq!(right, (0, vec![(3, START_MS + HOUR_MS)], vec![]));
}

#[test]
fn a_flood_of_bad_records_is_counted_in_full_and_all_its_positions_are_kept() {
    let lines: Vec<String> = ["[", "7"].iter().cycle().take(500).map(|line| (*line).to_owned()).collect();
    let out = read(&lines, None, START_MS);
    assert_eq!(out.rejections.len(), REJECTIONS_PRODUCED_MAX);
    let mut offsets: Vec<u64> = out.rejections.iter().map(|rejection| rejection.offset).collect();
    assert_eq!(out.further.iter().map(|group| group.reason).collect::<Vec<_>>(), ["truncated", "wrong_type"]);
    offsets.extend(out.further.iter().flat_map(|group| group.offsets.iter().copied()));
    offsets.sort_unstable();
    assert_eq!(offsets, (0..500).collect::<Vec<_>>());
    assert_eq!(out.tallies[0].rejected.iter().map(|(_, count)| count).sum::<u64>(), 500);
}

#[test]
fn records_of_a_key_that_cannot_be_read_become_a_finding_and_no_step() {
    const KEY: &str = "sk_live_4242424242424242";
    let rules = [("records.yaml".to_owned(), include_str!("../../../rules/records.yaml").to_owned())];
    let mut judge = reading(RuleSet::compile(&rules).unwrap(), Catalogue::default());
    let mut read = |lines: &[String]| {
        let mut batch = Batch::new(lines.len());
        for (offset, line) in (0u64..).zip(lines) {
            let bytes = line.as_bytes();
            batch.push(Record {
                source: 0,
                input: 3,
                offset,
                next: offset + 1,
                log_time_ms: None,
                cut: false,
                bytes,
            });
        }
        let mut out = Outcome::default();
        judge.read(&batch, START_MS + 30 * 86_400_000, &mut out);
        judge.settle(&mut out);
        out
    };
    // Three days, a request in each 20 s. One of a thousand has no time.
    let time_lost = |line: String| line.replace("\"msec\":\"", "\"msec\":\"at ");
    let learnt: Vec<String> = (0..3 * 4_320)
        .map(|n| if n % 1_000 == 999 { time_lost(line(20 * n, KEY)) } else { line(20 * n, KEY) })
        .collect();
    let out = read(&learnt);
    assert_eq!((out.effects.len(), out.tallies[0].events), (0, 3 * 4_320 - 12), "{:?}", out.effects);
    let broken: Vec<String> = (0..12).map(|n| time_lost(line(3 * 86_400 + n, KEY))).collect();
    let out = read(&broken);
    assert_eq!(out.tallies[0].rejected.iter().map(|(_, count)| count).sum::<u64>(), 12);
    let told = out.effects.iter().filter_map(|effect| match effect {
        Effect::Incident(incident) => Some((incident.severity, incident.reasons[0].detector.as_str())),
        Effect::Proposal(_) | Effect::Grant(_) | Effect::Decision(_) => panic!("{effect:?}"),
        Effect::Finding(..) => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(Severity::High, "records.unreadable")]);
}
