//! Ordinary text logs, which no mapping can read: told by their form, so that the answer says what to do instead.

use std::fmt;

/// A form of text that gateways write unless they are told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextLog {
    /// `203.0.113.7 - - [22/Nov/2026:03:11:40 +0000] "GET / HTTP/1.1" 200 …`
    Combined,
    /// `10.0.1.2:33317 [22/Nov/2026:03:11:40.655] http-in static/srv1 10/0/30/69/109 200 …`
    Haproxy,
    /// `[2026-11-22T03:11:40.310Z] "GET / HTTP/1.1" 200 …`
    Envoy,
}

impl TextLog {
    /// The form of a line; `None` for one that is none of them, and so for JSON.
    pub fn of(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(&line[..line.len().min(2_000)]);
        let line = line.trim();
        if line.starts_with(['{', '[']) && !line.starts_with("[2") || line.contains("{\"") {
            return None;
        }
        if line.starts_with("[2") {
            return line.split_once("] \"").map(|_| Self::Envoy);
        }
        let (_, rest) = line.split_once(" [")?;
        let (time, rest) = rest.split_once(']')?;
        let is_date = time.len() >= 20 && time.as_bytes().get(2) == Some(&b'/');
        if !is_date {
            return None;
        }
        if rest.starts_with(" \"") {
            return Some(Self::Combined);
        }
        // Timers such as 10/0/30/69/109.
        let is_timers = |word: &str| {
            word.split('/').count() == 5 && word.split('/').all(|part| part.parse::<i64>().is_ok())
        };
        rest.split(' ').any(is_timers).then_some(Self::Haproxy)
    }

    /// The form of all lines, if it is the same and none is anything else.
    pub fn of_all<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Option<Self> {
        let mut found = None;
        for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
            match (Self::of(line)?, found) {
                (form, None) => found = Some(form),
                (form, Some(before)) if form == before => {}
                _ => return None,
            }
        }
        found
    }
}

impl fmt::Display for TextLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Combined => {
                "this is not JSON but text in the combined log format, which NGINX, Kong, Apache and Traefik write by \
                 default. No mapping can read it: let the gateway log JSON, as docs/gateways/nginx.md, \
                 docs/gateways/kong.md and docs/gateways/traefik.md show"
            }
            Self::Haproxy => {
                "this is not JSON but HAProxy's own HTTP log format. No mapping can read it: let HAProxy log JSON with \
                 the log-format of docs/gateways/haproxy.md"
            }
            Self::Envoy => {
                "this is not JSON but Envoy's default text format. No mapping can read it: let Envoy log JSON with the \
                 json_format of docs/gateways/envoy.md"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_text_logs_are_told_by_their_form() {
        for (line, expected) in [
            (
                r#"203.0.113.7 - - [22/Nov/2026:03:11:40 +0000] "GET /v1?x={1} HTTP/1.1" 200 612 "-" "curl/8.5.0""#,
                Some(TextLog::Combined),
            ),
            (
                r#"::1 - jane [22/Nov/2026:03:11:40 +0000] "GET / HTTP/1.1" 200 5 "-" "-" 17 "web@docker" "http://a" 3ms"#,
                Some(TextLog::Combined),
            ),
            (
                r#"Nov 22 03:11:40 lb haproxy[1]: 10.0.1.2:33317 [22/Nov/2026:03:11:40.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {a} "GET / HTTP/1.1""#,
                Some(TextLog::Haproxy),
            ),
            (
                r#"[2026-11-22T03:11:40.310Z] "GET /v1 HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "curl" "x" "y" "z""#,
                Some(TextLog::Envoy),
            ),
            (r#"{"time":"[22/Nov/2026:03:11:40 +0000] \"GET"}"#, None),
            (r#"[{"a":1}]"#, None),
            (r#"2026-11-22T03:11:40Z stdout F {"msec":"1"}"#, None),
            ("garbage", None),
            ("", None),
        ] {
            assert_eq!(TextLog::of(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn one_other_line_makes_it_no_text_log() {
        let text = br#"a - - [22/Nov/2026:03:11:40 +0000] "GET / HTTP/1.1" 200 1"#;
        let of = |lines: &[&[u8]]| TextLog::of_all(lines.iter().copied());
        assert_eq!(of(&[text, b"\n", text]), Some(TextLog::Combined));
        assert_eq!(of(&[text, b"{}"]), None);
        assert_eq!(of(&[]), None);
    }
}
