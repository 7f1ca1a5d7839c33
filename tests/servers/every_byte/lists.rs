//! The list of the requests: which text stands in which place of which.

use super::{
    requests::{KEY_HEADER, OddRequest, Spot, VICTIM, key},
    texts,
};

use Spot::{
    Agent, AroundKey, Cookie, ForwardedFor, HeaderName, HeaderValue, InKey, InParameterKey, ParameterName,
    Path, Query, Referer,
};

const SPOTS: [Spot; 12] = [
    Agent,
    Path,
    Query,
    ParameterName,
    Referer,
    ForwardedFor,
    HeaderName,
    HeaderValue,
    Cookie,
    AroundKey,
    InKey,
    InParameterKey,
];

/// All of them.
pub fn all() -> Vec<OddRequest> {
    let mut all = Vec::new();
    for place in SPOTS {
        // These make several keys of one, and a line's end several headers.
        let divides = |text: &[u8]| {
            text.iter().any(|byte| b",?".contains(byte))
                && matches!(place, AroundKey | InKey | InParameterKey)
                || text.contains(&b'\n') && matches!(place, AroundKey)
        };
        for (name, text) in texts::all().into_iter().filter(|(_, text)| !divides(text)) {
            add(&mut all, format!("{name} in {place:?}"), |request| request.put(place, &text));
        }
    }
    for place in [Path, Query, ParameterName, InKey, InParameterKey] {
        for (name, text) in texts::percent_encoded() {
            add(&mut all, format!("{name} in {place:?}"), |request| request.put(place, &text));
        }
    }
    sizes(&mut all);
    methods(&mut all);
    several_keys(&mut all);
    framed(&mut all);
    all
}

fn add(all: &mut Vec<OddRequest>, name: String, change: impl FnOnce(&mut OddRequest)) {
    let mut request = OddRequest::plain(all.len());
    request.name = name;
    change(&mut request);
    all.push(request);
}

/// Up to what servers take, and over it; of a byte that stays as it is, and of those that records show by more.
fn sizes(all: &mut Vec<OddRequest>) {
    let steps = [
        700, 1_000, 2_000, 4_000, 7_000, 8_000, 8_150, 12_000, 14_000, 15_000, 16_000, 31_000, 58_000,
        65_000, 130_000,
    ];
    for size in steps {
        for (name, byte) in texts::FILLS {
            let much = vec![byte; size];
            for place in [Agent, Path, Query, Referer, ForwardedFor, HeaderName, HeaderValue] {
                add(all, format!("{size} times {name} in {place:?}"), |request| request.put(place, &much));
            }
        }
    }
    // All of a head that goes into records at once.
    for size in [1_000, 2_500, 4_900, 7_500, 8_100, 14_000, 19_000, 300_000] {
        for (name, byte) in texts::FILLS {
            let much = vec![byte; size];
            // Of the bytes that may stand in a target, one that records show by two.
            let target = vec![if byte == 0x01 { b'"' } else { byte }; size];
            add(
                all,
                format!("{size} times {name} in Agent, Path, ForwardedFor and HeaderValue"),
                |request| {
                    request.put(Path, &target);
                    for place in [Agent, ForwardedFor, HeaderValue] {
                        request.put(place, &much);
                    }
                },
            );
        }
    }
    for size in [500_000, 900_000, 1_000_000, 1_100_000] {
        for (name, byte) in texts::FILLS {
            let much = vec![byte; size];
            for place in [Agent, Path] {
                add(all, format!("{size} times {name} in {place:?}"), |request| request.put(place, &much));
            }
        }
    }
    for count in [50, 90, 98, 99, 101, 200, 500, 1_000, 5_000] {
        add(all, format!("{count} headers"), |request| {
            (0..count)
                .for_each(|n| request.headers.insert(0, (format!("x-{n}").into_bytes(), b"a".to_vec())));
        });
    }
}

fn methods(all: &mut Vec<OddRequest>) {
    for method in
        ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "M-SEARCH", "A_B", "get", "BREW", "QUERY"]
    {
        add(all, format!("method {method}"), |request| {
            request.method = method;
            request.add("content-length", b"0".to_vec());
        });
    }
    for method in ["A\"B", "A\\B", "A'B", "A|B", "A{B", "!#$%&'*+-.^_`|~"] {
        add(all, format!("method {method}"), |request| request.method = method);
    }
}

/// The key beside others, and what callers say in place of the gateway.
fn several_keys(all: &mut Vec<OddRequest>) {
    for count in [1, 2, 10, 40] {
        for first in [true, false] {
            add(all, format!("the key and {count} others, first: {first}"), |request| {
                let others =
                    (0..count).map(|n| [request.keys[0].as_slice(), format!("-{n}").as_bytes()].concat());
                let others: Vec<Vec<u8>> = others.collect();
                for other in &others {
                    let at = if first { request.headers.len() } else { 0 };
                    request.headers.insert(at, (KEY_HEADER.into(), other.clone()));
                }
                request.keys.extend(others);
            });
            add(all, format!("the key and {count} others in one header, first: {first}"), |request| {
                let mut keys = request.keys.clone();
                keys.extend(
                    (0..count).map(|n| [request.keys[0].as_slice(), format!("-{n}").as_bytes()].concat()),
                );
                if !first {
                    keys.reverse();
                }
                request.set(KEY_HEADER, keys.join(&b", "[..]));
                request.keys = keys;
            });
        }
        add(all, format!("the key as {count} parameters"), |request| {
            let key = String::from_utf8_lossy(&request.keys[0]).into_owned();
            let others: String = (0..count).map(|n| format!("&api_key={key}-{n}")).collect();
            request.headers.retain(|(name, _)| name != KEY_HEADER.as_bytes());
            request.target = format!("/v1/a?api_key={key}{others}").into_bytes();
            request.keys.extend((0..count).map(|n| format!("{key}-{n}").into_bytes()));
        });
    }
    for name in
        ["x-credential-id", "x-keyhound-decision", "x-request-id", "x-envoy-original-path", "x-original-uri"]
    {
        add(all, format!("{name} of the caller"), |request| request.add(name, VICTIM.into()));
    }
    add(all, "x-credential-id of the caller with a key that is not listed".to_owned(), |request| {
        request.keys[0].extend(b"-wrong");
        request.set(KEY_HEADER, request.keys[0].clone());
        request.is_listed = false;
        request.add("x-credential-id", VICTIM.into());
    });
    for (name, value) in
        [("range", "bytes=0-0"), ("te", "trailers"), ("accept-encoding", "gzip, br"), ("via", "1.1 a")]
    {
        add(all, format!("{name}: {value}"), |request| request.add(name, value.into()));
    }
}

/// Some of them over HTTP/2: what the places have in common, and all bytes where frames let more through.
fn framed(all: &mut Vec<OddRequest>) {
    let plain = all.len();
    for index in 0..plain {
        let known = &all[index];
        let is_small =
            known.target.len() + known.headers.iter().map(|header| header.1.len()).sum::<usize>() < 70_000;
        let is_byte = known.name.starts_with("0x") && (index % 3 == 0 || known.name.ends_with("Path"));
        let has_odd_name = known.headers.iter().any(|header| header.0.iter().any(u8::is_ascii_uppercase));
        if !is_small || has_odd_name || !(is_byte || !known.name.starts_with("0x") && index % 2 == 0) {
            continue;
        }
        let (name, from) = (format!("HTTP/2: {}", known.name), key(index));
        let mut request = known.renumbered(&from, all.len());
        request.name = name;
        request.is_h2 = true;
        all.push(request);
    }
}
