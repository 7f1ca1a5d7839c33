//! Tests of how long routes take and how much they send.

use super::*;
use crate::profile::fold::LATENESS;

/// A table that is full of routes that were used in hour 10.
fn full() -> RouteTable {
    let mut table = RouteTable::default();
    for route in 1..=ROUTES_MAX as u64 {
        table.observe(route, 10 * 3600, 0, Some(1_000), Some(64), false);
    }
    table
}

fn written(table: &mut RouteTable) -> Vec<(u64, bool)> {
    let mut entries = Vec::new();
    table.checkpoint(|route, state| entries.push((route, state.is_some())));
    entries
}

#[test]
fn a_full_table_forgets_what_was_not_used_for_a_day_and_takes_others() {
    let mut table = full();
    assert_eq!(written(&mut table).len(), ROUTES_MAX);
    table.observe(7, 20 * 3600, 0, Some(1_000), Some(64), false);
    table.observe(1_000, 20 * 3600, 0, Some(1_000), Some(64), false);
    assert_eq!((table.len(), table.unjudged), (ROUTES_MAX, 1));
    table.sweep(10 + UNUSED_HOURS - 1);
    assert_eq!(table.len(), ROUTES_MAX, "all were used within the day");
    table.sweep(10 + UNUSED_HOURS);
    assert_eq!(table.len(), 1);
    table.observe(1_000, 35 * 3600, 0, Some(1_000), Some(64), false);
    table.observe(9, 35 * 3600, 0, Some(1_000), Some(64), false);
    assert_eq!((table.len(), table.unjudged), (3, 1));
    let entries = written(&mut table);
    let kept: Vec<u64> = entries.iter().filter(|(_, kept)| *kept).map(|(route, _)| *route).collect();
    assert_eq!(kept, [7, 9, 1_000]);
    assert_eq!(entries.len(), ROUTES_MAX + 1, "those that went are told, but 7 and 9, which are here");
}

#[test]
fn an_hour_teaches_when_it_has_closed_whatever_comes_first() {
    let p99 = |table: &RouteTable| table.routes[0].1.latency_p99_ms;
    let hour = 10 * 3600;
    let mut table = RouteTable::default();
    for n in 0..FIRST {
        // The last ones are 15 min late.
        let second = hour + 3_599 - n % 900;
        table.observe(1, second, second, Some(5_000), Some(64), false);
    }
    table.observe(1, hour + 3600 + LATENESS - 60, hour + 3600 + LATENESS - 1, Some(9_000), None, false);
    assert_eq!(p99(&table), u32::MAX, "late ones may come yet");
    table.observe(1, hour + 3600 + LATENESS + 60, hour + 3600 + LATENESS, Some(9_000), None, false);
    assert_eq!(p99(&table), 5);
    assert!(table.observe(1, hour + 3600, hour + 3600 + LATENESS, Some(9_000), None, true).slow);
}

#[test]
fn what_teaches_nothing_takes_no_place() {
    let mut table = RouteTable::default();
    table.observe(1, 10 * 3600, 0, Some(1_000), Some(64), true);
    assert_eq!(table.len(), 0);
    table.observe(1, 10 * 3600, 0, Some(1_000), Some(64), false);
    table.observe(1, 11 * 3600, 0, Some(9_000), Some(64), true);
    let bytes = |table: &mut RouteTable| {
        let mut entries = Vec::new();
        table.checkpoint(|route, state| entries.push((route, state.map(|state| state.0))));
        entries
    };
    let mut restored = RouteTable::default();
    for (route, state) in bytes(&mut table) {
        restored.restore(route, &mut Reader::versioned(&state.unwrap()).unwrap()).unwrap();
    }
    for table in [&mut table, &mut restored] {
        table.observe(1, 12 * 3600, 0, Some(2_000), Some(64), false);
    }
    assert_eq!(bytes(&mut table), bytes(&mut restored), "as if it had never been away");
}
