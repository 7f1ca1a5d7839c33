//! A request has the same keys where its log is read and where its gateway asks.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bumpalo::Bump;
use serde_json::{Value, json};

use super::{find, tests::pepper};
use crate::{
    decode::{Decoded, Decoder, Fingerprinter, Format, KEYS_MAX, KeyPolicy, Mapping, Settings, fingerprint},
    event::{Flags, KeyId},
    serve::ServeSettings,
};

/// A log of whose requests all headers are shown, as Caddy and Kong write it.
const ALL_HEADERS: &str =
    "{ time: { path: /t, unit: ms }, status: /status, path: /uri, request_headers: /headers }";

fn ids(keys: &[&str]) -> Vec<KeyId> {
    keys.iter().map(|key| fingerprint(&pepper(), key.as_bytes())).collect()
}

fn sorted(mut ids: Vec<KeyId>) -> Vec<KeyId> {
    ids.sort();
    ids
}

/// The keys of a record's events.
fn logged(record: &[u8]) -> Vec<KeyId> {
    let mapping: Mapping = serde_saphyr::from_str(ALL_HEADERS).unwrap();
    let settings = Settings::new(Format::Mapping(Box::new(mapping)), KeyPolicy::Raw);
    let mut decoder =
        Decoder::with_fingerprinter(&settings, Fingerprinter::with_entries(&pepper(), 2)).unwrap();
    let (arena, mut events) = (Bump::new(), Vec::new());
    decoder.decode(record, &arena, |decoded| match decoded {
        Decoded::Request(request) => events.push(request.event),
        Decoded::Anonymous(_) => {}
        Decoded::Rejected { reason, .. } => panic!("{reason:?}"),
    });
    for (nth, event) in (0u32..).zip(&events) {
        assert_eq!(event.position.index, nth);
        assert_eq!(event.flags.has(Flags::SEVERAL_KEYS), events.len() > 1);
        assert_eq!(event.flags.has(Flags::FURTHER_KEY), nth > 0, "the request counts once");
    }
    events.iter().map(|event| event.key).collect()
}

/// The keys of a gateway's question, each once; all of them are among those that are looked up.
fn asked(headers: &[(&str, &[u8])], query: &str) -> Vec<KeyId> {
    let settings = ServeSettings::default().checks;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    let pepper = pepper();
    let found = find(&settings, &pepper, &map, query).unwrap();
    assert!(found.keys.iter().all(|key| found.ids.contains(key)));
    found.keys
}

/// A request's record, with each header as a list of its values, and with the values of a name joined as NGINX does.
fn records(headers: &[(&str, &str)], query: &str) -> [Vec<u8>; 2] {
    let mut lists = serde_json::Map::new();
    for (name, value) in headers {
        let list = lists.entry((*name).to_owned()).or_insert_with(|| json!([]));
        list.as_array_mut().unwrap().push(json!(value));
    }
    let join = |list: &Value| {
        let values: Vec<&str> = list.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        json!(values.join(", "))
    };
    let joined: serde_json::Map<_, _> = lists.iter().map(|(name, list)| (name.clone(), join(list))).collect();
    [lists, joined].map(|headers| {
        let uri = if query.is_empty() { "/v1/orders".to_owned() } else { format!("/v1/orders?{query}") };
        let record = json!({ "t": 1_795_327_660_839_u64, "status": 200, "uri": uri, "headers": headers });
        record.to_string().into_bytes()
    })
}

#[track_caller]
fn check(headers: &[(&str, &str)], query: &str, keys: &[&str]) {
    let expected = sorted(ids(keys));
    for record in records(headers, query) {
        let text = String::from_utf8_lossy(&record).into_owned();
        assert_eq!(sorted(logged(&record)), expected, "the log: {text}");
    }
    let bytes: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    assert_eq!(sorted(asked(&bytes, query)), expected, "the check: {headers:?} {query}");
}

#[test]
fn each_key_of_a_request_counts_whatever_place_it_stands_in() {
    check(&[], "", &[]);
    check(&[("X-Api-Key", "STOLEN")], "", &["STOLEN"]);
    check(&[], "api_key=STOLEN&x=1", &["STOLEN"]);
    check(&[], "api_key=junk&api_key=STOLEN", &["junk", "STOLEN"]);
    check(&[("X-Api-Key", "junk")], "api_key=STOLEN", &["junk", "STOLEN"]);
    check(&[("X-Api-Key", "junk"), ("X-Api-Key", "STOLEN")], "", &["junk", "STOLEN"]);
    check(&[("X-Api-Key", "junk, STOLEN")], "", &["junk", "STOLEN"]);
    check(&[("X-Api-Key", "a,STOLEN,c")], "", &["a", "STOLEN", "c"]);
    check(&[("X-Api-Key", "a"), ("X-Api-Key", "STOLEN"), ("X-Api-Key", "c")], "", &["a", "STOLEN", "c"]);
    check(&[], "api_key=a&apikey=STOLEN&API_KEY=c", &["a", "STOLEN", "c"]);
    check(&[("apikey", "a"), ("X-Api-Key", "STOLEN"), ("api-key", "c")], "", &["a", "STOLEN", "c"]);
    check(&[("X-Api-Key", "Bearer a, Bearer STOLEN")], "", &["a", "STOLEN"]);
}

#[test]
fn one_key_several_times_is_one() {
    check(&[("X-Api-Key", "STOLEN"), ("apikey", "STOLEN")], "api_key=%53TOLEN&apikey=STOLEN", &["STOLEN"]);
    check(&[("X-Api-Key", "STOLEN,, STOLEN ,Bearer STOLEN")], "", &["STOLEN"]);
}

#[test]
fn a_key_counts_however_it_is_written() {
    check(&[], "api%5Fkey=STOLEN&api_key=junk", &["STOLEN", "junk"]);
    check(&[], "x=1;api_key=STOLEN", &["STOLEN"]);
    check(&[], "api_key=STOLEN;x", &["STOLEN;x", "STOLEN"]);
    check(&[], "api_key=%00STOLEN%20", &["STOLEN"]);
    check(&[], "api_key=a%2Bb+c", &["a+b c"]);
    check(&[("X-Api-Key", "Bearer\tSTOLEN")], "", &["STOLEN"]);
    check(&[("X-Api-Key", "clé\u{a0}")], "", &["clé"]);
    check(&[], "api_key=clé", &["clé"]);
    check(&[], "api_key=cl%C3%A9s", &["clés"]);
}

#[test]
fn more_keys_than_count_are_said_in_the_log_and_refused_in_the_check() {
    let many: Vec<String> = (0..=KEYS_MAX).map(|n| format!("key-{n}")).collect();
    let most: Vec<&str> = many[..KEYS_MAX].iter().map(String::as_str).collect();
    check(&[("X-Api-Key", &most.join(","))], "", &most);
    let [record, _] = records(&[("X-Api-Key", &many.join(","))], "");
    assert_eq!(sorted(logged(&record)), sorted(ids(&most)));
}

/// How gateways log a byte that is in no text: NGINX, Kong and APISIX as it came; Envoy the whole text as if it were
/// Latin-1; Caddy and Traefik one U+FFFD for each byte. NGINX escapes control characters, which others refuse.
#[test]
fn a_key_with_a_byte_that_is_in_no_text_is_the_same_key_in_every_log() {
    for (sent, written) in [
        (&b"ab\xffcd"[..], vec![&b"ab\xffcd"[..], b"ab\\u00ffcd", b"ab\\ufffdcd"]),
        (b"ab\xe2\x82cd", vec![b"ab\xe2\x82cd", b"ab\\u00e2\\u0082cd", b"ab\\ufffd\\ufffdcd"]),
        (b"ab\xc3\xa9c\xff", vec![b"ab\xc3\xa9c\xff", b"ab\\u00c3\\u00a9c\\u00ff", "abéc\\ufffd".as_bytes()]),
        (b"ab\xed\xa0\x80cd", vec![b"ab\xed\xa0\x80cd", b"ab\\ufffd\\ufffd\\ufffdcd"]),
        // A listener puts this byte in the place of control characters.
        (b"ab\xffcd", vec![b"ab\\u0001cd", b"ab\x7fcd"]),
        (b"ab\tcd", vec![b"ab\\tcd"]),
    ] {
        let expected = asked(&[("x-api-key", sent)], "");
        assert_eq!(expected.len(), 1, "{sent:?}");
        for written in written {
            let record = [
                &br#"{"t":1795327660839,"status":200,"uri":"/v1/orders","headers":{"X-Api-Key":""#[..],
                written,
                br#""}}"#,
            ]
            .concat();
            assert_eq!(logged(&record), expected, "{}", written.escape_ascii());
        }
    }
    let escaped = asked(&[], "api_key=ab%FFcd");
    assert_eq!(escaped, asked(&[("x-api-key", b"ab\xffcd")], ""));
}
