//! Tests of which routes are kept, and of what is learnt of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{event::stable_hash, profile::fold::LATENESS};

const HOUR: u32 = 3600;

/// A request on a route, and how long it takes until its record is read.
#[derive(Clone, Copy, Debug)]
struct Request {
    second: u32,
    late: u32,
    route: u64,
    latency_us: Option<u32>,
    bytes: Option<u32>,
}

/// Three days of two routes that are used much, some that are used steadily, some for a few hours a day or two, and some that
/// somebody invents: in all more than can be kept, and in some hours more than can wait.
fn requests(seed: u64) -> Vec<Request> {
    let random =
        |of: &str, n: u64| stable_hash(&[&seed.to_le_bytes(), of.as_bytes(), &n.to_le_bytes()].concat());
    let mut requests = Vec::new();
    for n in 0..72 * 400u64 {
        let second = 500_000 * HOUR + u32::try_from(n * 9).unwrap();
        let hour = u64::from(second / HOUR) + seed;
        let of_hours = 1_000 * (hour / 9 % 8);
        let route = match random("kind", n) % 10 {
            0..4 => 1 + n % 2,
            4..7 => 100 + random("route", n) % 120,
            7 => 10_000 + of_hours + random("route", n) % 40,
            8 => 20_000 + random("route", n) % 5_000,
            _ => 30_000 + random("route", n) % 40,
        };
        let latency = u32::try_from(random("latency", n) % 1_000_000).unwrap();
        // Slower and slower, so that some are always beyond what was learnt.
        let times = 1 + u32::try_from(n / 2_400).unwrap();
        let bytes = (n % 5 > 0).then_some(latency / 3);
        let late = u32::try_from(random("late", n) % u64::from(LATENESS)).unwrap();
        let request = Request { second, late, route, latency_us: Some(latency * times), bytes };
        requests.push(request);
        // So that each of them stands somewhere else among the others.
        let invented = if hour % 23 == 3 { 5 } else { 0 };
        requests.extend((0..invented).map(|n| Request { route: random("new", hour << 32 | n), ..request }));
    }
    for request in &mut requests {
        request.route = stable_hash(&request.route.to_le_bytes());
    }
    requests
}

/// A table as it is after a restart. A checkpoint has only what changed since the last one.
fn restarted(mut before: RouteTable, entries: &mut BTreeMap<u64, Vec<u8>>) -> RouteTable {
    before.checkpoint(|route, entry| {
        match entry {
            Some(entry) => entries.insert(route, entry.0),
            None => entries.remove(&route),
        };
    });
    let (mut after, mut waiting) = (RouteTable::default(), Writer::versioned());
    for (route, entry) in entries {
        after.restore(*route, &mut Reader::versioned(entry).unwrap()).unwrap();
    }
    before.write_waiting(&mut waiting);
    after.read_waiting(&mut Reader::versioned(&waiting.0).unwrap()).unwrap();
    after.unjudged = before.unjudged;
    after
}

/// What was learnt, which requests were slow or large, and how many had no place.
type Truth = (BTreeMap<u64, Vec<u8>>, Vec<(bool, bool)>, u64);

/// Reads the records in this order, with a restart after each so many.
fn learn(requests: &[Request], restart_every: usize, read_at: impl Fn(&Request) -> u32) -> Truth {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|at| read_at(&requests[*at]));
    let (mut table, mut watermark) = (RouteTable::default(), 0);
    let mut beyond = vec![(false, false); requests.len()];
    let mut entries = BTreeMap::new();
    for (n, at) in order.into_iter().enumerate() {
        if n % restart_every == restart_every - 1 {
            table = restarted(table, &mut entries);
        }
        let Request { second, route, latency_us, bytes, .. } = requests[at];
        let of = table.observe(route, second, watermark, latency_us, bytes, false);
        beyond[at] = (of.slow, of.large);
        watermark = watermark.max(second);
    }
    let learnt = table.learnt(watermark).into_iter().map(|(route, written)| (route, written.0));
    (learnt.collect(), beyond, table.unjudged)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn neither_which_routes_are_kept_nor_what_they_teach_hangs_on_the_order(seed in any::<u64>()) {
        let seed = seed >> 24;
        let requests = requests(seed);
        let in_order = learn(&requests, usize::MAX, |request| request.second);
        let any_order = learn(&requests, 3_000, |request| request.second + request.late);
        let keys = |truth: &Truth| truth.0.keys().copied().collect::<Vec<_>>();
        prop_assert_eq!(keys(&in_order), keys(&any_order), "others are kept");
        let differ = in_order.0.iter().filter(|(route, learnt)| any_order.0.get(route) != Some(learnt));
        prop_assert_eq!(differ.count(), 0, "what was learnt");
        let differ = in_order.1.iter().zip(&any_order.1).filter(|(one, other)| one != other);
        prop_assert_eq!(differ.count(), 0, "what is slow or large");
        // That it was worth looking at.
        let slow = in_order.1.iter().filter(|(slow, _)| *slow).count();
        prop_assert!(slow > 20 && in_order.2 > 1_000, "{slow} slow, {} without a place", in_order.2);
    }
}

/// A table in which these routes have their place since hour 10 closed.
fn with_routes(routes: std::ops::RangeInclusive<u64>) -> RouteTable {
    let mut table = RouteTable::default();
    for route in routes {
        table.observe(route, 10 * HOUR, 0, Some(1_000), Some(64), false);
    }
    assert!(table.is_empty(), "the hour has not closed");
    table.close_hours(11);
    table
}

fn use_in(table: &mut RouteTable, hour: u32, routes: &[u64]) {
    for route in routes {
        table.observe(*route, hour * HOUR, 0, Some(1_000), Some(64), false);
    }
}

#[test]
fn a_full_table_takes_others_when_what_was_not_used_for_a_day_has_gone() {
    let mut table = with_routes(1..=ROUTES_MAX as u64);
    for hour in 12..=37 {
        use_in(&mut table, hour, &[7, 1_000]);
        assert_eq!(table.len(), ROUTES_MAX, "hour {hour}");
    }
    assert_eq!(table.unjudged, 26);
    // Hour 35 has closed, the first whose whole day was without them.
    use_in(&mut table, 36, &[8]);
    assert_eq!(table.unjudged, 26, "it may have come before that was known");
    use_in(&mut table, 37, &[8, 9]);
    assert_eq!(table.unjudged, 28);
    use_in(&mut table, 38, &[7, 1_000]);
    assert_eq!((table.len(), table.unjudged), (2, 28));
    use_in(&mut table, 39, &[7]);
    let mut entries = Vec::new();
    table.checkpoint(|route, state| entries.push((route, state.is_some())));
    let kept: Vec<u64> = entries.iter().filter(|(_, kept)| *kept).map(|(route, _)| *route).collect();
    assert_eq!(kept, [7, 8, 9, 1_000]);
    assert_eq!(entries.len(), ROUTES_MAX + 1, "those that went are told, but 8 and 9, which are here again");
}

#[test]
fn of_those_that_wait_the_most_used_get_the_places() {
    let mut table = RouteTable::default();
    let of_two = ROUTES_MAX as u64 * 2;
    for route in 1..=of_two {
        use_in(&mut table, 10, &[route]);
    }
    let often: Vec<u64> = (1..=of_two).filter(|route| route % 2 == 0).collect();
    use_in(&mut table, 10, &often);
    table.close_hours(11);
    let mut places: Vec<u64> = table.index.keys().copied().collect();
    places.sort_unstable();
    assert_eq!(places, often);
}

#[test]
fn an_hour_says_what_is_slow_in_the_one_after_the_next() {
    let at = |table: &mut RouteTable, second, watermark, us| {
        table.observe(1, second, watermark, Some(us), Some(64), false).slow
    };
    let mut table = with_routes(1..=1);
    for n in 0..500 {
        // The last ones are 15 min late.
        let second = 13 * HOUR - 1 - n % 900;
        at(&mut table, second, 13 * HOUR - 1, 5_000);
    }
    let closes = 13 * HOUR + LATENESS;
    assert!(
        !at(&mut table, closes + 60, closes, 9_000),
        "it has closed, but what came before it had was not slow"
    );
    assert!(at(&mut table, 14 * HOUR, closes, 9_000));
    assert!(!at(&mut table, 14 * HOUR - 1, closes, 9_000), "of the hour before, and late");
    assert!(!at(&mut table, 14 * HOUR, closes, 5_000));
    // Nothing came for long: what was learnt last is what there is.
    assert!(at(&mut table, 50 * HOUR, 50 * HOUR, 9_000) && at(&mut table, 51 * HOUR, 51 * HOUR, 9_000));
}

#[test]
fn what_teaches_nothing_takes_no_place() {
    let mut table = RouteTable::default();
    table.observe(1, 10 * HOUR, 0, Some(1_000), Some(64), true);
    use_in(&mut table, 13, &[2]);
    assert!(table.is_empty());
    use_in(&mut table, 15, &[2]);
    table.observe(2, 16 * HOUR, 0, Some(9_000), Some(64), true);
    assert_eq!(table.len(), 1);
    let (mut entries, mut again) = (BTreeMap::new(), BTreeMap::new());
    let mut restored = restarted(table.clone(), &mut entries);
    for table in [&mut table, &mut restored] {
        use_in(table, 17, &[2]);
    }
    restarted(table, &mut again);
    restarted(restored, &mut entries);
    assert_eq!(entries, again, "as if it had never been away");
}

#[test]
fn whoever_invents_routes_takes_no_more_memory_than_there_is() {
    let mut waiting = WaitingRoutes::default();
    for n in 0..100_000u64 {
        waiting.count(stable_hash(&n.to_le_bytes()), n);
    }
    let mut out = Writer::default();
    waiting.write(&mut out);
    assert!(out.0.len() < 24 << 10, "{}", out.0.len());
}
