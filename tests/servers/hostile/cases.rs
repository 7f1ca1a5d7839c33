//! Requests that nobody sends by accident, with a key in them: each as the bytes on the wire.

use std::ops::RangeInclusive;

/// What is between the parts of a request that a case does not change.
const HOST: &str = "Host: 127.0.0.1\r\nConnection: close\r\n";

/// One request, or several on a connection.
pub struct Case {
    /// What is odd about it.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// All of them, with this key.
pub fn all(key: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    each_byte(key, &mut cases);
    names(key, &mut cases);
    lines(key, &mut cases);
    heads(key, &mut cases);
    bodies(key, &mut cases);
    duplicates(key, &mut cases);
    queries(key, &mut cases);
    cases
}

/// One that is not odd.
pub fn plain(key: &str) -> Vec<u8> {
    with(key, "/v1/a", "", "").into_bytes()
}

fn case(cases: &mut Vec<Case>, name: impl Into<String>, bytes: impl AsRef<[u8]>) {
    cases.push(Case { name: name.into(), bytes: bytes.as_ref().to_vec() });
}

/// A request with the key in its header and other headers before and behind it.
fn with(key: &str, target: &str, before: &str, behind: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{HOST}{before}X-Api-Key: {key}\r\n{behind}\r\n")
}

/// Each byte in each place.
fn each_byte(key: &str, cases: &mut Vec<Case>) {
    const BYTES: RangeInclusive<u8> = 0..=u8::MAX;
    // The byte stands where the `~` is.
    let templates = [
        ("agent", with(key, "/v1/a", "User-Agent: a~b\r\n", "")),
        ("agent behind", with(key, "/v1/a", "", "User-Agent: a~b\r\n")),
        ("value", with(key, "/v1/a", "X-A: ~\r\n", "")),
        ("cookie", with(key, "/v1/a", "", "Cookie: a=b; c=~\r\n")),
        ("referer", with(key, "/v1/a", "", "Referer: http://a/~?b\r\n")),
        ("forwarded", with(key, "/v1/a", "", "X-Forwarded-For: ~\r\nX-Forwarded-Uri: /~\r\n")),
        ("name", with(key, "/v1/a", "X-~A: b\r\n", "")),
        ("name behind", with(key, "/v1/a", "", "~: b\r\n")),
        ("path", with(key, "/v1/~a", "", "")),
        ("query", with(key, "/v1/a?x=~", "", "")),
        ("key first", with(&format!("~{key}"), "/v1/a", "", "")),
        ("key last", with(&format!("{key}~"), "/v1/a", "", "")),
        ("key blank", with(&format!("{key} ~"), "/v1/a", "", "")),
        ("key name last", format!("GET /v1/a HTTP/1.1\r\n{HOST}X-Api-Key~: {key}\r\n\r\n")),
        ("key name first", format!("GET /v1/a HTTP/1.1\r\n{HOST}~X-Api-Key: {key}\r\n\r\n")),
        ("parameter", format!("GET /v1/a?api_key={key}&x=~ HTTP/1.1\r\n{HOST}\r\n")),
        ("parameter before", format!("GET /v1/a~?x=~&api_key={key} HTTP/1.1\r\n{HOST}\r\n")),
        ("parameter and agent", format!("GET /v1/a?api_key={key} HTTP/1.1\r\n{HOST}User-Agent: ~\r\n\r\n")),
        ("method", format!("G~T /v1/a HTTP/1.1\r\n{HOST}X-Api-Key: {key}\r\n\r\n")),
        ("version", format!("GET /v1/a HTTP/1.1~\r\n{HOST}X-Api-Key: {key}\r\n\r\n")),
    ];
    for (place, template) in templates {
        for byte in BYTES {
            let bytes: Vec<u8> =
                template.bytes().map(|known| if known == b'~' { byte } else { known }).collect();
            case(cases, format!("{byte:#04x} in {place}"), bytes);
        }
    }
}

/// Names that are one to some and not to others.
fn names(key: &str, cases: &mut Vec<Case>) {
    for name in [
        "x-api-key",
        "X-API-KEY",
        "x_api_key",
        "X_Api_Key",
        "X-Api_Key",
        "x_api-key",
        "X-Api-Key ",
        "X-Api-Key\t",
        " X-Api-Key",
        "X-Api-Key\r\n ",
        "X-Api-Key\0",
        "X-Api-Key\u{b}",
        "HTTP_X_API_KEY",
        "X-Forwarded-X-Api-Key",
    ] {
        case(cases, format!("name {name:?}"), format!("GET /v1/a HTTP/1.1\r\n{HOST}{name}: {key}\r\n\r\n"));
    }
    for connection in
        ["X-Api-Key", "close, X-Api-Key", "keep-alive, x-api-key", "Authorization", "X-Forwarded-Uri"]
    {
        let head = "GET /v1/a HTTP/1.1\r\nHost: 127.0.0.1\r\n";
        case(
            cases,
            format!("Connection: {connection}"),
            format!("{head}Connection: {connection}\r\nX-Api-Key: {key}\r\n\r\n"),
        );
        let head = format!("GET /v1/a?api_key={key} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        case(
            cases,
            format!("Connection: {connection}, parameter"),
            format!("{head}Connection: {connection}\r\n\r\n"),
        );
    }
}

/// Methods, targets, versions and line ends.
fn lines(key: &str, cases: &mut Vec<Case>) {
    let headers = format!("{HOST}X-Api-Key: {key}\r\n\r\n");
    for method in [
        "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "get", "Get", "FOO",
        "PROPFIND", "M-SEARCH", "A_B", "G E T", "", "GET\t", "PURGE", "BREW", "QUERY",
    ] {
        case(cases, format!("method {method:?}"), format!("{method} /v1/a HTTP/1.1\r\n{headers}"));
    }
    for target in [
        "*",
        "v1/a",
        "http://127.0.0.1/v1/a",
        "HTTP://other/v1/a",
        "https://127.0.0.1:1/v1/a",
        "//v1/a",
        "/",
        "/../v1/a",
        "/%2e%2e/nginx",
        "/_keyhound",
        "/nginx",
        "/%00",
        "/a%0d%0aX-Api-Key:%20other",
        "/a#b",
        "/a?b#c?d",
        "/\\a",
        "/a;b=c",
        "127.0.0.1:80",
        "/a b",
        "?x=1",
        "/%",
        "/%zz",
        "/v1/{a}|b^`<>\"",
        "/.well-known/a",
        "/healthz",
        "/check",
    ] {
        case(cases, format!("target {target:?}"), format!("GET {target} HTTP/1.1\r\n{headers}"));
        let query = if target.contains('?') { '&' } else { '?' };
        let with_key = format!("GET {target}{query}api_key={key} HTTP/1.1\r\n{HOST}\r\n");
        case(cases, format!("target {target:?} with the key"), with_key);
    }
    for version in [
        "HTTP/1.0",
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/1.10",
        "HTTP/2.0",
        "http/1.1",
        "HTTP/1.1 ",
        "HTTP/01.1",
        "HTTP/1",
        "X",
    ] {
        case(cases, format!("version {version:?}"), format!("GET /v1/a {version}\r\n{headers}"));
    }
    case(cases, "HTTP/0.9 with a parameter", format!("GET /v1/a?api_key={key}\r\n"));
    case(cases, "HTTP/1.0 without a host", format!("GET /v1/a HTTP/1.0\r\nX-Api-Key: {key}\r\n\r\n"));
    case(cases, "without a host", format!("GET /v1/a HTTP/1.1\r\nX-Api-Key: {key}\r\n\r\n"));
    case(cases, "two hosts", format!("GET /v1/a HTTP/1.1\r\nHost: a\r\n{HOST}X-Api-Key: {key}\r\n\r\n"));
    case(cases, "line feeds alone", format!("GET /v1/a HTTP/1.1\r\n{headers}").replace("\r\n", "\n"));
    case(cases, "returns alone", format!("GET /v1/a HTTP/1.1\r\n{headers}").replace("\r\n", "\r"));
    case(cases, "empty lines before", format!("\r\n\r\n\r\nGET /v1/a HTTP/1.1\r\n{headers}"));
    case(cases, "many blanks", format!("GET   /v1/a   HTTP/1.1\r\n{headers}"));
}

/// Folding, many headers and large ones.
fn heads(key: &str, cases: &mut Vec<Case>) {
    for (name, value) in [
        ("folded before", format!("\r\n {key}")),
        ("folded behind", format!("{key}\r\n ")),
        ("folded with more", format!("{key}\r\n other")),
        ("folded in the middle", format!("other\r\n\t{key}")),
        ("scheme", format!("Bearer {key}")),
        ("quoted", format!("\"{key}\"")),
        ("blanks", format!(" \t {key} \t ")),
    ] {
        case(cases, name, with(&value, "/v1/a", "", ""));
    }
    case(cases, "another folded", with(key, "/v1/a", "X-A: b\r\n  c\r\n", ""));
    case(
        cases,
        "first line folded",
        format!("GET /v1/a HTTP/1.1\r\n X-A: b\r\n{HOST}X-Api-Key: {key}\r\n\r\n"),
    );
    for count in [50, 90, 98, 99, 101, 128, 200, 500, 1_000, 5_000] {
        let many = (0..count).map(|n| format!("X-{n}: a\r\n")).collect::<Vec<_>>().concat();
        case(cases, format!("{count} headers before"), with(key, "/v1/a", &many, ""));
        case(cases, format!("{count} headers behind"), with(key, "/v1/a", "", &many));
        case(cases, format!("{count} equal headers"), with(key, "/v1/a", &"A:\r\n".repeat(count), ""));
    }
    for size in [
        4_000, 7_000, 8_000, 9_000, 16_000, 31_000, 40_000, 60_000, 65_000, 100_000, 130_000, 1_000_000,
        1_100_000,
    ] {
        let much = "x".repeat(size);
        case(cases, format!("agent of {size}"), with(key, "/v1/a", &format!("User-Agent: {much}\r\n"), ""));
        case(
            cases,
            format!("agent of {size} behind"),
            with(key, "/v1/a", "", &format!("User-Agent: {much}\r\n")),
        );
        case(cases, format!("path of {size}"), with(key, &format!("/{much}"), "", ""));
        case(cases, format!("query of {size}"), with(key, &format!("/a?x={much}"), "", ""));
        case(cases, format!("name of {size}"), with(key, "/v1/a", &format!("{much}: a\r\n"), ""));
        case(
            cases,
            format!("other key of {size}"),
            with(key, "/v1/a", &format!("X-Api-Key: {much}\r\n"), ""),
        );
        case(
            cases,
            format!("authorization of {size}"),
            with(key, "/v1/a", &format!("Authorization: {much}\r\n"), ""),
        );
        let parameter = format!("GET /a?x={much}&api_key={key} HTTP/1.1\r\n{HOST}\r\n");
        case(cases, format!("parameter behind {size}"), parameter);
    }
}

/// Bodies that are large, chunked, announced, cut or another request.
fn bodies(key: &str, cases: &mut Vec<Case>) {
    let post = |headers: &str, body: &str| {
        format!("POST /v1/a HTTP/1.1\r\n{HOST}X-Api-Key: {key}\r\n{headers}\r\n{body}")
    };
    let much = "x".repeat(1024 * 1024);
    case(cases, "body of 1 MB", post(&format!("Content-Length: {}\r\n", much.len()), &much));
    case(cases, "chunks", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"));
    case(
        cases,
        "chunks of 1 MB",
        post("Transfer-Encoding: chunked\r\n", &format!("{:x}\r\n{much}\r\n0\r\n\r\n", much.len())),
    );
    case(
        cases,
        "trailers",
        post("Transfer-Encoding: chunked\r\nTrailer: X-A\r\n", "3\r\nabc\r\n0\r\nX-A: b\r\n\r\n"),
    );
    let trailer = format!(
        "POST /v1/a HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTrailer: X-Api-Key\r\n\r\n0\r\nX-Api-Key: {key}\r\n\r\n"
    );
    case(cases, "the key in a trailer", trailer);
    for (name, headers, body) in [
        ("bad chunk", "Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n"),
        ("cut chunk", "Transfer-Encoding: chunked\r\n", "10\r\nabc"),
        ("bad chunk's end", "Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n"),
        ("chunk extension", "Transfer-Encoding: chunked\r\n", "3;a=\"\u{1}\"\r\nabc\r\n0\r\n\r\n"),
        ("large chunk", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc"),
        ("identity", "Transfer-Encoding: identity\r\n", ""),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        ("length and chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("odd encoding", "Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"),
        ("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
        ("equal lengths", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        ("length in words", "Content-Length: three\r\n", "abc"),
        ("negative length", "Content-Length: -1\r\n", ""),
        ("length with a sign", "Content-Length: +3\r\n", "abc"),
        ("large length", "Content-Length: 99999999999999999999\r\n", "abc"),
        ("body that does not come", "Content-Length: 10\r\n", "abc"),
        ("expect", "Content-Length: 3\r\nExpect: 100-continue\r\n", "abc"),
        ("expect something", "Content-Length: 3\r\nExpect: 200-ok\r\n", "abc"),
        (
            "upgrade",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
            "",
        ),
        (
            "upgrade to h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "",
        ),
        ("te", "TE: trailers\r\n", ""),
        ("encodings", "Content-Encoding: gzip\r\nAccept-Encoding: \u{1}\r\nContent-Length: 3\r\n", "abc"),
        (
            "override",
            "X-HTTP-Method-Override: PURGE\r\nX-Original-URI: /other\r\nX-Original-Method: \u{1}\r\n",
            "",
        ),
        (
            "internal headers",
            "X-Forwarded-Uri: /?api_key=other\r\nX-Original-Url: /\r\nX-Envoy-Original-Path: /b\r\n",
            "",
        ),
        (
            "envoy's own",
            "X-Envoy-Expected-Rq-Timeout-Ms: 1\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 1\r\nX-Envoy-Max-Retries: 9\r\n",
            "",
        ),
        ("grpc-timeout", "grpc-timeout: 1n\r\nContent-Type: application/grpc\r\n", ""),
        ("decision of his own", "X-Keyhound-Decision: none\r\nX-Keyhound-Decision-Id: dec_\r\n", ""),
    ] {
        case(cases, name, post(headers, body));
        case(cases, format!("{name}, GET"), post(headers, body).replacen("POST", "GET", 1));
    }
    let one = |headers: &str| format!("GET /v1/a HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n");
    let keyed = one(&format!("X-Api-Key: {key}\r\n"));
    case(cases, "pipelined", one("").repeat(3) + &keyed.repeat(3));
    case(cases, "pipelined behind a bad one", format!("{}{keyed}", one("X A: \u{1}\r\n")));
    let inner = with(key, "/v1/inner", "", "");
    case(cases, "a request in a body", post(&format!("Content-Length: {}\r\n", inner.len()), &inner));
    case(
        cases,
        "a request behind chunks",
        post("Transfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{inner}")),
    );
}

/// The key beside others.
fn duplicates(key: &str, cases: &mut Vec<Case>) {
    let header = |value: &str| format!("X-Api-Key: {value}\r\n");
    for count in [1, 2, 63, 64, 65, 90] {
        let others = (0..count).map(|n| header(&format!("other{n}"))).collect::<Vec<_>>().concat();
        case(cases, format!("the key behind {count} headers"), with(key, "/v1/a", &others, ""));
        case(cases, format!("the key before {count} headers"), with(key, "/v1/a", "", &others));
        case(cases, format!("the key among {count} headers"), with(key, "/v1/a", &others, &others));
        let joined: Vec<String> = (0..count).map(|n| format!("other{n}")).collect();
        let joined = joined.join(",");
        case(
            cases,
            format!("the key behind {count} in one header"),
            with(&format!("{joined}, {key}"), "/v1/a", "", ""),
        );
        case(
            cases,
            format!("the key before {count} in one header"),
            with(&format!("{key},{joined}"), "/v1/a", "", ""),
        );
        let others = (0..count).map(|n| format!("api_key=other{n}&")).collect::<Vec<_>>().concat();
        let parameters = format!("GET /v1/a?{others}api_key={key}&{others} HTTP/1.1\r\n{HOST}\r\n");
        case(cases, format!("the key among {count} parameters"), parameters);
    }
    case(cases, "empty and the key", with(key, "/v1/a", &header(""), &header("")));
    case(cases, "commas", with(&format!(",,{key},,"), "/v1/a", "", ""));
    case(cases, "another in the query", with(key, "/v1/a?api_key=other", "", ""));
    case(
        cases,
        "another in the header",
        format!("GET /v1/a?api_key={key} HTTP/1.1\r\n{HOST}{}\r\n", header("other")),
    );
    case(cases, "in another case beside", with(key, "/v1/a", "x-api-key: other\r\n", "X-API-KEY: other\r\n"));
    case(cases, "with an underscore beside", with("other", "/v1/a", &format!("X_Api_Key: {key}\r\n"), ""));
}

/// Spellings of a parameter.
fn queries(key: &str, cases: &mut Vec<Case>) {
    let escaped = key.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    for query in [
        format!("API_KEY={key}"),
        format!("Api_Key={key}"),
        format!("api%5Fkey={key}"),
        format!("%61pi_key={key}"),
        format!("api_key={escaped}"),
        format!("api_key=%00{key}"),
        format!("api_key={key}%00"),
        format!("api_key={key}%20"),
        format!("api_key=+{key}+"),
        format!("api_key={key}%0a"),
        format!("api_key={key}%ff"),
        format!("api_key={key}#x"),
        format!("#&api_key={key}"),
        format!("x#?api_key={key}"),
        format!("a=b&&&api_key={key}&"),
        format!("=&api_key={key}"),
        format!("x=%&api_key={key}"),
        format!("x=%zz&api_key={key}"),
        format!("?api_key={key}"),
        format!("&?&api_key={key}"),
        format!("api_key=&api_key={key}&api_key="),
        format!("api_key&api_key={key}"),
        format!("x='\"<>`&api_key={key}"),
        format!("x=`&api_key={key}"),
        format!("x=<&api_key={key}"),
        format!("x={{}}|^\\&api_key={key}"),
        format!("x=\u{e9}&api_key={key}"),
    ] {
        case(
            cases,
            format!("query {}", query.replace(key, "KEY")),
            format!("GET /v1/a?{query} HTTP/1.1\r\n{HOST}\r\n"),
        );
    }
}
