//! Where keys are looked for: the same places in the log and at the gateway.

use super::*;

#[test]
fn gateways_are_asked_for_keys_wherever_a_source_looks_for_them() {
    let config = parse(
        &GOOD.replace("key: raw", "key: raw\n    key_names: { headers: [Authorization], parameters: [k] }"),
    )
    .unwrap();
    let headers: Vec<&str> = config.serve.checks.headers.iter().map(axum::http::HeaderName::as_str).collect();
    assert_eq!(headers, ["x-api-key", "apikey", "api-key", "api_key", "x-apikey", "authorization"]);
    assert_eq!(config.serve.checks.parameters, ["api_key", "apikey", "api-key", "x-api-key", "k"]);
}

#[test]
fn a_header_of_a_mapping_is_a_place_of_a_key_too() {
    let mapping = "{ request_headers: /h, key: { header: x-acme }, time: /t, status: /s }";
    let config = parse(&GOOD.replace("format: nginx", &format!("format: {mapping}"))).unwrap();
    assert!(config.serve.checks.headers.iter().any(|name| name == "x-acme"), "{:?}", config.serve.checks);
}

#[test]
fn a_name_that_only_the_log_side_knows_is_refused() {
    let text = GOOD.replace(
        "key: raw",
        "key: raw\n    key_names: { headers: [authorization, X-Api-Key], parameters: [] }",
    );
    check(
        &format!("{text}serve: {{ checks: {{ headers: [x-api-key] }} }}\n"),
        &[
            "k.yaml:10:29: serve.checks.headers: \"authorization\" is missing, and sources[1] looks for keys under it: \
           add it, leave headers out for the names of all sources, or name in sources[1].key_names.headers only what \
           your clients send",
        ],
    );
    check(&format!("{text}serve: {{ checks: {{ headers: [x-api-key, Authorization] }} }}\n"), &[]);
    // What is asked about by the gateway's own ids need not be what callers send.
    check(
        &format!("{text}serve: {{ checks: {{ parameters: [k], headers: [x-api-key, authorization] }} }}\n"),
        &[],
    );
}
