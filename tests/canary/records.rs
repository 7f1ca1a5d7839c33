//! Records of each preset with a key in each place where keys travel.

use crate::needles::forms;

/// One record of each preset. `{own}` stands for the key at its mapped place, `{op}` for what the gateway's operator
/// names, `{any}` for what callers write, each in another form; `{ms}`, `{s}` and `{t}` for the time.
pub const RECORDS: [(&str, &str); 10] = [
    (
        "nginx",
        r#"{"msec":"{s}","remote_addr":"203.0.113.7","xff":"{any}, 203.0.113.9","api_key":"{own}","method":"GET","uri":"/v1/{any}/x{any}?q={any}&key={any}","status":"403","ua":"{any}","remote_user":"{any}","consumer":"{op}","credential_id":"{op}","referer":"https://x/?k={any}","request_id":"{any}","route":"{op}"}"#,
    ),
    (
        "kong",
        r#"{"client_ip":"203.0.113.7","started_at":{ms},"request":{"id":"{any}","method":"GET","uri":"/{any}?q={any}","url":"https://{any}@h/{any}","querystring":{"q":"{any}","{any}":"{any}"},"headers":{"user-agent":"{any}","apikey":"{own}","x-{any}":"{any}","host":"{any}","cookie":"a={any}","referer":"{any}"}},"response":{"status":401,"headers":{}},"route":{"name":"{op}"},"consumer":{"id":"{op}","username":"{op}"},"authenticated_entity":{"id":"{op}"},"source":"kong"}"#,
    ),
    (
        "envoy",
        r#"{"start_time":"{t}","response_code":200,"method":"{any}","api_key":"Bearer {own}","credential_id":"{op}","path":"https://{any}@h/{any}/{any}?q={any}","user_agent":"{any} sdk/{any}","route_name":"","consumer":"{op}","x_forwarded_for":"{any}","request_id":"{any}"}"#,
    ),
    (
        "envoy-gateway",
        r#"{"start_time":"{t}","response_code":200,"method":"GET","x-api-key":"{own}","x-credential-id":"{op}","x-envoy-origin-path":"/a/{any}?q={any}","user-agent":"{any}","x-forwarded-for":"{any}","x-request-id":"{any}",":authority":"{any}"}"#,
    ),
    (
        "haproxy",
        r#"{"ts":{s},"client_ip":"127.0.0.1","api_key":"{own}","credential_id":"{op}","user_agent":"{any}/{any}","method":"GET","path":"\/{any}\/{any}?q={any}","status":401,"server":"{op}","backend":"{op}","termination_state":"{op}","request_id":"{any}","xff":"{any}"}"#,
    ),
    (
        "traefik",
        r#"{"ClientAddr":"127.0.0.1:1","ClientHost":"{any}","ClientUsername":"{any}","DownstreamStatus":200,"RequestMethod":"GET","RequestHost":"{any}","RequestPath":"/a/{any}?q={any}","ServiceName":"{op}","StartUTC":"{t}","request_X-Api-Key":"{own}","request_X-Credential-Id":"{op}","request_User-Agent":"a/{any}","request_X-{any}":"{any}","request_Referer":"{any}","request_X-Forwarded-For":"{any}"}"#,
    ),
    (
        "caddy",
        r#"{"ts":{s},"request":{"remote_ip":"127.0.0.1","method":"{any}","host":"{any}","uri":"/{any}/a{any}?q={any}","headers":{"User-Agent":["x {any}"],"X-Api-Key":["{own}"],"X-Credential-Id":["{op}"],"X-{any}":["{any}"],"Referer":["{any}"],"Cookie":["k={any}"]}},"user_id":"{any}","status":200}"#,
    ),
    (
        "apisix",
        r#"{"start_time":{ms},"client_ip":"203.0.113.7","route_id":"","service_id":"{op}","consumer":{"username":"{op}"},"request":{"method":"GET","uri":"/{any}?q={any}","url":"http://{any}/{any}","querystring":{"q":"{any}"},"headers":{"user-agent":"{any}","apikey":"{own}","referer":"{any}","x-{any}":"{any}"}},"response":{"status":200,"headers":{"x":"{any}"}}}"#,
    ),
    (
        "aws-rest",
        r#"{"requestId":"{any}","ip":"203.0.113.7","apiKey":"{own}","apiKeyId":"{op}","requestTimeEpoch":"{ms}","httpMethod":"GET","path":"/prod/{any}","status":"403","userAgent":"{any}","stage":"{op}","apiId":"{op}","user":"{op}"}"#,
    ),
    (
        "aws-http",
        r#"{"requestId":"{any}","ip":"203.0.113.7","requestTimeEpoch":"{ms}","httpMethod":"GET","apiKey":"{own}","routeKey":"GET /v1/{any}","path":"/{any}","status":"200","userAgent":"{any}/{any}","credentialId":"{op}"}"#,
    ),
];

/// The record of a template. The `n`-th key stands at its mapped place, or, each third, elsewhere only.
pub fn record(template: &str, key: &str, n: usize, ms: u64) -> String {
    let is_own = n % 3 != 2;
    let mut text = String::with_capacity(2 * template.len());
    let forms = forms(key);
    for (at, piece) in template.split("{any}").enumerate() {
        if at > 0 {
            // By a number that has no factor in common with theirs, so that each form comes to each place.
            text.push_str(&forms[(n / 3 + 5 * at) % forms.len()]);
        }
        text.push_str(piece);
    }
    let (other, operator) = (format!("other-{n}"), format!("name-{n}"));
    text.replace("{own}", if is_own { key } else { &other })
        .replace("{op}", if is_own { key } else { &operator })
        .replace("{ms}", &ms.to_string())
        .replace("{s}", &format!("{}.{:03}", ms / 1_000, ms % 1_000))
        .replace("{t}", &keyhound::event::EventTime(ms).rfc3339())
}

/// A record, broken in the `n`-th way: every reason for a rejection comes up.
pub fn broken(record: &str, key: &str, n: usize) -> Vec<u8> {
    // Each has a time of every format, and no key at its place.
    let times = r#"{"msec":1795327660.839,"ts":1795327660.839,"started_at":1795327660839,"start_time":"2026-11-22T06:07:40.839Z""#;
    let text = match n % 14 {
        0 => format!("{{\"x\":\"{key}"),
        1 => format!("{key} GET /{key}"),
        2 => format!("\"{key}\""),
        3 => format!("{{\"api_key\":\"{key}\",\"status\":200}}"),
        4 => format!(
            "{{\"msec\":\"{key}\",\"ts\":\"{key}\",\"started_at\":\"{key}\",\"start_time\":\"{key}\"}}"
        ),
        5 => format!("{times},\"x\":\"{key}\"}}"),
        6 => format!("{{\"{key}\":{}{}", "[".repeat(200), record),
        7 => format!("[[[{record}]]]"),
        8 => format!("{{\"pad\":\"{}\",{}", key.repeat(4_000), &record[1..]),
        9 => return [b"\xff\xfe", key.as_bytes()].concat(),
        11 => format!("{times},\"status\":\"{key}\"}}"),
        12 => format!("{{\"{key}\" {record}"),
        10 => return [b"\x1f\x8b", record.as_bytes()].concat(),
        _ => format!("{{\"message\":{:?}}}", &record[..record.len() - 2]),
    };
    text.into_bytes()
}
