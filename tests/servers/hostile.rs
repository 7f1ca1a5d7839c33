//! Hostile callers: whatever bytes a request has, none is served with a revoked key, and none beyond its rate with a
//! throttled one.
//!
//! Each gateway runs with its configuration from `examples/gateways/`; the requests are in [`cases`],
//! [`pairs`] and [`frames`].
//! Served is what the upstream saw. `KEYHOUND_TEST_HOSTILE=all` sends every request with every key; without it those
//! that only show that the test can fail are thinned out.

mod cases;
pub mod frames;
mod pairs;
mod upstream_view;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use self::{cases::Case, upstream_view::carries};
use crate::harness::{
    example::{Example, Of},
    folder::Folder,
    gateway::{Gateway as _, past},
    http,
    keyhound::{Keyhound, key_id},
    program::eventually,
    raw::{Sink, exchange, leave},
    upstream::KEY_HEADER,
};

const REVOKED: &str = "live-5f2be0c9a7d1440b";
const THROTTLED: &str = "live-77d1e0a9c2b4f613";
const FREE: &str = "live-91c0d2e4b7aa3f10";

/// Requests at once: some are waited for in vain, since a gateway does not take them for whole.
const AT_ONCE: usize = 24;
/// Without `KEYHOUND_TEST_HOSTILE=all`, each how many-th request is sent with a key that is not revoked.
const THIN: usize = 6;
/// Callers who go away, and how many at once.
const LEAVING: usize = 1_000;
const LEAVING_AT_ONCE: usize = 4;
/// How often it is tried whether they hurt others.
const ATTEMPTS: usize = 3;
const LIMIT: Duration = Duration::from_mins(1);

/// Sends them all, several at once.
fn send(gateway: &Example, cases: &[Case]) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    send_one(gateway, case);
                }
            });
        }
    });
}

fn send_one(gateway: &Example, case: &Case) {
    let port = if frames::is_framed(&case.bytes) { gateway.h2_port } else { gateway.port() };
    exchange(port, &case.bytes);
}

/// The requests with this key.
fn requests(key: &str) -> Vec<Case> {
    let mut cases = cases::all(key);
    cases.extend(pairs::all(key));
    cases.extend(frames::all(key));
    cases
}

fn thinned(cases: Vec<Case>) -> Vec<Case> {
    let all = std::env::var("KEYHOUND_TEST_HOSTILE").is_ok_and(|value| value == "all");
    cases.into_iter().step_by(if all { 1 } else { THIN }).collect()
}

/// The requests of these with which the upstream was given the key. A gateway may write behind its answer.
fn served(sink: &Sink, key: &str) -> Vec<Vec<u8>> {
    sink.take().into_iter().filter(|head| carries(head, key)).collect()
}

/// A daemon that knows the keys from a past, with decisions on two of them; and the throttle's rate.
#[track_caller]
fn keyhound(folder: &Folder) -> (Keyhound, f64) {
    let served = serde_json::json!({
        "status": "200", "method": "GET", "uri": "/v1/orders/42", "remote_addr": "203.0.113.7",
    });
    // A key that was never seen has no usual rate to be throttled to.
    let known = past(&served, &[THROTTLED], "msec", |ms| format!("{}.{:03}", ms / 1_000, ms % 1_000).into());
    let log = folder.write("access.json", &known);
    let keyhound = Keyhound::start(&format!(
        "sources:\n- file: {{ paths: [{log:?}] }}\n  format: nginx\n  key: raw\nresponse: {{ mode: enforce }}\n"
    ));
    let records = u32::try_from(known.lines().count()).expect("thousands");
    eventually("the past is read", LIMIT, || {
        keyhound.metric("keyhound_events_total").filter(|events| *events >= f64::from(records))
    });
    keyhound.command("revoke", REVOKED);
    keyhound.command("throttle", THROTTLED);
    let url = format!("http://{}/api/v1/decisions?key={}", keyhound.listen, key_id(THROTTLED));
    let rate = eventually("the throttle is listed", LIMIT, || {
        let shown = http::get(&url, &[]).json();
        shown["decisions"].as_array()?.iter().find_map(|shown| shown["decision"]["rate"]["known"].as_f64())
    });
    (keyhound, rate)
}

/// What is served with the revoked key while callers go away before they are answered: a gateway must not take that for
/// a Keyhound that does not answer.
fn while_others_leave(gateway: &Example, sink: &Sink) -> Vec<Vec<u8>> {
    let (free, revoked) = (cases::plain(FREE), cases::plain(REVOKED));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LEAVING_AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < LEAVING {
                    leave(gateway.port(), &free);
                }
            });
        }
        while next.load(Ordering::Relaxed) < LEAVING {
            exchange(gateway.port(), &revoked);
        }
    });
    served(sink, REVOKED)
}

#[track_caller]
fn check(of: Of) {
    let sink = Sink::start();
    let folder = Folder::new("hostile");
    let (keyhound, rate) = keyhound(&folder);
    let gateway = Example::start(of, true, sink.port, &keyhound.gateways_listen);
    let ask = |key: &str| http::get(&gateway.url("/v1/orders/42"), &[(KEY_HEADER, key)]).status;
    assert_eq!(ask(FREE), 200, "{}", gateway.log());
    assert_eq!(ask(REVOKED), 403, "{}", gateway.log());
    eventually("throttled", LIMIT, || (ask(THROTTLED) == 429).then_some(()));
    sink.take();
    exchange(gateway.h2_port, &frames::all(FREE)[0].bytes);
    assert!(!served(&sink, FREE).is_empty(), "{of:?} does not take HTTP/2: {}", gateway.log());

    let revoked = requests(REVOKED);
    for pieces in revoked.chunks(200) {
        send(&gateway, pieces);
        let served_at_once = served(&sink, REVOKED);
        if let Some(first) = served_at_once.first() {
            // Which of them it was.
            let is_served = |case: &&Case| {
                send_one(&gateway, case);
                !served(&sink, REVOKED).is_empty()
            };
            let names: Vec<&str> =
                pieces.iter().filter(is_served).map(|case| case.name.as_str()).take(20).collect();
            let first = first[..first.len().min(600)].escape_ascii();
            panic!("{of:?} served {} with a revoked key: {names:?}, such as {first}", served_at_once.len());
        }
    }

    // The same requests are served with a key that is not revoked, or this test could not fail.
    let free = thinned(requests(FREE));
    send(&gateway, &free);
    let count = served(&sink, FREE).len();
    assert!(count * 4 > free.len(), "{of:?} served only {count} of {} with a free key", free.len());

    let throttled = thinned(requests(THROTTLED));
    let started = Instant::now();
    send(&gateway, &throttled);
    let (served, allowed) = (served(&sink, THROTTLED), 2.0 + rate * started.elapsed().as_secs_f64());
    let count = served.len();
    #[allow(clippy::cast_precision_loss)] // some hundreds
    let within = (count as f64) <= allowed;
    let shown: Vec<_> =
        served.iter().map(|head| head[..head.len().min(300)].escape_ascii().to_string()).collect();
    assert!(within, "{of:?} served {count} of {} at {rate} a second: {shown:#?}", throttled.len());
    // On a busy machine a check can take longer than the gateway waits; a fault of ours shows each time.
    let served: Vec<usize> = (0..ATTEMPTS)
        .map(|_| while_others_leave(&gateway, &sink).len())
        .take_while(|&served| served > 0)
        .collect();
    assert!(served.len() < ATTEMPTS, "{of:?} served {served:?} while other callers went away");
    assert_eq!(ask(REVOKED), 403, "still");
    println!("{of:?}: {} requests, none served; {count} of {} throttled", revoked.len(), throttled.len());
}

#[test]
fn no_hostile_request_passes_nginx() {
    check(Of::Nginx);
}

#[test]
fn no_hostile_request_passes_envoy() {
    check(Of::Envoy);
}

#[test]
fn no_hostile_request_passes_envoy_over_grpc() {
    check(Of::EnvoyGrpc);
}

#[test]
fn no_hostile_request_passes_caddy() {
    check(Of::Caddy);
}

#[test]
fn no_hostile_request_passes_traefik() {
    check(Of::Traefik);
}
