//! Records that are no proper JSON, or say things in a form of their own. Callers choose much of what is logged, so none
//! of it may hide a request whose time and key can be read, and none may put it on another's account.

use keyhound::{
    decode::{RawKey, fingerprint},
    event::EventTime,
};

use super::*;

const KEY: &str = "SECRETKEY0001abc";

fn pepper() -> Pepper {
    Pepper::new(b"0123456789abcdef0123456789abcdef").expect("32 bytes")
}

/// What a record decodes to, a line each: `TIME KEY METHOD ROUTE STATUS IN/OUT LATENCY FLAGS`, with `?` for what is not
/// known, `none` for a request without a key, or `REASON KEY TIME`.
fn lines(name: &str, key: KeyPolicy, payload: &[u8]) -> Vec<String> {
    let settings = Settings::new(Format::preset(name).expect("a preset"), key);
    let mut decoder = Decoder::new(&settings, &pepper()).expect("a valid preset");
    let own = fingerprint(&pepper(), RawKey::new(KEY.into()).expose());
    let key = |key: keyhound::event::KeyId| if key == own { "own".to_owned() } else { key.short() };
    let mut lines = Vec::new();
    decoder.decode(payload, &Bump::new(), |decoded| {
        lines.push(match decoded {
            Decoded::Request(Request { event, .. }) => format!(
                "{} {} {} {} {} {}/{} {} {}",
                event.time.rfc3339_millis(),
                key(event.key),
                event.method.as_str(),
                event.route.text,
                known(event.status.map(u32::from)),
                known(event.request_bytes),
                known(event.response_bytes),
                known(event.latency_us),
                event.flags.names().filter(|name| *name != "clear_key").collect::<Vec<_>>().join(","),
            ),
            Decoded::Anonymous(_) => "none".to_owned(),
            Decoded::Rejected { reason, key: id, time } => format!(
                "{} {} {}",
                reason.as_str(),
                id.map_or("-".to_owned(), key),
                time.map_or("-".to_owned(), EventTime::rfc3339_millis)
            ),
        });
    });
    lines
}

#[track_caller]
fn check_raw(name: &str, payload: impl AsRef<[u8]>, expected: &[&str]) {
    let payload = payload.as_ref();
    let found = lines(name, KeyPolicy::Raw, payload);
    let found: Vec<&str> = found.iter().map(|line| line.trim_end()).collect();
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(&payload[..payload.len().min(2_000)]));
}

/// An nginx record with `{}` for a member or more between its path and its key.
fn nginx(members: &str) -> Vec<u8> {
    nginx_bytes(members.as_bytes())
}

fn nginx_bytes(members: &[u8]) -> Vec<u8> {
    [
        br#"{"msec":"1795327660.839","method":"GET","uri":"/v1/x","status":"200","#.as_slice(),
        members,
        br#","api_key":"SECRETKEY0001abc"}"#,
    ]
    .concat()
}

const PLAIN: &str = "2026-11-22T06:07:40.839Z own GET /v1/x 200 ?/? ?";
const REPAIRED: &str = "2026-11-22T06:07:40.839Z own GET /v1/x 200 ?/? ? repaired";
/// Nothing behind the fault can be read.
const LOST: &str = "- 2026-11-22T06:07:40.839Z";

#[test]
fn bytes_that_are_no_text_hide_nothing() {
    for byte in 0x80..=0xff_u8 {
        check_raw("nginx", nginx_bytes(&[b"\"ua\":\"caf", [byte].as_slice(), b"/1\""].concat()), &[REPAIRED]);
    }
    for text in [b"\xc0\xaf".as_slice(), b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff\xfe\x00"] {
        check_raw("nginx", nginx_bytes(&[b"\"referer\":\"", text, b"\""].concat()), &[REPAIRED]);
    }
    check_raw("nginx", nginx_bytes(b"\"\xff\":1"), &[REPAIRED]);
    // In a batch, the record that has it is marked, and no other.
    let batch = [nginx("\"ua\":\"x\""), nginx_bytes(b"\"ua\":\"\xff\""), nginx("\"ua\":\"y\"")].join(&b'\n');
    check_raw("nginx", batch, &[PLAIN, REPAIRED, PLAIN]);
    check_raw("nginx", b"\xff\xfe\x00garbage", &["not_utf8 - -"]);
}

#[test]
fn escapes_and_control_characters_that_json_does_not_know_hide_nothing() {
    for byte in (0..0x20_u8).filter(|byte| *byte != b'\n') {
        check_raw("nginx", nginx_bytes(&[b"\"ua\":\"a", [byte].as_slice(), b"b\""].concat()), &[REPAIRED]);
    }
    for escape in
        [r"\x22", r"\xff", r"\'", r"\ud800", r"\udc00\ud800", r"\u12", r"\u12G4", r"\u", r"\é", r"\z"]
    {
        check_raw("nginx", nginx(&format!("\"ua\":\"{escape}\"")), &[REPAIRED]);
    }
    check_raw("nginx", nginx("\"ua\":\"\\u00e9\\u0001\\/\""), &[PLAIN]);
}

#[test]
fn a_key_counts_as_the_gateway_that_asks_shows_it() {
    use keyhound::decode::fingerprint;
    let id = |bytes: &[u8]| fingerprint(&pepper(), bytes).short();
    let record = |key: &[u8]| {
        [br#"{"msec":"1795327660.839","status":200,"api_key":""#.as_slice(), key, b"\"}"].concat()
    };
    for (written, key) in [
        (b"caf\xc3\xa9s".as_slice(), "cafés".as_bytes()),
        (br"caf\u00e9s", "cafés".as_bytes()),
        (br"caf\xc3\xa9s", "cafés".as_bytes()),
        (br"a\u002fb\/c", b"a/b/c"),
        (br"a\x22b\\c", b"a\"b\\c"),
        (b"caf\xe9s", "caf\u{fffd}s".as_bytes()),
        (br"caf\ufffds", "caf\u{fffd}s".as_bytes()),
    ] {
        let found = lines("nginx", KeyPolicy::Raw, &record(written));
        assert!(found[0].contains(&id(key)), "{}: {found:?}", String::from_utf8_lossy(written));
    }
}

#[test]
fn a_record_may_be_long_and_deep() {
    check_raw("nginx", nginx(&format!("\"ua\":\"{}\"", "a".repeat(5 << 20))), &[PLAIN]);
    let deep = format!("\"x\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check_raw("nginx", nginx(&deep), &[REPAIRED]);
    let list = format!("[{}]", vec![String::from_utf8(nginx("\"a\":1")).unwrap(); 30_000].join(","));
    check_raw("nginx", list, &[PLAIN; 30_000]);
}

#[test]
fn numbers_in_a_form_of_their_own_are_right_or_unknown() {
    for (took, us) in [
        ("\"0.033s\"", "33000"),
        ("\"12ms\"", "12000"),
        ("\"471.475\\u03bcs\"", "471"),
        ("\"1.2e-2\"", "12000"),
        ("\".5\"", "500000"),
        ("\"1m2s\"", "62000000"),
        ("\"0,033\"", "?"),
        ("\"-0.001\"", "?"),
        ("1e400", "?"),
        ("-1", "?"),
        ("\"-\"", "?"),
        ("\"\"", "?"),
        ("null", "?"),
        ("true", "?"),
        ("[]", "?"),
        ("{\"a\":1}", "?"),
        ("[0.5]", "500000"),
    ] {
        let expected = PLAIN.replace("?/? ?", &format!("?/? {us}"));
        check_raw("nginx", nginx(&format!("\"request_time\":{took}")), &[&expected]);
    }
    for (status, expected) in
        [("\"200.0\"", "200"), ("-1", "0"), ("\"ok\"", "?"), ("70000", "?"), ("null", "?"), ("[]", "?")]
    {
        let record = String::from_utf8(nginx("\"a\":1"))
            .unwrap()
            .replace("\"status\":\"200\"", &format!("\"status\":{status}"));
        check_raw("nginx", record, &[&PLAIN.replace("200", expected)]);
    }
    let caddy = br#"{"ts":1795327660.839,"request":{"method":"GET","uri":"/v1/x","headers":{"X-Api-Key":["SECRETKEY0001abc"]}},"duration":"12.5ms","size":100,"status":200}"#;
    check_raw("caddy", caddy, &["2026-11-22T06:07:40.839Z own GET /v1/x 200 ?/100 12500"]);
}

#[test]
fn values_without_quotes_and_without_anything_are_passed() {
    for value in [
        "",
        "-",
        ".5",
        "01",
        "nan",
        "-nan",
        "inf",
        "undefined",
        "<nil>",
        "'a'",
        "+1",
        "0x1f",
        "[nan, 1]",
        "{,}",
    ] {
        check_raw("nginx", nginx(&format!("\"x\":{value}")), &[REPAIRED]);
    }
    let took = |us: &str| REPAIRED.replace("?/? ?", &format!("?/? {us}"));
    for (value, us) in
        [("", "?"), ("0.1, 0.2 : 0.3", "600000"), ("0.033s", "33000"), ("0,033", "?"), ("-, 0.2", "200000")]
    {
        check_raw("nginx", nginx(&format!("\"request_time\":{value}")), &[&took(us)]);
    }
    check_raw("nginx", nginx("\"a\":1,,\"b\":2"), &[REPAIRED]);
    let trailing = String::from_utf8(nginx("\"a\":1")).unwrap().replace("abc\"}", "abc\",}");
    check_raw("nginx", trailing, &[REPAIRED]);
}

#[test]
fn what_stands_before_a_cut_counts() {
    let haproxy = r#"{"ts":1795952477.389,"client_ip":"203.0.113.7","xff":"-","credential_id":"cred-1","method":"GET","status":200,"Ta":12,"user_agent":"Mozilla\/5.0 aaaa"#;
    let found = lines("haproxy", KeyPolicy::Credential, haproxy.as_bytes());
    assert!(found[0].ends_with(" GET  200 ?/? 12000 cut") && found.len() == 1, "{found:?}");
    let record = String::from_utf8(nginx("\"ua\":\"x\"")).unwrap();
    let whole = record.replace("}", ",\"request_time\":0.5}");
    for end in 0..whole.len() {
        let found = lines("nginx", KeyPolicy::Raw, &whole.as_bytes()[..end]);
        assert_eq!(found.len(), 1, "{}", &whole[..end]);
        let has_key = end >= record.len() - 1;
        // Half of a number is none.
        let cut = PLAIN.to_owned() + " cut";
        assert_eq!(found[0] == cut, has_key, "{}: {found:?}", &whole[..end]);
    }
    // A status that was cut is not another one.
    check_raw(
        "nginx",
        &br#"{"msec":"1795327660.839","api_key":"SECRETKEY0001abc","status":40"#[..],
        &["2026-11-22T06:07:40.839Z own OTHER  ? ?/? ? cut"],
    );
    let wrapped = serde_json::json!({ "log": record }).to_string();
    check_raw("nginx", &wrapped[..wrapped.len() - 1], &[PLAIN]);
    check_raw("nginx", &wrapped[..wrapped.len() - 3], &[&(PLAIN.to_owned() + " cut")]);
    check_raw("nginx", &wrapped[..wrapped.len() - 4], &[&format!("truncated {LOST}")]);
}

#[test]
fn a_fault_that_cannot_be_passed_is_told_with_the_key_that_stood_before_it() {
    let front = r#"{"api_key":"SECRETKEY0001abc","x":"a"b","msec":"1795327660.839"}"#;
    check_raw("nginx", front, &["not_json own -"]);
    check_raw("nginx", nginx("\"x\":\"a\"b\""), &[&format!("not_json {LOST}")]);
    check_raw("nginx", br#"{"status":200,"api_key":"SECRETKEY0001abc"}"#, &["missing_time own -"]);
    check_raw("nginx", br#"{"msec":"soon","status":200,"api_key":"SECRETKEY0001abc"}"#, &["bad_time own -"]);
}

#[test]
fn a_record_is_told_once() {
    let text = r#"[2026-11-20T20:17:00.310Z] "POST /v1/orders HTTP/2" 204 - 154 0 226 100 "203.0.113.7" "sdk/1" "orders""#;
    check_raw("envoy", text, &["text_log - -"]);
    check_raw(
        "nginx",
        r#"203.0.113.7 - - [20/Nov/2026:10:10:01 +0000] "GET /v1/{x} HTTP/1.1" 200 421 "-" "sdk/1""#,
        &["text_log - -"],
    );
    check_raw("nginx", "\"GET / HTTP/1.1\" 200", &["text_log - -"]);
    let kong = r#"2026/11/20 10:10:10 [notice] 28#0: *1212 [lua] handler.lua:12: {"request":{"method":"GET","uri":"/a","size":"75","headers":{"apikey":"SECRETKEY0001abc"}},"response":{"status":401,"size":"43"},"latencies":{"proxy":-1,"request":2},"started_at":1795327660839,"client_ip":"203.0.113.9"}, client: 203.0.113.9, server: kong, request: "GET /{} HTTP/1.1", host: "api.example""#;
    let event = "2026-11-22T06:07:40.839Z own GET /a 401 75/43 2000";
    check_raw("kong", kong, &[event]);
    check_raw(
        "kong",
        format!("{kong}\n{kong}\na text\nmore text\n{kong}"),
        &[event, event, "text_log - -", event],
    );
    let record = String::from_utf8(nginx("\"a\":1")).unwrap();
    check_raw("nginx", format!("[pod/edge-7c9f/nginx] {record}"), &[PLAIN]);
    check_raw("nginx", format!("[{record},1,\"x\",null,{record}]"), &[PLAIN, PLAIN, "wrong_type - -"]);
    check_raw("nginx", format!("{record}{record}\n{{\"a\n{record}"), &[PLAIN, PLAIN, "truncated - -", PLAIN]);
}

/// Kong and APISIX encode by lua-cjson: bytes from 0x80 as they are, `/` and DEL escaped, numbers with 14 digits, an
/// empty list as `{}`.
#[test]
fn what_lua_cjson_writes_is_read() {
    let record = b"{\"request\":{\"method\":\"GET\",\"uri\":\"\\/v1\\/x?q=\\u0001\\u007f\xe9\",\"size\":\"75\",\"headers\":{\"apikey\":\"SECRETKEY0001abc\",\"user-agent\":\"a\xff\\u001f\\\"\\\\\"},\"querystring\":{}},\"response\":{\"status\":200,\"size\":43,\"headers\":{}},\"tries\":{},\"latencies\":{\"request\":4.1,\"proxy\":3},\"started_at\":1.7953276608e+12,\"client_ip\":\"203.0.113.9\"}";
    check_raw("kong", record, &["2026-11-22T06:07:40.800Z own GET /v1/x 200 75/43 4100 repaired"]);
    let record = br#"{"start_time":1795327660839,"latency":4.0999999046326,"upstream":{},"request":{"method":"POST","uri":"\/upload","size":90000,"headers":{"apikey":["SECRETKEY0001abc","other"]}},"response":{"status":200,"size":120}}"#;
    // The header came twice.
    let event =
        |key, flags| format!("2026-11-22T06:07:40.839Z {key} POST /upload 200 90000/120 4099 {flags}");
    let events = [event("own", "several_keys"), event("kf1_bdd7…559e", "several_keys,further_key")];
    check_raw("apisix", record, &events.each_ref().map(String::as_str));
}

/// What a caller writes into a request whose status is not known is no record of another's.
#[test]
fn a_text_in_a_request_is_not_opened() {
    let other = r#"{\"msec\":\"1795327660.839\",\"status\":\"200\",\"api_key\":\"VICTIM\"}"#;
    let record = format!(
        r#"{{"msec":"1795327660.839","api_key":"SECRETKEY0001abc","message":"{other}","uri":"/v1/x"}}"#
    );
    check_raw("nginx", record, &["2026-11-22T06:07:40.839Z own OTHER /v1/x ? ?/? ?"]);
}
