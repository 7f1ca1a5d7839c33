//! Requests that show several keys: an event of each, and none of them in a text.

use bumpalo::Bump;

use super::{
    Decoded, Decoder, Fingerprinter, Format, KeyPolicy, Pepper, Settings, fingerprint, secrecy::holds_key,
};
use crate::event::{Event, Flags, KeyId, KeyKind};

fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).unwrap()
}

fn id(key: &str) -> KeyId {
    fingerprint(&pepper(), key.as_bytes())
}

/// The events of one record, shown to `see`.
fn events(key: KeyPolicy, record: &str, see: impl FnOnce(&[Event<'_>])) {
    let settings = Settings::new(Format::preset("nginx").unwrap(), key);
    let mut decoder =
        Decoder::with_fingerprinter(&settings, Fingerprinter::with_entries(&pepper(), 2)).unwrap();
    let (arena, mut events) = (Bump::new(), Vec::new());
    decoder.decode(record.as_bytes(), &arena, |decoded| match decoded {
        Decoded::Request(request) => events.push(request.event),
        other => panic!("{other:?}"),
    });
    see(&events);
}

fn record(fields: &str) -> String {
    format!(r#"{{"msec":"1795327660.839","status":"200","method":"GET",{fields}}}"#)
}

#[test]
fn events_of_one_request_differ_in_key_and_position_only() {
    let record = record(r#""api_key":"first","uri":"/v1/orders?api_key=second&apikey=third","ua":"sdk/1.2""#);
    events(KeyPolicy::Raw, &record, |events| {
        assert_eq!(
            events.iter().map(|event| event.key).collect::<Vec<_>>(),
            ["first", "second", "third"].map(id)
        );
        assert_eq!(events.iter().map(|event| event.position.index).collect::<Vec<_>>(), [0, 1, 2]);
        let flags =
            |event: &Event<'_>| (event.flags.has(Flags::SEVERAL_KEYS), event.flags.has(Flags::FURTHER_KEY));
        assert_eq!(events.iter().map(flags).collect::<Vec<_>>(), [(true, false), (true, true), (true, true)]);
        for event in events {
            let like =
                Event { key: events[0].key, position: events[0].position, flags: events[0].flags, ..*event };
            assert_eq!(like, events[0]);
        }
    });
}

#[test]
fn requests_behind_one_with_several_keys_have_positions_of_their_own() {
    let several = record(r#""api_key":"a, b","uri":"/""#);
    let one = record(r#""api_key":"c","uri":"/""#);
    events(KeyPolicy::Raw, &format!("{several}{one}"), |events| {
        let found: Vec<_> = events.iter().map(|event| (event.key, event.position.index)).collect();
        assert_eq!(found, [(id("a"), 0), (id("b"), 1), (id("c"), 2)]);
        assert!(!events[2].flags.has(Flags::SEVERAL_KEYS));
    });
}

#[test]
fn no_key_of_a_request_stands_in_its_texts() {
    let keys = ["alpha-words", "other-words", "third-words"];
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        let [a, b, c] = order.map(|index| keys[index]);
        let record = record(&format!(
            r#""api_key":"{a}, {b}","consumer":"{b}","uri":"/v1/{b}/x-{c}/{a}?apikey={c}","ua":"sdk/{c} {b}/1 {a}""#
        ));
        events(KeyPolicy::Raw, &record, |events| {
            assert_eq!(events.len(), 3);
            for event in events {
                assert_eq!(event.route.text, "/v1/{…}/{…}/{…}");
                let texts = [event.agent.text, event.handles.consumer, event.handles.credential];
                assert!(
                    !texts.iter().any(|text| keys.iter().any(|key| holds_key(text, Some(key)))),
                    "{texts:?}"
                );
            }
        });
    }
}

#[test]
fn a_key_with_odd_bytes_stands_in_no_text_as_it_came() {
    let record = record(r#""api_key":"secret-é-x","uri":"/v1/secret-é-x","ua":"sdk/secret-é""#);
    events(KeyPolicy::Raw, &record, |events| {
        assert_eq!((events[0].key, events[0].route.text), (id("secret-é-x"), "/v1/{…}"));
        assert!(!events[0].agent.text.contains("secret"), "{}", events[0].agent.text);
    });
}

/// A caller who shows his own key and another must not link the other to his credential.
#[test]
fn several_keys_link_no_ids() {
    let own = r#""credential_id":"cred-1","uri":"/","#;
    let one = record(&format!(r#"{own}"api_key":"a, a""#));
    let two = record(&format!(r#"{own}"api_key":"a, b""#));
    events(KeyPolicy::Credential, &one, |events| {
        assert_eq!((events.len(), events[0].alias), (1, Some(id("a"))));
    });
    events(KeyPolicy::Credential, &two, |events| {
        assert_eq!((events.len(), events[0].key.kind, events[0].alias), (1, KeyKind::Credential, None));
        assert!(events[0].flags.has(Flags::SEVERAL_KEYS) && !events[0].flags.has(Flags::FURTHER_KEY));
    });
    events(KeyPolicy::Raw, &two, |events| {
        assert_eq!(
            events.iter().map(|event| (event.key, event.alias)).collect::<Vec<_>>(),
            [(id("a"), None), (id("b"), None)]
        );
    });
}

#[test]
fn what_a_gateway_blacked_out_is_no_key_beside_another() {
    let record = record(r#""api_key":"REDACTED","uri":"/?api_key=a""#);
    events(KeyPolicy::Raw, &record, |events| {
        assert_eq!((events.len(), events[0].key), (1, id("a")));
        assert!(!events[0].flags.has(Flags::SEVERAL_KEYS));
    });
}

#[test]
fn very_many_values_are_no_more_events_than_few() {
    for fields in [
        format!(r#""api_key":"{}","uri":"/""#, "a,b,".repeat(100_000)),
        format!(r#""api_key":["x"{}],"uri":"/""#, r#","y""#.repeat(100_000)),
        format!(r#""api_key":"z","uri":"/?{}""#, "&api_key=1&api_key=2".repeat(25_000)),
    ] {
        events(KeyPolicy::Raw, &record(&fields), |events| {
            assert!((2..=super::KEYS_MAX).contains(&events.len()), "{}", events.len());
            assert!(events[0].flags.has(Flags::KEYS_LEFT_OUT));
        });
    }
}
