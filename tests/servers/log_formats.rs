//! What real gateways write with the configuration of `docs/gateways/` is what the presets read.
//!
//! Each gateway gets the same six requests; its log is decoded with the settings of the same page. The last test of
//! each pair logs the raw key instead, as the page says where there is no credential id.
//!
//! `KEYHOUND_CAPTURE=FOLDER` keeps what each gateway wrote, for `tests/golden`.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bumpalo::Bump;
use keyhound::{
    decode::{Decoded, Decoder, Pepper, Settings, credential_fingerprint, fingerprint},
    event::{KeyId, prefix_text},
};

use crate::harness::{
    caddy::{Caddy, Version},
    envoy::{Envoy, EnvoyConfig},
    gateway::Gateway,
    haproxy::Haproxy,
    http,
    nginx::Nginx,
    recipe::{block_with, caddy_log, instead},
    traefik::Traefik,
    upstream::{SLOW, Upstream},
};

const KEY: &str = "live-5f2be0c9a7d1440b";
const WRONG: &str = "live-00000000000000ff";
const CREDENTIAL: &str = "cred-118";
const PEPPER: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The requests: path, key, and the status that the client must see.
const REQUESTS: [(&str, &str, u16); 6] = [
    ("/v1/orders/42?x=1", KEY, 200),
    ("/v1/orders/43", WRONG, 401),
    ("/status/404/orders", KEY, 404),
    ("/status/403/orders", KEY, 403),
    ("/slow/orders", KEY, 200),
    ("/ours/orders", KEY, 429),
];

/// Sends the six requests, decodes what the gateway wrote with `settings` (YAML), and compares line by line.
#[track_caller]
fn check(gateway: &impl Gateway, settings: &str, expected: &[&str; 6]) {
    for (path, key, status) in REQUESTS {
        let headers = [
            ("x-api-key", key),
            ("user-agent", "acme-sdk/4.2"),
            ("x-forwarded-for", "198.51.100.9"),
            ("x-request-id", "0e1f5a3c-8f9b-4f60-9d3c-1b2a3c4d5e6f"),
        ];
        let answer = http::get(&gateway.url(path), &headers);
        assert_eq!(answer.status, status, "{path}: {answer:?}\n{}", gateway.log());
    }
    let records = gateway.wait_for_records(REQUESTS.len());
    if let Some(folder) = std::env::var_os("KEYHOUND_CAPTURE") {
        let test = std::thread::current().name().unwrap_or_default().replace("::", ".");
        std::fs::write(Path::new(&folder).join(test), records.join("\n") + "\n")
            .expect("a folder to write to");
    }
    let mut settings: Settings = serde_saphyr::from_str(settings).unwrap_or_else(|error| panic!("{error}"));
    // The pages name the operator's load balancers; here, the test is the load balancer.
    settings.client_address.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    let seen: Vec<String> = records.iter().map(|record| decode(&settings, record)).collect();
    assert_eq!(seen, expected, "{records:#?}");
}

/// One record as text: `KEY METHOD STATUS ROUTE REFUSAL AGENT PREFIX`. Time, size and latency must be believable.
#[track_caller]
fn decode(settings: &Settings, record: &str) -> String {
    let pepper = Pepper::new(PEPPER).expect("long enough");
    let mut decoder = Decoder::new(settings, &pepper).unwrap_or_else(|error| panic!("{error}"));
    let arena = Bump::new();
    let mut seen = Vec::new();
    decoder.decode(record.as_bytes(), &arena, |decoded| {
        seen.push(match decoded {
            Decoded::Anonymous(_) => "anonymous".to_owned(),
            Decoded::Rejected { reason, .. } => format!("rejected: {reason:?}"),
            Decoded::Request(request) => {
                let event = request.event;
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
                let age = now.abs_diff(u128::from(event.time.0));
                assert!(age < 60_000, "the event's time is {age} ms off: {record}");
                let latency = event.latency_us.unwrap_or_else(|| panic!("no latency: {record}"));
                let latency = Duration::from_micros(latency.into());
                let least = if record.contains("/slow/") { SLOW } else { Duration::ZERO };
                assert!(latency >= least && latency < Duration::from_secs(5), "took {latency:?}: {record}");
                let bytes = event.response_bytes.unwrap_or_else(|| panic!("no size: {record}"));
                assert!(bytes < 2_000, "{bytes} bytes: {record}");
                assert!(event.status != Some(200) || bytes >= 11, "no size: {record}");
                assert_ne!(event.request_id, 0, "no request id: {record}");
                format!(
                    "{} {} {} {} {:?} {} {}",
                    name(event.key, &settings.namespace, &pepper),
                    event.method.as_str(),
                    event.status.map_or("?".to_owned(), |status| status.to_string()),
                    event.route.text,
                    event.refusal,
                    event.agent.text,
                    prefix_text(event.address.prefix),
                )
            }
        });
    });
    seen.join(" + ")
}

/// `key` or `wrong` for ids made of the raw key, `credential` for that of the credential's id, else `other`.
fn name(id: KeyId, namespace: &str, pepper: &Pepper) -> &'static str {
    let known = [
        (fingerprint(pepper, KEY.as_bytes()), "key"),
        (fingerprint(pepper, WRONG.as_bytes()), "wrong"),
        (credential_fingerprint(pepper, namespace, CREDENTIAL), "credential"),
    ];
    known.iter().find(|(known, _)| *known == id).map_or("other", |(_, name)| name)
}

fn nginx(recipe: &str) -> (Nginx, Upstream) {
    let upstream = Upstream::start(&[]);
    let server = format!(
        "location /ours/ {{\n add_header X-Keyhound-Decision throttle always;\n return 429;\n }}\n\
         location / {{\n if ($credential_id = \"\") {{ return 401; }}\n proxy_pass http://127.0.0.1:{};\n }}",
        upstream.port
    );
    let map = format!("\"{KEY}\" \"{CREDENTIAL}\";\n");
    (Nginx::start(recipe, &server, &[("credentials.map", &map)]), upstream)
}

#[test]
fn nginx_logs_the_credential() {
    let (nginx, _upstream) = nginx(&block_with("nginx", "nginx", "log_format"));
    check(
        &nginx,
        &block_with("nginx", "yaml", "key: credential"),
        &[
            "credential GET 200 /v1/orders/{…} None acme-sdk/4.2 198.51.100.0/24",
            "anonymous",
            "credential GET 404 /status/{…}/orders None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 403 /status/{…}/orders Upstream acme-sdk/4.2 198.51.100.0/24",
            "credential GET 200 /slow/orders None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 429 /ours/orders Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

#[test]
fn nginx_refuses_a_wrong_key_itself() {
    let recipe = block_with("nginx", "nginx", "log_format");
    let recipe = instead(&recipe, r#""credential_id":"$credential_id""#, r#""api_key":"$http_x_api_key""#);
    let (nginx, _upstream) = nginx(&recipe);
    check(
        &nginx,
        "{ format: nginx, key: raw }",
        &[
            "key GET 200 /v1/orders/{…} None acme-sdk/4.2 198.51.100.0/24",
            "wrong GET 401 /v1/orders/{…} Gateway acme-sdk/4.2 198.51.100.0/24",
            "key GET 404 /status/{…}/orders None acme-sdk/4.2 198.51.100.0/24",
            "key GET 403 /status/{…}/orders Upstream acme-sdk/4.2 198.51.100.0/24",
            "key GET 200 /slow/orders None acme-sdk/4.2 198.51.100.0/24",
            "key GET 429 /ours/orders Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

fn haproxy(recipe: &str) -> (Haproxy, Upstream) {
    let upstream = Upstream::start(&[]);
    let recipe = instead(recipe, "frontend api\n", "");
    let deny = "    http-request deny deny_status 429 hdr X-Keyhound-Decision throttle if { path_beg /ours/ }\n    \
                http-request deny deny_status 401 unless { var(txn.credential) -m found }";
    let map = format!("{KEY} {CREDENTIAL}\n");
    (Haproxy::start(&format!("{recipe}{deny}"), upstream.port, &[("credentials.map", &map)]), upstream)
}

#[test]
fn haproxy_logs_the_credential() {
    let (haproxy, _upstream) = haproxy(&block_with("haproxy", "haproxy", "log-format"));
    check(
        &haproxy,
        &block_with("haproxy", "yaml", "key: credential"),
        &[
            "credential GET 200 /v1/orders/{…} None acme-sdk/4.2 198.51.100.0/24",
            "anonymous",
            "credential GET 404 /status/{…}/orders None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 403 /status/{…}/orders Upstream acme-sdk/4.2 198.51.100.0/24",
            "credential GET 200 /slow/orders None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 429 /ours/orders Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

#[test]
fn haproxy_refuses_a_wrong_key_itself() {
    let recipe = block_with("haproxy", "haproxy", "log-format");
    let recipe = instead(
        &recipe,
        r#""credential_id":"%[var(txn.credential),json(utf8s)]""#,
        r#""api_key":"%[var(txn.key),json(utf8s)]""#,
    );
    let (haproxy, _upstream) = haproxy(&recipe);
    check(
        &haproxy,
        "{ format: haproxy, key: raw }",
        &[
            "key GET 200 /v1/orders/{…} None acme-sdk/4.2 198.51.100.0/24",
            "wrong GET 401 /v1/orders/{…} Gateway acme-sdk/4.2 198.51.100.0/24",
            "key GET 404 /status/{…}/orders None acme-sdk/4.2 198.51.100.0/24",
            "key GET 403 /status/{…}/orders Upstream acme-sdk/4.2 198.51.100.0/24",
            "key GET 200 /slow/orders None acme-sdk/4.2 198.51.100.0/24",
            "key GET 429 /ours/orders Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

fn caddy(version: Version, log: &str) -> (Caddy, Upstream) {
    let upstream = Upstream::start(&[]);
    let site = format!(
        "{log}\n@unknown not header X-Api-Key {KEY}\nhandle @unknown {{\n respond 401\n}}\n\
         handle {{\n reverse_proxy 127.0.0.1:{}\n}}\n",
        upstream.port
    );
    (Caddy::start(version, &site), upstream)
}

#[test]
fn caddy_logs_a_hash_of_the_key() {
    let (caddy, _upstream) = caddy(Version::Current, &caddy_log());
    check(
        &caddy,
        &block_with("caddy", "yaml", "key: credential"),
        &[
            "other GET 200 /v1/orders/{…} None acme-sdk/4.2 198.51.100.0/24",
            "other GET 401 /v1/orders/{…} Upstream acme-sdk/4.2 198.51.100.0/24",
            "other GET 404 /status/{…}/orders None acme-sdk/4.2 198.51.100.0/24",
            "other GET 403 /status/{…}/orders Upstream acme-sdk/4.2 198.51.100.0/24",
            "other GET 200 /slow/orders None acme-sdk/4.2 198.51.100.0/24",
            "other GET 429 /ours/orders Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
    assert!(!caddy.log().contains(KEY), "the key stands in the log: {}", caddy.log());
}

#[test]
fn caddy_logs_the_raw_key() {
    raw_key_at(Version::Current);
}

#[test]
fn an_older_caddy_logs_the_raw_key() {
    raw_key_at(Version::Debian);
}

#[track_caller]
fn raw_key_at(version: Version) {
    let (caddy, _upstream) =
        caddy(version, "log {\n output file /var/log/caddy/keyhound.json\n format json\n}");
    check(
        &caddy,
        "{ format: caddy, key: raw }",
        &[
            "key GET 200 /v1/orders/{…} None acme-sdk/4.2 198.51.100.0/24",
            "wrong GET 401 /v1/orders/{…} Upstream acme-sdk/4.2 198.51.100.0/24",
            "key GET 404 /status/{…}/orders None acme-sdk/4.2 198.51.100.0/24",
            "key GET 403 /status/{…}/orders Upstream acme-sdk/4.2 198.51.100.0/24",
            "key GET 200 /slow/orders None acme-sdk/4.2 198.51.100.0/24",
            "key GET 429 /ours/orders Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

fn envoy(recipe: &str) -> (Envoy, Upstream) {
    let upstream = Upstream::start(&[]);
    let access_log = instead(recipe, "access_log:\n", "");
    let filters = format!(
        "- name: envoy.filters.http.api_key_auth\n  typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth\n    \
         credentials: [ {{ key: {KEY}, client: {CREDENTIAL} }} ]\n    key_sources: [ {{ header: x-api-key }} ]\n    \
         forwarding: {{ header: x-credential-id, hide_credentials: false }}\n"
    );
    let config = EnvoyConfig { access_log: &access_log, filters: &filters, ..EnvoyConfig::default() };
    (Envoy::start(&config, upstream.port), upstream)
}

#[test]
fn envoy_logs_the_credential() {
    let (envoy, _upstream) = envoy(&block_with("envoy", "yaml", "access_log:"));
    check(
        &envoy,
        &block_with("envoy", "yaml", "key: credential"),
        &[
            "credential GET 200 orders-route None acme-sdk/4.2 198.51.100.0/24",
            "anonymous",
            "credential GET 404 orders-route None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 403 orders-route Upstream acme-sdk/4.2 198.51.100.0/24",
            "credential GET 200 orders-route None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 429 orders-route Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

#[test]
fn envoy_refuses_a_wrong_key_itself() {
    let recipe = block_with("envoy", "yaml", "access_log:");
    let recipe =
        instead(&recipe, "credential_id: \"%REQ(X-CREDENTIAL-ID)%\"", "api_key: \"%REQ(X-API-KEY)%\"");
    let (envoy, _upstream) = envoy(&recipe);
    check(
        &envoy,
        "{ format: envoy, key: raw }",
        &[
            "key GET 200 orders-route None acme-sdk/4.2 198.51.100.0/24",
            "wrong GET 401 orders-route Gateway acme-sdk/4.2 198.51.100.0/24",
            "key GET 404 orders-route None acme-sdk/4.2 198.51.100.0/24",
            "key GET 403 orders-route Upstream acme-sdk/4.2 198.51.100.0/24",
            "key GET 200 orders-route None acme-sdk/4.2 198.51.100.0/24",
            "key GET 429 orders-route Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

fn traefik(recipe: &str) -> (Traefik, Upstream) {
    let upstream = Upstream::start(&[(KEY, CREDENTIAL)]);
    let middlewares = serde_json::json!({ "site-auth": { "forwardAuth": {
        "address": format!("http://127.0.0.1:{}/auth", upstream.port),
        "authResponseHeaders": ["X-Credential-Id"],
    } } });
    (Traefik::start(recipe, &middlewares, upstream.port), upstream)
}

#[test]
fn traefik_logs_the_credential() {
    let (traefik, _upstream) = traefik(&block_with("traefik", "yaml", "accessLog:"));
    check(
        &traefik,
        &block_with("traefik", "yaml", "key: credential"),
        &[
            "credential GET 200 orders@file None acme-sdk/4.2 198.51.100.0/24",
            "anonymous",
            "credential GET 404 orders@file None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 403 orders@file Upstream acme-sdk/4.2 198.51.100.0/24",
            "credential GET 200 orders@file None acme-sdk/4.2 198.51.100.0/24",
            "credential GET 429 orders@file Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}

#[test]
fn traefik_refuses_a_wrong_key_itself() {
    let recipe = block_with("traefik", "yaml", "accessLog:");
    let (traefik, _upstream) = traefik(&instead(&recipe, "X-Credential-Id: keep", "X-Api-Key: keep"));
    check(
        &traefik,
        "{ format: traefik, key: raw }",
        &[
            "key GET 200 orders@file None acme-sdk/4.2 198.51.100.0/24",
            "wrong GET 401 orders@file Gateway acme-sdk/4.2 198.51.100.0/24",
            "key GET 404 orders@file None acme-sdk/4.2 198.51.100.0/24",
            "key GET 403 orders@file Upstream acme-sdk/4.2 198.51.100.0/24",
            "key GET 200 orders@file None acme-sdk/4.2 198.51.100.0/24",
            "key GET 429 orders@file Ours acme-sdk/4.2 198.51.100.0/24",
        ],
    );
}
