//! Topics keyed in different ways, told request by request.

use super::*;
use crate::event::KeyKind;

fn id(kind: KeyKind, number: u8) -> KeyId {
    KeyId { kind, hash: [number; 16] }
}

/// 20 API keys with 3 requests each; `place` says the partition of a request, `key` its record's key.
fn topic(place: impl Fn(u8, u8) -> i32, key: impl Fn(u8) -> Option<(Vec<u8>, KeyId)>) -> Keying {
    let mut keying = Keying::default();
    for round in 0..3 {
        for number in 0..20 {
            let credential = format!("cred-{number}");
            let handles = Handles { gateway: "kong", consumer: "acme", credential: &credential };
            let request = Seen { key: id(KeyKind::Raw, number), alias: None, handles };
            let key = key(number);
            let key = key.as_ref().map(|(bytes, id)| RecordKey { bytes, id: *id });
            keying.note(u64::from(round) * 100 + u64::from(number), place(number, round), key, &request);
        }
    }
    keying
}

fn hashed(number: u8) -> KeyId {
    id(KeyKind::Raw, 200 - number)
}

#[track_caller]
fn check(keying: &Keying, partitions: usize, skipping: Skipping, like: &[(Likeness, u64)]) {
    let keyed = keying.conclude(partitions);
    let found: Vec<(Likeness, u64)> =
        keyed.record_keys.iter().map(|keys| (keys.like, keys.requests)).collect();
    assert_eq!((keyed.skipping, found.as_slice()), (skipping, like), "{keyed:?}");
}

#[test]
fn a_topic_without_keys_spreads_each_api_key() {
    let keying = topic(|number, round| i32::from((number + round) % 3), |_| None);
    check(&keying, 3, Skipping::Spread, &[(Likeness::Absent, 60)]);
    let text = keying.conclude(3).lines();
    assert!(text.contains("of 20 API keys seen more than once, 0 stay"), "{text}");
}

#[test]
fn a_topic_keyed_by_credential_keeps_each_api_key_together() {
    let keying = topic(
        |number, _| i32::from(number % 3),
        |number| Some((format!("cred-{number}").into(), hashed(number))),
    );
    check(&keying, 3, Skipping::Possible, &[(Likeness::Credential, 60)]);
    assert!(keying.conclude(3).lines().contains("`partitions: 3`"));
}

#[test]
fn the_raw_key_as_a_record_key_is_warned_of_and_not_shown() {
    let keying = topic(
        |number, _| i32::from(number % 3),
        |number| Some((b"sk_CANARY".to_vec(), id(KeyKind::Raw, number))),
    );
    check(&keying, 3, Skipping::Possible, &[(Likeness::RawKey, 60)]);
    let text = keying.conclude(3).lines();
    assert!(text.contains("WARNING") && !text.contains("CANARY"), "{text}");
}

#[test]
fn keyhounds_own_id_the_consumer_and_a_hash_are_told_apart() {
    let in_place = |number: u8, _| i32::from(number % 3);
    let own = topic(in_place, |number| Some((id(KeyKind::Raw, number).to_string().into(), hashed(number))));
    check(&own, 3, Skipping::Possible, &[(Likeness::KeyId, 60)]);
    let consumer = topic(|_, _| 1, |_| Some((b"acme".to_vec(), hashed(0))));
    check(&consumer, 3, Skipping::Possible, &[(Likeness::Consumer, 60)]);
    let hash = topic(in_place, |number| Some((vec![0xff, number], hashed(number))));
    check(&hash, 3, Skipping::Possible, &[(Likeness::Other, 60)]);
    assert!(hash.conclude(3).lines().contains("one record key of its own"));
}

#[test]
fn one_partition_and_too_few_keys_say_nothing() {
    check(&topic(|_, _| 0, |_| None), 1, Skipping::OnePartition, &[(Likeness::Absent, 60)]);
    check(&Keying::default(), 3, Skipping::Unknown, &[]);
}

#[test]
fn a_record_with_requests_of_several_keys_cannot_be_keyed_by_one() {
    let mut keying = Keying::default();
    for number in [1, 1, 2, 3] {
        let request = Seen { key: id(KeyKind::Raw, number), alias: None, handles: Handles::default() };
        keying.note(7, 0, None, &request);
    }
    let keyed = keying.conclude(3);
    assert_eq!((keyed.skipping, keyed.mixed_records), (Skipping::Mixed, 1));
}
