use super::*;
use crate::{event::Refusal, respond::Step};

#[track_caller]
fn refused(text: &str, line: u32, column: u32, message: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.message.contains(message), "{text}: {error}");
    assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
}

#[test]
fn a_script_starts_on_a_monday_and_lines_follow_each_other() {
    let script = parse("1d a 5/min from IE/AS16509\n\n2m a 900/min # a burst\n").unwrap();
    assert_eq!(START.rfc3339(), "2026-01-05T00:00:00Z");
    assert_eq!(script.last_block(), START.after(Duration::from_hours(24)));
    assert_eq!(script.duration(), Duration::from_mins(1442));
    let times: Vec<_> = script.events().map(|event| event.time).collect();
    assert_eq!(times.len(), 5 * 1440 + 1800);
    assert!(times.is_sorted());
    assert_eq!(times[1].since(times[0]), Duration::from_secs(12));
}

#[test]
fn lines_with_an_ampersand_run_beside_each_other() {
    let script = parse("10s a 1/s\n& 5s b 2/s status 403\n10s c 1/s").unwrap();
    let keys: String = script
        .events()
        .map(|event| script.keys().into_iter().find(|key| key_of(*key) == event.key).unwrap())
        .collect();
    assert_eq!(keys, "abbabbabbabbabbaaaaacccccccccc");
    assert_eq!(script.last_block(), START.after(Duration::from_secs(10)));
    let refused = script.events().filter(|event| event.refusal == Refusal::Upstream).count();
    assert_eq!(refused, 10);
}

#[test]
fn attributes_reach_the_events() {
    let text =
        "1s a 4/s from DE/AS24940 addresses 2 networks 2 status 500 route /x agent curl/8 bytes 7 latency 3";
    let script = parse(text).unwrap();
    let events: Vec<_> = script.events().collect();
    let first = &events[0];
    assert_eq!((first.status, first.response_bytes, first.latency_us), (Some(500), Some(7), Some(3000)));
    assert_eq!((first.route.text, first.agent.text), ("/x", "curl/8"));
    assert_eq!(first.place.country.to_string(), "DE");
    assert_eq!(events.iter().map(|e| e.place.asn).collect::<Vec<_>>(), [24940, 24941, 24940, 24941]);
    assert_ne!(events[0].address, events[1].address);
    assert_eq!(events[0].address, events[2].address);
}

#[test]
fn random_arrivals_come_from_their_seed() {
    let times = |seed: u64| {
        let script = parse(&format!("1h a 60/min poisson {seed}")).unwrap();
        script.events().map(|event| event.time).collect::<Vec<_>>()
    };
    assert_eq!(times(7), times(7));
    assert_ne!(times(7), times(8));
    assert!(times(7).is_sorted());
    assert!((3_300..3_900).contains(&times(7).len()), "{}", times(7).len());
}

#[test]
fn a_pause_passes_time() {
    let script = parse("1m a 1/s\n2h quiet\n1m a 1/s").unwrap();
    assert_eq!(script.last_block(), START.after(Duration::from_mins(121)));
}

#[test]
fn what_is_not_a_script_is_refused_with_its_place() {
    refused("", 1, 1, "no line has traffic");
    refused("1h quiet", 1, 1, "no line has traffic");
    refused("& 1h a 1/s", 1, 1, "cannot begin with");
    refused("2x a 5/min", 1, 1, "\"2x\" is not a duration");
    refused("2m abc 5/min", 1, 4, "\"abc\" is not a key");
    refused("2m a 5/min\n2m a five", 2, 6, "\"five\" is not a rate");
    refused("2m a 5/min form IE", 1, 12, "did you mean from?");
    refused("2m a 5/min from", 1, 12, "needs a value");
    refused("2m a 5/min from Ireland", 1, 17, "\"Ireland\" is not a place");
    refused("2m a 5/min status 700", 1, 19, "from 100 to 599");
    refused("2m a 5/min status 200 status 201", 1, 23, "stands twice");
    refused("99d a 1/h", 1, 1, "over 60 days");
    refused("1d a 1000/s", 1, 1, "the limit is 2000000");
    refused("2m a", 1, 1, "after the duration");
}

#[test]
fn an_expectation_reads_as_it_is_written() {
    let both = Expectation::parse("throttle a within 20s, alert b within 1h30m").unwrap();
    let wanted = |step, key, seconds| Wanted { step, key, within: Duration::from_secs(seconds) };
    assert_eq!(both.wanted, [wanted(Step::Throttle, 'a', 20), wanted(Step::Alert, 'b', 5400)]);
    assert!(!Expectation::parse("nothing").unwrap().is_positive());
    let message = |text: &str| Expectation::parse(text).unwrap_err().message;
    assert!(message("revoke a within 2s").contains("\"revoke\" is not a step to expect"));
    assert!(message("alert a").contains("not an expectation"));
    assert!(message("alert a inside 2s").contains("where \"within\" belongs"));
    let second = Expectation::parse("alert a within 2s, revoke b within 3s").unwrap_err();
    assert_eq!((second.line, second.column), (1, 20));
    assert!(message("alert a within 2s, alert a within 3s").contains("stands twice"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[&#a-z0-9/ \n]{0,80}", expect in "[a-z0-9, ]{0,40}") {
        if let Ok(script) = parse(&text) {
            proptest::prop_assert!(script.duration() <= LIMIT_DURATION);
        }
        let _ = Expectation::parse(&expect);
    }

    #[test]
    fn events_come_in_order_at_their_rate(
        lines in proptest::collection::vec((1_u32..400, 1_u32..200, 0_u64..3, proptest::bool::ANY), 1..5),
    ) {
        let line = |(index, (seconds, count, seed, beside)): (usize, &(u32, u32, u64, bool))| {
            let beside = if *beside && index > 0 { "& " } else { "" };
            let poisson = if *seed > 0 { format!(" poisson {seed}") } else { String::new() };
            format!("{beside}{seconds}s a {count}/min{poisson}\n")
        };
        let text: String = lines.iter().enumerate().map(line).collect();
        let script = parse(&text).unwrap();
        let times: Vec<_> = script.events().map(|event| event.time).collect();
        proptest::prop_assert!(times.is_sorted());
        proptest::prop_assert!(times.iter().all(|time| *time >= START && *time < script.end()));
        if lines.iter().all(|(_, _, seed, _)| *seed == 0) {
            let expected: u32 = lines.iter().map(|(seconds, count, _, _)| (seconds * count).div_ceil(60)).sum();
            proptest::prop_assert_eq!(times.len(), expected as usize);
        }
    }
}
