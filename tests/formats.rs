//! Golden records of each format: what a gateway wrote, and what Keyhound makes of it.
//!
//! `tests/golden/NAME.jsonl` holds records, each below a line that names its origin; `NAME.expected` what they
//! decode to. `BLESS=1 cargo test --test formats` writes the expected text anew, to be read before it is committed.

#[path = "formats/odd_records.rs"]
mod odd_records;

use std::{fmt::Write, fs, path::Path};

use bumpalo::Bump;
use keyhound::{
    decode::{Decoded, Decoder, Format, KeyPolicy, Pepper, Request, Settings, presets},
    event::prefix_text,
};

#[test]
fn golden_records_decode_as_expected() {
    for name in presets::names() {
        check(name);
    }
}

#[track_caller]
fn check(name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let records =
        fs::read_to_string(golden.join(format!("{name}.jsonl"))).expect("a golden file for each preset");
    let text = render(name, &records);
    let expected = golden.join(format!("{name}.expected"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected, &text).expect("the expected text can be written");
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    assert!(text == wanted, "{name}: decodes to\n{text}\nbut {} says\n{wanted}", expected.display());
}

fn render(name: &str, records: &str) -> String {
    let format = Format::preset(name).expect("a preset");
    let mut settings = Settings::new(format, KeyPolicy::Raw);
    let mut origin = None;
    let mut text = String::new();
    let pepper = Pepper::new(b"0123456789abcdef0123456789abcdef").expect("32 bytes");
    for line in records.lines() {
        match line.strip_prefix("# ").and_then(|comment| comment.split_once(": ")) {
            Some(("key", "credential")) => settings.key = KeyPolicy::Credential,
            Some(("key", "raw")) => settings.key = KeyPolicy::Raw,
            Some(("trusted", networks)) => {
                let networks = networks.split(' ').map(|network| network.parse().expect("a network"));
                settings.client_address.trusted_proxies = networks.collect();
            }
            Some(("origin", from)) => origin = Some(from),
            Some(other) => panic!("{name}: unknown comment {other:?}"),
            None => {
                let origin = origin.take().unwrap_or_else(|| panic!("{name}: a record without an origin"));
                writeln!(text, "# {origin}").unwrap();
                let mut decoder = Decoder::new(&settings, &pepper).expect("a valid preset");
                decoder.decode(line.as_bytes(), &Bump::new(), |decoded| render_decoded(&mut text, &decoded));
                text.push('\n');
            }
        }
    }
    text
}

fn render_decoded(text: &mut String, decoded: &Decoded<'_>) {
    match decoded {
        Decoded::Request(request) => render_request(text, request),
        Decoded::Anonymous(_) => text.push_str("anonymous\n"),
        Decoded::Rejected { reason, key, time } => {
            let key = key.map_or("none".to_owned(), |key| key.to_string());
            let time = time.map_or("none".to_owned(), |time| time.rfc3339_millis());
            writeln!(text, "rejected: {}, key {key}, time {time}", reason.as_str()).unwrap();
        }
    }
}

fn render_request(text: &mut String, Request { event, client }: &Request<'_>) {
    let alias = event.alias.map_or("none".to_owned(), |alias| alias.to_string());
    let client = client.map_or("none".to_owned(), |client| client.to_string());
    let flags: Vec<&str> = event.flags.names().collect();
    let moment = jiff::Timestamp::from_millisecond(i64::try_from(event.time.0).unwrap()).unwrap();
    let handles = event.handles;
    writeln!(text, "request {}: {moment:.3}", event.position.index).unwrap();
    writeln!(text, "  key      {} alias {alias}", event.key).unwrap();
    writeln!(
        text,
        "  request  {} {} {} refused {:?}",
        event.method.as_str(),
        event.route.text,
        known(event.status.map(u32::from)),
        event.refusal
    )
    .unwrap();
    writeln!(
        text,
        "  client   {client} in {}, agent {:?}",
        prefix_text(event.address.prefix),
        event.agent.text
    )
    .unwrap();
    writeln!(
        text,
        "  sizes    {} B in, {} B out, {} us, id {}",
        known(event.request_bytes),
        known(event.response_bytes),
        known(event.latency_us),
        if event.request_id == 0 { "absent" } else { "there" }
    )
    .unwrap();
    writeln!(
        text,
        "  handles  gateway {:?} consumer {:?} credential {:?}, flags {flags:?}",
        handles.gateway, handles.consumer, handles.credential
    )
    .unwrap();
}

fn known(value: Option<u32>) -> String {
    value.map_or("?".to_owned(), |value| value.to_string())
}
