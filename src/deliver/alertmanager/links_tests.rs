//! Tests of where links lead, and whom a signed one lets in.

use super::*;
use crate::incident::testing::stolen;

const NOW: WallTime = WallTime(1_795_317_100_000);

fn links(yaml: &str) -> Links {
    serde_saphyr::from_str(yaml).unwrap()
}

fn page(yaml: &str, listen: &str) -> String {
    let links = PageLinks::new(&links(yaml), listen.parse().unwrap(), "gate-7", None);
    links.incident(&IncidentId("inc_1".to_owned()), NOW)
}

#[test]
fn the_page_is_where_people_reach_the_daemon() {
    assert_eq!(page("{}", "10.1.2.3:9000"), "http://10.1.2.3:9000/incidents/inc_1");
    assert_eq!(page("{}", "[2001:db8::7]:9000"), "http://[2001:db8::7]:9000/incidents/inc_1");
    assert_eq!(page("{}", "0.0.0.0:9000"), "http://gate-7:9000/incidents/inc_1");
    assert_eq!(page("{}", "[::]:9000"), "http://gate-7:9000/incidents/inc_1");
    let own = "keyhound: https://keyhound.acme.io/secure/";
    assert_eq!(page(own, "0.0.0.0:9000"), "https://keyhound.acme.io/secure/incidents/inc_1");
}

#[test]
fn a_shipped_runbook_is_a_page_of_keyhound_and_any_other_stays() {
    let at = |yaml: &str, runbook: &str| {
        let mut incident = stolen();
        incident.reasons[1].runbook = runbook.to_owned();
        PageLinks::new(&links(yaml), "10.0.0.1:80".parse().unwrap(), "", None).runbook(&incident)
    };
    let shipped = "docs/runbooks/key-new-network.md";
    assert_eq!(at("{}", shipped), "http://10.0.0.1:80/runbooks/key-new-network");
    assert_eq!(at("{}", "https://wiki.acme.io/x"), "https://wiki.acme.io/x");
    assert_eq!(at("{}", "runbooks/own.md"), "runbooks/own.md");
    assert_eq!(at("runbook: 'https://wiki.acme.io/{rule}'", shipped), "https://wiki.acme.io/key-new-network");
}

#[test]
fn what_is_no_address_is_refused_with_what_would_be_right() {
    let refused = |yaml: &str, message: &str| {
        let error = serde_saphyr::from_str::<Links>(yaml).unwrap_err().to_string();
        assert!(error.contains(message) && !error.contains("hunter2"), "{error}");
    };
    refused("runbook: not a url", "runbook: \"not a url\" is not a URL");
    refused("dashboard: /d/keyhound", "expected something like https://grafana.acme.io");
    refused("keyhound: 'keyhound.acme.io:9464'", "must begin with http:// or https://");
    refused("keyhound: 'https://jane:hunter2@keyhound.acme.io'", "has credentials");
    refused("keyhound: 'https://keyhound.acme.io/?x'", "a query");
    refused("keyhoud: x", "keyhoud");
}

#[test]
fn what_is_written_out_reads_back() {
    let links = links("{ keyhound: 'https://k.acme.io', runbook: 'https://wiki.acme.io/{rule}' }");
    assert_eq!(serde_json::from_value::<Links>(serde_json::to_value(&links).unwrap()).unwrap(), links);
}

fn signed(key: u8) -> PageLinks {
    let signer = Some(LinkSigner::new([key; 16]));
    PageLinks::new(&Links::default(), "10.0.0.1:80".parse().unwrap(), "", signer)
}

/// The two parts of a signed link's query.
fn query(link: &str) -> (u64, String) {
    let query = link.split_once("?expires=").expect("a signed link").1;
    let (expires, signature) = query.split_once("&signature=").expect("a signature");
    (expires.parse().unwrap(), signature.to_owned())
}

#[test]
fn a_signed_link_opens_its_own_page_for_a_week_and_no_other() {
    let links = signed(1);
    let (expires, signature) = query(&links.incident(&IncidentId("inc_1".to_owned()), NOW));
    assert!(links.opens("inc_1", expires, &signature, NOW));
    assert!(links.opens("inc_1", expires, &signature, NOW.after(DAY * 7)));
    assert!(!links.opens("inc_1", expires, &signature, NOW.after(DAY * 8)), "expired");
    assert!(!links.opens("inc_2", expires, &signature, NOW), "another page");
    assert!(!links.opens("inc_1", expires + 1, &signature, NOW), "a later end");
    assert!(!links.opens("inc_1", expires, &signature[1..], NOW), "a part of it");
    assert!(!links.opens("inc_1", expires, "", NOW), "none");
    assert!(!signed(2).opens("inc_1", expires, &signature, NOW), "another key");
    assert!(!PageLinks { signer: None, ..links }.opens("inc_1", expires, &signature, NOW), "no key");
}

#[test]
fn a_signed_link_is_the_same_all_day() {
    let links = signed(1);
    let at =
        |hours: u64| links.incident(&IncidentId("inc_1".to_owned()), NOW.after(Duration::from_hours(hours)));
    assert_eq!(at(0), at(1));
    assert_ne!(at(0), at(24));
}

#[test]
fn the_key_is_in_no_debug_output() {
    assert_eq!(format!("{:?}", LinkSigner::new([7; 16])), "LinkSigner(<redacted>)");
}
