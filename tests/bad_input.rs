//! What no input may do: panic, stop the rest, or carry a raw key out of `decode`.

mod daemon;
#[path = "bad_input/daemon.rs"]
mod daemon_tests;

use std::collections::BTreeMap;

use bumpalo::Bump;
use keyhound::decode::{
    Decoded, Decoder, Fingerprinter, Format, KeyPolicy, Pepper, Settings, UNZIPPED_BYTES_MAX, presets,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn decoder(name: &str, policy: KeyPolicy) -> Decoder {
    let pepper = Pepper::new(b"0123456789abcdef0123456789abcdef").expect("32 bytes");
    let settings = Settings::new(Format::preset(name).expect("a preset"), policy);
    Decoder::with_fingerprinter(&settings, Fingerprinter::with_entries(&pepper, 64)).expect("a valid preset")
}

fn golden(name: &str) -> Vec<String> {
    let path = format!("{}/tests/golden/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a golden file for each preset");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// What a record decodes to, one word each.
fn outcomes(decoder: &mut Decoder, payload: &[u8]) -> Vec<&'static str> {
    let mut outcomes = Vec::new();
    decoder.decode(payload, &Bump::new(), |decoded| {
        outcomes.push(match decoded {
            Decoded::Request(_) => "request",
            Decoded::Anonymous(_) => "anonymous",
            Decoded::Rejected { reason, .. } => reason.as_str(),
        });
    });
    outcomes
}

#[track_caller]
fn check(payload: &[u8], expected: &[&str]) {
    assert_eq!(outcomes(&mut decoder("nginx", KeyPolicy::Raw), payload), expected);
}

const GOOD: &str = r#"{"msec":"1795327660.839","api_key":"k1","status":200,"uri":"/a"}"#;

#[test]
fn each_kind_of_bad_record_has_its_reason() {
    check(b"", &["empty"]);
    check(b" \n", &["empty"]);
    check(b"[]", &["empty"]);
    check(b"null", &["wrong_type"]);
    check(b"[1,\"x\",true,null]", &["wrong_type"]);
    check(b"{", &["truncated"]);
    check(&GOOD.as_bytes()[..30], &["truncated"]);
    check(b"GET / HTTP/1.1", &["text_log"]);
    check(b"{\"msec\" 1}", &["not_json"]);
    check(b"{\"msec\":\"\xff\"}", &["bad_time"]);
    check(b"\xff\xfe", &["not_utf8"]);
    check(b"\x1f\x8bnot gzip", &["bad_gzip"]);
    check(br#"{"status":200}"#, &["missing_time"]);
    check(br#"{"msec":1e999,"status":200}"#, &["bad_time"]);
    check(br#"{"msec":99999999999999999999999999,"status":200}"#, &["bad_time"]);
    check(br#"{"msec":[{"a":1}],"status":200}"#, &["missing_time"]);
    check(br#"{"msec":{"a":1},"status":200}"#, &["missing_time"]);
    check(br#"{"msec":"1795327660.839","status":"-"}"#, &["missing_status"]);
    check(br#"{"msec":"1795327660.839","status":70000}"#, &["bad_status"]);
    check(br#"{"msec":"1795327660.839","status":true}"#, &["missing_status"]);
    check(br#"{"msec":"1795327660.839","status":200}"#, &["anonymous"]);
}

#[test]
fn nesting_is_limited_and_never_overflows_the_stack() {
    let nested = |depth: usize| format!("{{\"x\":{}{},{}", "[".repeat(depth), "]".repeat(depth), &GOOD[1..]);
    check(nested(31).as_bytes(), &["request"]);
    check(nested(32).as_bytes(), &["request"]);
    check(nested(60_000).as_bytes(), &["request"]);
    check("[".repeat(60_000).as_bytes(), &["too_deep"]);
    check("{\"log\":".repeat(9_000).as_bytes(), &["too_deep"]);
}

#[test]
fn wrappers_are_opened_twice_and_no_deeper() {
    let wrapped = |text: &str| serde_json::json!({ "message": text }).to_string();
    let once = wrapped(GOOD);
    let twice = wrapped(&once);
    check(once.as_bytes(), &["request"]);
    check(twice.as_bytes(), &["request"]);
    check(wrapped(&twice).as_bytes(), &["wrapped_too_deep"]);
    check(format!("[{once},{GOOD}]").as_bytes(), &["request", "request"]);
    check(format!("[[{GOOD}]]").as_bytes(), &["request"]);
    check(format!("[[[{GOOD}]]]").as_bytes(), &["wrapped_too_deep"]);
    check(format!("{{\"json\":{{\"json\":{GOOD}}}}}").as_bytes(), &["request"]);
}

#[test]
fn a_broken_line_does_not_stop_the_batch() {
    let batch = format!("{GOOD}\n{{\"broken\": \n{GOOD}\nplain text\n{GOOD}{GOOD}\n");
    check(batch.as_bytes(), &["request", "not_json", "request", "text_log", "request", "request"]);
}

#[test]
fn no_length_hides_a_record() {
    let padded = |length: usize| format!("{{\"pad\":\"{}\",{}", "x".repeat(length), &GOOD[1..]);
    check(padded(60_000).as_bytes(), &["request"]);
    check(padded(8 << 20).as_bytes(), &["request"]);
    let batch = format!("{GOOD}\n{}\n{GOOD}", padded(1 << 20));
    check(batch.as_bytes(), &["request"; 3]);
    let many = format!("[{}]", vec![GOOD; 80_000].join(","));
    check(many.as_bytes(), &vec!["request"; 80_000]);
}

#[test]
fn gzip_is_opened_within_the_limit() {
    use std::io::Write;
    let zipped = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    check(&zipped(GOOD.as_bytes()), &["request"]);
    check(&zipped(&vec![b' '; UNZIPPED_BYTES_MAX + 1]), &["too_large"]);
    let lines: Vec<String> = (0..5_000).map(|n| GOOD.replace("/a", &format!("/{n}"))).collect();
    let whole = zipped(lines.join("\n").as_bytes());
    let found = outcomes(&mut decoder("nginx", KeyPolicy::Raw), &whole[..whole.len() / 2]);
    let (last, before) = found.split_last().unwrap();
    assert!(*last == "bad_gzip" && before.len() > 1_000, "{last} after {}", before.len());
    let (_, whole) = before.split_last().unwrap();
    assert!(whole.iter().all(|outcome| *outcome == "request"));
}

/// Cuts, flips, doubles and replaces bytes, so that most of the record still looks like one.
fn mutated(record: &str, random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = record.as_bytes().to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = random.random(),
            2 if !bytes.is_empty() => bytes[at] = *b"{}[]\",:-0\\".get(random.random_range(0..10)).unwrap(),
            3 => bytes.splice(at..at, b"[[[[{\"a\":".iter().copied()).for_each(drop),
            4 => bytes.splice(at..at, b"99999999999999999999e999".iter().copied()).for_each(drop),
            _ => {
                let copy = bytes[at..].to_vec();
                bytes.extend(copy);
            }
        }
    }
    bytes
}

#[test]
fn a_hundred_thousand_mutated_records_are_each_counted() {
    const SEED: u64 = 20_261_122;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for name in presets::names() {
        let records = golden(name);
        let mut decoder = decoder(name, KeyPolicy::Raw);
        for n in 0..10_000 {
            let payload = mutated(&records[n % records.len()], &mut random);
            let outcomes = outcomes(&mut decoder, &payload);
            assert!(!outcomes.is_empty(), "seed {SEED}: {name} {n} vanished");
            for outcome in outcomes {
                *counts.entry(outcome).or_default() += 1;
            }
            // What comes after is decoded as if nothing had been.
            if n % 1_000 == 0 {
                assert_eq!(outcomes_of_good(&mut decoder, name), ["anonymous"], "seed {SEED}: {name} {n}");
            }
        }
    }
    assert!(counts["request"] > 1_000 && counts["truncated"] > 100 && counts["not_json"] > 100, "{counts:?}");
}

fn outcomes_of_good(decoder: &mut Decoder, name: &str) -> Vec<&'static str> {
    let record = match name {
        "kong" => r#"{"started_at":1795327660839,"response":{"status":200}}"#,
        "apisix" => r#"{"start_time":1795327660839,"response":{"status":200}}"#,
        "envoy" | "envoy-gateway" => r#"{"start_time":"2026-11-22T06:07:02.314Z","response_code":200}"#,
        "traefik" => r#"{"StartUTC":"2026-11-22T06:07:02.314Z","DownstreamStatus":200}"#,
        "aws-rest" | "aws-http" => r#"{"requestTimeEpoch":"1795327660839","status":"200"}"#,
        _ => r#"{"ts":1795327660.839,"msec":1795327660.839,"status":200}"#,
    };
    outcomes(decoder, record.as_bytes())
}

/// A canary in every place where keys travel; `{key}` stands for it.
const CANARY_RECORDS: [(&str, &str); 5] = [
    (
        "nginx",
        r#"{"msec":"1795327660.839","remote_addr":"203.0.113.7","api_key":"{key}","method":"GET","uri":"/v1/{key}/x{key}?api_key={key}&q={key}","status":"200","ua":"{key} {key}/1.0 sdk/{key}","remote_user":"{key}","consumer":"{key}","credential_id":"{key}","referer":"https://x/?k={key}","request_id":"{key}","route":"{key}"}"#,
    ),
    (
        "kong",
        r#"{"client_ip":"203.0.113.7","started_at":1795327660839,"request":{"id":"{key}","method":"GET","uri":"/{key}?apikey={key}","headers":{"user-agent":"{key}","apikey":"{key}","referer":"{key}"}},"response":{"status":401,"headers":{}},"route":{"name":"{key}"},"consumer":{"id":"{key}","username":"{key}"},"authenticated_entity":{"id":"{key}"},"source":"kong"}"#,
    ),
    (
        "traefik",
        r#"{"ClientAddr":"127.0.0.1:1","ClientUsername":"{key}","DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/a/{key}","RouterName":"{key}","StartUTC":"2026-11-22T06:12:56Z","request_X-Api-Key":"{key}","request_User-Agent":"a/{key}"}"#,
    ),
    (
        "caddy",
        r#"{"ts":1795327980.469,"request":{"remote_ip":"127.0.0.1","method":"{key}","uri":"/{key}/{key}","headers":{"User-Agent":["x {key}"],"X-Api-Key":["{key}"]}},"user_id":"{key}","status":200}"#,
    ),
    (
        "envoy",
        r#"{"start_time":"2026-11-22T06:07:02.314Z","response_code":200,"x-api-key":"Bearer {key}","path":"https://{key}@h/{key}","user_agent":"{key}/{key}","route_name":"{key}","consumer":"{key}"}"#,
    ),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(!outcomes(&mut decoder("kong", KeyPolicy::Credential), &payload).is_empty());
    }

    /// Keys of any shape, from one letter to words that look like a route's.
    #[test]
    fn the_records_own_key_never_leaves(key in "[a-zA-Z0-9_.+/=~-]{3,40}") {
        for (name, template) in CANARY_RECORDS {
            let record = template.replace("{key}", &key);
            let mut decoder = decoder(name, KeyPolicy::Raw);
            let mut seen = 0;
            decoder.decode(record.as_bytes(), &Bump::new(), |decoded| {
                seen += 1;
                let Decoded::Request(request) = decoded else { panic!("{name}: {decoded:?}") };
                let event = request.event;
                let parts = [event.handles.consumer, event.handles.credential];
                let pieces = event.route.text.split('/').chain(event.agent.text.split([' ', '/'])).chain(parts);
                for piece in pieces {
                    assert_ne!(piece, key, "{name}: {decoded:?}");
                }
                if key.len() >= 6 {
                    assert!(!format!("{decoded:?}").contains(&key), "{name}: {decoded:?}");
                }
            });
            // In a query, a `+` is a blank: a record that has the key there too shows another one then.
            let most = if key.contains('+') { 2 } else { 1 };
            prop_assert!((1..=most).contains(&seen), "{}: {}", name, seen);
        }
    }
}

#[test]
fn a_thousand_canaries_leave_no_byte() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    for n in 0..1_000 {
        let canary = format!("CANARY{:016x}{n}", random.random::<u64>());
        for (name, template) in CANARY_RECORDS {
            for policy in [KeyPolicy::Raw, KeyPolicy::Credential] {
                let mut decoder = decoder(name, policy);
                let whole = template.replace("{key}", &canary);
                for payload in [whole.as_bytes(), &whole.as_bytes()[..whole.len() / 2]] {
                    let mut shown = String::new();
                    decoder.decode(payload, &Bump::new(), |decoded| shown += &format!("{decoded:?}"));
                    shown += &format!("{decoder:?}");
                    assert!(!shown.contains("CANARY") && !shown.contains(&canary[6..22]), "{name}: {shown}");
                }
            }
        }
    }
}
