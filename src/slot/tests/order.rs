//! The same records, dealt out to inputs and interleaved in any way within the bound, teach the same.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use proptest::prelude::*;

use super::reading::{reading, servers};
use crate::{
    engine::{Effect, Engines, IdKey, Input, MemoryLimits, Reference, Settings},
    event::{
        ClientAddress, Country, Event, EventTime, Flags, KeyId, KeyKind, NetworkType, Place, Position,
        stable_hash, testing::plain,
    },
    generate::{Format, Formats, Injection, Plan, Scenario, Traffic},
    incident::Severity,
    profile::fold::LATENESS,
    respond::{Caps, FRESH_WITHIN},
    rules::RuleSet,
    slot::{Judge, Outcome, watermark::Watermarks},
    source::{Batch, Record},
};

/// How far an input may be read ahead of the one that is furthest behind.
const SKEW_MS: u64 = 5 * 60_000;
/// How far the source reads one file ahead of another.
const AHEAD_MS: u64 = 60_000;
/// Findings of these rules may differ. Their windows of minutes end with the key's newest request, so that what comes later may
/// be outside, and one route or one response decides.
const BY_WINDOW: [&str; 2] = ["key-denied-routes", "key-large-responses"];
/// Long after all that is read: history.
const LATER_MS: u64 = 2_000_000_000_000;
const KEYS: u8 = 5;

/// When a record reaches its input's log, and when its request was.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    written_ms: u64,
    time_ms: u64,
    key: u8,
    /// Where it came from, and whether it can be read whole.
    from: u8,
    cut: bool,
}

fn key(n: u8) -> KeyId {
    KeyId { kind: KeyKind::Credential, hash: [n.wrapping_mul(53); 16] }
}

/// The record as it is read from this input. Keys come from a dozen networks, most often from the first ones.
fn event(arrival: &Arrival, input: u32) -> Event<'static> {
    let Arrival { time_ms, key: n, from, cut, .. } = *arrival;
    let position = Position { input, ..Position::default() };
    let mut event = Event { position, ..plain(key(n), EventTime(time_ms)) };
    let network = u32::from(from) * u32::from(from) * 12 / (1 << 16);
    event.address = ClientAddress { prefix: u64::from(from / 4) + 1, hash: stable_hash(&[n, from]) };
    event.place = Place {
        asn: 64_500 + network,
        country: Country([b'A', b'A' + from / 64]),
        network_type: NetworkType::Hosting,
        ..Place::default()
    };
    // Some are on one of more routes than can be kept.
    let minute = time_ms / 60_000;
    let is_rare = from % 8 == 5;
    event.route.hash =
        if is_rare { stable_hash(&minute.to_le_bytes()) % 2_000 } else { 1 + u64::from(n % 2) };
    // There are hours in which the services are slow, and their answers large.
    let times = 1 + u32::from(minute / 60 % 5 == 0) * u32::from(from % 4);
    event.latency_us = Some(u32::from(from) * times * 1_000);
    event.response_bytes = (from % 3 > 0).then(|| u32::from(from) * times * 100);
    if cut {
        event.flags.set(Flags::CUT);
    }
    event
}

fn engines() -> Engines {
    let mut engines = Engines::new(Settings {
        partitions: 3,
        limits: MemoryLimits::of_keys(100),
        ids: IdKey([7; 32]),
        throttle_for: std::time::Duration::from_hours(1),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    });
    // Without rules: nothing is an incident.
    engines.apply(Input::Reference(&Reference::default()), &mut Vec::new());
    engines
}

/// Requests of some keys over days: gaps of minutes to half a day, bursts, some up to a quarter of an hour late.
fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let gap = prop_oneof![10 => 0u64..90_000, 4 => 90_000u64..1_800_000, 1 => 1_800_000u64..43_200_000];
    let delay = prop_oneof![7 => 0u64..2_000, 3 => 0u64..u64::from(LATENESS) * 1000];
    let step = (gap, 1u64..12, 0..KEYS, delay, any::<u8>(), prop::bool::weighted(0.1));
    prop::collection::vec(step, 50..400).prop_map(|steps| {
        let mut time_ms = 1_800_000_000_000;
        let mut all = Vec::new();
        for (gap, burst, key, delay, from, cut) in steps {
            time_ms += gap;
            for n in 0..burst {
                let time_ms = time_ms + n * 400;
                let from = from.wrapping_add(u8::from(n % 2 == 1) * 77);
                all.push(Arrival { written_ms: time_ms + delay * (n % 3) / 2, time_ms, key, from, cut });
            }
        }
        all
    })
}

/// Steady use of some keys for three days, with stretches of which no record is left: in minutes since the start, and long.
fn arrivals_with_gaps() -> impl Strategy<Value = Vec<Arrival>> {
    let delay = prop_oneof![7 => 0u64..2_000, 3 => 0u64..u64::from(LATENESS) * 1000];
    let step = (delay, 0..KEYS, any::<u8>(), 0u64..15_000);
    let steps = prop::collection::vec(step, 256);
    // One is long enough to be told of, whatever was usual; others may be.
    let long = (1_500u64..4_000, 150u64..200);
    let gaps = prop::collection::vec((1_500u64..4_200, 20u64..200), 0..3);
    (steps, long, gaps).prop_map(|(steps, long, mut gaps)| {
        gaps.push(long);
        let steps = steps.into_iter().cycle().zip(0u64..4 * 60 * 72);
        let all = steps.map(|((delay, key, from, off), n)| {
            let time_ms = 1_800_000_000_000 + n * 15_000 + off;
            let key = u8::try_from((u64::from(key) + n / 256) % u64::from(KEYS)).unwrap();
            Arrival { written_ms: time_ms + delay, time_ms, key, from, cut: false }
        });
        let is_left = |arrival: &Arrival| {
            let minute = (arrival.time_ms - 1_800_000_000_000) / 60_000;
            !gaps.iter().any(|(from, long)| (*from..from + long).contains(&minute))
        };
        all.filter(is_left).collect()
    })
}

/// Engines as they are after a restart. A checkpoint has only what changed since the last one.
fn restarted(mut before: Engines, entries: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Engines {
    before.checkpoint(&mut |key, value| {
        match value {
            Some(value) => entries.insert(key.to_vec(), value.to_vec()),
            None => entries.remove(key),
        };
    });
    let mut after = engines();
    for (key, value) in entries {
        after.restore(key, value).unwrap();
    }
    after
}

/// Deals them out, and reads them in runs as the slot does: an input at random of those that are not too far ahead; where there
/// are several, it is restarted now and then. Gives
/// what was learnt, how many records were late, and how many gaps were found.
fn learn(
    arrivals: &[Arrival],
    inputs: usize,
    mut choose: impl FnMut(usize) -> usize,
) -> (Vec<Vec<u8>>, u64, u64) {
    let mut queues = vec![VecDeque::new(); inputs];
    for arrival in arrivals {
        queues[choose(inputs)].push_back(*arrival);
    }
    let (mut engines, mut marks, mut effects) = (engines(), Watermarks::default(), Vec::new());
    let mut entries = BTreeMap::new();
    for (input, queue) in (0..).zip(&mut queues) {
        queue.make_contiguous().sort_by_key(|arrival| arrival.written_ms);
        marks.open(input);
    }
    while let Some(behind) = queues.iter().filter_map(|queue| queue.front()).map(|next| next.written_ms).min()
    {
        let ready: Vec<usize> = (0..inputs)
            .filter(|input| queues[*input].front().is_some_and(|next| next.written_ms <= behind + SKEW_MS))
            .collect();
        let input = ready[choose(ready.len())];
        let number = u32::try_from(input).unwrap();
        for _ in 0..=choose(40) {
            let Some(next) = queues[input].pop_front_if(|next| next.written_ms <= behind + SKEW_MS) else {
                break;
            };
            engines.apply_events(&[event(&next, number)], &mut effects);
            marks.seen(number, next.time_ms);
        }
        if queues[input].is_empty() {
            marks.idle(number);
        }
        if inputs > 1 && choose(100) == 0 {
            engines = restarted(engines, &mut entries);
        }
        if let Some(time) = marks.next(LATER_MS) {
            marks.advance(time);
            engines.apply(Input::Watermark(time), &mut effects);
        }
        engines.settle(&mut effects);
    }
    let mut late = 0;
    engines.take_late(|_, count| late += count);
    (engines.learnt(), late, engines.gaps_found())
}

/// The same of one input that has each record when its request was made.
fn learn_in_order(arrivals: &[Arrival]) -> (Vec<Vec<u8>>, u64, u64) {
    let in_order: Vec<Arrival> =
        arrivals.iter().map(|arrival| Arrival { written_ms: arrival.time_ms, ..*arrival }).collect();
    learn(&in_order, 1, |_| 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_learnt_does_not_hang_on_the_order_of_records(
        arrivals in arrivals(),
        inputs in 2usize..=8,
        choices in prop::collection::vec(any::<u16>(), 97),
    ) {
        let mut choices = choices.iter().cycle();
        let in_order = learn_in_order(&arrivals);
        let dealt = learn(&arrivals, inputs, |n| usize::from(*choices.next().unwrap()) % n);
        prop_assert_eq!(dealt.1, 0, "late");
        for (n, (in_order, dealt)) in in_order.0.iter().zip(&dealt.0).enumerate() {
            let other = in_order.iter().zip(dealt).position(|(a, b)| a != b);
            // Not what was learnt itself: it is long.
            prop_assert!(in_order == dealt, "key or route {n}: another order taught something else, from byte {other:?} on");
        }
        prop_assert_eq!(in_order.0.len(), dealt.0.len());
    }

    #[test]
    fn gaps_in_the_logs_are_passed_over_in_whatever_order_records_come(
        arrivals in arrivals_with_gaps(),
        inputs in 2usize..=8,
        choices in prop::collection::vec(any::<u16>(), 97),
    ) {
        let mut choices = choices.iter().cycle();
        let in_order = learn_in_order(&arrivals);
        let dealt = learn(&arrivals, inputs, |n| usize::from(*choices.next().unwrap()) % n);
        prop_assert_eq!((in_order.1, dealt.1), (0, 0), "late");
        prop_assert!(in_order.2 > 0, "no gap");
        let differ: Vec<usize> =
            (0..in_order.0.len()).filter(|n| in_order.0.get(*n) != dealt.0.get(*n)).collect();
        prop_assert!(differ.is_empty(), "another order taught something else: {differ:?}");
    }
}

/// What was told of some traffic.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Keys with an incident of medium severity or above that was open at any time.
    keys: BTreeSet<String>,
    /// Keys and rules, of all findings.
    findings: BTreeSet<(KeyId, String)>,
}

/// How traffic is read.
#[derive(Clone, Copy)]
struct Way {
    /// As one file, or dealt out to some that are read in turns of 200 lines, the one that is furthest behind first.
    files: usize,
    /// How far one is read ahead of it.
    ahead_ms: u64,
    /// How many of a hundred lines are written five to ten minutes late.
    late: u64,
}

impl Way {
    /// When a line of this time is written.
    fn written(self, n: usize, time_ms: u64) -> u64 {
        let chance = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        time_ms + if chance % 100 < self.late { 300_000 + chance / 100 % 300_000 } else { 0 }
    }
}

/// Lines of a file in the order in which they are written: when each is, its time, and what it says.
type Lines = VecDeque<(u64, u64, Vec<u8>)>;

/// Deals the lines of traffic out to files, neither in turn nor by key.
fn dealt(traffic: &mut Traffic, way: Way) -> Vec<Lines> {
    let (mut lines, mut n) = (vec![Lines::new(); way.files], 0usize);
    while let Some(line) = traffic.next_line() {
        let file = n.wrapping_mul(0x9E37_79B9) >> 7 & (way.files - 1);
        lines[file].push_back((way.written(n, line.time.0), line.time.0, line.bytes.to_vec()));
        n += 1;
    }
    for file in &mut lines {
        file.make_contiguous().sort_by_key(|(written, ..)| *written);
    }
    lines
}

/// Reads traffic in this way.
fn told(traffic: &mut Traffic, way: Way) -> Told {
    let Way { files, ahead_ms, .. } = way;
    let rules = RuleSet::shipped();
    let names: Vec<String> = rules.rules.iter().map(|rule| rule.id.clone()).collect();
    let mut reading = reading(rules, servers(traffic));
    let mut lines = dealt(traffic, way);
    let mut marks = Watermarks::default();
    (0..).zip(&lines).for_each(|(input, _)| marks.open(input));
    let (mut out, mut batch, mut told) = (Outcome::default(), Batch::new(200), Told::default());
    let mut offset = 0;
    while let Some(file) = (0..files)
        .filter(|file| !lines[*file].is_empty())
        .min_by_key(|file| lines[*file].front().map(|(written, ..)| *written))
    {
        let input = u32::try_from(file).unwrap();
        let others = (0..files).filter(|other| *other != file);
        let behind = others.filter_map(|other| lines[other].front()).map(|(written, ..)| *written).min();
        let (mut newest, mut now) = (0, 0);
        while batch.room() > 0
            && let Some((written, time, bytes)) = lines[file].pop_front_if(|(written, ..)| {
                behind.is_none_or(|behind| *written <= behind.saturating_add(ahead_ms))
            })
        {
            (newest, now) = (time.max(newest), written);
            let (next, bytes) = (offset + 1, bytes.as_slice());
            batch.push(Record { source: 0, input, offset, next, log_time_ms: None, bytes, cut: false });
            offset = next;
        }
        reading.read(&batch, now + 1000, &mut out);
        batch.clear();
        marks.seen(input, newest);
        if lines[file].is_empty() {
            marks.idle(input);
        }
        reading.settle(&mut out);
        if let Some(time) = marks.next(LATER_MS) {
            marks.advance(time);
            reading.watermark(time, &mut out);
            reading.settle(&mut out);
        }
        for effect in out.effects.drain(..) {
            match effect {
                Effect::Incident(incident) if incident.severity >= Severity::Medium => {
                    told.keys.insert(incident.subject.id.clone());
                }
                Effect::Finding(key, finding) => {
                    told.findings.insert((key, names[usize::from(finding.rule)].clone()));
                }
                _ => {}
            }
        }
    }
    assert!(out.tallies[0].events > 0 && out.tallies[0].rejected.is_empty());
    told
}

fn traffic(days: u16, keys: usize) -> Traffic {
    let plan = Plan { seed: 9911, days, keys, formats: Formats::One(Format::Nginx), ..Plan::default() };
    Traffic::new(plan).unwrap()
}

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

/// `KEYHOUND_ORDER_DAYS` and `KEYHOUND_ORDER_KEYS` make it larger.
#[test]
fn honest_traffic_opens_no_incident_however_many_files_it_is_in() {
    let days = u16::try_from(setting("KEYHOUND_ORDER_DAYS", 5)).unwrap();
    let keys = setting("KEYHOUND_ORDER_KEYS", 20);
    for files in [1, 8] {
        assert_eq!(
            told(&mut traffic(days, keys), Way { files, ahead_ms: u64::MAX, late: 0 }).keys,
            BTreeSet::new(),
            "in {files} files"
        );
    }
}

/// `KEYHOUND_ORDER_ATTACKS=50` is the whole of it.
#[test]
fn attacks_are_found_by_the_same_rules_however_many_files_they_are_in() {
    let attacks = setting("KEYHOUND_ORDER_ATTACKS", 10);
    let attacked = || {
        let mut traffic = traffic(5, 2 * attacks);
        let start = traffic.plan().start;
        for n in 0..attacks {
            let scenario = if n % 2 == 0 { Scenario::Leak } else { Scenario::Scrape };
            let at = start.after(Duration::from_secs(4 * 86_400 + n as u64 * 40_000 / attacks as u64));
            traffic.inject(Injection { scenario, at, target: 2 * n }).unwrap();
        }
        traffic
    };
    let way = |files, late| told(&mut attacked(), Way { files, ahead_ms: AHEAD_MS, late });
    let one = way(1, 0);
    assert_eq!(one.keys.len(), attacks, "in one file");
    for (files, late) in [(8, 0), (1, 30), (8, 30)] {
        let other = way(files, late);
        assert_eq!(one.keys, other.keys, "in {files} files, {late} of 100 late");
        let counts = |(_, rule): &&(KeyId, String)| !BY_WINDOW.contains(&rule.as_str());
        let missing: Vec<_> = one.findings.difference(&other.findings).filter(counts).collect();
        let more: Vec<_> = other.findings.difference(&one.findings).filter(counts).collect();
        assert!(missing.is_empty() && more.is_empty(), "{files} files, {late} late: {missing:?} {more:?}");
    }
    assert!(one.findings.len() >= 4 * attacks, "{}", one.findings.len());
}
