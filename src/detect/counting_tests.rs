use proptest::prelude::*;

use super::*;
use crate::{
    detect::{
        Family, Scale,
        count::{CountryCode, Distinct, MethodName, Network, NetworkKind, Pattern, ShareOf, Statuses},
    },
    event::{EventTime, KeyId, KeyKind, Name, Place, testing::plain},
};

fn event(status: u16, route: &'static str) -> Event<'static> {
    let key = KeyId { kind: KeyKind::Raw, hash: [1; 16] };
    let (route, agent) = (Name::new(route), Name::new("curl/8.5"));
    Event { status: Some(status), route, agent, ..plain(key, EventTime(1_800_000_000_000)) }
}

fn pattern(text: &str) -> Pattern {
    text.to_owned().try_into().unwrap()
}

fn count(matches: Match) -> Count {
    Count { matches, over: Scale::Minute, more_than: 20, share_of: None, at_least: None, distinct: None }
}

/// The rule's own words, one condition after the other.
fn meets(one: &Match, event: &Event<'_>) -> bool {
    let status = one.status.iter().any(|s| Some(s.least) <= event.status && event.status <= Some(s.most));
    let method = one.method.iter().any(|m| m.0 == event.method);
    let route = one.route.iter().any(|p| p.fits(event.route.text));
    let country = one.country.iter().any(|c| c.0 == event.place.country);
    let network = one.network.iter().any(|n| n.0 == event.place.asn);
    let kind = one.network_type.iter().any(|k| k.0 == event.place.network_type);
    let agent = one.agent.iter().any(|p| p.fits(event.agent.text));
    (one.status.is_empty() || status)
        && (one.method.is_empty() || method)
        && (one.route.is_empty() || route)
        && (one.country.is_empty() || country)
        && (one.network.is_empty() || network)
        && (one.network_type.is_empty() || kind)
        && (one.agent.is_empty() || agent)
}

fn some_of<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    // Empty more often than not: a rule names a field or two.
    prop_oneof![2 => Just(Vec::new()), 1 => prop::sample::subsequence(values, 1..=2)]
}

fn any_match() -> impl Strategy<Value = Match> {
    let class = |least: u16, most: u16| Statuses { least, most };
    let country = |code: &str| CountryCode(Country::parse(code));
    (
        some_of(vec![class(401, 401), class(403, 403), class(500, 599)]),
        some_of(vec![MethodName(Method::Get), MethodName(Method::Delete), MethodName(Method::Other)]),
        some_of(vec![pattern("/v1/admin"), pattern("/v1/*"), pattern("/v2*")]),
        some_of(vec![country("IE"), country("BR")]),
        some_of(vec![Network(16_509), Network(14_061)]),
        some_of(vec![NetworkKind(NetworkType::Hosting), NetworkKind(NetworkType::Unknown)]),
        some_of(vec![pattern("curl/*"), pattern("acme-sdk/4.2")]),
    )
        .prop_map(|(status, method, route, country, network, network_type, agent)| Match {
            status,
            method,
            route,
            country,
            network,
            network_type,
            agent,
        })
}

fn any_event() -> impl Strategy<Value = Event<'static>> {
    (
        prop::sample::select(vec![0u16, 200, 401, 403, 404, 500, 599]),
        prop::sample::select(vec![Method::Get, Method::Delete, Method::Post, Method::Other]),
        prop::sample::select(vec!["", "/v1/admin", "/v1/orders", "/v2", "/v3"]),
        prop::sample::select(vec!["", "IE", "BR", "DE"]),
        prop::sample::select(vec![0u32, 16_509, 14_061]),
        prop::sample::select(NetworkType::ALL.to_vec()),
        prop::sample::select(vec!["", "curl/8.5", "acme-sdk/4.2"]),
    )
        .prop_map(|(status, method, route, country, asn, network_type, agent)| Event {
            method,
            agent: Name::new(agent),
            place: Place { country: Country::parse(country), asn, network_type, ..Place::default() },
            ..event(status, route)
        })
}

proptest! {
    #[test]
    fn the_mask_is_what_the_rules_say_one_by_one(
        matches in prop::collection::vec(any_match(), 0..64),
        events in prop::collection::vec(any_event(), 1..20),
    ) {
        let uses = (0u16..).zip(&matches).map(|(rule, one)| CountUse::new(rule, "r", count(one.clone())));
        let counting = Counting::new(uses.collect());
        for event in &events {
            let mask = counting.mask(event);
            for (bit, one) in matches.iter().enumerate() {
                prop_assert_eq!(mask >> bit & 1 == 1, meets(one, event), "{:?} of {:?}", one, event);
            }
            prop_assert!(matches.len() == 64 || mask >> matches.len() == 0);
        }
    }
}

/// Counts so many requests of these statuses, each on a route of its own, within a second.
fn signal_after(count: Count, matched: u32, others: u32, served: u32) -> Option<Signal> {
    let one = CountUse::new(3, "r", count);
    let mut counter = one.counter();
    let routes: Vec<String> = (0..matched + others).map(|n| format!("/{n}")).collect();
    let mut last = None;
    for (n, route) in (0u32..).zip(&routes) {
        // What does not match comes first, so that the last judgement is of all.
        let is_match = n >= others;
        let event = Event { route: Name::new(route), ..event(403, "") };
        one.count(&mut counter, &event, is_match, 600, 600);
        if is_match {
            last = one.judge(&mut counter, served, 600).or(last);
        }
    }
    last
}

/// The same on `routes` others and some refused ones again and again, for as long as this.
fn shares_after(count: Count, refused: u32, others: u32, seconds: std::ops::Range<u32>) -> Vec<String> {
    let one = CountUse::new(3, "r", count);
    let mut counter = one.counter();
    let names: Vec<String> = (0..refused + others).map(|n| format!("/{n}")).collect();
    let mut found = Vec::new();
    for second in seconds {
        for (n, name) in (0u32..).zip(&names) {
            let event = Event { route: Name::new(name), ..event(403, "") };
            one.count(&mut counter, &event, n < refused, second, second);
            if n < refused {
                found.extend(one.judge(&mut counter, 0, second).map(|signal| signal.observed));
            }
        }
    }
    found
}

#[track_caller]
fn check(count: &Count, (matched, others, served): (u32, u32, u32), expected: Option<(&str, &str, f64)>) {
    let signal = signal_after(count.clone(), matched, others, served);
    let seen = signal
        .as_ref()
        .map(|s| (s.observed.as_str(), s.expected.as_str(), (s.score * 100.0).round() / 100.0));
    assert_eq!(seen, expected);
}

#[test]
fn a_count_is_found_above_its_limit_and_not_at_it() {
    let refused = count(Match { status: vec![Statuses { least: 403, most: 403 }], ..Match::default() });
    check(&refused, (20, 0, 0), None);
    check(&refused, (21, 0, 0), Some(("21 requests in 1 min with status 403", "limit 20", 3.0)));
    let different = Count { distinct: Some(Distinct::Route), ..refused.clone() };
    check(&different, (20, 0, 0), None);
    check(&different, (21, 50, 0), Some(("21 different routes in 1 min with status 403", "limit 20", 3.0)));
    let any = Count { more_than: 0, ..refused };
    check(&any, (1, 0, 0), Some(("1 requests in 1 min with status 403", "limit 0", 3.0)));
}

#[test]
fn a_share_needs_enough_and_knows_what_was_served_before() {
    let share = Count {
        share_of: Some(ShareOf::All),
        ..count(Match { status: vec![Statuses { least: 400, most: 499 }], ..Match::default() })
    };
    check(&share, (9, 0, 0), None);
    check(&share, (10, 40, 0), None);
    check(
        &share,
        (10, 15, 0),
        Some(("10 of 25 requests (40 %) in 1 min with status 4xx", "limit 20 %", 4.0)),
    );
    check(&share, (10, 0, 1000), None);
    let three = Count { at_least: Some(3), ..share };
    check(&three, (3, 0, 0), Some(("3 of 3 requests (100 %) in 1 min with status 4xx", "limit 20 %", 5.32)));
}

#[test]
fn a_share_is_found_above_its_limit_and_not_at_it() {
    for limit in 1..=99 {
        let share = Count {
            more_than: limit,
            share_of: Some(ShareOf::All),
            at_least: Some(1),
            ..count(Match { status: vec![Statuses { least: 403, most: 403 }], ..Match::default() })
        };
        assert_eq!(signal_after(share.clone(), limit, 100 - limit, 0), None, "{limit} of 100");
        assert!(signal_after(share, limit + 1, 99 - limit, 0).is_some(), "{} of 100", limit + 1);
    }
}

#[test]
fn a_share_of_different_values_is_said_once_a_window_of_them_is_known() {
    let share = Count {
        share_of: Some(ShareOf::All),
        distinct: Some(Distinct::Route),
        ..count(Match { status: vec![Statuses { least: 403, most: 403 }], ..Match::default() })
    };
    assert_eq!(shares_after(share.clone(), 10, 15, 600..659), [] as [&str; 0], "it began within the window");
    let found = shares_after(share.clone(), 10, 15, 600..665);
    assert_eq!(found, ["10 of 25 different routes (40 %) in 1 min with status 403"]);
    assert_eq!(shares_after(share.clone(), 10, 40, 600..665), [] as [&str; 0]);
    // Past 256 of them it is not known how many there are.
    assert_eq!(shares_after(share, 60, 200, 600..665), [] as [&str; 0]);
}

#[test]
fn a_rule_that_becomes_one_about_a_share_does_not_take_what_it_has_for_all_there_is() {
    let plain = Count {
        distinct: Some(Distinct::Route),
        ..count(Match { status: vec![Statuses { least: 403, most: 403 }], ..Match::default() })
    };
    let (before, after) = (
        CountUse::new(3, "r", plain.clone()),
        CountUse::new(3, "r", Count { share_of: Some(ShareOf::All), ..plain }),
    );
    let mut counter = before.counter();
    for name in ["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i", "/j", "/k"] {
        let event = Event { route: Name::new(name), ..event(403, "") };
        before.count(&mut counter, &event, true, 600, 600);
    }
    after.count(&mut counter, &event(403, "/a"), true, 601, 601);
    assert_eq!(after.judge(&mut counter, 0, 601), None);
    before.count(&mut counter, &event(403, "/a"), true, 602, 602);
    assert_eq!(counter.whole, None, "and one that no longer is forgets it");
}

#[test]
fn the_family_follows_from_what_is_counted() {
    let status = |least, most| Match { status: vec![Statuses { least, most }], ..Match::default() };
    let admin = Match { route: vec![pattern("/admin*")], ..Match::default() };
    assert_eq!(count(status(401, 401)).family(), Family::Errors);
    assert_eq!(Count { distinct: Some(Distinct::Route), ..count(status(500, 599)) }.family(), Family::Errors);
    assert_eq!(count(status(200, 299)).family(), Family::Cost);
    assert_eq!(count(admin.clone()).family(), Family::Cost);
    assert_eq!(Count { distinct: Some(Distinct::Country), ..count(admin) }.family(), Family::Breadth);
}

#[test]
fn a_counter_is_named_by_rule_match_window_and_what_is_different() {
    let refused = count(Match { status: vec![Statuses { least: 403, most: 403 }], ..Match::default() });
    let name = |id: &str, count: &Count| CountUse::new(0, id, count.clone()).name;
    let same = Count { more_than: 9, share_of: Some(ShareOf::All), ..refused.clone() };
    assert_eq!(name("r", &same), name("r", &refused));
    for other in [
        Count { over: Scale::Hour, ..refused.clone() },
        Count { distinct: Some(Distinct::Agent), ..refused.clone() },
        count(Match { status: vec![Statuses { least: 401, most: 403 }], ..Match::default() }),
    ] {
        assert_ne!(name("r", &other), name("r", &refused), "{other:?}");
    }
    assert_ne!(name("s", &refused), name("r", &refused));
}
