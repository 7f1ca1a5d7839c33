//! A Keyhound that hangs: it costs a gateway a time-out now and then, and not one for each request; and once it goes on,
//! what it decided holds again.
//!
//! Each gateway runs with its configuration from `examples/gateways/`, its times included.

use std::time::{Duration, Instant};

use crate::harness::{
    example::{Example, Of},
    gateway::Gateway as _,
    http,
    keyhound::Keyhound,
    program::eventually,
    upstream::{KEY_HEADER, Upstream},
};

const REVOKED: &str = "live-5f2be0c9a7d1440b";

/// Requests while it hangs, and how far apart.
const REQUESTS: usize = 60;
const APART: Duration = Duration::from_millis(50);
/// The time-out of the examples is 200 ms.
const SLOW: Duration = Duration::from_millis(180);
const LIMIT: Duration = Duration::from_mins(1);

#[track_caller]
fn check(of: Of) {
    let upstream = Upstream::start(&[]);
    let log = crate::harness::folder::Folder::new("hangs");
    let keyhound = Keyhound::start(&format!(
        "sources:\n- file: {{ paths: [{:?}] }}\n  format: nginx\n  key: raw\nresponse: {{ mode: enforce }}\n",
        log.write("access.json", "")
    ));
    keyhound.command("revoke", REVOKED);
    let gateway = Example::start_hasty(of, upstream.port, &keyhound.gateways_listen);
    let ask = || http::get(&gateway.url("/v1/orders/42"), &[(KEY_HEADER, REVOKED)]).status;
    eventually("refused", LIMIT, || (ask() == 403).then_some(()));

    // What a busy machine delays is tried again: one round of three has to hold.
    let mut rounds = Vec::new();
    for _ in 0..3 {
        keyhound.signal("STOP");
        let slow = requests_that_wait(&gateway);
        keyhound.signal("CONT");
        let started = Instant::now();
        eventually("refused again", LIMIT, || (ask() == 403).then_some(()));
        println!("{of:?}: {} of {REQUESTS} waited, refused again after {:?}", slow.len(), started.elapsed());
        assert!(!slow.is_empty(), "{of:?} asked nobody");
        if slow.len() * 2 < REQUESTS {
            return;
        }
        rounds.push(slow);
    }
    panic!("{of:?}: of {REQUESTS} requests waited {rounds:?}");
}

/// How long those of the requests took that waited for an answer of Keyhound; all of them are served.
#[track_caller]
fn requests_that_wait(gateway: &Example) -> Vec<Duration> {
    let mut slow = Vec::new();
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let status = http::get(&gateway.url("/v1/orders/42"), &[(KEY_HEADER, REVOKED)]).status;
        assert_eq!(status, 200, "fails open: {}", gateway.output());
        let took = started.elapsed();
        if took >= SLOW {
            slow.push(took);
        }
        std::thread::sleep(APART);
    }
    slow
}

#[test]
fn a_keyhound_that_hangs_does_not_hold_up_nginx() {
    check(Of::Nginx);
}

#[test]
fn a_keyhound_that_hangs_does_not_hold_up_envoy() {
    check(Of::Envoy);
}

#[test]
fn a_keyhound_that_hangs_does_not_hold_up_envoy_over_grpc() {
    check(Of::EnvoyGrpc);
}

#[test]
fn a_keyhound_that_hangs_does_not_hold_up_caddy() {
    check(Of::Caddy);
}

#[test]
fn a_keyhound_that_hangs_does_not_hold_up_traefik() {
    check(Of::Traefik);
}
