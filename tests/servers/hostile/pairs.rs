//! Two odd things in one request: what one lets through, the other must not open.

use super::cases::Case;

/// One odd thing: what it adds to the query, and to the headers before the key. Each char is a byte.
fn odd() -> Vec<(&'static str, String, String)> {
    let headers = |count: usize| (0..count).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    let none = String::new;
    vec![
        ("a control byte", none(), "User-Agent: a\u{1}b\r\n".to_owned()),
        ("no UTF-8", none(), "Referer: \u{ff}\u{fe}\r\n".to_owned()),
        ("98 headers", none(), headers(98)),
        ("1,030 headers", none(), headers(1_030)),
        ("an agent of 7 kB", none(), format!("User-Agent: {}\r\n", "x".repeat(7_000))),
        ("an agent of 60 kB", none(), format!("User-Agent: {}\r\n", "x".repeat(60_000))),
        ("64 other keys", none(), "X-Api-Key: other\r\n".repeat(64)),
        ("an empty key", none(), "X-Api-Key:\r\n".to_owned()),
        ("underscores", none(), "X_Api_Key: other\r\n".to_owned()),
        ("130 parameters", "api_key=other&".repeat(130), none()),
        ("an odd parameter", "x=\u{ff}%00%zz`<&".to_owned(), none()),
        ("connection", none(), "Connection: X-Api-Key, X-Forwarded-Uri\r\n".to_owned()),
        ("chunks", none(), "Transfer-Encoding: chunked\r\n".to_owned()),
        ("another length", none(), "Content-Length: 5\r\nExpect: 100-continue\r\n".to_owned()),
        ("an upgrade", none(), "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n".to_owned()),
        (
            "what gateways add",
            none(),
            "X-Forwarded-Uri: /?api_key=other\r\nX-Original-Method: \u{1}\r\n".to_owned(),
        ),
    ]
}

/// All pairs, with this key.
pub fn all(key: &str) -> Vec<Case> {
    let odd = odd();
    let mut cases = Vec::new();
    for (index, (first, query, headers)) in odd.iter().enumerate() {
        for (second, more_query, more_headers) in &odd[index + 1..] {
            let text = format!(
                "GET /v1/a?{query}{more_query}x=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}{more_headers}\
                 X-Api-Key: {key}\r\nConnection: close\r\n\r\n"
            );
            let bytes = text.chars().map(|char| u8::try_from(u32::from(char)).unwrap_or(b'?')).collect();
            cases.push(Case { name: format!("{first} and {second}"), bytes });
        }
    }
    cases
}
