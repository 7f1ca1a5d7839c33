//! Who refused? An invalid key at a real gateway is evidence; our own refusals are not.
//!
//! The gateway writes the records with the configuration of `docs/gateways/`; Keyhound then reads them behind a past in
//! which both keys were served, made of the gateway's own record of a request that was.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

use crate::harness::{
    envoy::{Envoy, EnvoyConfig},
    folder::Folder,
    gateway::{Gateway, past},
    haproxy::Haproxy,
    http,
    keyhound::{Keyhound, key_id},
    program::eventually,
    recipe::block_with,
    upstream::{KEY_HEADER, Upstream},
};

/// A key that the gateway knows, and serves; later Keyhound refuses it.
const OURS: &str = "live-5f2be0c9a7d1440b";
/// A key that the gateway no longer knows.
const INVALID: &str = "live-00000000000000ff";

/// Requests of each kind.
const COUNT: usize = 40;

/// Sends refused requests, lets Keyhound read what the gateway wrote, and looks at whose refusals it found.
#[track_caller]
fn check(gateway: &impl Gateway, format: &str, time_field: &str, time: impl Fn(u64) -> Value) {
    let ask = |path: &str, key: &str| http::get(&gateway.url(path), &[(KEY_HEADER, key)]).status;
    assert_eq!(ask("/v1/orders", OURS), 200, "{}", gateway.log());
    for _ in 0..COUNT {
        assert_eq!(ask("/ours/orders", OURS), 429, "{}", gateway.log());
        // A 403 is evidence, unless it is recognized as ours.
        assert_eq!(ask("/revoked/orders", OURS), 403, "{}", gateway.log());
        assert_eq!(ask("/v1/orders", INVALID), 401, "{}", gateway.log());
    }
    let records = gateway.wait_for_records(1 + 3 * COUNT);
    let served: Value = serde_json::from_str(&records[0]).expect("JSON");
    let mut log = past(&served, &[OURS, INVALID], time_field, time);
    for record in &records[1..] {
        let _ = writeln!(log, "{record}");
    }

    let folder = Folder::new("refusals");
    let log = folder.write("access.json", log);
    let keyhound = Keyhound::start(&format!(
        "sources:\n- file: {{ paths: [{log:?}] }}\n  format: {format}\n  key: raw\n"
    ));
    let incidents = |key: &str| {
        let url = format!("http://{}/api/v1/incidents?state=all&key={}", keyhound.listen, key_id(key));
        http::get(&url, &[]).json()["incidents"].as_array().cloned().unwrap_or_default()
    };
    let refused = |incident: &Value| incident.to_string().contains("errors.refused");
    let found = eventually("the invalid key's refusals are found", Duration::from_mins(1), || {
        Some(incidents(INVALID)).filter(|found| found.iter().any(&refused))
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    // Both came in the same batch of the same log, so what there is of the other is there by now.
    let ours = incidents(OURS);
    assert!(!ours.iter().any(refused), "our own refusals were taken for evidence: {ours:#?}");
    // Counters of the engine are copied once a second.
    let wanted = format!("keyhound_requests_blocked_total {}", 2 * COUNT);
    eventually("our own are counted as pressure", Duration::from_mins(1), || {
        keyhound.metrics().lines().any(|line| line == wanted).then_some(())
    });
}

#[test]
fn an_invalid_key_at_envoy_is_found_and_our_own_refusals_are_not() {
    let recipe = block_with("envoy", "yaml", "access_log:").replace("access_log:\n", "");
    let recipe = recipe.replace("credential_id: \"%REQ(X-CREDENTIAL-ID)%\"", "api_key: \"%REQ(X-API-KEY)%\"");
    assert!(recipe.contains("api_key:"), "{recipe}");
    let filters = format!(
        "- name: envoy.filters.http.api_key_auth\n  typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth\n    \
         credentials: [ {{ key: {OURS}, client: c1 }} ]\n    key_sources: [ {{ header: x-api-key }} ]\n"
    );
    let upstream = Upstream::start(&[]);
    let config = EnvoyConfig { access_log: &recipe, filters: &filters, ..EnvoyConfig::default() };
    let envoy = Envoy::start(&config, upstream.port);
    check(&envoy, "envoy", "start_time", |ms| keyhound::event::EventTime(ms).rfc3339().into());
}

#[test]
fn an_invalid_key_at_haproxy_is_found_and_our_own_refusals_are_not() {
    let recipe = block_with("haproxy", "haproxy", "log-format").replace("frontend api\n", "");
    let recipe = recipe.replace(
        r#""credential_id":"%[var(txn.credential),json(utf8s)]""#,
        r#""api_key":"%[var(txn.key),json(utf8s)]""#,
    );
    assert!(recipe.contains("api_key"), "{recipe}");
    let deny = "    http-request deny deny_status 401 unless { var(txn.credential) -m found }";
    let map = format!("{OURS} c1\n");
    let upstream = Upstream::start(&[]);
    let haproxy = Haproxy::start(&format!("{recipe}{deny}"), upstream.port, &[("credentials.map", &map)]);
    check(&haproxy, "haproxy", "ts", |ms| {
        let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
        serde_json::from_str(&text).expect("a number")
    });
}
