//! Whatever bytes a request has: if a gateway served it, its log has one event of its key, with time, status and method.
//!
//! Each gateway runs with the log of `docs/gateways/`, once with the key's credential and once with the raw key; the
//! requests are in [`lists`]. Served is what the upstream saw. No event may be of a key that was not sent at its
//! place. `KEYHOUND_TEST_EVERY_BYTE=all` sends every request; without it those with much in common are thinned out.

mod requests;
mod lists;
mod log_view;
mod texts;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use keyhound::decode::{KeyPolicy, Settings};
use sha2::{Digest as _, Sha256};

use self::{
    log_view::{KeyForm, LogView},
    requests::OddRequest,
};
use crate::harness::{
    caddy::{Caddy, Version},
    envoy::{Envoy, EnvoyConfig},
    folder::Folder,
    gateway::Gateway,
    haproxy::Haproxy,
    keyhound::Keyhound,
    nginx::Nginx,
    program::{eventually, free_port},
    raw::{Sink, exchange},
    recipe::{block_with, caddy_log, instead},
    traefik::Traefik,
    upstream::Upstream,
};

/// Requests at once: some are waited for in vain, since a gateway does not take them for whole.
const AT_ONCE: usize = 24;
/// Without `KEYHOUND_TEST_EVERY_BYTE=all`, each how many-th request is sent.
const THIN: usize = 3;
const LIMIT: Duration = Duration::from_mins(2);

/// What a gateway does with a request, and how it is read.
struct GatewayRun<'a, G> {
    gateway: &'a G,
    /// The loopback port that takes HTTP/2 without TLS.
    h2_port: u16,
    sink: &'a Sink,
    /// The decoding as the page says, YAML.
    settings: &'a str,
    /// What stands for the key of a request of this number in the gateway's list.
    credential: fn(usize, &OddRequest) -> String,
}

impl<G: Gateway + Sync> GatewayRun<'_, G> {
    /// Sends the requests; the longest record that is an event, in bytes.
    #[track_caller]
    fn check(&self) -> usize {
        let mut settings: Settings =
            serde_saphyr::from_str(self.settings).unwrap_or_else(|error| panic!("{error}"));
        // The pages name the operator's load balancers; here, the test is the load balancer.
        settings.client_address.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        let by_credential = settings.key == KeyPolicy::Credential;
        let known = KeyForm { credential: by_credential.then_some(self.credential), settings: &settings };
        let requests = lists::all();
        let chosen = chosen(&requests, by_credential);
        let started = std::time::SystemTime::now();
        self.send(&requests, &chosen);

        let mut served = vec![0_u32; requests.len()];
        let mut log_bytes = 0;
        let mut seen = LogView::default();
        let mut attempts = 0;
        // A gateway may serve and write behind what the client waited for.
        let faults = eventually("the log stands still", LIMIT, || {
            for head in self.sink.take() {
                if let Some(index) = requests::index_of(&head) {
                    served[index] += 1;
                }
            }
            let log = self.gateway.log_bytes();
            if log.len() != log_bytes || !log.ends_with(b"\n") {
                log_bytes = log.len();
                attempts = 0;
                return None;
            }
            if attempts == 0 {
                seen = LogView::read(&log, &known, &requests, started);
            }
            attempts += 1;
            let faults = seen.faults(&requests, &served);
            (faults.is_empty() || attempts > 20).then_some(faults)
        });
        let count = served.iter().filter(|count| **count > 0).count();
        println!(
            "{} requests, {count} served, {} events, {} rejected; the longest record has {} bytes",
            chosen.len(),
            seen.events,
            seen.rejected,
            seen.longest
        );
        assert!(
            faults.is_empty(),
            "{} faults, {count} of {} were served: {:#?}",
            faults.len(),
            chosen.len(),
            &faults[..faults.len().min(40)]
        );
        // Or this test could not fail.
        assert!(count * 3 > chosen.len(), "only {count} of {} were served", chosen.len());
        self.follow(&seen);
        seen.longest
    }

    fn send(&self, requests: &[OddRequest], chosen: &[usize]) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(index) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let request = &requests[*index];
                        let port = if request.is_h2 { self.h2_port } else { self.gateway.port() };
                        exchange(port, &request.bytes());
                    }
                });
            }
        });
    }

    /// A daemon that follows the log has as many events.
    #[track_caller]
    fn follow(&self, seen: &LogView) {
        let folder = Folder::new("every-byte");
        let log = folder.write("access.json", self.gateway.log_bytes());
        let settings = format!("file: {{ paths: [{log:?}] }}\n{}", self.settings);
        let settings = settings.replace('\n', "\n  ");
        let keyhound = Keyhound::start(&format!("sources:\n- {settings}\n"));
        let events = f64::from(seen.events);
        eventually("all events are read", LIMIT, || {
            keyhound.metric("keyhound_events_total").filter(|read| *read >= events)
        });
        assert!(
            keyhound.metric("keyhound_events_total").is_some_and(|read| read <= events),
            "{}",
            keyhound.metrics()
        );
    }
}

/// The numbers of the requests that are sent.
fn chosen(requests: &[OddRequest], by_credential: bool) -> Vec<usize> {
    let all = std::env::var("KEYHOUND_TEST_EVERY_BYTE").is_ok_and(|value| value == "all");
    let numbers = 0..requests.len();
    if by_credential {
        // What a gateway writes of the other fields is the same as with the raw key.
        let is_sent =
            |index: &usize| all || index.is_multiple_of(2 * THIN) || requests[*index].is_about_credentials();
        return numbers.filter(|index| requests[*index].is_for_credentials()).filter(is_sent).collect();
    }
    numbers.filter(|index| all || index.is_multiple_of(THIN) || requests[*index].is_rare()).collect()
}

/// A list of all keys and their credentials, each pair as `line` writes it.
fn list(line: impl Fn(&str, &str) -> String) -> String {
    (0..lists::all().len()).map(|index| line(&requests::key(index), &requests::credential(index))).collect()
}

/// The credential of the list, whatever the request.
fn listed(index: usize, _: &OddRequest) -> String {
    requests::credential(index)
}

fn nginx(recipe: &str, settings: &str) -> usize {
    let (sink, h2_port) = (Sink::start(), free_port());
    let server = format!(
        "listen 127.0.0.1:{h2_port} http2;\nlocation / {{ proxy_pass http://127.0.0.1:{}; }}",
        sink.port
    );
    let map = list(|key, credential| format!("\"{key}\" \"{credential}\";\n"));
    let gateway = Nginx::start(recipe, &server, &[("credentials.map", &map)]);
    GatewayRun { gateway: &gateway, h2_port, sink: &sink, settings, credential: listed }.check()
}

#[test]
fn each_request_that_nginx_served_is_an_event_of_its_credential() {
    let recipe = block_with("nginx", "nginx", "log_format");
    nginx(&recipe, &block_with("nginx", "yaml", "key: credential"));
}

#[test]
fn each_request_that_nginx_served_is_an_event_of_its_key() {
    let recipe = block_with("nginx", "nginx", "log_format");
    let recipe = instead(&recipe, r#""credential_id":"$credential_id""#, r#""api_key":"$http_x_api_key""#);
    assert_longest(nginx(&recipe, "format: nginx\nkey: raw\n"), 114_000);
}

fn haproxy(recipe: &str, settings: &str) -> usize {
    let (sink, h2_port) = (Sink::start(), free_port());
    let recipe = instead(recipe, "frontend api\n", &format!("    bind 127.0.0.1:{h2_port} proto h2\n"));
    let map = list(|key, credential| format!("{key} {credential}\n"));
    let gateway = Haproxy::start(&recipe, sink.port, &[("credentials.map", &map)]);
    GatewayRun { gateway: &gateway, h2_port, sink: &sink, settings, credential: listed }.check()
}

#[test]
fn each_request_that_haproxy_served_is_an_event_of_its_credential() {
    let recipe = block_with("haproxy", "haproxy", "log-format");
    haproxy(&recipe, &block_with("haproxy", "yaml", "key: credential"));
}

#[test]
fn each_request_that_haproxy_served_is_an_event_of_its_key() {
    let recipe = block_with("haproxy", "haproxy", "log-format");
    let recipe = instead(
        &recipe,
        r#""credential_id":"%[var(txn.credential),json(utf8s)]""#,
        r#""api_key":"%[var(txn.key),json(utf8s)]""#,
    );
    assert_longest(haproxy(&recipe, "format: haproxy\nkey: raw\n"), 36_000);
}

fn caddy(log: &str, settings: &str) -> usize {
    let sink = Sink::start();
    let gateway = Caddy::start(Version::Current, &format!("{log}\nreverse_proxy 127.0.0.1:{}\n", sink.port));
    let hash = |_, request: &OddRequest| {
        Sha256::digest(request.key())[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    GatewayRun { gateway: &gateway, h2_port: gateway.port(), sink: &sink, settings, credential: hash }.check()
}

#[test]
fn each_request_that_caddy_served_is_an_event_of_its_credential() {
    caddy(&caddy_log(), &block_with("caddy", "yaml", "key: credential"));
}

#[test]
fn each_request_that_caddy_served_is_an_event_of_its_key() {
    let log = "log {\n output file /var/log/caddy/keyhound.json\n format json\n}";
    assert_longest(caddy(log, "format: caddy\nkey: raw\n"), 120_000);
}

/// The longest record that is an event has as many bytes as its page says, or a little less.
#[track_caller]
fn assert_longest(longest: usize, said: usize) {
    assert!(
        (said - said / 20..=said).contains(&longest),
        "the longest record has {longest} bytes, not {said}"
    );
}

fn envoy(recipe: &str, filters: &str, settings: &str) -> usize {
    let sink = Sink::start();
    let access_log = instead(recipe, "access_log:\n", "");
    let manager = block_with("envoy", "yaml", "early_header_mutation");
    let config =
        EnvoyConfig { access_log: &access_log, manager: &manager, filters, ..EnvoyConfig::default() };
    let gateway = Envoy::start(&config, sink.port);
    let h2_port = gateway.port();
    GatewayRun { gateway: &gateway, h2_port, sink: &sink, settings, credential: listed }.check()
}

#[test]
fn each_request_that_envoy_served_is_an_event_of_its_credential() {
    let list = list(|key, credential| format!("{{ key: {key}, client: {credential} }},"));
    let filters = format!(
        "- name: envoy.filters.http.api_key_auth\n  typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth\n    \
         credentials: [ {list} ]\n    key_sources: [ {{ header: x-api-key }} ]\n    \
         forwarding: {{ header: x-credential-id, hide_credentials: false }}\n"
    );
    let recipe = block_with("envoy", "yaml", "access_log:");
    envoy(&recipe, &filters, &block_with("envoy", "yaml", "key: credential"));
}

#[test]
fn each_request_that_envoy_served_is_an_event_of_its_key() {
    let recipe = block_with("envoy", "yaml", "access_log:");
    let recipe =
        instead(&recipe, "credential_id: \"%REQ(X-CREDENTIAL-ID)%\"", "api_key: \"%REQ(X-API-KEY)%\"");
    assert_longest(envoy(&recipe, "", "format: envoy\nkey: raw\n"), 350_000);
}

fn traefik(recipe: &str, middlewares: &serde_json::Value, settings: &str) -> usize {
    let sink = Sink::start();
    let gateway = Traefik::start(recipe, middlewares, sink.port);
    // The looks at the start.
    sink.take();
    let h2_port = gateway.port();
    GatewayRun { gateway: &gateway, h2_port, sink: &sink, settings, credential: listed }.check()
}

#[test]
fn each_request_that_traefik_served_is_an_event_of_its_credential() {
    let pairs: Vec<(String, String)> =
        (0..lists::all().len()).map(|index| (requests::key(index), requests::credential(index))).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, id)| (key.as_str(), id.as_str())).collect();
    let auth = Upstream::start(&pairs);
    let mut middlewares: serde_json::Value =
        serde_saphyr::from_str(&block_with("traefik", "yaml", "own-credential-id:")).expect("a middleware");
    middlewares["site-auth"] = serde_json::json!({ "forwardAuth": {
        "address": format!("http://127.0.0.1:{}/auth", auth.port),
        "authResponseHeaders": ["X-Credential-Id"],
    } });
    let recipe = block_with("traefik", "yaml", "accessLog:");
    traefik(&recipe, &middlewares, &block_with("traefik", "yaml", "key: credential"));
}

#[test]
fn each_request_that_traefik_served_is_an_event_of_its_key() {
    let recipe =
        instead(&block_with("traefik", "yaml", "accessLog:"), "X-Credential-Id: keep", "X-Api-Key: keep");
    assert_longest(traefik(&recipe, &serde_json::json!({}), "format: traefik\nkey: raw\n"), 6_100_000);
}
