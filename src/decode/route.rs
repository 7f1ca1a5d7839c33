//! The name under which a request's route is kept: the gateway's own, or the path with its ids taken out.
//!
//! Paths hold ids, and at times keys; profiles count routes. So each segment that looks like an id or a secret
//! becomes `{…}`, and the query string is dropped.

use bumpalo::Bump;

use super::secrecy::{holds_half_of_key, holds_key, is_word};

/// The longest route, in bytes; what is longer ends in `…`.
pub const ROUTE_BYTES_MAX: usize = 128;

const HIDDEN: &str = "{…}";
const CUT: &str = "…";
const SEGMENT_BYTES_MAX: usize = 64;
/// A beginning of a path that is no longer leaves room for a hidden segment and the mark of a cut.
const HEAD_BYTES_MAX: usize = ROUTE_BYTES_MAX - 1 - HIDDEN.len() - CUT.len();

/// The gateway's own name for the route; its shape is trusted, unless it is a path, or holds the record's raw key.
pub(super) fn named<'a>(name: &'a str, key: Option<&str>, arena: &'a Bump) -> &'a str {
    // AWS HTTP APIs name a route by method and path.
    let name = match name.split_once(' ') {
        Some((method, path)) if path.starts_with('/') && method.bytes().all(|b| b.is_ascii_uppercase()) => {
            path
        }
        _ => name,
    };
    if name.starts_with('/') {
        return template(name, key, arena);
    }
    if holds_key(name, key) || name.bytes().any(|byte| byte.is_ascii_control()) {
        return HIDDEN;
    }
    cut(name, arena)
}

fn cut<'a>(text: &'a str, arena: &'a Bump) -> &'a str {
    if text.len() <= ROUTE_BYTES_MAX {
        return text;
    }
    let mut writer = Writer::new();
    let mut end = ROUTE_BYTES_MAX - CUT.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    writer.push(&text[..end]);
    writer.push(CUT);
    arena.alloc_str(writer.as_str())
}

/// The path of a URL with its ids, and the record's own raw key, replaced by `{…}`.
pub(super) fn template<'a>(url: &'a str, key: Option<&str>, arena: &'a Bump) -> &'a str {
    let path = path_of(url);
    let keep = |segment: &str| {
        segment.len() <= SEGMENT_BYTES_MAX && is_word(segment) && !holds_half_of_key(segment, key)
    };
    let mut from = 0;
    let hidden = segments(path).position(|segment| {
        let kept = keep(segment);
        from += if kept { segment.len() + 1 } else { 0 };
        !kept
    });
    if hidden.is_none() && path.len() <= ROUTE_BYTES_MAX {
        return whole(path, key);
    }
    let mut writer = Writer::new();
    let (head, tail) =
        if hidden.is_some() && from <= HEAD_BYTES_MAX { path.split_at(from) } else { ("", path) };
    writer.push(head);
    for (index, segment) in segments(tail).enumerate() {
        let segment = if keep(segment) { segment } else { HIDDEN };
        if writer.length + 1 + segment.len() + CUT.len() > ROUTE_BYTES_MAX {
            writer.push(CUT);
            break;
        }
        if index > 0 {
            writer.push("/");
        }
        writer.push(segment);
    }
    arena.alloc_str(whole(writer.as_str(), key))
}

/// A key with a slash in it spans segments: then nothing of the path is kept.
fn whole<'p>(path: &'p str, key: Option<&str>) -> &'p str {
    let spans = key.is_some_and(|key| key.contains('/'));
    if spans && holds_half_of_key(path, key) { "/{…}" } else { path }
}

/// Cuts scheme, authority, query and fragment off.
pub(super) fn path_of(url: &str) -> &str {
    let end = url.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(url.len());
    let url = &url[..end];
    if url.starts_with('/') {
        return url;
    }
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => url,
    }
}

/// The query string of a URL, without the `?`.
pub(super) fn query_of(url: &str) -> Option<&str> {
    let mark = url.bytes().position(|byte| byte == b'?')?;
    let query = &url[mark + 1..];
    let end = query.bytes().position(|byte| byte == b'#').unwrap_or(query.len());
    Some(&query[..end])
}

/// The segments of a path. A loop over bytes, since a search that is set up anew costs more than most segments do.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let path = rest?;
        let (segment, after) = match path.bytes().position(|byte| byte == b'/') {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        rest = after;
        Some(segment)
    })
}

/// Text of at most [`ROUTE_BYTES_MAX`], put together on the stack.
struct Writer {
    bytes: [u8; ROUTE_BYTES_MAX],
    length: usize,
}

impl Writer {
    fn new() -> Self {
        Self { bytes: [0; ROUTE_BYTES_MAX], length: 0 }
    }

    /// The callers have made room.
    fn push(&mut self, text: &str) {
        let end = self.length + text.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(text.as_bytes());
            self.length = end;
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        check_with_key(url, None, expected);
    }

    #[track_caller]
    fn check_with_key(url: &str, key: Option<&str>, expected: &str) {
        assert_eq!(template(url, key, &Bump::new()), expected);
    }

    #[test]
    fn ids_become_one_route() {
        check("/v1/orders/42?x=1", "/v1/orders/{…}");
        check("/v1/orders/3f2504e0-4f89-11d3-9a0c-0305e82c3301/items", "/v1/orders/{…}/items");
        check("/v1/blobs/deadbeefcafe", "/v1/blobs/{…}");
        check("/v1/tokens/sk_live_4eC39HqLyjWDarjtT1zdp7dc", "/v1/tokens/{…}");
        check("/v1/orders#frag", "/v1/orders");
        check("/", "/");
        check("", "");
    }

    #[test]
    fn the_authority_is_dropped_with_whatever_user_it_names() {
        check("https://user:secret@api.acme.io:8443/v1/orders?x=1", "/v1/orders");
        check("http://api.acme.io", "/");
    }

    #[test]
    fn percent_encoding_and_odd_bytes_are_hidden() {
        check("/v1/%73%6b_live/x", "/v1/{…}/x");
        check("/v1/naïve/x", "/v1/{…}/x");
        check("/v1/a;jsessionid=1/x", "/v1/{…}/x");
    }

    #[test]
    fn the_own_key_never_survives() {
        check_with_key("/v1/good/orders", Some("good"), "/v1/{…}/orders");
        check_with_key("/v1/xsecretx/orders", Some("secret"), "/v1/{…}/orders");
        check_with_key("/v1/ab/cdef/orders", Some("ab/cdef"), "/{…}");
        let long = Some("hqwertzuiopasdfgwgjjxwlBba/Gdzgu");
        check_with_key("/v1/hqwertzuiopasdfg/orders", long, "/v1/{…}/orders");
        check_with_key("/v1/wgjjxwlBba/Gdzgu/orders", long, "/{…}");
        let plain = Some("hqwertzuiopasdfgwgjjxwlBbazGdzgu");
        check_with_key("/v1/hqwertzuiopasdfg/orders", plain, "/v1/{…}/orders");
        assert_eq!(named("good", Some("good"), &Bump::new()), "{…}");
    }

    #[test]
    fn long_paths_are_cut_within_the_limit() {
        let long = "/segment-of-some-length".repeat(10);
        let arena = Bump::new();
        let route = template(&long, None, &arena);
        assert!(route.len() <= ROUTE_BYTES_MAX && route.ends_with('…'), "{route}");
        let name = "é".repeat(100);
        assert!(named(&name, None, &arena).len() <= ROUTE_BYTES_MAX);
    }

    #[test]
    fn a_gateways_own_name_is_kept() {
        let arena = Bump::new();
        assert_eq!(named("orders@file", None, &arena), "orders@file");
        assert_eq!(named("GET /v1/orders/{id}", None, &arena), "/v1/orders/{id}");
        assert_eq!(
            named("a0b1c2d3-0000-4000-8000-000000000001", None, &arena),
            "a0b1c2d3-0000-4000-8000-000000000001"
        );
    }
}
