//! The store fails under the daemon: gateways are answered all the same, and the engine comes back by itself.

use keyhound::decode::{Pepper, fingerprint};

use super::{
    daemon::{FileSource, LIMIT, PEPPER, Site, http},
    gone::{append, is_ready, lines, wait},
};

pub const STOLEN: &str = "live-5f2be0c9a7d1440b";
pub const NEIGHBOUR: &str = "live-91c0d2e4b7aa3f10";

/// The status that a gateway is answered which asks for a request with this key.
pub fn check(site: &Site, key: &str) -> String {
    let listen = &site.gateways_listen;
    let question =
        format!("GET /check HTTP/1.1\r\nHost: {listen}\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n");
    let answer = http::exchange(listen, &question).unwrap_or_default();
    String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned()
}

/// What an operator is answered who revokes a key.
pub fn revoke(site: &Site, key: &str) -> String {
    post_decision(site, "revoke", key)
}

/// What an operator is answered who does this to a key.
pub fn post_decision(site: &Site, action: &str, key: &str) -> String {
    let id = fingerprint(&Pepper::new(PEPPER).expect("a pepper"), key.as_bytes());
    let body = format!("{{\"key\":\"{id}\",\"reason\":\"a test\",\"by\":\"tests\"}}");
    http::post(&site.listen, &format!("/api/v1/decisions/{action}"), &body).expect("somebody answers")
}

/// Whoever else writes to the store holds up all who want to: as on a full disk, no commit succeeds.
fn locked(site: &Site) -> rusqlite::Connection {
    let store = rusqlite::Connection::open(site.path("state").join("keyhound.sqlite")).expect("opened");
    store.execute_batch("BEGIN IMMEDIATE").expect("locked");
    store
}

#[test]
fn whoever_stops_it_while_the_store_fails_is_obeyed() {
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let site = Site::new(&[source], true, "");
    append(&site.path("access.log"), &lines(100));
    let mut daemon = site.start(&[]);
    wait(&site, "100 records", || site.metric("keyhound_records_total") == Some(100));
    let _store = locked(&site);
    daemon.signal("TERM");
    let status = daemon.end_within(LIMIT).expect("it ends");
    let said = site.said();
    assert_eq!(status.code(), Some(1), "its last commit failed: {}", site.last_words());
    assert!(!said.contains("panicked") && said.contains("stopping on a signal"), "{}", site.last_words());
}

#[test]
fn gateways_are_answered_while_the_store_fails_and_the_engine_comes_back() {
    let source = FileSource { name: "access.log", format: "nginx", key: "raw" };
    let site = Site::new(&[source], true, "response: { mode: enforce }");
    let (path, lines) = (site.path("access.log"), lines(1_100));
    append(&path, &lines[..1_000]);
    let daemon = site.start(&[]);
    wait(&site, "1000 records", || site.metric("keyhound_records_total") == Some(1_000));
    let told = revoke(&site, STOLEN);
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    wait(&site, "it is refused", || check(&site, STOLEN) == "403");

    let store = locked(&site);
    append(&path, &lines[1_000..1_050]);
    wait(&site, "two failures", || {
        assert_eq!((check(&site, STOLEN), check(&site, NEIGHBOUR)), ("403".to_owned(), "200".to_owned()));
        site.metric("keyhound_engine_failures_total") >= Some(2)
    });
    assert!(!is_ready(&site), "{}", site.last_words());
    let told = revoke(&site, NEIGHBOUR);
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");

    store.execute_batch("ROLLBACK").expect("unlocked");
    append(&path, &lines[1_050..]);
    wait(&site, "ready again", || is_ready(&site));
    wait(&site, "100 more records", || site.metric("keyhound_records_total") >= Some(1_100));
    assert_eq!((check(&site, STOLEN), check(&site, NEIGHBOUR)), ("403".to_owned(), "200".to_owned()));
    let told = revoke(&site, NEIGHBOUR);
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    wait(&site, "the other is refused, too", || check(&site, NEIGHBOUR) == "403");
    let said = site.said();
    assert!(said.contains("decisions that were made are served on"), "{}", site.last_words());
    assert!(daemon.stop().success(), "{}", site.last_words());
}
