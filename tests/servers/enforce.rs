//! Gateways that ask: a stolen key is refused within a second of the decision, and its neighbour is served.
//!
//! Each gateway runs with its configuration from `examples/gateways/`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    example::{Example, LOG, Of},
    folder::Folder,
    gateway::{Gateway as _, past},
    http,
    keyhound::{Keyhound, key_id},
    program::{eventually, free_port},
    upstream::{KEY_HEADER, Upstream},
};

const STOLEN: &str = "live-5f2be0c9a7d1440b";
const NEIGHBOUR: &str = "live-91c0d2e4b7aa3f10";

/// How long a decision may take to reach the gateway.
const WITHIN: Duration = Duration::from_secs(1);
/// How long anything else may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
/// Requests with a key that is revoked.
const REFUSED: u32 = 60;

/// One request with a key; the status that the client sees.
#[track_caller]
fn ask(gateway: &Example, key: &str) -> u16 {
    http::get(&gateway.url("/v1/orders/42"), &[(KEY_HEADER, key)]).status
}

/// A daemon in enforce mode that reads one log of this format. The stolen key is a server's: another would not be throttled
/// by what one address does.
#[track_caller]
fn keyhound(log: &std::path::Path, format: &str) -> Keyhound {
    let catalogue = log.with_file_name("keys.yaml");
    let entry = format!("keys: [{{ id: {}, name: stolen, class: server }}]\n", key_id(STOLEN));
    std::fs::write(&catalogue, entry).expect("written");
    Keyhound::start(&format!(
        "catalogue: {catalogue:?}\nsources:\n- file: {{ paths: [{log:?}] }}\n  format: {format}\n  key: raw\nresponse: {{ mode: enforce }}\n"
    ))
}

/// A time as nginx's `$msec` writes it.
fn nginx_time(ms: u64) -> Value {
    format!("{}.{:03}", ms / 1_000, ms % 1_000).into()
}

/// Asks until the gateway answers `wanted`, and gives how long that took.
#[track_caller]
fn becomes(gateway: &Example, key: &str, wanted: u16) -> Duration {
    let started = Instant::now();
    let mut seen = Vec::new();
    while started.elapsed() < LIMIT {
        seen.push(ask(gateway, key));
        if seen.last() == Some(&wanted) {
            return started.elapsed();
        }
    }
    panic!("not {wanted} within {LIMIT:?}: {seen:?}\n{}", gateway.log());
}

/// Lets each kind of decision reach the gateways, which must take less than [`WITHIN`]. What a busy machine delays is
/// tried again: the fastest of three counts.
#[track_caller]
fn check_within(keyhound: &Keyhound, open: &Example, closed: &Example) {
    let reaches = |action: &str, wanted: u16| {
        keyhound.command(action, STOLEN);
        [open, closed].map(|gateway| becomes(gateway, STOLEN, wanted))
    };
    let mut fastest = [[Duration::MAX; 2]; 4];
    for _ in 0..3 {
        let took =
            [reaches("revoke", 403), reaches("lift", 200), reaches("throttle", 429), reaches("lift", 200)];
        for (fastest, took) in fastest.as_flattened_mut().iter_mut().zip(took.as_flattened()) {
            *fastest = (*fastest).min(*took);
        }
        if fastest.as_flattened().iter().all(|fastest| *fastest <= WITHIN) {
            return;
        }
    }
    panic!("not within {WITHIN:?}: {fastest:?}\n{}", open.log());
}

#[track_caller]
fn check(of: Of) {
    let upstream = Upstream::start(&[]);
    let folder = Folder::new("enforce");
    // A key that was never seen has no usual rate to be throttled to.
    let served = serde_json::json!({
        "status": "200", "method": "GET", "uri": "/v1/orders/42", "remote_addr": "203.0.113.7",
    });
    let known = past(&served, &[STOLEN], "msec", nginx_time);
    let mut keyhound = keyhound(&folder.write("access.json", &known), "nginx");
    let requests = u32::try_from(known.lines().count()).expect("thousands");
    eventually("the past is read", LIMIT, || {
        keyhound.metric("keyhound_events_total").filter(|events| *events >= f64::from(requests))
    });
    let open = Example::start(of, true, upstream.port, &keyhound.gateways_listen);
    let closed = Example::start(of, false, upstream.port, &keyhound.gateways_listen);
    for gateway in [&open, &closed] {
        assert_eq!(ask(gateway, STOLEN), 200, "nothing is decided yet: {}", gateway.log());
    }

    check_within(&keyhound, &open, &closed);
    keyhound.command("revoke", STOLEN);
    becomes(&open, STOLEN, 403);
    let served = upstream.served().len();
    for _ in 0..5 {
        assert_eq!(ask(&open, STOLEN), 403);
    }
    assert_eq!(upstream.served().len(), served, "a refused request reached the API");
    assert_eq!(ask(&open, NEIGHBOUR), 200);

    keyhound.command("lift", STOLEN);
    becomes(&open, STOLEN, 200);

    keyhound.command("throttle", STOLEN);
    becomes(&open, STOLEN, 429);
    // Now and then one is served, as the rate allows.
    let asked = (0..20).map(|_| http::get(&open.url("/v1/orders/42"), &[(KEY_HEADER, STOLEN)]));
    let refused = asked.into_iter().find(|answer| answer.status == 429).expect("one of twenty is refused");
    assert_eq!(refused.header("x-keyhound-decision"), Some("throttle"), "{refused:?}");
    let wait: u64 = refused.header("retry-after").and_then(|seconds| seconds.parse().ok()).expect("seconds");
    assert!((1..60).contains(&wait), "nothing is ever served: {refused:?}");
    if matches!(of, Of::Envoy | Of::EnvoyGrpc) {
        // Over HTTP and gRPC, the caller sees the same.
        assert_eq!(refused.header("content-type"), Some("application/json"), "{refused:?}");
        assert_eq!(refused.json()["decision"], "throttle", "{refused:?}");
    }
    assert_eq!(ask(&open, NEIGHBOUR), 200);

    assert_eq!(keyhound.stop(), Some(0), "{}", keyhound.log());
    let unasked: &[u16] = match of {
        Of::Nginx => &[500],
        Of::Envoy | Of::EnvoyGrpc => &[403],
        // The first time and, while Keyhound is not asked, after it.
        Of::Caddy | Of::Traefik => &[502, 503],
    };
    for key in [STOLEN, NEIGHBOUR] {
        assert_eq!(ask(&open, key), 200, "fails open: {}", open.log());
        let status = ask(&closed, key);
        assert!(unasked.contains(&status), "fails closed: {status}: {}", closed.log());
    }
}

#[test]
fn nginx_refuses_a_stolen_key_within_a_second() {
    check(Of::Nginx);
}

#[test]
fn envoy_refuses_a_stolen_key_within_a_second() {
    check(Of::Envoy);
}

#[test]
fn envoy_over_grpc_refuses_a_stolen_key_within_a_second() {
    check(Of::EnvoyGrpc);
}

#[test]
fn caddy_refuses_a_stolen_key_within_a_second() {
    check(Of::Caddy);
}

#[test]
fn traefik_refuses_a_stolen_key_within_a_second() {
    check(Of::Traefik);
}

/// The whole circle: the gateway logs, Keyhound reads the log, finds the burst and decides, the gateway asks and
/// refuses, and logs that. What we refuse is counted, and never evidence against the key.
#[track_caller]
fn circle(of: Of, format: &str, time_field: &str, time: impl Fn(u64) -> Value) {
    let upstream = Upstream::start(&[]);
    // One record to make a past of. Nobody is asked yet, and it fails open.
    let alone = Example::start(of, true, upstream.port, &format!("127.0.0.1:{}", free_port()));
    assert_eq!(ask(&alone, NEIGHBOUR), 200, "{}", alone.log());
    let served = alone.wait_for_records(1).remove(0);
    let served: Value = serde_json::from_str(&served).expect("JSON");

    let folder = Folder::new("circle");
    let log = folder.write(LOG, past(&served, &[STOLEN, NEIGHBOUR], time_field, time));
    let keyhound = keyhound(&log, format);
    let gateway = Example::start_in(folder, of, true, upstream.port, &keyhound.gateways_listen);
    let refused = eventually("the burst is throttled", LIMIT, || {
        let answer = http::get(&gateway.url("/v1/orders/42"), &[(KEY_HEADER, STOLEN)]);
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(refused.header("x-keyhound-decision"), Some("throttle"), "{refused:?}");
    assert_eq!(ask(&gateway, NEIGHBOUR), 200);
    let decisions = http::get(&format!("http://{}/api/v1/decisions", keyhound.listen), &[]).json();
    let decisions = decisions["decisions"].as_array().cloned().unwrap_or_default();
    assert_eq!(decisions.len(), 1, "{decisions:#?}");
    assert!(decisions[0].to_string().contains(&key_id(STOLEN)), "{decisions:#?}");
    assert_eq!(decisions[0]["decision"]["handles"][0]["gateway"], format, "{decisions:#?}");

    // A 403 is what the detectors of refusals look for, on one route or on many.
    keyhound.command("revoke", STOLEN);
    becomes(&gateway, STOLEN, 403);
    for route in 0..REFUSED {
        let url =
            gateway.url(&format!("/v1/r{}", char::from(b'a' + u8::try_from(route % 26).expect("a letter"))));
        assert_eq!(http::get(&url, &[(KEY_HEADER, STOLEN)]).status, 403);
    }
    eventually("our own are counted as pressure", LIMIT, || {
        let counted = keyhound.metric("keyhound_requests_blocked_total");
        counted.filter(|counted| *counted >= f64::from(REFUSED))
    });
    let incidents = http::get(&format!("http://{}/api/v1/incidents?state=all", keyhound.listen), &[]).body;
    assert!(incidents.contains("volume.spike"), "{incidents}");
    assert!(incidents.contains("\"position\":\"file:"), "no sample of what was seen: {incidents}");
    for evidence in ["errors.refused", "key-denied-routes"] {
        assert!(!incidents.contains(evidence), "our own refusals were taken for evidence: {incidents}");
    }
}

#[test]
fn a_burst_at_nginx_is_throttled_by_itself_and_our_refusals_are_no_evidence() {
    circle(Of::Nginx, "nginx", "msec", nginx_time);
}

#[test]
fn a_burst_at_envoy_is_throttled_by_itself_and_our_refusals_are_no_evidence() {
    circle(Of::Envoy, "envoy", "start_time", |ms| keyhound::event::EventTime(ms).rfc3339().into());
}

#[test]
fn a_burst_at_envoy_over_grpc_is_throttled_by_itself_and_our_refusals_are_no_evidence() {
    circle(Of::EnvoyGrpc, "envoy", "start_time", |ms| keyhound::event::EventTime(ms).rfc3339().into());
}
