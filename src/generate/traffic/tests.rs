//! What traffic promises, for honest keys and for scenarios.

use std::collections::BTreeMap;

use super::*;
use crate::generate::{Format, Formats, Scenario};

fn plan() -> Plan {
    Plan { keys: 60, days: 2, lines_max: 30_000, ..Plan::default() }
}

fn each(traffic: &mut Traffic, mut see: impl FnMut(Line<'_>)) {
    while let Some(line) = traffic.next_line() {
        see(line);
    }
}

fn lines(plan: Plan) -> Vec<String> {
    let mut lines = Vec::new();
    each(&mut Traffic::new(plan).unwrap(), |line| {
        lines.push(String::from_utf8(line.bytes.to_vec()).unwrap());
    });
    lines
}

fn json(line: &Line<'_>) -> serde_json::Value {
    serde_json::from_slice(line.bytes).unwrap()
}

#[test]
fn equal_plans_give_equal_lines_and_seeds_matter() {
    let day = Plan { days: 1, keys: 20, lines_max: 5_000, ..Plan::default() };
    assert_eq!(lines(day), lines(day));
    assert_ne!(lines(day), lines(Plan { seed: 2, ..day }));
}

#[test]
fn lines_come_in_order_of_time_within_the_plan_and_as_many_as_planned() {
    let plan = plan();
    let expected = plan.rates().iter().sum::<f64>() * 2.0 * 1_440.0;
    let (mut last, mut count) = (plan.start, 0.0);
    each(&mut Traffic::new(plan).unwrap(), |line| {
        assert!(line.time >= last && line.time < plan.end());
        last = line.time;
        count += 1.0;
    });
    // Two weekdays are above the week's mean.
    assert!((0.95..1.25).contains(&(count / expected)), "{count} of {expected}");
}

#[test]
fn every_form_is_json_with_its_key_and_credential() {
    for (format, key_at) in
        [(Format::Nginx, "/api_key"), (Format::Kong, "/request/headers/apikey"), (Format::Envoy, "/api_key")]
    {
        let plan =
            Plan { formats: Formats::One(format), days: 1, keys: 25, lines_max: 5_000, ..Plan::default() };
        let mut traffic = Traffic::new(plan).unwrap();
        let keys = traffic.keys().to_vec();
        each(&mut traffic, |line| {
            let value = json(&line);
            let key = &keys[line.key];
            assert_eq!(value.pointer(key_at).unwrap(), key.raw_key.reveal());
            if format == Format::Kong {
                assert_eq!(value.pointer("/authenticated_entity/id").unwrap(), key.credential.as_str());
            }
        });
    }
}

#[test]
fn a_leak_changes_nothing_but_adds_a_stranger() {
    let mut traffic = Traffic::new(plan()).unwrap();
    let key = traffic.key_like(ClientKind::Server, 3.0).unwrap();
    let at = EventTime(plan().start.0 + 30 * 3_600_000);
    let label = traffic.inject(Injection { scenario: Scenario::Leak, at, target: key }).unwrap().clone();
    let own: Vec<String> = traffic.keys()[key].agents.clone();
    let (mut honest, mut stranger, mut refused, mut discovery) = (Vec::new(), 0, 0, 0);
    each(&mut traffic, |line| {
        if line.label.is_none() {
            honest.push(String::from_utf8(line.bytes.to_vec()).unwrap());
            return;
        }
        assert_eq!(line.key, key);
        assert!((label.from_ms..label.to_ms).contains(&line.time.0));
        let value = json(&line);
        assert!(!own.contains(&value["ua"].as_str().unwrap().to_owned()));
        stranger += 1;
        if line.time.0 < label.from_ms + 4 * 60_000 {
            discovery += 1;
            refused += i32::from(value["status"] == "403");
        }
    });
    assert_eq!(honest, lines(plan()));
    assert!(stranger > 300, "{stranger} requests of the stranger");
    assert!((20..1_500).contains(&discovery) && refused * 10 >= discovery, "{refused} of {discovery}");
}

#[test]
fn a_flash_crowd_is_large_wide_and_without_more_errors() {
    let mut traffic = Traffic::new(plan()).unwrap();
    let at = EventTime(plan().start.0 + 36 * 3_600_000);
    let label = traffic.inject(Injection { scenario: Scenario::FlashCrowd, at, target: 0 }).unwrap().clone();
    let mut by_hour: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    each(&mut traffic, |line| {
        if label.keys.iter().any(|key| key.index == line.key) {
            let counts = by_hour.entry(line.time.0 / 3_600_000).or_default();
            counts.0 += 1;
            counts.1 += u32::from(json(&line)["status"].as_str().unwrap() >= "400");
        }
    });
    let hour = at.0 / 3_600_000;
    let (before, within) = (by_hour[&(hour - 2)], by_hour[&(hour + 1)]);
    assert!(within.0 > before.0 * 4, "{before:?} {within:?}");
    assert!(f64::from(within.1) / f64::from(within.0) < 0.03, "{within:?}");
}

#[test]
fn every_scenario_can_be_staged_and_happens_to_its_keys_only() {
    for scenario in Scenario::ALL {
        let mut traffic = Traffic::new(Plan { days: 1, lines_max: 5_000, ..plan() }).unwrap();
        let at = EventTime(plan().start.0 + 10 * 3_600_000);
        let label = traffic.inject(Injection { scenario, at, target: 4 }).unwrap().clone();
        let labelled: Vec<usize> = label.keys.iter().map(|key| key.index).collect();
        assert!(!labelled.is_empty() && label.from_ms < label.to_ms, "{scenario:?}");
        each(&mut traffic, |line| {
            assert!(line.label.is_none() || labelled.contains(&line.key), "{scenario:?}");
        });
    }
}

#[test]
fn what_cannot_be_injected_is_refused_with_what_would_be_right() {
    let mut traffic = Traffic::new(plan()).unwrap();
    let at = plan().start;
    let error = traffic.inject(Injection { scenario: Scenario::Leak, at, target: 60 }).unwrap_err();
    assert_eq!(error.to_string(), "there is no key 60; there are 60, counted from 0");
    let at = plan().end();
    let error = traffic.inject(Injection { scenario: Scenario::Leak, at, target: 0 }).unwrap_err();
    assert!(error.to_string().contains("the traffic runs from 2026-11-02T00:00:00Z"), "{error}");
}
